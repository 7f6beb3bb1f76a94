"""Containers as Slurm jobs, by Slurm's commands on the site's host (this machine, or a login node over SSH),
or by slurmrestd.

The site's shared file system holds what is staged, the job's script and what came of it; this machine and the
nodes see it under the same path.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

from broker.catalogues.urls import allowed_at
from broker.images import Access, Image, Wanted
from broker.images.pulls import Pulled, PullLog
from broker.model import Connector, DataItem, Executable, Job, Note, Replica
from broker.platforms import (
    PlatformError,
    Progress,
    Staged,
    State,
    Status,
    StoredFile,
    Unreachable,
    notebook,
    results,
    slurm_apptainer,
)
from broker.platforms.options import check_executable
from broker.platforms.places import REMOVE_SECONDS, job_directory, removal, storage_path, write_private
from broker.platforms.podman_options import outside_rate
from broker.platforms.podman_run import container_name
from broker.platforms.pulls_seen import seen
from broker.platforms.slurm_checks import check_container, check_notebook, check_programs
from broker.platforms.slurm_cli import SSH_FAILED, Slurm, complaint
from broker.platforms.slurm_commands import Commands
from broker.platforms.slurm_images import ImageBringer, check_image, is_on_the_web
from broker.platforms.slurm_jobs import SlurmJobs
from broker.platforms.slurm_options import rest_of, slurm_options
from broker.platforms.slurm_ports import read_ports, when_told
from broker.platforms.slurm_registries import SiteRegistries
from broker.platforms.slurm_rest import Rest
from broker.platforms.slurm_scheduler import Scheduler
from broker.platforms.slurm_script import ENDED_NAME, SCRIPT_NAME
from broker.platforms.slurm_submission import IMAGE_ID_NAME, Submission
from broker.platforms.slurm_watch import SlurmWatch, batch_directory
from broker.platforms.staging import make_job_directory, make_open_storage, stage_files
from broker.platforms.usage import STOPPED_NAME, Overuse
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.hosts import LocalHost
from federation.sites import Federation, Site
from netprobe.cost import Move
from netprobe.forecast import from_outside
from netprobe.quantiles import Quantiles
from reservations.sources.slurm_rest import SlurmRest

__all__ = ["SlurmPlatform"]

# bringing an image that was brought before
PRESENT_SECONDS = 2.0
# a job is over so long after it was cancelled, or its node doesn't answer
CANCEL_SECONDS = 45.0
# an image is large, and nothing is known of the way to it
IMAGE_MOVE_SECONDS = Quantiles(1.0, 60.0, 600.0)


class SlurmPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): see `slurm_options`."""

    ABOUT = About(
        does="Runs each session as a Slurm job, with podman, Apptainer or Singularity inside.",
        cannot="Ports and notebooks only with podman, where clients can reach the nodes.",
        programs=("sbatch", "squeue"),
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = slurm_options(site)
        self._site, self._platform, self._clock, self._options = site, site.platform, clock, options
        self._allowed = allowed_at(federation, site)
        self._root = Path(options["staging"]) if options["staging"] else work_directory.absolute()
        self._slurm = Slurm(site.id, site.host, options["conf"], options["command_seconds"])
        self._scheduler = _scheduler(site, self._slurm, options)
        self._jobs = SlurmJobs(self._scheduler.jobs, options["poll_seconds"])
        self._engine = options["engine"] or [options["runtime"]]
        self._registries = SiteRegistries(federation, site, self._engine, options["runtime"])
        self._bringer = ImageBringer(self._slurm, self._engine, options)
        self._overuse, self._pulls = Overuse(self._root), PullLog()
        self._watch = SlurmWatch(self._scheduler, self._jobs, self._root, self._overuse, options["partition"])
        self._submission = Submission(self._scheduler, self._engine, options, clock)
        self._known_images: set[tuple[str, ...]] = set()
        self._bringing: dict[tuple[str, ...], asyncio.Lock] = {}
        # by job, until its release
        self._locks: dict[str, asyncio.Lock] = {}

    def check(self, executable: Executable) -> Sequence[Note]:
        if notebook.is_notebook(executable):
            wrong = check_notebook(self._site.id, executable, self._options)
            if wrong:
                return wrong
        wanted = self._container(executable)
        return [
            *check_executable(self._site, self._platform, wanted),
            *check_container(self._site.id, wanted, self._options),
            *check_image(self._site.id, wanted, self._options),
            *check_programs(self._site, wanted, self._options, self._engine),
        ]

    def _container(self, executable: Executable) -> Executable:
        """What a job runs for `executable`, whatever its kind."""
        if notebook.is_notebook(executable):
            return notebook.as_container(executable, self._options)
        return executable

    def image_seconds(self, executable: Executable) -> float:
        if self._options["runtime"] == "none":
            return 0.0
        known = self._container(executable).locations in self._known_images
        return PRESENT_SECONDS if known else float(self._options["image_seconds"])

    def wanted_image(self, executable: Executable) -> tuple[Wanted, Access] | None:
        return self._registries.wanted(self._container(executable))

    def image_layers(self) -> Collection[str]:
        return self._registries.layers()

    def outside_bits_per_second(self) -> float | None:
        return outside_rate(self._options)

    def pulled(self) -> Sequence[Pulled]:
        return self._pulls.take()

    def check_image(self, image: Image) -> Sequence[Note]:
        return ()

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        here = self._site, self._allowed, self._clock, self._root
        return await stage_files(*here, job_id, wanted, progress)

    async def make_storage(self, job_id: str, name: str) -> Path:
        try:
            return make_open_storage(self._root, job_id, name)
        except OSError as problem:
            raise self._failed(problem, storage_path(self._root, job_id, name)) from problem

    async def prepare(self, job: Job) -> None:
        container = self._container(job.executable)
        batch, locations = self._make_batch(job.id), container.locations
        await self._check_shared(batch)
        try:
            # an image that many sessions wait for is brought once
            async with self._bringing.setdefault(locations, asyncio.Lock()):
                await self._bring(replace(job, executable=container), batch)
            if notebook.is_notebook(job.executable):
                await notebook.bring(self._root, job, self._site.id, self.stage)
            # what can't be said on the command line is told before the job is to start
            self._submission.body(self._whole(job), batch, 60)
        except PlatformError as problem:
            raise self._named(problem) from problem
        except OSError as problem:
            raise self._failed(problem, batch) from problem
        self._known_images.add(locations)

    async def _bring(self, job: Job, batch: Path) -> None:
        runtime = self._options["runtime"]
        if runtime == "podman":
            architectures = self._platform.architectures
            async with seen(self._pulls, self, job.executable, self._clock):
                image = await self._bringer.podman(job.executable, architectures, batch)
            write_private(batch / IMAGE_ID_NAME, image)
        elif runtime != "none":
            await self._bring_sif(job, batch)

    async def _bring_sif(self, job: Job, batch: Path) -> None:
        file, location = batch / slurm_apptainer.IMAGE_FILE, job.executable.locations[0]
        if not is_on_the_web(job.executable):
            await self._bringer.sif(job.executable, batch)
        elif not file.exists():
            # a file on the web is fetched as data is, from where the site may fetch it
            item = DataItem("image", "image.sif", None, (Replica(location, None),))
            here = self._site.id
            move = Move("image", location, None, here, 0, IMAGE_MOVE_SECONDS, from_outside(here))
            staged = await self.stage(job.id, [(item, move)], lambda size: None)
            staged.paths[item.uuid].replace(file)

    def _whole(self, job: Job) -> Job:
        """The job that is run for `job`. Raises OSError where its notebook isn't there (any more)."""
        is_notebook = notebook.is_notebook(job.executable)
        return notebook.as_job(self._root, job, self._options) if is_notebook else job

    async def start(self, job: Job) -> Sequence[Connector]:
        batch = self._make_batch(job.id)
        try:
            whole = self._whole(job)
            await self._start(whole, batch)
            return await when_told(whole, batch, self._options)
        except OSError as problem:
            raise self._failed(problem, batch) from problem
        except PlatformError as problem:
            raise self._named(problem) from problem
        except ValueError as problem:
            raise self._error(f"the container's ports can't be read: {problem}") from problem

    async def _start(self, job: Job, batch: Path) -> None:
        name = container_name(job.id)
        async with self._locks.setdefault(job.id, asyncio.Lock()):
            found = await self._jobs.find(name)
            # what is over without a script of ours here was released
            if found is not None and not (found.over and not (batch / SCRIPT_NAME).exists()):
                return
            if not (batch / ENDED_NAME).exists():
                await self._submission.submit(job, name, batch)

    async def poll(self, job: Job) -> Status:
        status = await self._watch.status(job)
        if status.state is State.RUNNING and await self._overuse.seen(job):
            await self.stop(job)
            status = await self._watch.status(job)
        if status.state is State.RUNNING and status.waiting is None:
            return replace(status, connectors=await asyncio.to_thread(self._connectors, job))
        return status

    def _connectors(self, job: Job) -> tuple[Connector, ...]:
        try:
            whole = self._whole(job)
            return tuple(read_ports(whole, batch_directory(self._root, job.id), self._options) or ())
        except (OSError, ValueError):
            return ()

    async def stop(self, job: Job) -> None:
        name = container_name(job.id)
        found = await self._jobs.find(name)
        if found is None or found.over:
            return
        marker = job_directory(self._root, job.id) / STOPPED_NAME
        try:
            if not marker.exists():
                marker.write_text("", encoding="utf-8")
        except OSError as problem:
            raise self._failed(problem, marker) from problem
        await self._cancel(job.id, name)

    async def _cancel(self, job_id: str, name: str) -> None:
        """Cancel every job of that name, and wait until nothing of them runs."""
        await self._scheduler.cancel(name)
        deadline = time.monotonic() + CANCEL_SECONDS
        while (found := await self._jobs.find(name)) is not None and not found.over:
            if found.state == "COMPLETING" and (batch_directory(self._root, job_id) / ENDED_NAME).exists():
                return
            if time.monotonic() > deadline:
                raise self._error(
                    f"Slurm job {found.number} is {found.state} {CANCEL_SECONDS:g} s after its end"
                )
            # the next answer is as fresh as Slurm is to be asked
            await asyncio.sleep(0.05)

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        lock = self._locks.setdefault(job_id, asyncio.Lock())
        async with lock:
            # without a script nothing was ever submitted
            if (batch_directory(self._root, job_id) / SCRIPT_NAME).exists():
                found = await self._jobs.find(container_name(job_id))
                if found is not None and not found.over:
                    await self._cancel(job_id, container_name(job_id))
            try:
                await self._remove(await asyncio.to_thread(results.all_but, self._root, job_id, keep))
            except OSError as problem:
                raise self._failed(problem, job_directory(self._root, job_id)) from problem
        self._overuse.forget(job_id)
        self._locks.pop(job_id, None)
        self._watch.forget(job_id)

    async def _remove(self, paths: Sequence[Path]) -> None:
        if not paths:
            return
        remove = removal(paths)
        end = await self._slurm.run(*remove, time_limit_seconds=REMOVE_SECONDS)
        if end.returncode != 0 and self._options["runtime"] == "podman":
            # without root, what a container's user wrote belongs to one of our subordinate users
            unshare = (*self._engine, "unshare", *remove)
            end = await self._slurm.run(*unshare, time_limit_seconds=REMOVE_SECONDS)
        if end.returncode != 0:
            raise self._error(f"what the job left can't be removed: {complaint(end)}")

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return await asyncio.to_thread(results.list_files, self._root, job_id, name)

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        try:
            return await asyncio.to_thread(results.open_file, self._root, job_id, name, path)
        except PermissionError as problem:
            raise self._error(f"{path}: the broker may not read what the container's user wrote") from problem

    def _make_batch(self, job_id: str) -> Path:
        batch = batch_directory(self._root, job_id)
        try:
            make_job_directory(self._root, job_id)
            batch.mkdir(mode=0o700, exist_ok=True)
        except OSError as problem:
            raise self._failed(problem, batch) from problem
        return batch

    async def _check_shared(self, batch: Path) -> None:
        """Raises PlatformError where the site's host doesn't see what this machine has just written."""
        if isinstance(self._site.host, LocalHost):
            return
        token = secrets.token_hex(16)
        try:
            await asyncio.to_thread(write_private, batch / "shared", token)
        except OSError as problem:
            raise self._failed(problem, batch) from problem
        end = await self._slurm.run("cat", str(batch / "shared"))
        if end.returncode == SSH_FAILED and end.stdout != token:
            raise Unreachable(f"site {self._site.id}: {complaint(end)}")
        if end.stdout != token:
            raise self._error(
                f"its host doesn't see {self._root} as this machine does: expected a shared directory"
            )

    def _named(self, problem: PlatformError) -> PlatformError:
        """`problem` with the site that it is of."""
        text = str(problem)
        named = text if text.startswith("site ") else f"site {self._site.id}: {text}"
        return type(problem)(named)

    def _failed(self, problem: OSError, path: Path) -> PlatformError:
        return self._error(f"{problem.filename or path}: {problem.strerror or problem}")

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site.id}: {text}")


def _scheduler(site: Site, slurm: Slurm, options: Mapping[str, Any]) -> Scheduler:
    rest = rest_of(site, options)
    if rest is None:
        return Commands(slurm, options["sbatch"])
    return Rest(SlurmRest(site.id, rest, options["command_seconds"]), options["rest_job"])
