"""What a session hands to its platform."""

from __future__ import annotations

from pathlib import Path

from broker.model import Job, Placement, Request
from broker.sessions.store import Progress
from reservations.leases import Lease


def make_job(
    uuid: str, request: Request, placement: Placement, progress: Progress, lease: Lease | None = None
) -> Job:
    """What the platform starts. Data that goes to a mounted storage appears as a file below its mount."""
    binds = []
    for mount in request.mounts:
        if mount.resource in progress.paths:
            binds.append((progress.paths[mount.resource], mount.path, mount.mode))
        for item in request.data:
            if item.storage == mount.resource and item.uuid in progress.paths:
                path = Path(progress.paths[item.uuid])
                binds.append((str(path), f"{mount.path.rstrip('/')}/{path.name}", mount.mode))
    return Job(
        id=uuid,
        site_id=placement.site_id,
        executable=request.executable,
        cores=placement.cores,
        memory_gib=placement.memory_gib,
        duration=placement.duration,
        binds=tuple(binds),
        storage_gib=sum(place.size_gib.minimum for place in request.storage) if request.storage else None,
        lease=lease,
    )
