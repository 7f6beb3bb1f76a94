"""Who drives a session: the name of one supervisor, which tells others on its machine whether it is alive."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PIDS = Path("/proc/self/ns/pid")


def new_worker_id() -> str:
    """`<machine>:<process>:<its start>:<random>`, at most 64 characters; never the same twice."""
    return f"{_machine()}:{os.getpid()}:{_started(os.getpid())}:{secrets.token_hex(4)}"


def is_dead(worker: str) -> bool:
    """Whether `worker` is known to be no more: its process was on this machine, and has ended.

    False says nothing: of other machines' processes, and of those in other containers, only the end of their
    leases tells. A number that another process has now is not mistaken for the old one, by its start.
    """
    machine, _, rest = worker.partition(":")
    parts = rest.split(":")
    if machine != _machine() or len(parts) != 3 or not parts[0].isdigit():
        return False
    return parts[1] != "unknown" and _started(int(parts[0])) != parts[1]


def _machine() -> str:
    """The same for all processes that see each other's numbers: one boot of one machine, one container."""
    try:
        seen = f"{_BOOT.read_text().strip()} {_PIDS.readlink()}"
    except OSError:
        # nobody is known to be dead, then
        return secrets.token_hex(8)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


def _started(process: int) -> str:
    """When a process started, in the kernel's ticks since boot; "none" where there is no such process."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "none"
    except OSError:
        return "unknown"
    # behind the name, which may hold anything: the state (Z: dead, but its parent hasn't asked), then numbers
    fields = text.rpartition(")")[2].split()
    return "none" if fields[0] in ("Z", "X") else fields[19]
