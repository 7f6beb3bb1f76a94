"""Tests on demand through the pScheduler of the source's perfSONAR host, where we can run nothing ourselves.

The node is the lead: it asks the other end, finds a time at which nothing else runs, and may say no.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import InputError
from federation.units import format_plain
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes import Refusal
from netprobe.meshes.records import UNFINISHED, read_run
from netprobe.pscheduler.client import Node, NodeError
from netprobe.tools import Endpoint, Test, _parameters

POLL_SECONDS = 1.0
# a task that is not wanted any more is deleted; for that a node gets so long, at the end of our own limit
DELETE_SECONDS = 0.8
# and where others stop us, who may do so while the node still thinks about the task
STOPPED_SECONDS = 5.0


@dataclass(frozen=True)
class Options:
    """`spec` is pScheduler's own, without the ends. `slip_seconds`: how late the node may begin at most."""

    spec: Mapping[str, Any]
    slip_seconds: int | None = None
    verify: bool | str = True


def throughput(tool: str, parameters: Mapping[str, Any]) -> Options:
    """Read the parameters of a throughput test. Raises InputError."""
    names = ("duration", "omit", "streams", "udp", "bitrate", "congestion", "ip_version")
    _parameters.known(tool, parameters, (*names, *_COMMON))
    spec: dict[str, Any] = {
        "schema": 1,
        "duration": _iso(_parameters.whole_seconds(tool, parameters, "duration", 5, least=1)),
        "parallel": _parameters.count(tool, parameters, "streams", 1, most=128),
    }
    omit = _parameters.whole_seconds(tool, parameters, "omit", 0, least=0)
    rate = _parameters.bits_per_second(tool, parameters, "bitrate")
    if omit:
        spec["omit"] = _iso(omit)
    if _parameters.flag(tool, parameters, "udp"):
        spec["udp"] = True
    if rate is not None:
        spec["bandwidth"] = round(rate)
    congestion = _parameters.text(tool, parameters, "congestion")
    if congestion is not None:
        spec["congestion"] = congestion
    return _options(tool, parameters, spec)


def round_trip(tool: str, parameters: Mapping[str, Any]) -> Options:
    """Read the parameters of a test of the round trip. Raises InputError."""
    _parameters.known(tool, parameters, ("count", "interval", "size", "ip_version", *_COMMON))
    spec = {
        "schema": 1,
        "count": _parameters.count(tool, parameters, "count", 20, most=600),
        "interval": _iso(_parameters.seconds(tool, parameters, "interval", 0.1)),
        "length": _parameters.count(tool, parameters, "size", 56, most=65_507),
    }
    return _options(tool, parameters, spec)


_COMMON = ("slip", "verify")


def _options(tool: str, parameters: Mapping[str, Any], spec: dict[str, Any]) -> Options:
    version, verify = parameters.get("ip_version"), parameters.get("verify", True)
    if version not in (None, 4, 6):
        raise InputError(f"{tool}: ip_version: expected 4 or 6, got {version!r}")
    if version is not None:
        spec["ip-version"] = version
    if not isinstance(verify, bool | str):
        raise InputError(f"{tool}: verify: expected true, false, or a file of certificates, got {verify!r}")
    slip = None
    if "slip" in parameters:
        slip = _parameters.whole_seconds(tool, parameters, "slip", 0, least=0)
    return Options(spec, slip, verify)


def _iso(seconds: float) -> str:
    return f"PT{format_plain(seconds)}S"


def node_of(end: Endpoint) -> str:
    """The address of the API at a site's perfSONAR host."""
    host = end.perfsonar_host or end.address
    return f"https://{f'[{host}]' if ':' in host else host}/pscheduler"


