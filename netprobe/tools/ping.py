"""Round trips and loss by the `ping` program of iputils."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.clock import Clock, SystemClock
from federation.errors import InputError
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tools import Test, _parameters, _process

NAMES = ("count", "interval", "wait", "size")
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

    name = "ping"
    exclusive = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(parameters)

    async def run(self, test: Test) -> Measurement:
        chosen = options(test.parameters)
        started, begun = self._clock.now(), time.monotonic()
        command = ["ping", "-n", "-c", str(chosen.count), "-i", f"{chosen.interval_seconds:g}"]
        command += ["-W", f"{chosen.wait_seconds:g}", "-s", str(chosen.size_bytes), test.destination.address]
        command = test.source.host.argv(command)
        figures: dict[str, float] = {}
        raw = None
        try:
            end = await _process.run(command, test.time_limit_seconds)
        except OSError as problem:
            source = f"source {test.source.site}"
            error: str | None = _process.not_started(source, command, problem)
        else:
            figures = read(end.stdout)
            raw = {"round_trips_seconds": round_trips(end.stdout)}
            error = _error(test, end, figures)
        return Measurement(
            kind=Kind.LATENCY,
            source=test.source.site,
            destination=test.destination.site,
            started=started,
            seconds=time.monotonic() - begun,
            tool=self.name,
            origin=Origin.SCRIPTED,
            figures=figures,
            parameters=dict(test.parameters),
            destination_address=test.destination.address,
            error=error,
            raw=raw,
        )


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
