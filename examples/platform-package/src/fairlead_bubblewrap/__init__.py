"""Unpacked OCI images, run by bubblewrap: a platform of Fairlead's in a package of its own.

An image is a bundle of the OCI runtime specification, a directory with `config.json` and `rootfs/`, as
`umoci unpack` makes it, at `<images>/<the image's name>`. What belongs to a job lies in one directory, the
lock and the exit code of its container too: nothing is remembered, so that a restart forgets nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from broker.catalogues.urls import allowed_at
from broker.images.references import is_reference
from broker.model import Connector, DataItem, Executable, ExecutableKind, Job, MountMode, Note
from broker.platforms import PlatformError, Progress, Staged, State, Status, StoredFile, results
from broker.platforms.options import check_executable, read_options
from broker.platforms.places import job_directory, storage_path, write_private
from broker.platforms.staging import make_job_directory, stage_files
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from netprobe.cost import Move

DEFAULTS = {
    "images": "/var/lib/fairlead/images",  # where the bundles lie
    "image_seconds": 0.1,  # P90 of having an image in place: it is there, or it is refused
}
TAIL_BYTES = 64 * 1024
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
# it outlives the signal that ends the container, to write down how that ended; options come through a file,
# for other users can read command lines, and environments hold secrets
WRAPPER = """trap : TERM
echo $$ >pid
bwrap --args 3 -- "$@" 3<options </dev/null >stdout 2>stderr
echo $? >exit"""
OWN = ("proc", "dev", "sys", "tmp")


class BubblewrapPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): the names in DEFAULTS."""

    ABOUT = About(
        does="Runs unpacked OCI images by bubblewrap: no engine, no daemon, no root.",
        cannot="Limits neither cores nor memory, publishes no ports, and pulls no images.",
        programs=("bwrap", "setsid"),
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = read_options(site, DEFAULTS)
        self._site, self._platform, self._clock, self._root = site, site.platform, clock, work_directory
        self._allowed = allowed_at(federation, site)
        self._images, self._image_seconds = Path(options["images"]), float(options["image_seconds"])

    def check(self, executable: Executable) -> Sequence[Note]:
        return [*check_executable(self._site, self._platform, executable), *self._refused(executable)]

    def _refused(self, executable: Executable) -> Iterator[Note]:
        values = {"site": self._site.id}
        if executable.kind is ExecutableKind.NOTEBOOK:
            yield Note("notebook-image", "{site} runs no notebooks", values, path="/executable")
        elif self._bundle(executable) is None:
            values["images"] = " and ".join(executable.locations) or "an image without a location"
            path = "/executable/image/locations"
            yield Note("image-absent", "{site} has not unpacked {images}", values, path=path)
        if executable.ports:
            path = "/executable/network/ports"
            yield Note("ports", "{site} publishes no ports", values, path=path)
        if executable.privileged:
            text = "{site} runs no privileged containers"
            yield Note("privileged", text, values, path="/executable/privileged")
        if executable.digest is not None:
            text = "{site} can't check the digest of an unpacked image"
            yield Note("image-digest", text, values, path="/executable/image/digest")

    def image_seconds(self, executable: Executable) -> float:
        return self._image_seconds

    def _bundle(self, executable: Executable) -> Path | None:
        """The first of the image's locations that is here. Names come from clients: none leads elsewhere."""
        names = [location.removeprefix("docker://") for location in executable.locations]
        bundles = [self._images / name for name in names if is_reference(name)]
        return next((bundle for bundle in bundles if (bundle / "config.json").is_file()), None)

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        here = self._site, self._allowed, self._clock, self._root
        return await stage_files(*here, job_id, wanted, progress)

    async def make_storage(self, job_id: str, name: str) -> Path:
        path = storage_path(self._root, job_id, name)
        make_job_directory(self._root, job_id)
        path.mkdir(parents=True, exist_ok=True)
        return path

    async def prepare(self, job: Job) -> None:
        if self._bundle(job.executable) is None:
            raise self._error(f"{' and '.join(job.executable.locations)} is not unpacked here")

    async def start(self, job: Job) -> Sequence[Connector]:
        """Whoever gets the lock starts the container, which then holds it until its end."""
        await self.prepare(job)
        # in a thread, which goes on although we are cancelled: asyncio's own children can keep an event loop
        # from ending that is cancelled while one begins (CPython 3.11)
        return await asyncio.to_thread(self._start, job)

    def _start(self, job: Job) -> Sequence[Connector]:
        directory = self._run_directory(job.id)
        directory.mkdir(parents=True, exist_ok=True)
        lock = _locked(directory)
        if lock is None or _number(directory / "exit") is not None:
            if lock is not None:
                os.close(lock)
            return ()
        try:
            process = self._process(job)
            write_private(directory / "options", "".join(f"{word}\0" for word in self._options(job, process)))
            subprocess.run(
                ["setsid", "--fork", "sh", "-c", WRAPPER, "sh", *_command(job.executable, process)],
                cwd=directory,
                pass_fds=(lock,),
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except OSError as problem:
            raise self._error(f"the container can't be started: {problem}") from problem
        finally:
            os.close(lock)
        return ()

    def _run_directory(self, job_id: str) -> Path:
        return job_directory(self._root, job_id) / "run"

    def _process(self, job: Job) -> Mapping[str, Any]:
        """What the image says of how it is started."""
        bundle = self._bundle(job.executable)
        assert bundle is not None
        try:
            found: Mapping[str, Any] = json.loads((bundle / "config.json").read_bytes())["process"]
        except (ValueError, KeyError) as problem:
            raise self._error(f"{bundle}/config.json is no configuration of a bundle") from problem
        return found

    def _options(self, job: Job, process: Mapping[str, Any]) -> Iterator[str]:
        """Everything before the command: a root in memory, with the image's directories in it, read-only."""
        bundle = self._bundle(job.executable)
        assert bundle is not None
        yield from ("--unshare-all", "--die-with-parent", "--clearenv", "--tmpfs", "/")
        for entry in sorted((bundle / "rootfs").iterdir()):
            if entry.is_symlink():
                yield from ("--symlink", str(entry.readlink()), f"/{entry.name}")
            elif entry.name not in OWN:
                yield from ("--ro-bind", str(entry), f"/{entry.name}")
        yield from ("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")
        for host_path, path, mode in job.binds:
            yield from ("--ro-bind" if mode is MountMode.READONLY else "--bind", host_path, path)
        image = dict(variable.partition("=")[::2] for variable in process.get("env", ()))
        for name, value in {**image, **job.executable.environment}.items():
            yield from ("--setenv", name, value)
        yield from ("--chdir", process.get("cwd", "/"))

    async def poll(self, job: Job) -> Status:
        directory = self._run_directory(job.id)
        # in this order: the code is written before the lock is let go
        running, code = _is_running(directory), _number(directory / "exit")
        if code is None and not running:
            return Status(State.ABSENT)
        state = State.RUNNING if code is None else State.EXITED
        return Status(state, code, _tail(directory / "stdout"), _tail(directory / "stderr"))

    async def stop(self, job: Job) -> None:
        await self._stop(job.id)

    async def _stop(self, job_id: str) -> None:
        directory = self._run_directory(job_id)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while _is_running(directory):
                    # again and again, for it may still be starting; what is left at its end has no grace
                    ended = _number(directory / "exit") is not None
                    leader = _number(directory / "pid")
                    if leader is not None:
                        with suppress(ProcessLookupError):
                            os.killpg(leader, signal.SIGKILL if ended else signal.SIGTERM)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise self._error(f"the container doesn't end within {STOP_SECONDS:g} s") from None

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        await self._stop(job_id)
        paths = results.all_but(self._root, job_id, keep)
        if paths:
            # a container can make more levels of directories than Python can go down
            remove = ["rm", "-rf", "--one-file-system", "--", *map(str, paths)]
            if await asyncio.to_thread(subprocess.call, remove) != 0:
                raise self._error("what the job left can't be removed")

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return await asyncio.to_thread(results.list_files, self._root, job_id, name)

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        return await asyncio.to_thread(results.open_file, self._root, job_id, name, path)

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site.id}: {text}")


def _command(executable: Executable, process: Mapping[str, Any]) -> list[str]:
    """What is run, as an engine puts it together from the request and the image."""
    if executable.entrypoint is not None:
        return [executable.entrypoint, *executable.command]
    return list(executable.command or process.get("args", ()))


def _locked(directory: Path) -> int | None:
    """The job's lock, open; None where its container holds it."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _is_running(directory: Path) -> bool:
    if not directory.exists():
        return False
    # no await in here: a start that came between would take our lock for its container's
    lock = _locked(directory)
    if lock is not None:
        os.close(lock)
    return lock is None


def _number(path: Path) -> int | None:
    """What is in a file of the wrapper's; None where that isn't written yet."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