class _OnDemand:
    """What the two tools have in common."""

    name: str
    kind: Kind
    test: str
    read: Callable[[str, Mapping[str, Any]], Options]

    def __init__(
        self,
        clock: Clock | None = None,
        node: Callable[[Endpoint], str] = node_of,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._clock, self._node, self._poll_seconds = clock or SystemClock(), node, poll_seconds

    def check(self, parameters: Mapping[str, Any]) -> None:
        type(self).read(self.name, parameters)

    async def run(self, test: Test) -> Measurement:
        chosen = type(self).read(self.name, test.parameters)
        started, begun = self._clock.now(), time.monotonic()
        url = self._node(test.source)
        where = f"source {test.source.site}: pScheduler at {url}"
        posted = asyncio.Event()
        try:
            async with (
                asyncio.timeout(test.time_limit_seconds) as own_limit,
                Node(url, chosen.verify) as node,
            ):
                found: Measurement | str = await self._follow(node, test, chosen, own_limit, posted)
        except NodeError as problem:
            found = f"{where}: {problem}"
        except TimeoutError:
            limit = f"within {test.time_limit_seconds:g} s"
            found = f"{where}: the test wasn't done {limit}; its task is deleted"
            if not posted.is_set():
                found = f"{where}: it didn't take the test {limit}"
        if isinstance(found, Measurement):
            source, destination = test.source.site, test.destination.site
            error = None if found.error is None else f"{where}: {found.error}"
            asked = {**found.parameters, **test.parameters}
            # what the node ran, as against what we asked to run it
            context = {**found.context, "node": url, "pscheduler_tool": found.tool}
            return replace(
                found,
                source=source,
                destination=destination,
                tool=self.name,
                error=error,
                parameters=asked,
                context=context,
            )
        return Measurement(
            kind=self.kind,
            source=test.source.site,
            destination=test.destination.site,
            started=started,
            seconds=time.monotonic() - begun,
            tool=self.name,
            origin=Origin.PSCHEDULER,
            parameters=dict(test.parameters),
            error=found if found.startswith(where) else f"{where}: {found}",
        )

    async def _follow(
        self, node: Node, test: Test, chosen: Options, own_limit: asyncio.Timeout, posted: asyncio.Event
    ) -> Measurement | str:
        ends = [end.perfsonar_host or end.address for end in (test.source, test.destination)]
        slip = chosen.slip_seconds
        wanted = {
            "schema": 1,
            "test": {"type": self.test, "spec": {**chosen.spec, "source": ends[0], "dest": ends[1]}},
            "schedule": {"slip": _iso(int(test.time_limit_seconds) if slip is None else slip)},
            # by this a pull of the node or of its archive knows the result that we keep already
            "reference": {"fairlead": {"result": test.result_id}},
        }
        # its answer is waited for also where we are stopped before: without it nobody could delete the task
        posting = asyncio.create_task(node.post_task(wanted))
        patience = DELETE_SECONDS
        try:
            task = await asyncio.shield(posting)
            posted.set()
            known = await node.task(task)
            while True:
                run = await node.first_run(task)
                found = None if run is None else read_run(run, known, None, None)
                if isinstance(found, Measurement):
                    return found
                if isinstance(found, Refusal) and found.reason != UNFINISHED:
                    return f"{found.reason}: {found.detail}"
                await asyncio.sleep(self._poll_seconds)
        except asyncio.CancelledError:
            if not own_limit.expired():
                patience = STOPPED_SECONDS
            raise
        finally:
            # also where we are being stopped: a task that stays would still fill the path
            with contextlib.suppress(NodeError, TimeoutError):
                async with asyncio.timeout(patience):
                    await node.delete_task(await posting)


class PScheduler(_OnDemand):
    """Throughput, by the tool that both ends agree on (iperf3 as a rule)."""

    ABOUT = About(
        does="Throughput between perfSONAR hosts on which nothing of ours can be run.",
        cannot="The hosts decide what they measure, when, and whether at all.",
    )

    name = "pscheduler"
    kind = Kind.THROUGHPUT
    test = "throughput"
    exclusive = True
    read = staticmethod(throughput)


class PSchedulerRoundTrip(_OnDemand):
    """Round trip and loss by ping."""

    ABOUT = About(
        does="Round trips and loss between perfSONAR hosts on which nothing of ours can be run.",
        cannot="The hosts decide what they measure, when, and whether at all.",
    )

    name = "pscheduler-rtt"
    kind = Kind.LATENCY
    test = "rtt"
    exclusive = False
    read = staticmethod(round_trip)
