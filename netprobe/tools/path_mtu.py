"""The largest packet that goes through a path whole, by pings that no router may take apart."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import InputError
from netprobe.measurement import Kind, Measurement
from netprobe.tools import Test, _parameters, _process, ping
from netprobe.tools._scripted import Result, measure

NAMES = ("largest", "tries", "wait")
# what every network carries, headers and all: IPv4 hosts must take 576, and IPv6 links 1280
LEAST_BYTES = {4: 576, 6: 1280}
# IP and ICMP headers, which ping doesn't count
HEADER_BYTES = {4: 28, 6: 48}
INTERVAL_SECONDS = 0.2

REPLY = re.compile(r"^\d+ bytes from .*icmp_seq=", re.MULTILINE)
TOO_BIG = re.compile(
    r"^From (\S+?):? icmp_seq=\d+ (?:Frag needed and DF set \(mtu = (\d+)\)|Packet too big: mtu=(\d+))",
    re.MULTILINE,
)
# the program says it on standard error, or among its output, by version
LOCAL = re.compile(r"local error: message too long, mtu[=:] ?(\d+)", re.IGNORECASE)


class Outcome(StrEnum):
    """What became of packets of one size."""

    WHOLE = "whole"
    # a router said that it is too large
    REFUSED = "refused"
    # our own system said so: the interface, or what a router had told it before
    LOCAL = "local"
    SILENT = "silent"


@dataclass(frozen=True)
class Probe:
    """Some pings of one size (headers and all); `mtu_bytes` is the size that `router` named instead."""

    size_bytes: int
    outcome: Outcome
    router: str | None = None
    mtu_bytes: int | None = None


@dataclass(frozen=True)
class Options:
    """The largest size to try (bytes), how many packets of each, and how long to wait for the last."""

    largest_bytes: int = 9000
    tries: int = 3
    wait_seconds: float = 1.0


def options(parameters: Mapping[str, Any]) -> Options:
    """Read the parameters. Raises InputError."""
    _parameters.known("path_mtu", parameters, NAMES)
    chosen = Options(
        largest_bytes=_parameters.count("path_mtu", parameters, "largest", 9000, most=65_535),
        tries=_parameters.count("path_mtu", parameters, "tries", 3, most=20),
        wait_seconds=_parameters.seconds("path_mtu", parameters, "wait", 1.0),
    )
    if chosen.largest_bytes < LEAST_BYTES[6]:
        raise InputError(f"path_mtu: largest: expected at least 1280 bytes, got {chosen.largest_bytes}")
    if chosen.wait_seconds <= 0:
        raise InputError("path_mtu: wait: expected more than 0 s")
    return chosen


class Search:
    """Which size to try next, and what is known so far. Sizes are bytes, headers and all.

    `whole` goes through, `too_large` doesn't. A size that somebody names is tried next: mostly it is the
    answer. Where nobody says anything, the gap is halved.
    """

    def __init__(self, least: int, largest: int) -> None:
        self.whole, self.too_large = least, largest + 1
        self.limit: Probe | None = None
        self._named: int | None = None

    @property
    def next_size(self) -> int | None:
        """None: found."""
        if self.whole + 1 >= self.too_large:
            return None
        if self._named is not None and self.whole < self._named < self.too_large:
            return self._named
        if self.limit is None:
            return self.too_large - 1
        return (self.whole + self.too_large) // 2

    def learn(self, probe: Probe) -> None:
        """Take what became of `next_size` into account."""
        if probe.outcome is Outcome.WHOLE:
            self.whole = probe.size_bytes
            if probe.size_bytes == self._named:
                # who named it lets nothing larger pass
                self.too_large = probe.size_bytes + 1
            return
        self.too_large, self.limit = probe.size_bytes, probe
        if probe.mtu_bytes is not None and probe.mtu_bytes < probe.size_bytes:
            self._named = probe.mtu_bytes
            self.too_large = max(probe.mtu_bytes, self.whole) + 1


class PathMtu:
    """The path's MTU from source to destination, and whether the source, a router or a black hole sets it."""

    ABOUT = About(
        does="The largest packet that goes through a path whole, and who sets that limit.",
        cannot="Sees nothing where pings are not answered.",
        programs=("ping",),
    )

    name = "path_mtu"
    exclusive = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(parameters)

    async def run(self, test: Test) -> Measurement:
        chosen = options(test.parameters)

        async def work(deadline: float) -> Result:
            pinging = _Pinging(test, chosen, deadline)
            try:
                found = await _search(pinging, chosen)
            except _FailedError as problem:
                return Result(error=str(problem), destination_address=pinging.address)
            figures = {"path_mtu_bytes": float(found.whole)}
            return Result(figures, None, _document(found, pinging.probes), pinging.address)

        return await measure(self.name, Kind.PATH, self._clock, test, ping.ABOUT, work)


