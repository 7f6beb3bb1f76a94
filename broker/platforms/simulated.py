"""A platform that only pretends: no network, no engine, no root, nothing on disk.

Phases take seconds on the clock. Every kind of executable is accepted, and its image unpulled. Ports get
connectors at `simulated.invalid`, a name that no resolver ever knows (RFC 6761). Jobs live in memory: after a
restart `poll` says ABSENT and `start` starts the job again, which is harmless, because nothing runs.

For people who write clients it can fail as real platforms do: see `fail_at` and `exit_code`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from zlib import crc32

from broker.model import Connector, DataItem, Executable, Job, Note, Port
from broker.platforms import PlatformError, Progress, Staged, State, Status, StoredFile, notebook
from broker.platforms.options import check_executable, read_options
from broker.platforms.places import data_path, job_directory, storage_path
from broker.platforms.podman_ports import connector
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from netprobe.cost import Move, grouped, together

DEFAULTS = {
    "stage_seconds": 2.0,  # a transfer takes what was forecast, but no longer than this
    "image_seconds": 0.5,
    "run_seconds": 2.0,
    "exit_code": 0,
    "fail_at": None,  # a step that always fails: one of STEPS
    "stdout": "",  # what a container prints, after a line that says that it is simulated
    "stderr": "",
}
STEPS = ("storage", "data", "image", "start", "run", "release")
HOST = "simulated.invalid"
# where a machine's system picks ports that nobody asked for
FIRST_PORT, PORTS = 32768, 28232
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

    ABOUT = About(
        does="Pretends to run anything: for demos, and for those who write clients.",
        cannot="Runs nothing: there is no output, and storages stay empty.",
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = read_options(site, DEFAULTS)
        self._site, self._platform, self._clock, self._root = site, site.platform, clock, work_directory
        self._stage_seconds = float(options["stage_seconds"])
        self._image_seconds = float(options["image_seconds"])
        self._run_seconds = float(options["run_seconds"])
        self._exit_code = int(options["exit_code"])
        self._stdout, self._stderr = str(options["stdout"]), str(options["stderr"])
        self._fail_at = options["fail_at"]
        if self._fail_at is not None and self._fail_at not in STEPS:
            expected = f"expected one of {', '.join(STEPS)}"
            raise InputError(f"site {site.id!r}: option 'fail_at': {expected}, got {self._fail_at!r}")
        self._staged: set[Path] = set()
        self._images: set[tuple[str, ...]] = set()
        self._runs: dict[str, Run] = {}

    def check(self, executable: Executable) -> Sequence[Note]:
        return check_executable(self._site, self._platform, executable)

    def image_seconds(self, executable: Executable) -> float:
        return 0.0 if executable.locations in self._images else self._image_seconds

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        for item, _ in wanted:
            self._fault("data", f"{item.name} can't be moved")
        paths = {item.uuid: data_path(self._root, job_id, item) for item, _ in wanted}
        moves = [move for item, move in wanted if paths[item.uuid] not in self._staged]
        if moves:
            seconds = min(together(grouped(moves)).p50, self._stage_seconds)
            for step in range(1, PROGRESS_STEPS + 1):
                await self._clock.sleep(seconds / PROGRESS_STEPS)
                progress(sum(move.size_bytes for move in moves) * step // PROGRESS_STEPS)
            self._staged.update(paths.values())
        return Staged(paths)

    async def make_storage(self, job_id: str, name: str) -> Path:
        self._fault("storage", "no room for storage")
        return storage_path(self._root, job_id, name)

    async def prepare(self, job: Job) -> None:
        self._fault("image", "the image can't be had")
        if job.executable.locations not in self._images:
            await self._clock.sleep(self._image_seconds)
            self._images.add(job.executable.locations)

    async def start(self, job: Job) -> Sequence[Connector]:
        self._fault("start", "the container can't be started")
        self._runs.setdefault(job.id, Run(self._clock.now()))
        ports = job.executable.ports
        if notebook.is_notebook(job.executable):
            ports = (*ports, _notebook_port(job.executable))
        # the same numbers for the same job, also after a restart
        first = crc32(job.id.encode())
        return tuple(connector(port, HOST, FIRST_PORT + (first + n) % PORTS) for n, port in enumerate(ports))

    async def poll(self, job: Job) -> Status:
        run = self._runs.get(job.id)
        if run is None:
            return Status(State.ABSENT)
        if run.stopped:
            return Status(State.EXITED, STOPPED_EXIT_CODE, self._output(job), self._stderr)
        if self._clock.now() < run.started + timedelta(seconds=self._run_seconds):
            return Status(State.RUNNING, None, self._output(job), self._stderr)
        self._fault("run", "the container is lost")
        return Status(State.EXITED, self._exit_code, self._output(job), self._stderr)

    async def stop(self, job: Job) -> None:
        run = self._runs.get(job.id)
        if run is not None and (await self.poll(job)).state is State.RUNNING:
            self._runs[job.id] = replace(run, stopped=True)

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return ()

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        return None

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        self._fault("release", "the container can't be removed")
        self._runs.pop(job_id, None)
        mine = job_directory(self._root, job_id)
        self._staged = {path for path in self._staged if mine not in path.parents}

    def _output(self, job: Job) -> str:
        image = job.executable.locations[0] if job.executable.locations else "no image"
        cores = "1 core" if job.cores == 1 else f"{job.cores} cores"
        size = f"{cores} and {job.memory_gib} GiB"
        return f"simulated: {image} on {size} at {self._site.name}\n{self._stdout}"

    def _fault(self, step: str, text: str) -> None:
        if step == self._fail_at:
            raise PlatformError(f"site {self._site.id}: {text} (simulated)")


def _notebook_port(executable: Executable) -> Port:
    name = notebook.notebook_name(executable)
    return Port(8888, "HTTP", f"/lab/tree/{name}?token=simulated", access=True)
