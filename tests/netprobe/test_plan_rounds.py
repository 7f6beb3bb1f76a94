"""No host in two tests at once, every test once, and not many more rounds than the busiest host needs."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprobe.rounds import colour

hosts = st.integers(0, 8)
meshes = st.lists(st.tuples(hosts, hosts).filter(lambda pair: pair[0] != pair[1]), max_size=70)


@settings(max_examples=400, deadline=None)
@given(meshes, st.one_of(st.none(), st.integers(1, 5)))
def test_rounds_are_free_of_conflicts_and_near_the_least(
    pairs: list[tuple[int, int]], most: int | None
) -> None:
    colours = colour(pairs, most)
    assert len(colours) == len(pairs)
    for number in set(colours):
        together = [pair for pair, mine in zip(pairs, colours, strict=True) if mine == number]
        busy = Counter(host for pair in together for host in pair)
        assert max(busy.values()) == 1
        assert most is None or len(together) <= most
    degree = max(Counter(host for pair in pairs for host in pair).values(), default=0)
    multiplicity = max(Counter(frozenset(pair) for pair in pairs).values(), default=0)
    rounds = len(set(colours))
    assert sorted(set(colours)) == list(range(rounds))
    assert degree <= rounds or most is not None or not pairs
    assert rounds <= max(degree + multiplicity, -(-len(pairs) // (most or len(pairs) or 1)))


@pytest.mark.parametrize("sites", [4, 5, 6, 9, 10, 20])
def test_a_full_mesh_takes_no_more_rounds_than_a_tournament_in_both_directions(sites: int) -> None:
    pairs = list(itertools.permutations(range(sites), 2))
    tournament = sites - 1 if sites % 2 == 0 else sites
    assert len(set(colour(pairs))) <= 2 * tournament + 1


def test_one_at_once_is_one_test_a_round() -> None:
    assert colour([(0, 1), (2, 3), (4, 5)], most_at_once=1) == [0, 1, 2]


def test_a_host_is_not_tested_with_itself() -> None:
    with pytest.raises(ValueError, match="two hosts"):
        colour([("a", "a")])
