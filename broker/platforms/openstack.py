"""Containers on servers of an OpenStack cloud: one server a session, of the flavour that is reserved for it.

Nobody has to be able to reach a server. What it is to do is its user data; what becomes of it is read from
its console. So data is fetched by the server itself, which sends what its container wrote to an object store.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from broker.catalogues.urls import allowed_at
from broker.images import Access, Image, Wanted
from broker.images.pulls import Pulled, PullLog
from broker.model import Connector, DataItem, Executable, Job, Note, Request
from broker.platforms import (
    PlatformError,
    Progress,
    Staged,
    State,
    Status,
    StoredFile,
    Unreachable,
    openstack_check,
    results,
)
from broker.platforms.openstack_learnt import measurements
from broker.platforms.openstack_nova import SESSION, TAG, WORD, Nova
from broker.platforms.openstack_options import openstack_options, registry_access
from broker.platforms.openstack_records import Record, Records, Sent
from broker.platforms.openstack_results import Parcel, Results
from broker.platforms.openstack_servers import Servers
from broker.platforms.openstack_sizes import Sizes, smallest
from broker.platforms.openstack_store import GIB, ResultStore, folder, result_store
from broker.platforms.openstack_user_data import ROOT, Data, file_of, plan_of, user_data
from broker.platforms.places import REMOVE_SECONDS, data_path, removal, storage_path
from broker.platforms.podman_images import as_oci, as_wanted
from broker.platforms.podman_run import container_name
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from federation.sites import Platform as SitePlatform
from federation.units import parse_bits_per_second
from netprobe.cost import Move
from netprobe.measurement import Measurement
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU
from reservations.openstack.connection import Cloud
from reservations.openstack.flavours import Flavour

log = logging.getLogger(__name__)
T = TypeVar("T")
# jobs that the cloud is asked about at the same time
THREADS = 8
WHOLE_HOSTS = "physical:host"
# a release waits so long for results, and is repeated then
BRING_SECONDS = 120.0


class OpenStackPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): see `openstack_options`."""

    ABOUT = About(
        does="Runs each session on a server of its own in an OpenStack cloud.",
        cannot="Publishes no ports and shows no notebooks, for nobody reaches a server; needs a bucket of S3 "
        "to give back results.",
        modules=("openstack",),
        extra="openstack",
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = openstack_options(site)
        self._site, self._platform, self._options = site, site.platform, options
        self._allowed = allowed_at(federation, site)
        self._nova = Nova(site.id, Cloud(options["cloud"], f"site {site.id}", options["request_seconds"]))
        self._access = registry_access(federation, site, options)
        self._root, self._clock, self._pulls = work_directory, clock, PullLog()
        self._records = Records(site.id, work_directory)
        self._servers = Servers(site.id, self._nova, self._records, clock, options)
        self._store: ResultStore | None = None
        if options["results"]:
            self._store = result_store(site, federation, options["results"], options["results_seconds"])
            self._results = Results(work_directory, self._store)
        self._sizes = Sizes(self._nova.flavours, options["flavours"], clock, options["refresh_seconds"])
        self._books = any(space.book not in (None, WHOLE_HOSTS) for space in site.space)
        if not self._books:
            self._sizes.last()  # so that somebody has asked when the first request comes
        self._threads = ThreadPoolExecutor(THREADS, f"openstack-{site.id}")
        # stopping and releasing wait for servers: nobody's turn to be looked at waits for that
        self._lookers = ThreadPoolExecutor(THREADS, f"openstack-{site.id}-look")

    def check(self, executable: Executable) -> Sequence[Note]:
        return openstack_check.check(self._site, self._platform, self._options, executable)

    def check_request(self, request: Request) -> Sequence[Note]:
        sizes = None if self._books else self._sizes.last()
        return openstack_check.check_request(self._site, self._options, sizes, request)

    def bounded(self, platform: SitePlatform) -> SitePlatform:
        """No session gets more than the largest flavour; where flavours are made for it, that is said by the
        calendar."""
        sizes = () if self._books else self._sizes.last()
        if not sizes or isinstance(sizes, str):
            return platform
        most = {name: max(each.amounts.get(name, 0) for each in sizes) for name in (VCPU, MEMORY_MB, DISK_GB)}
        return replace(
            platform,
            cores=min(platform.cores, most[VCPU]),
            memory_gib=min(platform.memory_gib, most[MEMORY_MB] // 1024),
        )

    def learn(self) -> None:
        self._sizes.learn()

    def wanted_image(self, executable: Executable) -> tuple[Wanted, Access] | None:
        wanted = as_wanted(executable)
        if wanted is None or set(as_oci(executable).locations) & set(self._options["local_images"]):
            return None
        return wanted, self._access

    def image_layers(self) -> Collection[str]:
        # a new server each time
        return ()

    def outside_bits_per_second(self) -> float | None:
        rate = self._options["outside_rate"]
        return None if rate is None else parse_bits_per_second(rate)

    def check_image(self, image: Image) -> Sequence[Note]:
        # a container's user, root or not, is shut in by its server
        return ()

    def image_seconds(self, executable: Executable) -> float:
        # what the servers' own image brings along is there when they have booted
        return float(self._options["image_seconds"]) if self.wanted_image(executable) else 0.0

    def boot_seconds(self) -> float:
        return float(self._options["start_seconds"])

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        """The server will fetch them, before its container starts: here is written down what."""
        paths = {item.uuid: data_path(ROOT, job_id, item) for item, _ in wanted}
        for item, move in wanted:
            if any(replica.url == move.url and replica.bearer is not None for replica in item.replicas):
                # a token may open much more than this session's data
                raise self._error(f"{item.name}: its server wants a token, which isn't given to servers")
        files = tuple(file_of(item, move, paths[item.uuid]) for item, move in wanted)
        checksums = {
            str(paths[item.uuid]): item.checksum
            for item, _ in wanted
            if item.checksum is not None and item.checksum[0] != "sha256"
        }
        await self._change(job_id, lambda data: replace(data, files=files, checksums=checksums))
        return Staged(paths)

    async def make_storage(self, job_id: str, name: str) -> Path:
        if self._options["storage"] == "refuse":
            raise self._error("its servers keep nothing that a container writes")
        path = storage_path(ROOT, job_id, name)
        known = {str(path): None}
        await self._change(
            job_id, lambda data: replace(data, storages=(*{**dict.fromkeys(data.storages), **known},))
        )
        return path

    async def prepare(self, job: Job) -> None:
        """There is no server yet: here is found out whether one could be told what to do, and be had."""
        await self._bound(job)
        await self._in_thread(partial(self._body, job, secrets.token_hex(8), fresh=True))

    async def start(self, job: Job) -> Sequence[Connector]:
        word = secrets.token_hex(8)
        await self._bound(job)
        await self._in_thread(partial(self._servers.start, job.id, word, partial(self._body, job)))
        return ()

    async def poll(self, job: Job) -> Status:
        return await asyncio.get_running_loop().run_in_executor(self._lookers, partial(self._poll, job))

    def _poll(self, job: Job) -> Status:
        status = self._ended(job, self._servers.poll(job.id))
        return replace(status, measurements=self._learnt(job))

    def _learnt(self, job: Job) -> tuple[Measurement, ...]:
        """What its data took, once that is known. What its image took is put aside for whoever asks."""
        record = self._records.find(job.id)
        if record is None:
            return ()
        if record.pulled is not None and not record.pull_told:
            self._tell_pull(job, record.pulled)
        if record.came is None or record.server_id is None:
            return ()
        files = self._records.data(job.id).files
        return measurements(record.came, files, record.server_id, self._site.id)

    def _tell_pull(self, job: Job, seconds: float) -> None:
        wanted = self.wanted_image(job.executable)
        self._servers.change(job.id, lambda record: replace(record, pull_told=True))
        if wanted is not None:
            self._pulls.add(Pulled(*wanted, self._clock.now(), seconds))

    def pulled(self) -> Sequence[Pulled]:
        return self._pulls.take()

    def _ended(self, job: Job, status: Status) -> Status:
        """Of one whose server has ended, when what it wrote is here, or can't be had."""
        if self._store is None or job.storage_gib is None or status.state is not State.EXITED:
            return status
        record = self._records.find(job.id)
        if record is None or record.stopping or status.exit_code is None:
            return status
        end: str | None = "its server doesn't say what became of it"
        if record.sent is not None:
            end = self._results.look(self._parcel(job.id, record, record.sent))
        elif status.problem is not None:
            return status
        if end is None:
            return replace(status, state=State.RUNNING, exit_code=None, problem=None)
        if end:
            status = replace(status, problem=f"what it wrote can't be had: {end}")
            ended = status
            self._servers.change(job.id, lambda record: replace(record, ended=ended, sent=None))
        return status

    def _parcel(self, job_id: str, record: Record, sent: Sent) -> Parcel:
        data = self._records.data(job_id)
        return Parcel(job_id, folder(job_id, record.word), sent, tuple(data.by_name), data.most_bytes or 0)

    async def stop(self, job: Job) -> None:
        await self._in_thread(partial(self._servers.stop, job.id))

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        await self._in_thread(partial(self._release, job_id, keep))

    def _release(self, job_id: str, keep: Collection[str]) -> None:
        if self._store is not None:
            if keep:
                self._bring_last(job_id)
            self._results.give_up(job_id)
        self._servers.release(job_id, partial(self._empty_store, job_id))
        try:
            if paths := results.all_but(self._root, job_id, keep):
                subprocess.run(removal(paths), check=True, stderr=subprocess.DEVNULL, timeout=REMOVE_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise self._error(f"what the session left can't be removed: {type(error).__name__}") from error

    def _bring_last(self, job_id: str) -> None:
        """What was sent by a session that was stopped before all of it was here."""
        record = self._records.find(job_id)
        if record is None or record.sent is None:
            return
        end = self._results.look(self._parcel(job_id, record, record.sent), BRING_SECONDS)
        if end is None:
            raise Unreachable(f"site {self._site.id}: what the session wrote is still being fetched")
        if end:
            log.warning("session %s: what it wrote can't be had: %s", job_id, end)

    def _empty_store(self, job_id: str, record: Record) -> None:
        data = self._records.data(job_id)
        if self._store is not None and data.most_bytes is not None:
            self._store.remove(folder(job_id, record.word), data.most_bytes)

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return await self._in_thread(partial(results.list_files, self._root, job_id, name))

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        return await self._in_thread(partial(results.open_file, self._root, job_id, name, path))

    async def _bound(self, job: Job) -> None:
        """What its storages may hold is written down, for whoever fetches what is in them."""
        if self._store is not None and job.storage_gib is not None:
            most = job.storage_gib * GIB
            await self._change(job.id, lambda data: replace(data, most_bytes=most))

    def _body(self, job: Job, word: str, fresh: bool = False) -> Mapping[str, Any]:
        """What Nova is asked for. Blocks; raises PlatformError."""
        options, name = self._options, container_name(job.id)
        wanted = self._records.data(job.id)
        try:
            sends = None
            if self._store is not None and wanted.most_bytes is not None:
                sends = self._store.plan(folder(job.id, word), wanted.by_name, wanted.most_bytes)
            plan = plan_of(job, word, wanted, self._allowed, options, sends)
            data = user_data(plan, options["python"])
        except PlatformError as error:
            raise self._error(str(error)) from error
        server: dict[str, Any] = {
            "name": name,
            "imageRef": options["image"],
            "flavorRef": self._flavour(job, fresh),
            "metadata": {SESSION: job.id, WORD: word},
            "tags": [TAG],
            "user_data": data,
            "config_drive": options["config_drive"],
        }
        if options["boot_volume"]:
            server |= {"imageRef": "", "block_device_mapping_v2": [self._volume(job)]}
        network = options["network"]
        server["networks"] = network if network in ("auto", "none") else [{"uuid": network}]
        for key, value in (("key_name", options["key"]), ("availability_zone", options["availability_zone"])):
            if value is not None:
                server[key] = value
        if options["security_groups"]:
            server["security_groups"] = [{"name": each} for each in options["security_groups"]]
        body: dict[str, Any] = {"server": server}
        if job.lease is not None and job.lease.kind == WHOLE_HOSTS:
            body["os:scheduler_hints"] = {"reservation": job.lease.reservation}
        return body

    def _volume(self, job: Job) -> Mapping[str, Any]:
        """Nova makes it with the server, and removes it with it."""
        size = openstack_check.disk_gib(self._options, job.storage_gib or 0)
        kind = {"source_type": "image", "uuid": self._options["image"], "destination_type": "volume"}
        return {**kind, "boot_index": 0, "volume_size": size, "delete_on_termination": True}

    def _flavour(self, job: Job, fresh: bool) -> str:
        """The id of the server's: the reserved one, else the smallest that is large enough."""
        if job.lease is not None and job.lease.kind != WHOLE_HOSTS:
            if job.lease.flavour is None and not fresh:
                raise self._error(f"its reservation {job.lease.id} has no flavour")
            return job.lease.flavour or ""
        sizes = self._sizes.learn() if fresh else self._known()
        disk = openstack_check.flavour_disk_gib(self._options, job.storage_gib or 0)
        found = smallest(sizes, job.cores, job.memory_gib, disk)
        if found is None:
            wanted = f"{job.cores} cores, {job.memory_gib} GiB of memory and {disk} GiB of disk"
            raise self._error(f"the cloud has no flavour with {wanted} (any more)")
        return found.id

    def _known(self) -> tuple[Flavour, ...]:
        last = self._sizes.last()
        return self._sizes.learn() if isinstance(last, str) else last

    async def _change(self, job_id: str, change: Callable[[Data], Data]) -> None:
        def write() -> None:
            data = self._records.data(job_id)
            if (changed := change(data)) != data:
                self._records.keep_data(job_id, changed)

        await self._in_thread(write)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site.id}: {text}")
