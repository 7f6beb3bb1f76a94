"""Containers at a Skaha, the science platform of CANFAR and of sites like it: sessions that Kubernetes runs.

It takes no reservations and ends nothing when its time is over: what is promised, we keep. Its containers see
its users' storage alone: data and storage need a directory of that, mounted on this machine, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

from broker.catalogues.urls import allowed_at
from broker.images import Access, Image, Wanted
from broker.images.pulls import Pulled, PullLog
from broker.images.references import is_local
from broker.model import Connector, DataItem, Executable, ExecutableKind, Job, Note, Request
from broker.platforms import (
    PlatformError,
    Progress,
    Staged,
    Status,
    StoredFile,
    notebook,
    results,
    skaha_check,
    skaha_images,
)
from broker.platforms.places import data_path
from broker.platforms.skaha_answers import Session
from broker.platforms.skaha_client import Skaha
from broker.platforms.skaha_connectors import contributed_connector, notebook_connector
from broker.platforms.skaha_files import Files
from broker.platforms.skaha_images import skaha_access
from broker.platforms.skaha_launch import (
    CONTRIBUTED,
    HEADLESS,
    NOTEBOOK,
    parameters_of,
    session_name,
    session_type,
)
from broker.platforms.skaha_options import skaha_options
from broker.platforms.skaha_records import Records
from broker.platforms.skaha_sessions import Asked, Sessions
from broker.platforms.skaha_view import View, Views
from broker.platforms.staging import stage_files
from broker.platforms.usage import Overuse
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from federation.sites import Platform as SitePlatform
from netprobe.cost import Move

T = TypeVar("T")
# jobs that Skaha is asked about at the same time
THREADS = 8
# what Skaha said last, in the site's work directory, beside one directory a job
VIEW_NAME = "skaha-view.json"


class SkahaPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): see `skaha_options`."""

    ABOUT = About(
        does="Runs containers at a Skaha (CANFAR): headless, contributed and notebook sessions.",
        cannot="Mounts nothing where a request wants it, takes no reservations, and runs nothing privileged.",
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = skaha_options(site)
        self._site, self._platform, self._clock, self._options = site, site.platform, clock, options
        self._allowed = allowed_at(federation, site)
        self._access, self._pulls = skaha_access(federation, site, options), PullLog()
        self._files = Files(site.id, options)
        skaha = Skaha(site.id, options, clock)
        self._views = Views(skaha, clock, options.refresh_seconds, work_directory / VIEW_NAME)
        self._sessions = Sessions(
            site.id,
            skaha,
            Records(site.id, work_directory),
            clock,
            options.poll_seconds,
            options.log_seconds,
            options.patience_seconds,
            self._files.exit_code,
            self._add_pull,
        )
        self._threads = ThreadPoolExecutor(THREADS, f"skaha-{site.id}")
        self._overuse = None if options.staging is None else Overuse(options.staging)
        self._views.last()  # so that somebody has asked when the first request comes

    def check(self, executable: Executable) -> Sequence[Note]:
        last = self._views.last()
        return skaha_check.check(self._site, self._platform, self._options, last, executable)

    def check_request(self, request: Request) -> Sequence[Note]:
        last, now = self._views.last(), self._clock.now()
        return skaha_check.check_request(self._site, self._options, last, request, now)

    def bounded(self, platform: SitePlatform) -> SitePlatform:
        return skaha_check.bounded(platform, self._views.last())

    def learn(self) -> None:
        self._views.learn()

    def image_seconds(self, executable: Executable) -> float:
        return self._options.image_seconds

    def wanted_image(self, executable: Executable) -> tuple[Wanted, Access] | None:
        last = self._views.last()
        return skaha_images.wanted_image(self._site, self._options, last, executable, self._access)

    def image_layers(self) -> Collection[str]:
        # of Kubernetes' nodes nobody tells what they have
        return ()

    def outside_bits_per_second(self) -> float | None:
        return self._options.outside_rate

    def check_image(self, image: Image) -> Sequence[Note]:
        return skaha_images.check_image(self._site, self._views.last(), image)

    def pulled(self) -> Sequence[Pulled]:
        return self._pulls.take()

    def _add_pull(self, image: str, seconds: float) -> None:
        """Of an image by Skaha's name, on a node."""
        last = self._views.last()
        if not isinstance(last, str) and not is_local(image):
            wanted = Wanted((image,), architecture=self._platform.architectures[0])
            access = skaha_images.named_by(last, self._access)
            self._pulls.add(Pulled(wanted, access, self._clock.now(), seconds))

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        here = self._site, self._allowed, self._clock, self._files.root
        return await stage_files(*here, job_id, wanted, progress)

    async def make_storage(self, job_id: str, name: str) -> Path:
        return await asyncio.to_thread(self._files.make_storage, job_id, name)

    async def prepare(self, job: Job) -> None:
        """Skaha fetches images itself when a session starts: here is asked whether it would take this one."""
        await self._in_thread(partial(self._image, job, fresh=True))
        if job.executable.kind is ExecutableKind.NOTEBOOK:
            item = notebook.notebook_item(job.executable)
            move = notebook.notebook_move(job.executable, self._site.id)
            await self.stage(job.id, [(item, move)], lambda size: None)

    async def start(self, job: Job) -> Sequence[Connector]:
        kind = session_type(job.executable)
        connectors = None if kind == HEADLESS else partial(self._connectors, job)
        return await self._in_thread(
            partial(self._sessions.start, job.id, partial(self._ask, job), connectors)
        )

    async def poll(self, job: Job) -> Status:
        if self._overuse is not None and await self._overuse.seen(job):
            why = self._overuse.reason(job.id)
            await self._in_thread(partial(self._sessions.stop, job.id, why))
        return await self._in_thread(partial(self._sessions.poll, job.id))

    async def stop(self, job: Job) -> None:
        await self._in_thread(partial(self._sessions.stop, job.id))

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        await self._in_thread(partial(self._sessions.release, job_id))
        if self._overuse is not None:
            self._overuse.forget(job_id)
        await self._files.remove(job_id, keep)

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        if self._options.staging is None:
            return ()
        return await asyncio.to_thread(results.list_files, self._options.staging, job_id, name)

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        if self._options.staging is None:
            return None
        try:
            return await asyncio.to_thread(results.open_file, self._options.staging, job_id, name, path)
        except PermissionError as problem:
            raise self._error(f"{path}: the broker may not read what the container wrote") from problem

    def _ask(self, job: Job) -> Asked:
        """What Skaha is asked for. Blocks; raises PlatformError."""
        view, kind = self._view(), session_type(job.executable)
        cores = skaha_check.option_for(job.cores, view.context.cores)
        memory = skaha_check.option_for(job.memory_gib, view.context.memory_gib)
        if cores is None or memory is None:
            most = f"{view.context.cores[-1]} cores and {view.context.memory_gib[-1]} GiB"
            raise self._error(
                f"Skaha has sessions of {most} at most, {job.cores} and {job.memory_gib} wanted"
            )
        executable = self._files.sayable(job) if kind == HEADLESS else job.executable
        image = self._image(job)
        secrets = tuple(value for value in job.executable.environment.values() if value)
        name = session_name(job.id)
        return Asked(parameters_of(name, kind, image, cores, memory, executable), secrets)

    def _image(self, job: Job, fresh: bool = False) -> str:
        """The image by Skaha's name. Blocks; raises PlatformError for one that it would not take."""
        view = self._views.learn(self._options.poll_seconds) if fresh else self._view()
        notes = skaha_check.check(self._site, self._platform, self._options, view, job.executable)
        if notes:
            raise self._error("; ".join(note.text for note in notes))
        found = skaha_check.image_of(self._site, self._options, view, job.executable)
        assert isinstance(found, str), "check has just found it"
        return found

    def _view(self) -> View:
        last = self._views.last()
        return self._views.learn() if isinstance(last, str) else last

    def _connectors(self, job: Job, session: Session) -> tuple[Connector, ...]:
        try:
            if session_type(job.executable) == CONTRIBUTED:
                return (contributed_connector(job.executable.ports[0], session),)
            item = notebook.notebook_item(job.executable)
            place = self._files.there(data_path(self._files.root, job.id, item))
            return (notebook_connector(place, session),)
        except ValueError as problem:
            raise self._error(f"Skaha's {NOTEBOOK} or {CONTRIBUTED} session: {problem}") from problem

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site.id}: {text}")
