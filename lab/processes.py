"""The lab's processes: started apart from the terminal, known by id and start time, ended by id."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from federation.errors import OutsideError

GRACE_SECONDS = 1.0
# what must merely happen, and on a machine that does much else takes its time: Python to begin, the kernel to
# end what was killed
READY_SECONDS = 60.0
KILLED_SECONDS = 60.0

# what this very process has started, and so has to wait for
_children: set[int] = set()


@dataclass(frozen=True)
class Process:
    """A process that can't be mistaken for another: ids are used again, so the start counts too."""

    pid: int
    # clock ticks since the machine started, from /proc/PID/stat
    started: int
    # the start of the machine that counts them
    boot: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self == identify(self.pid)

    def document(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def identify(pid: int) -> Process | None:
    """The process that has the id `pid` now; None where there is none (or only its exit status is left)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # the name in parentheses may hold anything, so count from its end: state is field 3, start field 22
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), boot)


def command(pid: int) -> tuple[str, ...]:
    """The command line of a process; empty where there is none."""
    with suppress(OSError):
        return tuple(Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1])
    return ()


def from_document(document: Any) -> Process | None:
    """The process that `Process.document` described; None for anything else."""
    try:
        return Process(int(document["pid"]), int(document["started"]), str(document["boot"]))
    except (KeyError, TypeError, ValueError):
        return None


def start(argv: Sequence[str], log: Path, ready_line: bool = False) -> Process:
    """Start a process that outlives this one, with its words appended to `log`.

    With `ready_line` its standard output is read until the first line, which says that it is ready. Raises
    OutsideError when it can't start, or ends or stays silent instead.
    """
    try:
        with log.open("ab") as words:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if ready_line else words,
                stderr=words,
                start_new_session=True,
                cwd="/",
            )
    except OSError as error:
        raise OutsideError(f"{argv[0]}: {error.strerror}") from None
    process = identify(child.pid)
    _children.add(child.pid)
    if ready_line and child.stdout is not None:
        with child.stdout as output:
            answer = output.readline() if select.select([output], [], [], READY_SECONDS)[0] else b""
        if not answer:
            child.kill()
            child.wait()
            raise OutsideError(f"{' '.join(argv)} did not start: {last_line(log)}")
    if process is None:
        raise OutsideError(f"{' '.join(argv)} did not start: {last_line(log)}")
    # the child is left to run: without this, Python would warn that nobody waits for it
    child.returncode = 0
    return process


def last_line(log: Path) -> str:
    """The last thing a process said."""
    with suppress(OSError):
        lines = log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return "it said nothing"


def in_namespaces(files: Iterable[Path]) -> set[int]:
    """The ids of all processes in these namespaces: `ip netns pids`, for many at once."""
    wanted = set()
    for file in files:
        with suppress(OSError):
            wanted.add(_device_and_inode(file))
    # whatever the files say, the machine's own network is none of the lab's
    with suppress(OSError):
        wanted.discard(_device_and_inode(Path("/proc/1/ns/net")))
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if _device_and_inode(entry / "ns" / "net") in wanted:
                    found.add(int(entry.name))
    return found


def _device_and_inode(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


def end(processes: Iterable[Process]) -> None:
    """End these processes: ask, wait a little, then insist. Those that are gone already are no error."""
    handles: dict[int, Process] = {}
    for process in processes:
        with suppress(OSError):
            handle = os.pidfd_open(process.pid)
            # the handle is bound to one process; look only now whether it is the right one
            if process.alive():
                handles[handle] = process
            else:
                os.close(handle)
    try:
        for number, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, KILLED_SECONDS)):
            for handle in handles:
                with suppress(OSError):
                    signal.pidfd_send_signal(handle, number)
            _wait(handles, patience)
        for handle, process in handles.items():
            if process.pid in _children:
                with suppress(OSError):
                    os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
                _children.discard(process.pid)
    finally:
        for handle in handles:
            os.close(handle)


def _wait(handles: Iterable[int], patience: float) -> None:
    left = set(handles)
    deadline = time.monotonic() + patience
    while left and (remaining := deadline - time.monotonic()) > 0:
        left -= set(select.select(list(left), [], [], remaining)[0])
