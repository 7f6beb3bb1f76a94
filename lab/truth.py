"""Does the lab measure true? Ask ping and iperf3, and compare with the lab's description."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from federation.errors import OutsideError
from lab.description import Lab

# IP and TCP headers with timestamps: 20 + 20 + 12 bytes of each packet carry no payload.
HEADER_BYTES = 52
ROUND_TRIP_SHARE = 0.05
ROUND_TRIP_SECONDS = 0.001
RATE_SHARE = 0.10
# bbr sends next to nothing for 0.2 s and a round trip every ten seconds, so count a whole cycle
CYCLE_SECONDS = 10
# until the losses of TCP's start are made good
WARM_UP_SECONDS = 2
WARM_UP_ROUND_TRIPS = 25
# one second more between attempts each time
ATTEMPTS = 3


@dataclass(frozen=True)
class Comparison:
    """What was configured for a pair of sites and what was measured: seconds, or payload bits per second."""

    source: str
    destination: str
    configured: float
    measured: float
    tolerance: float

    @property
    def true(self) -> bool:
        """Whether the measurement is within the tolerance."""
        return abs(self.measured - self.configured) <= self.tolerance


def payload_bits_per_second(lab: Lab, source: str, destination: str) -> float:
    """What TCP can carry over the path at best: the configured rate counts whole IP packets."""
    return lab.path(source, destination).bits_per_second * (lab.mtu - HEADER_BYTES) / lab.mtu


def _run(argv: Sequence[str], timeout: float) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout).stdout
    except subprocess.TimeoutExpired:
        raise OutsideError(f"{' '.join(argv)}: no end after {timeout:.0f} s") from None


def round_trip(lab: Lab, lab_name: str, source: str, destination: str, count: int = 20) -> Comparison:
    """The median of `count` pings against the configured round trip. Raises OutsideError."""
    address = lab.sites[destination].address
    ping = ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2", address]
    answers = _run(lab.sites[source].host(lab_name).argv(ping), timeout=30 + count)
    times = [float(text) / 1e3 for text in re.findall(r"time=([\d.]+) ms", answers)]
    if len(times) < count / 2:
        raise OutsideError(f"ping from {source} to {destination}: {len(times)} of {count} answers")
    expected = lab.round_trip_seconds(source, destination)
    tolerance = max(ROUND_TRIP_SHARE * expected, ROUND_TRIP_SECONDS)
    return Comparison(source, destination, expected, statistics.median(times), tolerance)


def throughput(
    lab: Lab,
    lab_name: str,
    source: str,
    destination: str,
    seconds: int = CYCLE_SECONDS,
    warm_up: int | None = None,
) -> Comparison:
    """What iperf3 receives, after the connection has found its speed. Raises OutsideError.

    The client is the receiver (-R), because only the receiver's own seconds are true: iperf3's total also
    counts what the queue held when the warm-up ended, some 10 % of a short test on a long path. A warm-up
    that is too short shows as too much: what arrived behind a lost packet counts when that one has come.
    """
    if warm_up is None:
        warm_up = round(WARM_UP_SECONDS + WARM_UP_ROUND_TRIPS * lab.round_trip_seconds(source, destination))
    iperf3 = ["iperf3", "-J", "-R", "-c", lab.sites[source].address, "-t", str(warm_up + seconds)]
    why = ""
    for attempt in range(ATTEMPTS):
        # after each test the server opens its port anew, and whoever comes in that moment is turned away
        time.sleep(attempt)
        report = json.loads(
            _run(lab.sites[destination].host(lab_name).argv(iperf3), timeout=60 + seconds) or "{}"
        )
        if "error" in report or "end" not in report:
            why = report.get("error", "no report")
            continue
        measured = received_bits_per_second(report, warm_up, seconds)
        if measured is not None:
            expected = payload_bits_per_second(lab, source, destination)
            return Comparison(source, destination, expected, measured, RATE_SHARE * expected)
        why = f"it ended within the warm-up of {warm_up} s"
    raise OutsideError(f"iperf3 from {source} to {destination}: {why}")


def received_bits_per_second(report: Mapping[str, Any], warm_up: int, seconds: int) -> float | None:
    """What iperf3 received in the `seconds` of its report that follow those of the warm-up.

    None where the report has no such seconds: iperf3 that got no turn of the processor reports fewer.
    """
    intervals = [interval["sum"] for interval in report["intervals"]][warm_up : warm_up + seconds]
    counted = sum(each["seconds"] for each in intervals)
    return sum(each["bytes"] for each in intervals) * 8 / counted if counted > 0 else None


def rounds(pairs: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The pairs in rounds in which no site takes part twice."""
    left, made = list(pairs), []
    while left:
        busy: set[str] = set()
        chosen = []
        for pair in left:
            if not busy & set(pair):
                chosen.append(pair)
                busy |= set(pair)
        left = [pair for pair in left if pair not in chosen]
        made.append(chosen)
    return made


def all_round_trips(lab: Lab, lab_name: str) -> list[Comparison]:
    """Every pair of sites once, all at the same time: pings hardly load anything."""
    ids = list(lab.sites)
    pairs = [(a, b) for index, a in enumerate(ids) for b in ids[index + 1 :]]
    with ThreadPoolExecutor(len(pairs)) as beside:
        return list(beside.map(lambda pair: round_trip(lab, lab_name, *pair), pairs))


def all_throughputs(lab: Lab, lab_name: str, seconds: int = CYCLE_SECONDS) -> list[Comparison]:
    """Every directed path, in rounds in which no site has two tests."""

    def measure(pair: tuple[str, str]) -> Comparison:
        return throughput(lab, lab_name, *pair, seconds=seconds)

    found: list[Comparison] = []
    for group in rounds([(path.source, path.destination) for path in lab.paths]):
        with ThreadPoolExecutor(len(group)) as beside:
            found += beside.map(measure, group)
    return found
