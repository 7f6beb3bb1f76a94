"""A platform that only pretends: no network, no engine, no root, nothing on disk.

Phases take seconds on the clock. Any image is accepted unpulled. Jobs live in memory: after a restart `poll`
says ABSENT and `start` starts the job again, which is harmless, because nothing runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from broker.model import Connector, DataItem, Executable, Job, Note
from broker.platforms import Progress, State, Status, StoredFile
from broker.platforms.options import check_executable, read_options
from broker.platforms.places import data_path, job_directory, storage_path
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from netprobe.cost import Move
from netprobe.measurement import Measurement

DEFAULTS = {
    "stage_seconds": 2.0,  # a transfer takes what was forecast, but no longer than this
    "image_seconds": 0.5,
    "run_seconds": 2.0,
    "exit_code": 0,
}
# what a shell reports for a process ended by SIGTERM
STOPPED_EXIT_CODE = 143
PROGRESS_STEPS = 4


@dataclass(frozen=True)
class Run:
    """A pretended container."""

    started: datetime
    stopped: bool = False


class SimulatedPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): the names in DEFAULTS."""

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = read_options(site, DEFAULTS)
        self._site, self._platform, self._clock, self._root = site, site.platform, clock, work_directory
        self._stage_seconds = float(options["stage_seconds"])
        self._image_seconds = float(options["image_seconds"])
        self._run_seconds = float(options["run_seconds"])
        self._exit_code = int(options["exit_code"])
        self._staged: set[Path] = set()
        self._images: set[tuple[str, ...]] = set()
        self._runs: dict[str, Run] = {}

    def check(self, executable: Executable) -> Sequence[Note]:
        return check_executable(self._site, self._platform, executable)

    def image_seconds(self, executable: Executable) -> float:
        return 0.0 if executable.locations in self._images else self._image_seconds

    async def stage(
        self, job_id: str, item: DataItem, move: Move, progress: Progress
    ) -> tuple[Path, Measurement | None]:
        path = data_path(self._root, job_id, item)
        if path not in self._staged:
            seconds = min(move.seconds.p50, self._stage_seconds)
            for step in range(1, PROGRESS_STEPS + 1):
                await self._clock.sleep(seconds / PROGRESS_STEPS)
                progress(move.size_bytes * step // PROGRESS_STEPS)
            self._staged.add(path)
        return path, None

    async def make_storage(self, job_id: str, name: str) -> Path:
        return storage_path(self._root, job_id, name)

    async def prepare(self, job: Job) -> None:
        if job.executable.locations not in self._images:
            await self._clock.sleep(self._image_seconds)
            self._images.add(job.executable.locations)

    async def start(self, job: Job) -> Sequence[Connector]:
        self._runs.setdefault(job.id, Run(self._clock.now()))
        return ()

    async def poll(self, job: Job) -> Status:
        run = self._runs.get(job.id)
        if run is None:
            return Status(State.ABSENT)
        if run.stopped:
            return Status(State.EXITED, STOPPED_EXIT_CODE, stdout=self._output(job))
        if self._clock.now() < run.started + timedelta(seconds=self._run_seconds):
            return Status(State.RUNNING)
        return Status(State.EXITED, self._exit_code, stdout=self._output(job))

    async def stop(self, job: Job) -> None:
        run = self._runs.get(job.id)
        if run is not None and (await self.poll(job)).state is State.RUNNING:
            self._runs[job.id] = replace(run, stopped=True)

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return ()

    async def open_file(self, job_id: str, name: str, path: str) -> Path | None:
        return None

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        self._runs.pop(job_id, None)
        mine = job_directory(self._root, job_id)
        self._staged = {path for path in self._staged if mine not in path.parents}

    def _output(self, job: Job) -> str:
        image = job.executable.locations[0] if job.executable.locations else "no image"
        return f"simulated: {image} on {job.cores} cores and {job.memory_gib} GiB at {self._site.name}\n"
