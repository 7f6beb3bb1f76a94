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
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measured import levels, usable
from netprobe.measurement import Kind, Measurement

# of each path, kind and outcome, as `Archive.history` reads them
PER_PATH = 100
Path = tuple[str, str]


@dataclass(frozen=True)
class Chosen:
    """Which tests of a path are forecast: every `every`-th from number `first` on. Raises InputError where
    there is nothing before the first, or no step."""

    first: int
    every: int

    def __post_init__(self) -> None:
        if self.first < 1 or self.every < 1:
            raise InputError(f"first, every: expected at least 1 each, got {self.first} and {self.every}")


def before(whole: History, when: datetime, path: Path | None = None) -> History:
    """What forecasts would have looked at then: all that had begun, of one path or (None) of all."""
    found = {}
    for key, tests in whole.by_path.items():
        if path is None or key[1:] == path:
            known = [one for one in tests if one.started < when]
            good = [one for one in known if one.succeeded][:PER_PATH]
            least = good[-1].started if len(good) == PER_PATH else None
            failed = [one for one in known if not one.succeeded and (least is None or one.started >= least)]
            found[key] = sorted([*good, *failed[:PER_PATH]], key=lambda one: one.started, reverse=True)
    return History(found)


def rates(
    whole: History, federation: Federation, chosen: Chosen, since: datetime
) -> Iterator[Mapping[str, Any]]:
    """The chosen tests of each path from `since` on, each beside what was forecast just before it."""
    for path in sorted(set(whole.paths(Kind.THROUGHPUT))):
        tests = usable(whole.path(Kind.THROUGHPUT, *path))[::-1]
        for test in (one for one in tests[chosen.first :: chosen.every] if one.started >= since):
            known = before(whole, test.started, path)
            said = forecast_from(known, federation, *path, test.started)
            (level,) = levels(known, federation, [test], test.started)
            yield {
                **_about(test, said),
                "bits_per_second": test.figures["bits_per_second"],
                # a forecast is of the rate after slow start, and so is what it is held against
                "sustained_bits_per_second": math.exp(level),
                **quantiles("forecast_bits_per_second", said.bits_per_second),
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
            said = forecast_from(before(whole, one.started, path), federation, *path, one.started)
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
