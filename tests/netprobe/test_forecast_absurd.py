"""An archive may hold what no network does: units mixed up, a clock that was set, a tool that is wrong.
There is a forecast nevertheless, and what it says can be planned with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.cost import LONGEST_SECONDS, Item, plan_staging
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SITES = Federation("any", {name: Site(name, name, Place(0.0, 9.0 * n)) for n, name in enumerate("abc")})

ends = st.sampled_from(["ab", "ab", "ac", "cb"])
ages = st.integers(1, 10**6)
powers = st.integers(-6, 15).map(lambda power: 10.0**power)


def found(kind: Kind, path: str, age: int, **figures: float) -> Measurement:
    started = NOW - timedelta(seconds=age)
    return Measurement(kind, path[0], path[1], started, 5.0, "tool", Origin.SCRIPTED, figures)


def rated(path: str, age: int, rate: float) -> Measurement:
    return found(Kind.THROUGHPUT, path, age, bits_per_second=rate)


def moved(path: str, age: int, size: int, files: int, seconds: float) -> Measurement:
    return found(Kind.TRANSFER, path, age, size_bytes=float(size), files=float(files), seconds=seconds)


def pinged(path: str, age: int, seconds: float) -> Measurement:
    return found(Kind.LATENCY, path, age, rtt_seconds=seconds)


measurements = st.lists(
    st.one_of(
        st.builds(rated, ends, ages, powers),
        st.builds(moved, ends, ages, st.integers(1, 10**15), st.sampled_from([1, 8, 1000]), powers),
        st.builds(pinged, ends, ages, st.floats(1e-9, 1e6)),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda each: (each.kind, each.source, each.destination, each.started),
)
contradictory = [rated("ab", 50_000, 1.0), rated("ab", 970_000, 5e9), moved("ab", 260_000, 2, 1000, 1e-4)]


@settings(max_examples=60)
@example(contradictory, 1)
@example(contradictory, 10**9)
@example([rated("ab", 60, 1e-6)], 10**15)
@given(measurements, st.sampled_from([0, 1, 10**9, 10**15]))
def test_whatever_was_measured_the_seconds_can_be_planned_with(tests: list[Measurement], size: int) -> None:
    history = History.of(tests)

    def forecast(source: str, destination: str) -> Forecast:
        return forecast_from(history, SITES, source, destination, NOW)

    items = [Item("one", size, [("u", "a")]), Item("other", size + 1, [("v", "c")])]
    planned = plan_staging(items, "b", forecast, 1e9)
    parts = [each.seconds for each in planned.moves] + [each.seconds for each in planned.groups]
    for seconds in (planned.seconds, *parts):
        assert 0 < seconds.p10 <= seconds.p50 <= seconds.p90 <= LONGEST_SECONDS
