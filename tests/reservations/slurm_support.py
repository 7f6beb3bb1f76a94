"""A Slurm that was recorded (22.05.8, two nodes), as a host whose commands print what it said then."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from federation.sites import Place, Site

DATA = Path(__file__).parent / "data" / "slurm"
RECORDED_AT = datetime(2026, 11, 26, 2, 48, 14, tzinfo=UTC)


def which(command: Sequence[str]) -> str:
    """What a command asks for."""
    if "squeue" in command:
        return "squeue" if "--json" in command else "planned"
    return command[-1]


@dataclass(frozen=True)
class RecordedHost:
    """Prints the recorded answer; `instead` has texts for some, and an exit status where that is a number."""

    instead: Mapping[str, str | int] = field(default_factory=dict)

    def argv(self, command: Sequence[str]) -> list[str]:
        assert command[0] == "env"
        assert {"TZ=UTC", "LC_ALL=C"} <= set(command), "Slurm's own times have no zone"
        name = which(command)
        said = self.instead.get(name)
        if isinstance(said, int):
            return [
                sys.executable,
                "-c",
                f"import sys; sys.stderr.write('{name} is broken'); sys.exit({said})",
            ]
        if said is None:
            file = DATA / ("squeue.json" if name == "squeue" else f"{name}.txt")
            return ["cat", str(file)]
        return ["printf", "%s", said]


def recorded_site(instead: Mapping[str, str | int] | None = None) -> Site:
    return Site("karratha", "Karratha", Place(-20.7, 116.8), host=RecordedHost(instead or {}))
