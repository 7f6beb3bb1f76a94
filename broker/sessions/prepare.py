"""Everything that a container needs, in order: storage, data, volumes, image.

What the data's own system brings to the site's storage is waited for first. Then all data items come
together, by one mover, as `netprobe.cost.Staging` forecast them.
"""

from __future__ import annotations

from functools import partial

from broker.model import Placement, Request
from broker.platforms import Platform, PlatformError
from broker.sessions.bringing import bring
from broker.sessions.job import make_job
from broker.sessions.limits import patiently, within
from broker.sessions.progress import Progress, shown
from broker.sessions.row import Row
from broker.sessions.staging import stage
from broker.sessions.store import Progress as Record
from reservations.leases import Lease

STORAGE_LIMIT = 60.0
IMAGE_LIMIT = 1800.0


async def prepare(
    row: Row, platform: Platform, request: Request, placement: Placement, lease: Lease | None
) -> dict[str, str]:
    """Where each storage and data item lies at the site, by uuid; raises PlatformError.

    Repeated, it asks for all of it again: what is there already costs no transfer.
    """
    clock, paths = row.clock, dict[str, str]()
    # what the offer counted with behind the data (90 %)
    image_seconds = max(placement.prepare_seconds - placement.staging.seconds.p90, 0.0)
    progress = Progress(placement.staging, image_seconds)
    async with shown(clock, progress, row.show):
        for place in request.storage:
            made = platform.make_storage(row.uuid, place.uuid)
            path = await within(clock, STORAGE_LIMIT, f"making storage {place.name}", made)
            paths[place.uuid] = str(path)
        if paths:
            await row.staged(paths)
        progress.begin_bringing(clock.now())
        await bring(row, request, placement, progress)
        progress.begin_data(clock.now())
        staging, site = placement.staging, row.around.federation[placement.site_id]
        unpack = partial(row.around.unpacker.files, site=site)
        where, moved = await stage(clock, platform, row.uuid, request.data, staging, unpack, progress.moved)
        progress.end_data()
        if moved:
            measurements = [measurement for measurement, _ in moved]
            await row.worker.in_thread(partial(row.around.archive.add, measurements))
        for _, note in moved:
            await row.note(note)
        if where:
            paths |= {uuid: str(path) for uuid, path in where.items()}
            await row.staged(paths)
        missing = [mount.path for mount in request.mounts if mount.resource not in paths]
        if missing:
            raise PlatformError(f"nothing is there to be mounted at {', '.join(missing)}")
        progress.begin_image()
        job = make_job(row.uuid, request, placement, Record(paths), lease)
        await patiently(clock, IMAGE_LIMIT, "bringing the image", lambda: platform.prepare(job))
    return paths
