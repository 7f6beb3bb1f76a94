"""What all paths' transfers teach of a path that has one or two."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from statistics import NormalDist, fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprobe.pooled import PRIOR, Pooled, Ratio, pooled
from netprobe.weights import LogSpread

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NINETY = NormalDist().inv_cdf(0.9)
# tests that say nothing wrong: all errors are the mover's
EXACT = LogSpread(1.0, 0.0, 0.0)
Mesh = dict[tuple[str, str], list[Ratio]]


def ratio(log: float, noise: float = 1.0, hours: float = 1.0) -> Ratio:
    return Ratio(NOW.timestamp() - 3600 * hours, math.exp(log), noise)


def mesh(seed: int, paths: int, each: int, offsets: float, errors: float, level: float = 0.1) -> Mesh:
    """So many transfers of each path; standard deviations of the paths' offsets and of the errors."""
    drawn = random.Random(seed)
    found = {}
    for number in range(paths):
        offset = level + drawn.gauss(0, offsets)
        found[f"a{number}", f"b{number}"] = [
            ratio(offset + noise * drawn.gauss(0, errors), noise)
            for noise in (drawn.choice((1.0, 1.4, 2.0)) for _ in range(each))
        ]
    return found


def learnt(found: Mesh) -> Pooled:
    return pooled(found, dict.fromkeys(found, EXACT), NOW)


def held(found: Mesh, known: int, error: LogSpread = EXACT) -> list[bool]:
    """Whether each path's last transfer is inside, by `known` ones of each."""
    before = {path: some[:known] for path, some in found.items()}
    everything = learnt(before)
    inside = []
    for path, some in found.items():
        said, _ = everything.ratio(before[path], error, NOW)
        last = some[-1]
        off = (math.log(last.value) - math.log(said.median)) / last.noise
        inside.append(-said.below <= off <= said.above)
    return inside


@pytest.mark.parametrize("known", [1, 2, 3])
@pytest.mark.parametrize(
    ("offsets", "errors"), [(0.0, 0.08), (0.1, 0.08), (0.3, 0.1), (0.02, 0.2), (0.0, 0.05)]
)
def test_eight_of_ten_are_inside_however_few_are_known(known: int, offsets: float, errors: float) -> None:
    inside = [one for seed in range(40) for one in held(mesh(seed, 20, known + 1, offsets, errors), known)]
    assert 0.73 < fmean(inside) < 0.88


def test_what_tests_get_wrong_counts_as_often_as_it_shows() -> None:
    """Where tests are wrong by 0.3, and transfers only by as much, the two are not added up."""
    found = mesh(1, 30, 3, 0.0, 0.3 / NINETY)
    wrong = LogSpread(1.0, 0.3, 0.3)
    said, (below, above) = pooled(found, dict.fromkeys(found, wrong), NOW).ratio([], wrong, NOW)
    together = [math.hypot(said.below, 0.3 * below), math.hypot(said.above, 0.3 * above)]
    # half of them are noisier
    assert all(0.2 < one < 0.45 for one in together)


def test_paths_that_differ_are_believed_more_than_those_that_are_alike() -> None:
    alike, unlike = learnt(mesh(3, 20, 4, 0.0, 0.1)), learnt(mesh(3, 20, 4, 0.5, 0.1))
    own = [ratio(1.0)] * 2
    one, other = (math.log(each.ratio(own, EXACT, NOW)[0].median) for each in (alike, unlike))
    assert other > 0.8
    assert one < 0.4
    # of a path without transfers that is what isn't known
    assert unlike.wider(0) > 2 * unlike.wider(3)
    assert alike.wider(0) < 1.1 * alike.wider(3)


def test_nothing_known_is_the_prior() -> None:
    said, counts = learnt({}).ratio([], EXACT, NOW)
    assert (said.median, said.below, said.above) == pytest.approx((PRIOR.median, PRIOR.below, PRIOR.above))
    assert counts == pytest.approx((1.0, 1.0))


def test_what_was_learnt_fades() -> None:
    found = {path: [ratio(1.0, hours=24 * 200)] * 3 for path in mesh(1, 10, 1, 0, 0)}
    said, _ = learnt(found).ratio(found["a0", "b0"], EXACT, NOW)
    assert said.median == pytest.approx(PRIOR.median, rel=0.01)
    assert said.above == pytest.approx(PRIOR.above, rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(-2, 2), max_size=5), min_size=1, max_size=6),
    st.floats(-1, 1),
    st.floats(0.5, 3),
)
def test_sound_and_moved_with_the_data(paths: list[list[float]], shift: float, noise: float) -> None:
    """Whatever is known: positive widths, a median between what is known and the prior."""
    found = {(f"a{n}", f"b{n}"): [ratio(one, noise) for one in some] for n, some in enumerate(paths)}
    own = found["a0", "b0"]
    said, (below, above) = learnt(found).ratio(own, LogSpread(1.0, 0.1, 0.2), NOW)
    every = [one for some in paths for one in some] + [math.log(PRIOR.median)]
    assert min(every) - 1e-9 <= math.log(said.median) <= max(every) + 1e-9
    assert min(said.below, said.above, below, above) > 0
    assert math.isfinite(said.above + said.below)
