"""What podman must be told on a machine whose limits and control groups aren't what it takes for granted.

Both cases are common in containers, CI machines and small VMs; on an ordinary machine nothing is added. Flags
are used and no containers.conf, so that whatever the machine's administrator configured stays in force.
"""

from __future__ import annotations

import functools
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

# what podman gives a container where nobody says otherwise, as root: `man podman-run`, --ulimit
PODMAN_NOFILE = 1_048_576
PODMAN_NPROC = 4_194_304
# podman lowers its own limit to this (found with 4.3.1), and without that capability no more can be had
PODMAN_OWN_NPROC = 32_768
CAP_SYS_RESOURCE = 24  # linux/capability.h


@dataclass(frozen=True)
class EngineFlags:
    """Flags for every podman command, flags for `podman run`, and why podman can't work (None: it may)."""

    everywhere: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    obstacle: str | None = None


@functools.cache
def engine_flags() -> EngineFlags:
    """What this machine needs."""
    return flags_for(
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        nproc=resource.getrlimit(resource.RLIMIT_NPROC)[1],
        may_raise=_may_raise_limits(Path("/proc/self/status").read_text(encoding="ascii")),
        hybrid=is_hybrid(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")),
        has_runc=shutil.which("runc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin") is not None,
    )


def flags_for(nofile: int, nproc: int, may_raise: bool, hybrid: bool, has_runc: bool) -> EngineFlags:
    """`nofile` and `nproc` are this process's hard limits (negative: none)."""
    run: tuple[str, ...] = ()
    low = 0 <= nofile < PODMAN_NOFILE or 0 <= nproc < PODMAN_NPROC
    if low and not may_raise:
        # the runtime can't raise a limit above ours: "setrlimit RLIMIT_NOFILE: operation not permitted"
        files = min(nofile, PODMAN_NOFILE) if nofile >= 0 else PODMAN_NOFILE
        processes = min(nproc, PODMAN_OWN_NPROC) if nproc >= 0 else PODMAN_OWN_NPROC
        run = ("--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}")
    if not hybrid:
        return EngineFlags(run=run)
    if not has_runc:
        obstacle = (
            "its control groups are in hybrid mode, which needs the runtime runc: install the package runc"
        )
        return EngineFlags(run=run, obstacle=obstacle)
    everywhere = ("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
    return EngineFlags(everywhere, run)


def is_hybrid(mounts: str) -> bool:
    """Whether both versions of control groups are mounted; `mounts` as in /proc/self/mounts."""
    kinds = {fields[2] for line in mounts.splitlines() if len(fields := line.split()) > 2}
    return {"cgroup", "cgroup2"} <= kinds


def _may_raise_limits(status: str) -> bool:
    """Whether this process has CAP_SYS_RESOURCE; `status` as in /proc/self/status."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False
