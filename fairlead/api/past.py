"""What was known at an instant of the past, and what was forecast then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.api.frames import quantiles
from federation.errors import InputError
from federation.sites import Federation
from netprobe.backtest import replay
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast
from netprobe.history import History
from netprobe.measured import usable
from netprobe.measurement import Kind, Measurement


@dataclass(frozen=True)
class Chosen:
    """Which tests of a path are forecast: every `every`-th from number `first` on. Raises InputError where
    there is nothing before the first, or no step."""

    first: int
    every: int

    def __post_init__(self) -> None:
        if self.first < 1 or self.every < 1:
            raise InputError(f"first, every: expected at least 1 each, got {self.first} and {self.every}")


def rates(
    whole: History, federation: Federation, chosen: Chosen, since: datetime
) -> Iterator[Mapping[str, Any]]:
    """The chosen tests of each path from `since` on, each beside what was forecast just before it."""
    for path in sorted(set(whole.paths(Kind.THROUGHPUT))):
        tests = usable(whole.path(Kind.THROUGHPUT, *path))[::-1]
        for test in (one for one in tests[chosen.first :: chosen.every] if one.started >= since):
            found = replay(whole, federation, test)
            (level,) = found.levels(federation, test)
            yield {
                **_about(test, found.forecast),
                "bits_per_second": test.figures["bits_per_second"],
                "sustained_bits_per_second": math.exp(level),
                **quantiles("forecast_bits_per_second", found.rate(federation)),
            }


def transfers(
    whole: History, federation: Federation, chosen: Chosen, since: datetime
) -> Iterator[Mapping[str, Any]]:
    """The same of transfers, once their path had so many tests."""
    for path in sorted(set(whole.paths(Kind.TRANSFER))):
        tests = usable(whole.path(Kind.THROUGHPUT, *path))
        moved = [
            one
            for one in whole.path(Kind.TRANSFER, *path)[::-1]
            if _whole_transfer(one) and sum(test.started < one.started for test in tests) >= chosen.first
        ]
        for one in (one for one in moved[:: chosen.every] if one.started >= since):
            said = replay(whole, federation, one).forecast
            size_bytes, files = one.figures["size_bytes"], int(one.figures.get("files", 1.0))
            forecast = quantiles("forecast_seconds", seconds_for(said, size_bytes, files))
            yield {
                **_about(one, said),
                "size_bytes": size_bytes,
                "files": files,
                "seconds": one.figures["seconds"],
                **forecast,
            }


def _about(one: Measurement, said: Forecast) -> dict[str, Any]:
    return {
        "started": one.started,
        "source": one.source,
        "destination": one.destination,
        "origin": one.origin.value,
        "tests": said.tests,
        "forecaster": said.forecaster,
    }


def _whole_transfer(one: Measurement) -> bool:
    return one.succeeded and one.figures.get("seconds", 0.0) > 0 and one.figures.get("size_bytes", 0.0) > 0
