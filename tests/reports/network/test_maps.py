"""Heat maps: classes with round bounds, and pictures that any number of sites leaves readable."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.units import format_bits_per_second
from reports.network.maps import VIRIDIS, Scale, Spot, classes, heat_map, place
from reports.network.model import State
from reports.network.page import LOSSES

SCALE = Scale(format_bits_per_second, lambda value: f"{value / 1e9:.2g}G", VIRIDIS, "marked")


@given(st.lists(st.floats(1e-6, 1e14), min_size=1, max_size=40), st.booleans())
def test_every_value_is_in_its_class(values: list[float], none: bool) -> None:
    every = [*values, 0.0] if none else values
    bounds = classes(every)
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) <= 9 + none
    for value in every:
        number = place(bounds, value)
        assert bounds[number] <= value
        assert number + 1 == len(bounds) or value < bounds[number + 1]
    # the zero of a class of its own
    assert (bounds[0] == 0) is none


@pytest.mark.parametrize(
    ("loss", "text"),
    [(0, "0"), (5e-5, "<.01"), (0.0123, "1.2"), (0.0999, "10"), (0.5, "50"), (0.996, "100"), (1, "100")],
)
def test_a_cell_says_a_loss_without_an_exponent(loss: float, text: str) -> None:
    assert LOSSES.short(loss) == text


def test_bounds_are_round() -> None:
    assert classes([1.2e8, 9e9]) == (1e8, 2e8, 5e8, 1e9, 2e9, 5e9, 1e10)
    assert classes([]) == ()
    assert classes([0.0]) == (0.0,)
    assert len(classes([5.0])) == 2


@pytest.mark.parametrize("count", [0, 1, 3, 12, 40, 100])
def test_any_number_of_sites(count: int) -> None:
    sites = tuple(f"site {number} <&>" for number in range(count))
    spots = {
        ends: Spot(1e9 * (1 + number % 7), State.MEASURED, f"{ends}: <fast>")
        for number, ends in enumerate(permutations(sites, 2))
    }
    picture = heat_map("Throughput", sites, lambda site: site, spots, SCALE)
    root = ET.fromstring(str(picture.svg))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    # each site labels a row and a column
    assert sum("site" in (text or "") for text in texts) == 2 * count
    # figures only where they fit, and then in all cells
    figures = sum(bool(re.fullmatch(r"\dG", text or "")) for text in texts)
    assert figures == (count * (count - 1) if count <= 40 else 0)
    assert len(picture.svg) < 500_000


def test_what_is_no_value_has_its_own_look() -> None:
    sites = ("a", "b")
    looks = set()
    for state in State:
        value = 1e9 if state in (State.MEASURED, State.STALE) else None
        spots = {("a", "b"): Spot(value, state), ("b", "a"): Spot(2e9, State.MEASURED)}
        picture = heat_map("t", sites, str, spots, SCALE)
        looks.add(str(picture.svg))
        assert ("stale" in picture.svg) is (state is State.STALE)
        assert ("not tested" in picture.svg) is (state is State.MISSING)
        assert (">failed<" in picture.svg) is (state is State.FAILED)
        # a stale value isn't drawn as one
        assert ("1G" in picture.svg) is (state is State.MEASURED)
    assert len(looks) == len(State)


def test_none_at_all_is_not_drawn_as_bad() -> None:
    spots = {("a", "b"): Spot(0.0, State.MEASURED), ("b", "a"): Spot(0.0, State.MEASURED)}
    assert f'fill="{VIRIDIS[0]}"' in heat_map("t", ("a", "b"), str, spots, SCALE).svg


def test_marked_cells_are_told() -> None:
    spots = {("a", "b"): Spot(1e9, State.MEASURED, marked=True), ("b", "a"): Spot(2e9, State.MEASURED)}
    assert ">marked<" in heat_map("t", ("a", "b"), str, spots, SCALE).svg
