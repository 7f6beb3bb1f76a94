"""Nodes that are out of use, and what the operators say about it."""

from __future__ import annotations

from collections.abc import Sequence

from broker.platforms.slurm_cli import Slurm

OUT = "down,drain,fail,maint,no_respond,power_down,unk"


async def reasons(slurm: Slurm, *, nodes: str | None = None, partition: str | None = None) -> Sequence[str]:
    """ "n1: a disk (down)" of each node that is out of use, of these nodes or this partition. Raises
    Unreachable."""
    where = [] if nodes is None else [f"--nodes={nodes}"]
    where += [] if partition is None else [f"--partition={partition}"]
    said = await slurm.ask("sinfo", "--noheader", "--Node", f"--states={OUT}", *where, "--format=%N|%T|%E")
    found = []
    for line in said.splitlines():
        node, state, reason = (*line.split("|", 2), "", "")[:3]
        text = "no reason is given" if reason.strip() in ("", "none") else reason.strip()
        found.append(f"{node}: {text} ({state.rstrip('*~#!%$@^-')})")
    return list(dict.fromkeys(found))
