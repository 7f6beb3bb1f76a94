"""Containers by podman, on the machine that the broker runs on; data is staged by the site's own host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial, wraps
from io import FileIO
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from broker.catalogues.urls import allowed_at
from broker.images import Access, Image, Wanted
from broker.images.pulls import Pulled, PullLog
from broker.model import Connector, DataItem, Executable, Job, Note
from broker.platforms import PlatformError, Progress, Staged, State, Status, StoredFile, notebook, results
from broker.platforms.container_log import read_log
from broker.platforms.options import architecture, check_executable
from broker.platforms.places import REMOVE_SECONDS, job_directory, removal, storage_path
from broker.platforms.podman_cli import COMMAND_SECONDS, podman, podman_ok, usable, words
from broker.platforms.podman_containers import Containers
from broker.platforms.podman_images import as_oci, as_wanted, check_image, find_image, pull_image
from broker.platforms.podman_options import outside_rate, podman_access, podman_options, pull_flags
from broker.platforms.podman_ports import check_ports, connectors
from broker.platforms.podman_run import (
    LOG_NAME,
    container_name,
    remove_container,
    remove_secrets,
    run_arguments,
    write_environment,
)
from broker.platforms.podman_store import Images
from broker.platforms.pulls_seen import seen
from broker.platforms.staging import make_job_directory, make_open_storage, stage_files
from broker.platforms.usage import Overuse
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from netprobe.cost import Move
from netprobe.tools import _process

__all__ = ["PodmanPlatform", "usable"]

# starting from an image that is in place
PRESENT_SECONDS = 1.0
# `podman run` says so where a container of that name exists
NAME_IN_USE = "name is already in use"
# and so where somebody took a port between its choice, which is podman's, and its use: then it chooses again
PORT_IN_USE = "address already in use"
PORT_TRIES = 3
# conmon leaves this where it runs when the kernel has killed for want of memory; podman may not know of it
OOM_NAME = "oom"
KILLED = 137
PORTS_FORMAT = "{{json .NetworkSettings.Ports}}"

P = ParamSpec("P")
T = TypeVar("T")


class _SiteError(PlatformError):
    """One that says at which site."""


def _named(
    call: Callable[Concatenate[PodmanPlatform, P], Awaitable[T]],
) -> Callable[Concatenate[PodmanPlatform, P], Coroutine[Any, Any, T]]:
    """`call`, whose every error says at which site, whichever command it came from."""

    @wraps(call)
    async def named(self: PodmanPlatform, /, *arguments: P.args, **more: P.kwargs) -> T:
        try:
            return await call(self, *arguments, **more)
        except _SiteError:
            raise
        except PlatformError as problem:
            raise self._error(str(problem)) from problem

    return named


class PodmanPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): see `podman_options`."""

    ABOUT = About(
        does="Runs containers by podman on the broker's machine, notebooks and ports among them.",
        cannot="Runs no SIF images, and has no quota for storage but the broker's own watch.",
        programs=("podman",),
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = podman_options(site)
        self._site, self._platform, self._clock = site, site.platform, clock
        self._allowed = allowed_at(federation, site)
        self._root = Path(options["staging"]) if options["staging"] else work_directory
        self._options = options
        self._images, self._containers, self._pulls = Images(), Containers(), PullLog()
        self._access = podman_access(federation, site, options)
        self._pulling: dict[tuple[str, ...], asyncio.Lock] = {}
        # by job, until its release
        self._image_ids: dict[str, str] = {}
        self._overuse = Overuse(self._root)

    def check(self, executable: Executable) -> Sequence[Note]:
        if notebook.is_notebook(executable):
            wrong = notebook.check_notebook(self._site.id, executable, self._options)
            if wrong:
                return wrong
        wanted = self._container(executable)
        notes = list(check_executable(self._site, self._platform, wanted))
        notes += check_image(self._site.id, wanted, self._images)
        notes += check_ports(self._site.id, wanted.ports, self._options)
        if wanted.privileged and not self._options["privileged"]:
            template = "{site} runs no privileged containers"
            notes.append(Note("privileged", template, {"site": self._site.id}, path="/executable/privileged"))
        return notes

    def _container(self, executable: Executable) -> Executable:
        """What podman runs for `executable`, whatever its kind."""
        if notebook.is_notebook(executable):
            return notebook.as_container(executable, self._options)
        return executable

    def image_seconds(self, executable: Executable) -> float:
        wanted = as_oci(self._container(executable))
        in_place = self._images.has(wanted.locations, wanted.digest)
        return PRESENT_SECONDS if in_place else float(self._options["image_seconds"])

    def wanted_image(self, executable: Executable) -> tuple[Wanted, Access] | None:
        wanted = as_wanted(self._container(executable))
        if wanted is None or self._images.has(wanted.locations, wanted.digest):
            return None
        return wanted, self._access

    def image_layers(self) -> Collection[str]:
        return self._images.layers()

    def outside_bits_per_second(self) -> float | None:
        return outside_rate(self._options)

    def pulled(self) -> Sequence[Pulled]:
        return self._pulls.take()

    def check_image(self, image: Image) -> Sequence[Note]:
        # a container's user, root or not, is shut in by podman
        return ()

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        here = self._site, self._allowed, self._clock, self._root
        return await stage_files(*here, job_id, wanted, progress)

    async def make_storage(self, job_id: str, name: str) -> Path:
        try:
            return make_open_storage(self._root, job_id, name)
        except OSError as problem:
            path = storage_path(self._root, job_id, name)
            raise self._error(f"{path}: {problem.strerror or problem}") from problem

    async def prepare(self, job: Job) -> None:
        reason = await asyncio.to_thread(usable)
        if reason is not None and self._options["limits"] == "required":
            raise self._error(reason)
        wanted = as_oci(self._container(job.executable))
        image = await self._find(wanted)
        if image is None:
            async with self._pulling.setdefault(wanted.locations, asyncio.Lock()):
                image = await self._find(wanted) or await self._pull(wanted)
        found = architecture(image["Architecture"])
        if found not in map(architecture, self._platform.architectures):
            # podman would only warn, and the program fail
            raise self._error(f"the image {wanted.locations[0]} is for {found}, which this site can't run")
        self._image_ids[job.id] = image["Id"]
        if notebook.is_notebook(job.executable):
            try:
                await notebook.bring(self._root, job, self._site.id, self.stage)
            except OSError as problem:
                raise self._error(f"{problem.filename}: {problem.strerror}") from problem

    @_named
    async def start(self, job: Job) -> Sequence[Connector]:
        name = container_name(job.id)
        try:
            directory = make_job_directory(self._root, job.id)
            if notebook.is_notebook(job.executable):
                job = notebook.as_job(self._root, job, self._options)
        except OSError as problem:
            raise self._error(f"{problem.filename}: {problem.strerror}") from problem
        container = await self._containers.find(name)
        if container is None:
            await self._run(job, directory)
        elif not container.running and container.exit_code is None:
            # we were ended between its creation and its start, or the machine's restart took it away
            await podman_ok("start", name, directory=directory)
        if not job.executable.ports:
            return ()
        said = await podman_ok("inspect", "--type", "container", "--format", PORTS_FORMAT, name)
        try:
            return connectors(job.executable.ports, json.loads(said) or {}, self._options)
        except (ValueError, KeyError, TypeError) as problem:
            raise self._error(f"the container's ports can't be read: {problem}") from problem

    async def _run(self, job: Job, directory: Path) -> None:
        arguments = run_arguments(job, await self._image_id(job), directory, self._options)
        try:
            await write_environment(job.id, job.executable, directory)
        except OSError as problem:
            raise self._error(f"{problem.filename}: {problem.strerror}") from problem
        for _ in range(PORT_TRIES):
            end = await podman(*arguments, directory=directory)
            if end.returncode == 0 or NAME_IN_USE in end.stderr:
                return
            # what is told is why it can't be started
            with contextlib.suppress(PlatformError):
                await remove_container(container_name(job.id))
            if PORT_IN_USE not in end.stderr:
                break
        raise self._error(f"the container can't be started: {words(end.complaint)}")

    async def _image_id(self, job: Job) -> str:
        """The image that `prepare` found; looked for again after a restart of the broker."""
        known = self._image_ids.get(job.id)
        if known is not None:
            return known
        wanted = as_oci(job.executable)
        image = await self._find(wanted)
        if image is None:
            raise self._error(f"the image {wanted.locations[0]} is not in place")
        return str(image["Id"])

    @_named
    async def poll(self, job: Job) -> Status:
        name, directory = container_name(job.id), job_directory(self._root, job.id)
        container = await self._containers.find(name)
        if container is not None and container.running and await self._overuse.seen(job):
            await self.stop(job)
            container = await self._containers.find(name)
        if container is None or (not container.running and container.exit_code is None):
            return Status(State.ABSENT)
        stdout, stderr = await asyncio.to_thread(read_log, directory / LOG_NAME)
        if container.running:
            return Status(State.RUNNING, None, stdout, stderr)
        problem = await asyncio.to_thread(self._problem, job, directory, container.exit_code)
        return Status(State.EXITED, container.exit_code, stdout, stderr, problem)

    def _problem(self, job: Job, directory: Path, exit_code: int | None) -> str | None:
        """Why the job was ended, where it was neither its own doing nor the broker's."""
        stopped = self._overuse.reason(job.id)
        if stopped is not None:
            return stopped
        if exit_code == KILLED and (directory / OOM_NAME).exists():
            return f"it wanted more memory than the {job.memory_gib} GiB that were offered"
        return None

    @_named
    async def stop(self, job: Job) -> None:
        name = container_name(job.id)
        container = await self._containers.find(name)
        if container is not None and container.running:
            grace = float(self._options["stop_seconds"])
            stop = ("stop", "--ignore", "--time", f"{grace:.0f}", name)
            await podman_ok(*stop, time_limit_seconds=grace + COMMAND_SECONDS, waits=True)

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return await asyncio.to_thread(results.list_files, self._root, job_id, name)

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        try:
            return await asyncio.to_thread(results.open_file, self._root, job_id, name, path)
        except PermissionError as problem:
            raise self._error(f"{path}: the broker may not read what the container's user wrote") from problem

    @_named
    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        directory = job_directory(self._root, job_id)
        self._image_ids.pop(job_id, None)
        self._overuse.forget(job_id)
        try:
            if shutil.which("podman") is not None:
                await remove_container(container_name(job_id))
                await remove_secrets(directory)
            await self._remove(await asyncio.to_thread(results.all_but, self._root, job_id, keep))
        except OSError as problem:
            raise self._error(f"{directory} can't be removed: {problem.strerror}") from problem

    async def _remove(self, paths: Sequence[Path]) -> None:
        if not paths:
            return
        remove = removal(paths)
        end = await _process.run(remove, REMOVE_SECONDS)
        if end.returncode != 0:
            if os.geteuid() == 0 or end.timed_out:
                reason = f"not done within {REMOVE_SECONDS:g} s" if end.timed_out else end.complaint
                raise self._error(f"what the job left can't be removed: {reason}")
            # without root, what a container's user wrote belongs to one of our subordinate users
            await podman_ok("unshare", *remove, time_limit_seconds=REMOVE_SECONDS, waits=True)

    async def _find(self, executable: Executable) -> dict[str, Any] | None:
        try:
            return await find_image(executable)
        except PlatformError as problem:
            raise self._error(str(problem)) from problem

    async def _pull(self, executable: Executable) -> dict[str, Any]:
        try:
            limit = float(self._options["pull_seconds"])
            ask = partial(podman, registries=self._access.registries.file)
            async with seen(self._pulls, self, executable, self._clock):
                return await pull_image(executable, limit, ask, pull_flags(self._options))
        except PlatformError as problem:
            raise self._error(str(problem)) from problem

    def _error(self, text: str) -> PlatformError:
        return _SiteError(f"site {self._site.id}: {text}")