def _document(found: Search, probes: list[Probe]) -> dict[str, Any]:
    """`limited_by`: "router" or "source" said so; "black hole": larger ones vanish; None: nothing does.

    The source says so of its own interface, and for some minutes of what a router has told it.
    """
    words = {Outcome.REFUSED: "router", Outcome.LOCAL: "source", Outcome.SILENT: "black hole"}
    return {
        "limited_by": None if found.limit is None else words[found.limit.outcome],
        "router": None if found.limit is None else found.limit.router,
        "probes": [asdict(probe) for probe in probes],
    }


class _FailedError(Exception):
    """The test can't go on: one line that names the side and the cause."""


async def _search(pinging: _Pinging, chosen: Options) -> Search:
    first = await pinging.probe(LEAST_BYTES[6] if pinging.version == 6 else LEAST_BYTES[4])
    if first.outcome is not Outcome.WHOLE:
        raise _FailedError(
            f"{pinging.destination}: no answer from {pinging.given} to pings of {first.size_bytes} bytes"
        )
    search = Search(first.size_bytes, chosen.largest_bytes)
    while (size := search.next_size) is not None:
        search.learn(await pinging.probe(size))
    return search


class _Pinging:
    """Pings of one destination, and what came of them."""

    def __init__(self, test: Test, chosen: Options, deadline: float) -> None:
        self.given = test.destination.address
        self.destination = f"destination {test.destination.site}"
        self.address: str | None = None
        # a name may have addresses of both kinds: the first ping tells which one it is
        self.version = 6 if ":" in self.given else 4
        self.probes: list[Probe] = []
        self._test, self._chosen, self._deadline = test, chosen, deadline

    async def probe(self, size: int) -> Probe:
        test, chosen = self._test, self._chosen
        command = ["ping", "-n", "-M", "do", "-c", str(chosen.tries), "-i", f"{INTERVAL_SECONDS:g}"]
        command += ["-W", f"{chosen.wait_seconds:g}", "-s", str(size - HEADER_BYTES[self.version])]
        command = test.source.host.argv([*command, self.address or self.given])
        source = f"source {test.source.site}"
        try:
            end = await _process.run(command, max(0.1, self._deadline - time.monotonic()))
        except OSError as problem:
            raise _FailedError(_process.not_started(source, command, problem)) from problem
        if end.timed_out:
            raise _FailedError(
                f"{self.destination}: the path MTU to {self.given} wasn't found within "
                f"{test.time_limit_seconds:g} s: {len(self.probes)} sizes tried"
            )
        address = ping.address(end.stdout)
        if address is None:
            raise _FailedError(f"{source}: ping gave no result: {end.complaint}")
        self.address = address
        actual = 6 if ":" in address else 4
        if actual != self.version:
            self.version = actual
            return await self.probe(LEAST_BYTES[actual])
        self.probes.append(read(size, end.stdout + end.stderr))
        return self.probes[-1]


def read(size: int, output: str) -> Probe:
    """What became of pings of `size` bytes, by ping's output. One that came through counts most."""
    if REPLY.search(output):
        return Probe(size, Outcome.WHOLE)
    if (refusal := TOO_BIG.search(output)) is not None:
        named = int(refusal[2] or refusal[3])
        # routers of before RFC 1191 name no size
        return Probe(size, Outcome.REFUSED, refusal[1], named or None)
    if (local := LOCAL.search(output)) is not None:
        return Probe(size, Outcome.LOCAL, None, int(local[1]))
    return Probe(size, Outcome.SILENT)
