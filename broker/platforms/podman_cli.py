"""The `podman` command: running it under a time limit, what it can do here, and image references."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import threading
import time
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path

from broker.images.references import is_local as is_local
from broker.images.references import is_reference as is_reference
from broker.images.references import qualified as qualified
from broker.platforms import PlatformError
from broker.platforms.engine_conf import engine_flags
from netprobe.tools import _process

COMMAND_SECONDS = 30.0
# podman is busy while it runs (150 ms of one core to start a container): more at once only make each slower
AT_ONCE = 2 * (os.cpu_count() or 1)
# a probe that failed counts for so long: what was wrong may be put right, or have been a busy minute
PROBE_SECONDS = 60.0
PROBE_LABEL = "fairlead.probe=1"
PROBES = ("--filter", f"label={PROBE_LABEL}")

_turns_of: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
    weakref.WeakKeyDictionary()
)


def command(*arguments: str) -> list[str]:
    return ["podman", *engine_flags().everywhere, *arguments]


async def podman(
    *arguments: str,
    time_limit_seconds: float | None = None,
    waits: bool = False,
    directory: Path | None = None,
    registries: Path | None = None,
) -> _process.Finished:
    """Run podman and return how it ended, whatever that is. Raises PlatformError where it doesn't end.

    It may take COMMAND_SECONDS, where nothing else is said. Only so many run at once. `waits`: this one
    mostly waits for something else, and takes nobody's turn. `directory` is where podman runs, and where
    conmon, which stays with the container, leaves its files. `registries`: a registries.conf to be read
    instead of the machine's.
    """
    limit = COMMAND_SECONDS if time_limit_seconds is None else time_limit_seconds
    steered = () if registries is None else ("env", f"CONTAINERS_REGISTRIES_CONF={registries}")
    try:
        async with contextlib.nullcontext() if waits else _turns():
            at = None if directory is None else str(directory)
            end = await _process.run([*steered, *command(*arguments)], limit, directory=at)
    except (OSError, ValueError) as problem:
        raise PlatformError(f"podman can't be run: {problem}") from problem
    if end.timed_out:
        raise PlatformError(f"podman {arguments[0]}: not done within {limit:g} s")
    return end


async def podman_ok(
    *arguments: str,
    time_limit_seconds: float | None = None,
    waits: bool = False,
    directory: Path | None = None,
) -> str:
    """Run podman and return its output. Raises PlatformError with podman's own words where it fails."""
    end = await podman(*arguments, time_limit_seconds=time_limit_seconds, waits=waits, directory=directory)
    if end.returncode != 0:
        raise PlatformError(f"podman {arguments[0]}: {words(end.complaint)}")
    return end.stdout


def _turns() -> asyncio.Semaphore:
    """All platforms of this process run podman on the same cores; a semaphore belongs to one event loop."""
    return _turns_of.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


def words(complaint: str) -> str:
    return complaint.removeprefix("Error: ")


def usable() -> str | None:
    """Why podman can't run a container made from nothing on this machine, in one line; None where it can.

    Really runs one, with `true` from this machine's own /usr, limits, and no network. About a second; that it
    works is found out once, that it doesn't is found out again after a minute. From any thread.
    """
    return _probed.ask()


class _Probed:
    """What the last probe said, and how long that counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works, self._reason, self._until = False, "", 0.0

    def ask(self) -> str | None:
        with self._lock:
            if not self._works and time.monotonic() >= self._until:
                reason = _probe()
                self._works, self._reason = reason is None, reason or ""
                self._until = time.monotonic() + PROBE_SECONDS
            return None if self._works else self._reason


_probed = _Probed()


def _probe() -> str | None:
    if shutil.which("podman") is None:
        return "podman is not installed"
    if engine_flags().obstacle is not None:
        return f"podman can't run containers here: {engine_flags().obstacle}"
    name = f"localhost/fairlead-probe-{uuid.uuid4().hex[:8]}"
    archive, mounts = _skeleton()
    try:
        # what processes that were killed left of theirs, and nobody's that is at it now; another that tidies
        # up at the same moment may have been first
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("image", "prune", "--all", "--force", *PROBES, "--filter", "until=10m")
        _run("import", "--quiet", "--change", f"LABEL {PROBE_LABEL}", "-", name, stdin=archive)
        try:
            return _try_container(name, mounts)
        finally:
            _run("rmi", "--force", name)
    except subprocess.TimeoutExpired:
        return f"podman doesn't answer within {COMMAND_SECONDS:g} s"
    except subprocess.CalledProcessError as problem:
        return f"podman can't make images here: {_complaint(problem)}"
    except OSError as problem:
        return f"podman can't be run: {problem.strerror}"


def _try_container(image: str, mounts: Sequence[str]) -> str | None:
    run = ["run", "--rm", "--pull", "never", "--network", "none", "--security-opt", "label=disable"]
    run += [*engine_flags().run, *mounts]
    try:
        _run(*run, "--memory", "64m", "--cpus", "0.5", image, "true")
    except subprocess.CalledProcessError as problem:
        try:
            _run(*run, image, "true")
        except subprocess.CalledProcessError:
            return f"podman can't run containers here: {_complaint(problem)}"
        advice = "delegate its control groups, or set the platform's option limits to 'none'"
        return f"podman can't limit cores and memory here: {_complaint(problem)}: {advice}"
    return None


def _complaint(problem: subprocess.CalledProcessError) -> str:
    said = problem.stderr.decode(errors="replace").strip().splitlines()
    return words(said[-1]) if said else f"exit status {problem.returncode}"


def unshared() -> dict[str, str]:
    """Headers by which the image of a tar archive has a layer to itself.

    Podman keeps equal layers once. Where one process removes the last image of a layer while another makes
    one that is to have it, that one fails with "layer not known".
    """
    return {"comment": uuid.uuid4().hex}


def _skeleton() -> tuple[bytes, list[str]]:
    """A root directory as a tar archive, and the mounts that fill it with this machine's own programs."""
    mounts = []
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", pax_headers=unshared()) as archive:
        for top in (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64")):
            entry = tarfile.TarInfo(top.name)
            entry.mode = 0o755
            if top.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(top.readlink())
            elif top.is_dir():
                entry.type = tarfile.DIRTYPE
                mounts += ["--volume", f"{top}:{top}:ro"]
            else:
                continue
            archive.addfile(entry)
    return stream.getvalue(), mounts


def _run(*arguments: str, stdin: bytes = b"") -> None:
    subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=COMMAND_SECONDS, check=True)
