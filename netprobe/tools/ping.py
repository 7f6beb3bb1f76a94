"""Round trips and loss by the `ping` program of iputils."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import InputError
from netprobe.measurement import Kind, Measurement
from netprobe.tools import Test, _parameters, _process
from netprobe.tools._scripted import Result, measure

NAMES = ("count", "interval", "wait", "size")
ABOUT = ("ping", "-V")
HEADER = re.compile(r"^PING \S+ ?\(([^)(\s]+)", re.MULTILINE)
REPLY = re.compile(r"^\d+ bytes from .*: icmp_seq=(\d+) .*time=([\d.]+) ms(?! \(DUP!\))", re.MULTILINE)
SUMMARY = re.compile(r"^(\d+) packets transmitted, (\d+) received", re.MULTILINE)


@dataclass(frozen=True)
class Options:
    """How many echoes, how far apart, how long to wait for the last one, and how large (bytes of payload)."""

    count: int = 20
    interval_seconds: float = 0.1
    wait_seconds: float = 2.0
    size_bytes: int = 56


def options(parameters: Mapping[str, Any]) -> Options:
    """Read the parameters. Raises InputError."""
    _parameters.known("ping", parameters, NAMES)
    chosen = Options(
        count=_parameters.count("ping", parameters, "count", 20, most=10_000),
        interval_seconds=_parameters.seconds("ping", parameters, "interval", 0.1),
        wait_seconds=_parameters.seconds("ping", parameters, "wait", 2.0),
        size_bytes=_parameters.count("ping", parameters, "size", 56, most=65_507),
    )
    if chosen.interval_seconds < 0.002:
        raise InputError(f"ping: interval: at least 2 ms, got {chosen.interval_seconds * 1000:g} ms")
    return chosen


class Ping:
    """Latency and loss of a path, out and back. No answer at all is a result too: loss_ratio 1."""

    ABOUT = About(
        does="Round trips and loss by the program ping.",
        cannot="Says nothing of one way alone, or of a path on which pings are treated apart.",
        programs=("ping",),
    )

    name = "ping"
    exclusive = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(parameters)

    async def run(self, test: Test) -> Measurement:
        chosen = options(test.parameters)
        command = ["ping", "-n", "-c", str(chosen.count), "-i", f"{chosen.interval_seconds:g}"]
        command += ["-W", f"{chosen.wait_seconds:g}", "-s", str(chosen.size_bytes), test.destination.address]
        command = test.source.host.argv(command)

        async def work(deadline: float) -> Result:
            try:
                end = await _process.run(command, max(0.1, deadline - time.monotonic()))
            except OSError as problem:
                return Result(error=_process.not_started(f"source {test.source.site}", command, problem))
            figures = read(end.stdout)
            raw = {"round_trips_seconds": round_trips(end.stdout)}
            return Result(figures, _error(test, end, figures), raw, address(end.stdout))

        return await measure(self.name, Kind.LATENCY, self._clock, test, ABOUT, work)


def address(output: str) -> str | None:
    """The address that was pinged, where a name was given; None where ping never began."""
    header = HEADER.search(output)
    return None if header is None else header[1]


def round_trips(output: str) -> list[float]:
    """The round trip of each reply in ping's output, in seconds; a duplicate doesn't count."""
    return [float(milliseconds) / 1000 for _, milliseconds in REPLY.findall(output)]


def read(output: str) -> dict[str, float]:
    """The figures of ping's output; empty where it has no summary (ping never began, or was ended)."""
    summary = SUMMARY.search(output)
    if summary is None or int(summary[1]) == 0:
        return {}
    times = round_trips(output)
    figures = {"loss_ratio": 1 - len(times) / int(summary[1])}
    if times:
        figures["rtt_seconds"] = statistics.median(times)
        figures["rtt_seconds_min"] = min(times)
        figures["rtt_seconds_p90"] = (
            statistics.quantiles(times, n=10, method="inclusive")[-1] if len(times) > 1 else times[0]
        )
    return figures


def _error(test: Test, end: _process.Finished, figures: Mapping[str, float]) -> str | None:
    destination = f"destination {test.destination.site}"
    if end.timed_out:
        limit = test.time_limit_seconds
        return f"{destination}: ping of {test.destination.address} wasn't done within {limit:g} s"
    if not figures:
        return f"source {test.source.site}: ping gave no result: {end.complaint}"
    if "rtt_seconds" not in figures:
        sent = SUMMARY.search(end.stdout)
        return f"{destination}: no answer from {test.destination.address} to {sent[1] if sent else 0} pings"
    return None
