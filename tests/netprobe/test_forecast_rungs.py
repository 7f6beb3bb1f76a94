"""The rungs below "measured" are as wide as they are wrong: on made-up federations whose asymmetry is known,
eight in ten of what came are inside; and what holds for every federation."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.forecast import Forecast, Rung, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOISE = 0.1
Path = tuple[str, str]


@dataclass(frozen=True)
class Made:
    """A federation: the natural logarithm of each path's rate, and its round trip (seconds)."""

    sites: tuple[str, ...]
    levels: dict[Path, float]
    trips: dict[Path, float]

    @property
    def catalogue(self) -> Federation:
        return Federation("made up", {key: Site(key, key.title(), Place(0.0, 0.0)) for key in self.sites})


def made_up(drawn: random.Random, count: int, asymmetry: float, site: float) -> Made:
    """The slower of two sites counts, each path has something of its own, and the logarithm of the ratio of
    its two directions has the standard deviation `asymmetry`."""
    sites = tuple(f"s{number}" for number in range(count))
    out, into = ({one: drawn.gauss(18, site) for one in sites} for _ in range(2))
    places = {one: complex(drawn.random(), drawn.random()) for one in sites}
    levels, trips = {}, {}
    for first in sites:
        for second in sites:
            if first < second:
                own, apart = drawn.gauss(0, site / 2), drawn.gauss(0, asymmetry) / 2
                levels[first, second] = min(out[first], into[second]) + own + apart
                levels[second, first] = min(out[second], into[first]) + own - apart
                trip = 0.005 + 0.2 * abs(places[first] - places[second])
                trips[first, second] = trips[second, first] = trip
    return Made(sites, levels, trips)


def rated(path: Path, rate: float, hours_ago: float = 1) -> Measurement:
    started = NOW - timedelta(hours=hours_ago)
    figures, how = {"bits_per_second": rate}, {"omit": 10}
    return Measurement(Kind.THROUGHPUT, *path, started, 10.0, "iperf3", Origin.SCRIPTED, figures, how)


def pinged(path: Path, seconds: float) -> Measurement:
    figures = {"rtt_seconds": seconds}
    return Measurement(Kind.LATENCY, *path, NOW - timedelta(hours=1), 2.0, "ping", Origin.SCRIPTED, figures)


def measured(drawn: random.Random, made: Made, tests: int = 3) -> list[Measurement]:
    return [
        rated(path, math.exp(level + drawn.gauss(0, NOISE)), 1 + 2 * number)
        for path, level in made.levels.items()
        for number in range(tests)
    ]


def missing(made: Made, path: Path, rung: Rung) -> Collection[Path]:
    """The paths that nobody may have measured for `path` to be forecast on that rung."""
    back = (path[1], path[0])
    if rung is Rung.OTHER_DIRECTION:
        return {path}
    if rung is Rung.SITE_PATHS:
        return {path, back}
    return {one for one in made.levels if one[0] == path[0] or one[1] == path[1] or one == back}


def on_rung(made: Made, tests: list[Measurement], path: Path, rung: Rung) -> Forecast:
    gone = missing(made, path, rung)
    left = [test for test in tests if (test.source, test.destination) not in gone]
    if rung is not Rung.DISTANCE:
        left += [pinged(one, trip) for one, trip in made.trips.items()]
    return forecast_from(History.of(left), made.catalogue, *path, NOW)


def width(found: Forecast) -> float:
    return math.log(found.bits_per_second.p90 / found.bits_per_second.p10)


LOWER = (Rung.OTHER_DIRECTION, Rung.SITE_PATHS, Rung.ROUND_TRIP, Rung.DISTANCE)


def test_eight_in_ten_are_inside_on_every_rung() -> None:
    drawn = random.Random(1)
    inside: dict[Rung, list[bool]] = defaultdict(list)
    for asymmetry, site in ((0.2, 0.3), (0.5, 0.5), (1.2, 0.8)):
        for _ in range(40):
            made = made_up(drawn, 8, asymmetry, site)
            tests = measured(drawn, made, 2)
            for path in drawn.sample(list(made.levels), 2):
                actual = math.exp(made.levels[path] + drawn.gauss(0, NOISE))
                for rung in LOWER:
                    found = on_rung(made, tests, path, rung)
                    if found.rung is rung:
                        rate = found.bits_per_second
                        inside[rung].append(rate.p10 <= actual <= rate.p90)
    assert set(inside) == set(LOWER)
    for rung, some in inside.items():
        assert len(some) > 200
        assert 0.75 <= sum(some) / len(some) <= 0.85, (rung, sum(some) / len(some))


