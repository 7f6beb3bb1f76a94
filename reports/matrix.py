"""The mesh of a federation as tables: what every site sends to every other, as measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from federation.sites import Federation
from netprobe.history import History
from netprobe.ladder import usable
from netprobe.measurement import Kind, Measurement
from netprobe.weights import age_weight, weighted_quantile

if TYPE_CHECKING:
    import pandas as pd


class State(StrEnum):
    """What there is of one cell."""

    MEASURED = "measured"
    FAILED = "failed"  # there are tests, and none of them succeeded
    MISSING = "missing"  # nobody tested it
    SELF = "self"  # a site to itself


@dataclass(frozen=True)
class Cell:
    """What was measured of one kind on one path: the age-weighted median, and how much is behind it."""

    source: str
    destination: str
    state: State
    value: float | None
    tests: int
    failed: int
    newest_age_seconds: float | None
    # why the newest test failed, where it did
    error: str | None


@dataclass(frozen=True)
class Matrix:
    """Both kinds for every ordered pair of sites: throughput in bit/s, round trip in seconds."""

    federation: Federation
    throughput: dict[tuple[str, str], Cell]
    round_trip: dict[tuple[str, str], Cell]

    def frame(self) -> pd.DataFrame:
        """A row for each ordered pair of different sites."""
        # takes a second to import, which only tables cost
        import pandas as pd

        rows = []
        for pair, throughput in self.throughput.items():
            if throughput.state is State.SELF:
                continue
            round_trip = self.round_trip[pair]
            rows.append(
                {
                    "source": throughput.source,
                    "destination": throughput.destination,
                    "bits_per_second": throughput.value,
                    "throughput_state": throughput.state.value,
                    "throughput_tests": throughput.tests,
                    "throughput_failed": throughput.failed,
                    "throughput_age_seconds": throughput.newest_age_seconds,
                    "throughput_error": throughput.error,
                    "rtt_seconds": round_trip.value,
                    "round_trip_state": round_trip.state.value,
                    "round_trip_tests": round_trip.tests,
                    "round_trip_failed": round_trip.failed,
                    "round_trip_age_seconds": round_trip.newest_age_seconds,
                    "round_trip_error": round_trip.error,
                }
            )
        return pd.DataFrame(rows)

    def values(self, cells: dict[tuple[str, str], Cell]) -> pd.DataFrame:
        """One kind's values: rows send, columns receive; NaN where there is none."""
        import pandas as pd

        sites = list(self.federation.sites)
        rows = [[cells[row, column].value for column in sites] for row in sites]
        return pd.DataFrame(rows, index=sites, columns=sites, dtype=float)


def matrix(history: History, federation: Federation, now: datetime) -> Matrix:
    """The mesh as `history` knows it, weighted by age as the forecast does."""
    throughput, round_trip = {}, {}
    for source in federation.sites:
        for destination in federation.sites:
            tests = history.path(Kind.THROUGHPUT, source, destination)
            pings = history.path(Kind.LATENCY, source, destination)
            pair = source, destination
            throughput[pair] = _cell(pair, tests, usable(tests), _rate, now)
            answered = [ping for ping in pings if ping.succeeded and _trip(ping) > 0]
            round_trip[pair] = _cell(pair, pings, answered, _trip, now)
    return Matrix(federation, throughput, round_trip)


def _rate(test: Measurement) -> float:
    return test.figures["bits_per_second"]


def _trip(test: Measurement) -> float:
    return test.figures.get("rtt_seconds", 0.0)


def _cell(
    pair: tuple[str, str],
    tests: Sequence[Measurement],
    good: Sequence[Measurement],
    value: Callable[[Measurement], float],
    now: datetime,
) -> Cell:
    source, destination = pair
    failed = sum(not test.succeeded for test in tests)
    error = tests[0].error if tests else None
    if source == destination:
        return Cell(source, destination, State.SELF, None, len(tests), failed, None, None)
    if not good:
        state = State.FAILED if tests else State.MISSING
        return Cell(source, destination, state, None, len(tests), failed, None, error)
    ages = [max((now - test.started).total_seconds(), 0.0) for test in good]
    middle = weighted_quantile([value(test) for test in good], [age_weight(age) for age in ages], 0.5)
    return Cell(source, destination, State.MEASURED, middle, len(tests), failed, min(ages), error)
