"""When the last of several things is done, whose errors are partly the same."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netprobe.latest as module
from netprobe.latest import ALIKE, NINETY, latest
from netprobe.quantiles import Quantiles

NAMES = ("p10", "p50", "p90")
spread = st.floats(1.0, 10.0)
times = st.builds(
    lambda middle, below, above: Quantiles(middle / below, middle, middle * above),
    st.floats(0.01, 1e5),
    spread,
    spread,
)


def drawn(found: list[Quantiles], alike: float, count: int) -> list[float]:
    """The largest of such times, drawn so often, in order."""
    source, made = random.Random(5), []
    for _ in range(count):
        shared = math.sqrt(alike) * source.gauss(0, 1)
        far = [shared + math.sqrt(1 - alike) * source.gauss(0, 1) for _ in found]
        made.append(
            max(
                one.p50 * ((one.p90 / one.p50 if each > 0 else one.p50 / one.p10) ** (each / NINETY))
                for one, each in zip(found, far, strict=True)
            )
        )
    return sorted(made)


@pytest.mark.parametrize(
    "found",
    [
        [Quantiles(8.0, 10.0, 13.0)] * 3,
        [Quantiles(8.0, 10.0, 13.0), Quantiles(7.0, 11.0, 12.0), Quantiles(2.0, 9.0, 30.0)],
        [Quantiles(5.0, 5.0, 5.0), Quantiles(1.0, 4.0, 9.0)],
    ],
)
def test_quantiles_are_those_of_what_is_drawn(found: list[Quantiles]) -> None:
    some = drawn(found, ALIKE, 40_000)
    for name, share in zip(NAMES, (0.1, 0.5, 0.9), strict=True):
        assert getattr(latest(found), name) == pytest.approx(some[int(share * len(some))], rel=0.02)


def test_of_what_next_to_nothing_is_known_of_there_are_quantiles_too() -> None:
    whole = latest([Quantiles(1e-3, 1e4, 1e200)] * 2)
    assert 1e-3 < whole.p10 < whole.p50 < whole.p90 < math.inf


@given(times)
def test_of_one_it_is_its_own(one: Quantiles) -> None:
    for name in NAMES:
        assert getattr(latest([one]), name) == pytest.approx(getattr(one, name), rel=0.01)


@given(st.lists(times, min_size=2, max_size=5), times)
def test_one_more_never_makes_it_sooner(found: list[Quantiles], more: Quantiles) -> None:
    for name in NAMES:
        assert getattr(latest(found), name) <= getattr(latest([*found, more]), name) * (1 + 1e-5)
        assert getattr(latest(found), name) >= max(getattr(each, name) for each in found) * 0.99


@settings(max_examples=30)
@given(st.lists(times, min_size=2, max_size=4), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_the_more_alike_the_errors_the_sooner(found: list[Quantiles], first: float, second: float) -> None:
    """Slepian's inequality."""
    less, more = sorted((first, second))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ALIKE", less)
        apart = latest(found)
        patch.setattr(module, "ALIKE", more)
        near = latest(found)
    for name in NAMES:
        assert getattr(near, name) <= getattr(apart, name) * 1.02
