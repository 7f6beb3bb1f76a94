"""Throughput by iperf3: the binary, under a time limit of our own.

iperf3 3.12 ends with status 0 whatever happened, and never ends at all when the other side stops answering in
the middle: we believe the JSON document, and end the program ourselves.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from federation.clock import Clock, SystemClock
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tools import Endpoint, Test, _parameters, _process, iperf3_document

NAMES = ("duration", "streams", "omit", "congestion", "udp", "bitrate", "reverse")
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Options:
    """What an iperf3 test is told.

    `reverse`: the client runs at the destination and asks the source's server to send, for destinations
    whose port can't be reached. The data flows from source to destination all the same.
    """

    duration_seconds: int = 5
    streams: int = 1
    # not counted, at the start: hides slow start
    omit_seconds: int = 0
    congestion: str | None = None
    udp: bool = False
    bits_per_second: float | None = None
    reverse: bool = False


def options(tool: str, parameters: Mapping[str, Any]) -> Options:
    """Read the parameters. Raises InputError for unknown ones and for values that iperf3 would misread."""
    _parameters.known(tool, parameters, NAMES)
    return Options(
        duration_seconds=_parameters.whole_seconds(tool, parameters, "duration", 5, least=1),
        streams=_parameters.count(tool, parameters, "streams", 1, most=128),
        omit_seconds=_parameters.whole_seconds(tool, parameters, "omit", 0, least=0),
        congestion=_parameters.text(tool, parameters, "congestion"),
        udp=_parameters.flag(tool, parameters, "udp"),
        bits_per_second=_parameters.bits_per_second(tool, parameters, "bitrate"),
        reverse=_parameters.flag(tool, parameters, "reverse"),
    )


def arguments(server: Endpoint, chosen: Options, connect_seconds: float) -> list[str]:
    """The command line of the client."""
    command = [
        "iperf3",
        "-J",
        "-c",
        server.address,
        "-p",
        str(server.port),
        "-t",
        str(chosen.duration_seconds),
    ]
    command += ["-P", str(chosen.streams), "--connect-timeout", str(max(1, round(connect_seconds * 1000)))]
    if chosen.omit_seconds:
        command += ["-O", str(chosen.omit_seconds)]
    if chosen.congestion:
        command += ["-C", chosen.congestion]
    if chosen.udp:
        command += ["-u"]
    if chosen.bits_per_second:
        command += ["-b", str(round(chosen.bits_per_second))]
    if chosen.reverse:
        command += ["-R"]
    return command


class Iperf3:
    """The first engine: the `iperf3` binary."""

    name = "iperf3"
    exclusive = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(self.name, parameters)

    async def run(self, test: Test) -> Measurement:
        return await measure(self.name, self._clock, test, arguments)


Command = Callable[[Endpoint, Options, float], list[str]]


async def measure(tool: str, clock: Clock, test: Test, command_of: Command) -> Measurement:
    """Run the client until it isn't turned away by a busy server, or the time is over."""
    chosen = options(tool, test.parameters)
    started, begun = clock.now(), time.monotonic()
    deadline = begun + test.time_limit_seconds
    ends = [("source", test.source), ("destination", test.destination)]
    (client_role, client), (server_role, server) = reversed(ends) if chosen.reverse else ends
    sides = iperf3_document.Sides(
        client=f"{client_role} {client.site}",
        server=f"{server_role} {server.site}",
        address=server.address,
        port=server.port,
        connect_seconds=min(CONNECT_SECONDS, test.time_limit_seconds / 2),
        congestion=chosen.congestion,
    )
    command = client.host.argv(command_of(server, chosen, sides.connect_seconds))
    document: dict[str, Any] = {}
    attempts = 0
    while True:
        attempts += 1
        try:
            end = await _process.run(command, max(0.1, deadline - time.monotonic()))
        except OSError as problem:
            error: str | None = f"{sides.client}: {command[0]} can't be started: {problem.strerror}"
            break
        document = iperf3_document.parse(end.stdout)
        error = _error(end, document, sides, test.time_limit_seconds)
        # jitter, so that two that wait for one server don't meet again
        pause = random.uniform(0.1, 0.5)
        # a try that can't finish in time would only keep the server from others
        needed = pause + chosen.omit_seconds + chosen.duration_seconds + 0.5
        again = iperf3_document.worth_another_try(document, attempts)
        if end.timed_out or not again or deadline - time.monotonic() < needed:
            break
        await asyncio.sleep(pause)
    at = iperf3_document.addresses(document)
    source_address, destination_address = reversed(at) if chosen.reverse else at
    return Measurement(
        kind=Kind.THROUGHPUT,
        source=test.source.site,
        destination=test.destination.site,
        started=started,
        seconds=time.monotonic() - begun,
        tool=tool,
        origin=Origin.SCRIPTED,
        figures={} if error else iperf3_document.figures(document),
        parameters=dict(test.parameters),
        source_address=source_address,
        destination_address=destination_address,
        error=error,
        raw=iperf3_document.trimmed(document) or None,
    )


def _error(
    end: _process.Finished, document: dict[str, Any], sides: iperf3_document.Sides, limit: float
) -> str | None:
    where = f"{sides.address}:{sides.port}"
    if end.timed_out and iperf3_document.began(document):
        return f"{sides.server}: {where} stopped answering during the test (ended after {limit:g} s)"
    if end.timed_out:
        return f"{sides.server}: no test with {where} within {limit:g} s"
    if not document:
        return f"{sides.client}: iperf3 gave no result: {end.complaint}"
    if "error" in document:
        return iperf3_document.explain(str(document["error"]), sides)
    if not iperf3_document.figures(document):
        return f"{sides.server}: the test with {where} ended without a received rate"
    return None
