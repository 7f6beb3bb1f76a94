"""Throughput by iperf3: the binary, under a time limit of our own.

iperf3 3.12 ends with status 0 whatever happened, and never ends at all when the other side stops answering in
the middle: we believe the JSON document, and end the program ourselves.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from federation.about import About
from federation.clock import Clock, SystemClock
from netprobe import context
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tools import Endpoint, Test, _process, iperf3_client, iperf3_document
from netprobe.tools.iperf3_errors import Sides, explain
from netprobe.tools.iperf3_options import Options, arguments, options, version_of

CONNECT_SECONDS = 5.0


class Iperf3:
    """The first engine: the `iperf3` binary."""

    ABOUT = About(
        does="Throughput by the program iperf3, TCP or UDP, both ways.",
        cannot="Nothing else may fill the path meanwhile, and both ends need iperf3.",
        programs=("iperf3",),
    )

    name = "iperf3"
    exclusive = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(self.name, parameters)

    async def run(self, test: Test) -> Measurement:
        return await measure(self.name, self._clock, test, arguments, iperf3_client.unfit)


Command = Callable[[Endpoint, Options, float], list[str]]
# why a client can't run a test as asked, or None; called before the test, with the seconds that it may take
Unfit = Callable[[Endpoint, Options, str, float], Awaitable[str | None]]


async def measure(
    tool: str, clock: Clock, test: Test, command_of: Command, unfit: Unfit | None = None
) -> Measurement:
    """Run the client until it isn't turned away by a busy server, or the time is over."""
    chosen = options(tool, test.parameters)
    started, begun = clock.now(), time.monotonic()
    deadline = begun + test.time_limit_seconds
    ends = [("source", test.source), ("destination", test.destination)]
    (client_role, client), (server_role, server) = reversed(ends) if chosen.reverse else ends
    sides = Sides(
        client=f"{client_role} {client.site}",
        server=f"{server_role} {server.site}",
        address=server.address,
        port=server.port,
        connect_seconds=min(CONNECT_SECONDS, test.time_limit_seconds / 2),
        asked=chosen,
    )
    hosts = (test.source.host, test.destination.host)
    share = context.share(test.time_limit_seconds)
    error = iperf3_client.families(sides)
    if error is None and unfit is not None:
        error = await unfit(client, chosen, sides.client, share)
    document: dict[str, Any] = {}
    explained: dict[str, Any] = {}
    at: tuple[str | None, str | None] = (None, None)
    if error is None:
        before, server_version = await context.before_test(hosts, server.host, ("iperf3", "--version"), share)
        if context.is_at(server.host, server.address):
            sides = replace(sides, server_release=server_version)
        error, document, attempts = await _attempts(client, command_of, sides, test, deadline)
        at = iperf3_document.addresses(document)
        if document:
            after = await context.read(hosts, max(0.1, min(share, deadline - time.monotonic())))
            explained = {**iperf3_document.context(document), "attempts": attempts}
            explained["source"], explained["destination"] = map(context.between, before, after)
            if not context.is_at(server.host, at[1]):
                explained[server_role] = {}
            elif server_version is not None:
                explained["server_iperf3"] = server_version
    source_address, destination_address = reversed(at) if chosen.reverse else at
    figures = iperf3_document.figures(document)
    how: dict[str, Any] = {}
    if not error:
        how = {"rate": "received", "protocol": "udp" if chosen.udp else "tcp"}
        how |= {"ip_version": version_of(destination_address)} if destination_address else {}
    return Measurement(
        kind=Kind.THROUGHPUT,
        source=test.source.site,
        destination=test.destination.site,
        started=started,
        seconds=time.monotonic() - begun,
        tool=tool,
        origin=Origin.SCRIPTED,
        # where nothing arrived, that is what was measured
        figures=figures if not error or figures.get("loss_ratio") == 1.0 else {},
        parameters={**test.parameters, **how},
        source_address=source_address,
        destination_address=destination_address,
        error=error,
        context=explained,
        raw=iperf3_document.trimmed(document) or None,
    )


async def _attempts(
    client: Endpoint, command_of: Command, sides: Sides, test: Test, deadline: float
) -> tuple[str | None, dict[str, Any], int]:
    """The error, the document and the number of attempts of the last one."""
    chosen, attempts = sides.asked, 0
    server = test.source if chosen.reverse else test.destination
    command = client.host.argv(command_of(server, chosen, sides.connect_seconds))
    try:
        secret = iperf3_client.password(client.host, chosen)
    except (OSError, ValueError) as problem:
        return f"{sides.client}: {problem}", {}, attempts
    while True:
        attempts += 1
        try:
            end = await _process.run(command, max(0.1, deadline - time.monotonic()), environment=secret)
        except OSError as problem:
            return _process.not_started(sides.client, command, problem), {}, attempts
        document = iperf3_document.parse(end.stdout, end.stderr if end.returncode else "")
        error = outcome(end, document, sides, test.time_limit_seconds)
        # jitter, so that two that wait for one server don't meet again
        pause = random.uniform(0.1, 0.5)
        # a try that can't finish in time would only keep the server from others
        needed = pause + chosen.omit_seconds + chosen.duration_seconds + 0.5
        again = iperf3_document.worth_another_try(document, attempts)
        if end.timed_out or not again or deadline - time.monotonic() < needed:
            return error, document, attempts
        await asyncio.sleep(pause)


def outcome(
    end: _process.Finished, document: dict[str, Any], sides: Sides, limit_seconds: float
) -> str | None:
    """Which side failed and why, in one line; None where there is a received rate."""
    if end.timed_out and iperf3_document.began(document):
        ended = f"ended after {limit_seconds:g} s"
        return f"{sides.server}: {sides.where} stopped answering during the test ({ended})"
    if end.timed_out:
        return f"{sides.server}: no test with {sides.where} within {limit_seconds:g} s"
    if not document and end.complaint.startswith("iperf3: "):
        return explain(end.complaint.removeprefix("iperf3: "), sides)
    if not document:
        return f"{sides.client}: iperf3 gave no result: {end.complaint}"
    if "error" in document:
        sides = replace(sides, client_release=iperf3_document.release(document))
        return explain(str(document["error"]), sides, iperf3_document.stage(document))
    figures = iperf3_document.figures(document)
    if figures.get("loss_ratio") == 1.0:
        return f"{sides.server}: none of {figures['packets_sent']:.0f} packets arrived"
    if "bits_per_second" not in figures:
        return f"{sides.server}: the test with {sides.where} ended without a received rate"
    return None
