"""The routers of a path by the `traceroute` program of Linux (Debian's package of that name).

Not mtr: it needs the right to raw sockets, and its JSON knows one router a hop only.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import InputError
from netprobe.measurement import Kind, Measurement
from netprobe.tools import Test, _parameters, _process, traceroute_output
from netprobe.tools._scripted import Result, measure
from netprobe.tools.traceroute_asn import AsnTable, load_asn_table

NAMES = ("protocol", "queries", "max_hops", "wait", "names", "asn", "asn_table")
ABOUT = ("traceroute", "--version")
PROTOCOLS = {"udp": [], "icmp": ["-I"], "tcp": ["-T"]}


@dataclass(frozen=True)
class Options:
    """What a test is told.

    `names` asks the resolver at the source for the routers' names. `asn` lets the program ask the registry
    that it knows, over the network; `table` answers without.
    """

    protocol: str = "udp"
    # probes a hop
    queries: int = 3
    max_hops: int = 30
    wait_seconds: float = 2.0
    names: bool = False
    asn: bool = False
    table: AsnTable | None = None


def options(parameters: Mapping[str, Any]) -> Options:
    """Read the parameters. Raises InputError, also where the table of networks can't be read."""
    _parameters.known("traceroute", parameters, NAMES)
    protocol = _parameters.text("traceroute", parameters, "protocol") or "udp"
    if protocol not in PROTOCOLS:
        raise InputError(f"traceroute: protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    table = _parameters.text("traceroute", parameters, "asn_table")
    chosen = Options(
        protocol=protocol,
        queries=_parameters.count("traceroute", parameters, "queries", 3, most=10),
        max_hops=_parameters.count("traceroute", parameters, "max_hops", 30, most=255),
        wait_seconds=_parameters.seconds("traceroute", parameters, "wait", 2.0),
        names=_parameters.flag("traceroute", parameters, "names"),
        asn=_parameters.flag("traceroute", parameters, "asn"),
        table=None if table is None else load_asn_table(Path(table)),
    )
    if chosen.wait_seconds <= 0:
        raise InputError("traceroute: wait: expected more than 0 s")
    return chosen


def arguments(address: str, chosen: Options) -> list[str]:
    """The command line."""
    command = ["traceroute", "-q", str(chosen.queries), "-m", str(chosen.max_hops)]
    command += ["-w", f"{chosen.wait_seconds:g}", *PROTOCOLS[chosen.protocol]]
    command += [] if chosen.names else ["-n"]
    command += ["-A"] if chosen.asn else []
    return [*command, address]


class Traceroute:
    """The path from source to destination, hop by hop; the way back is another."""

    ABOUT = About(
        does="The routers of a path, with their networks.",
        cannot="Says nothing of the way back, nor of routers that don't answer.",
        programs=("traceroute",),
    )

    name = "traceroute"
    exclusive = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(parameters)

    async def run(self, test: Test) -> Measurement:
        chosen = options(test.parameters)
        command = test.source.host.argv(arguments(test.destination.address, chosen))

        async def work(deadline: float) -> Result:
            try:
                end = await _process.run(command, max(0.1, deadline - time.monotonic()))
            except OSError as problem:
                return Result(error=_process.not_started(f"source {test.source.site}", command, problem))
            path = _numbered(traceroute_output.read(end.stdout), chosen.table)
            error = _error(test, chosen, end, path)
            figures = traceroute_output.figures(path) if error is None else {}
            return Result(figures, error, path.document() if path.hops else None, path.address)

        return await measure(self.name, Kind.PATH, self._clock, test, ABOUT, work)


def _numbered(path: traceroute_output.Path, table: AsnTable | None) -> traceroute_output.Path:
    """The path with the numbers of `table` where the program itself knew none."""
    if table is None:
        return path

    def numbered(router: traceroute_output.Router) -> traceroute_output.Router:
        number = table.asn(router.address)
        if router.asn or number is None:
            return router
        return dataclasses.replace(router, asn=(number,))

    hops = tuple(
        dataclasses.replace(hop, routers=tuple(numbered(router) for router in hop.routers))
        for hop in path.hops
    )
    return dataclasses.replace(path, hops=hops)


def _error(test: Test, chosen: Options, end: _process.Finished, path: traceroute_output.Path) -> str | None:
    destination = f"destination {test.destination.site}"
    address = test.destination.address
    if end.timed_out:
        return f"{destination}: traceroute to {address} wasn't done within {test.time_limit_seconds:g} s"
    if path.address is None or not path.hops:
        return f"source {test.source.site}: traceroute gave no result: {end.complaint}"
    if path.destination is not None:
        return None
    last = next((hop for hop in reversed(path.hops) if hop.routers), None)
    if path.loops:
        return f"{destination}: {address} wasn't reached: packets go round between {', '.join(path.loops[0])}"
    if last is None:
        return f"{destination}: {address} wasn't reached: nobody answers, not even the first router"
    router = last.routers[-1]
    seen = f"the last that answers is {router.address}, hop {last.ttl}"
    seen += f" ({router.remark})" if router.remark else ""
    return f"{destination}: {address} wasn't reached within {chosen.max_hops} hops: {seen}"