@pytest.mark.parametrize("rung", LOWER)
def test_where_paths_are_alike_the_rungs_are_narrower(rung: Rung) -> None:
    widths = []
    for asymmetry, site in ((0.1, 0.1), (1.5, 1.0)):
        drawn = random.Random(4)
        made = made_up(drawn, 8, asymmetry, site)
        widths.append(width(on_rung(made, measured(drawn, made), ("s1", "s5"), rung)))
    assert widths[0] < widths[1] / 3


def test_the_lowest_rung_learns_what_the_paths_of_the_federation_carry() -> None:
    """Where nothing near a path was measured, it is as the paths of the federation are, not as assumed."""
    drawn = random.Random(6)
    sites = tuple(f"s{number}" for number in range(8))
    fast = {"s0", "s1", "s2", "s3"}
    # a path is fast where either end is: the slower side's median is below nearly all
    levels = {
        (one, other): 18 + (1.0 if one in fast or other in fast else 0.0)
        for one in sites
        for other in sites
        if one != other
    }
    made = Made(sites, levels, dict.fromkeys(levels, 0.1))
    tests = measured(drawn, made)
    found = on_rung(made, tests, ("s0", "s1"), Rung.DISTANCE)
    # nothing near it was measured, so it is as the federation's paths are
    middle = math.log(found.bits_per_second.p50)
    assert middle == pytest.approx(19.0, abs=0.15)


def test_the_rungs_error_and_on_how_many_paths_it_was_learnt_are_said() -> None:
    drawn = random.Random(3)
    made = made_up(drawn, 6, 0.5, 0.4)
    found = on_rung(made, measured(drawn, made), ("s0", "s1"), Rung.OTHER_DIRECTION)
    # thirty paths; the other direction of one was taken away
    assert "; this rung's error on 28 measured paths: x" in found.explanation
    assert found.explanation.index("not measured in this direction") == 0


def test_without_a_measured_path_the_rung_is_as_assumed() -> None:
    """One path, the other direction of which nobody knows either: nothing could be learnt."""
    tests = [rated(("a", "b"), 1e8)]
    sites = Federation("two", {key: Site(key, key, Place(0.0, 0.0)) for key in "ab"})
    found = forecast_from(History.of(tests), sites, "b", "a", NOW)
    assert found.rung is Rung.OTHER_DIRECTION
    assert found.bits_per_second.p50 == pytest.approx(85e6)
    assert "measured path" not in found.explanation


def test_with_more_measured_paths_less_is_assumed() -> None:
    """Where both directions are alike, the interval narrows with each site that is measured."""
    widths = []
    for count in (3, 5, 8):
        drawn = random.Random(8)
        made = made_up(drawn, count, 0.1, 0.1)
        tests = measured(drawn, made)
        widths.append(width(on_rung(made, tests, ("s0", "s1"), Rung.OTHER_DIRECTION)))
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1.5 * widths[-1]


def test_old_evidence_widens_a_rung() -> None:
    drawn = random.Random(9)
    made = made_up(drawn, 8, 0.2, 0.2)
    fresh = measured(drawn, made)
    old = [rated((test.source, test.destination), test.figures["bits_per_second"], 24 * 30) for test in fresh]
    for rung in LOWER:
        assert width(on_rung(made, old, ("s0", "s1"), rung)) > 1.2 * width(
            on_rung(made, fresh, ("s0", "s1"), rung)
        )


rates = st.dictionaries(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), st.floats(1e3, 1e12), max_size=20
)


@given(rates, st.dictionaries(st.sampled_from("abcde"), st.floats(1e-5, 2.0), max_size=5))
def test_no_rung_is_ever_zero_infinite_or_silent(found: dict[Path, float], trips: dict[str, float]) -> None:
    sites = Federation("any", {key: Site(key, key, Place(0.0, 10.0)) for key in "abcde"})
    tests = [rated(path, rate) for path, rate in found.items()]
    history = History.of([*tests, *(pinged((one, "e"), trip) for one, trip in trips.items())])
    for source in "abcde":
        for destination in "abcde":
            said = forecast_from(history, sites, source, destination, NOW)
            rate = said.bits_per_second
            assert 0 < rate.p10 < rate.p50 < rate.p90 < math.inf
            assert said.explanation
