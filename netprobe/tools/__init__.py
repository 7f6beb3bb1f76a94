"""Measuring tools: one file a tool, all behind one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from federation.errors import InputError
from federation.hosts import Host
from netprobe.measurement import Measurement

GROUP = "fairlead.tools"


@dataclass(frozen=True)
class Endpoint:
    """One end of a test: a site, the host where its commands run, and the address the other end uses."""

    site: str
    host: Host
    address: str
    port: int = 5201
    # name or address of the site's perfSONAR host, where it has one
    perfsonar_host: str | None = None


@dataclass(frozen=True)
class Test:
    """What to measure: data flows from `source` to `destination`. `parameters` are the tool's own."""

    __test__ = False  # not a pytest class

    source: Endpoint
    destination: Endpoint
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # our own limit: when it is over the tool is ended and the outcome is a failure by time-out
    time_limit_seconds: float = 60.0
    # the id that the caller will give the result: for tools whose results can be met again elsewhere
    result_id: str | None = None


class Tool(Protocol):
    """Runs one test at a time per call; calls may overlap.

    `run` never raises for a test that failed: it returns a Measurement whose `error` names the side and the
    cause. It ends within the test's time limit plus a second. When it is cancelled, the processes that it
    started have ended before CancelledError leaves it. Unknown parameters raise InputError. Its class has an
    `ABOUT`: see `federation.about`.
    """

    name: str
    # tests of such a tool fill the path: no host may take part in two at once
    exclusive: bool

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raise InputError where `run` would refuse these parameters."""
        ...

    async def run(self, test: Test) -> Measurement: ...


def load_tool(name: str) -> Tool:
    """The tool registered under `name`. Raises InputError with the known names."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise InputError(f"no measuring tool is called {name!r}: expected one of {', '.join(sorted(found))}")
    tool: Tool = found[name].load()()
    return tool
