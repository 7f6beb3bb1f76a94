"""Bottlenecks: never more tests at once than one carries, and near the lower bound of rounds."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.plan import Block, Bottleneck, Plan, expand, rounds
from netprobe.shared_rounds import fewest, share


def conflicts(tests: Sequence[Set[Hashable]], capacity: Mapping[Hashable, int], found: list[int]) -> int:
    together: dict[int, Counter[Hashable]] = {}
    for test, number in zip(tests, found, strict=True):
        together.setdefault(number, Counter()).update(test)
    return sum(
        count > capacity.get(resource, 1) for used in together.values() for resource, count in used.items()
    )


@st.composite
def meshes(draw: st.DrawFn, most: int = 40) -> tuple[list[frozenset[Hashable]], dict[Hashable, int]]:
    """Tests between hosts, and up to three groups of hosts behind an uplink of their own."""
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda p: p[0] != p[1]),
            max_size=most,
        )
    )
    uplinks = draw(st.lists(st.frozensets(st.integers(0, 8), min_size=1, max_size=5), max_size=3))
    capacity: dict[Hashable, int] = {f"uplink {n}": draw(st.integers(1, 3)) for n in range(len(uplinks))}
    tests = []
    for pair in pairs:
        crossed = {f"uplink {n}" for n, inside in enumerate(uplinks) if len(inside & set(pair)) == 1}
        tests.append(frozenset[Hashable]({*pair, *crossed}))
    return tests, capacity


@settings(max_examples=200, deadline=None)
@given(meshes())
def test_no_resource_carries_more_than_it_can_and_the_rounds_are_near_the_least(
    mesh: tuple[list[frozenset[Hashable]], dict[Hashable, int]],
) -> None:
    tests, capacity = mesh
    found = share(tests, capacity)
    rounds = len(set(found))
    assert conflicts(tests, capacity, found) == 0
    assert sorted(set(found)) == list(range(rounds))
    least = fewest(tests, capacity)
    # The bound knows nothing of triangles: 3 rounds where each host has 2 tests, half as much again.
    assert least <= rounds <= least + max(2, least // 2)


def optimum(tests: Sequence[Set[Hashable]], capacity: Mapping[Hashable, int]) -> int:
    """The fewest rounds that there are, by trying everything: for few tests."""
    order = sorted(range(len(tests)), key=lambda test: -len(tests[test]))

    def fits(place: int, rounds: list[Counter[Hashable]], most: int) -> bool:
        if place == len(order):
            return True
        resources = tests[order[place]]
        for used in rounds:
            if all(used[resource] < capacity.get(resource, 1) for resource in resources):
                used.update(resources)
                if fits(place + 1, rounds, most):
                    return True
                used.subtract(resources)
        # all rounds that are still empty are the same
        return len(rounds) < most and fits(place + 1, [*rounds, Counter(resources)], most)

    return next(most for most in range(fewest(tests, capacity), len(tests) + 1) if fits(0, [], most))


@settings(max_examples=150, deadline=None)
@given(meshes(most=11))
def test_of_few_tests_no_rounds_are_fewer(
    mesh: tuple[list[frozenset[Hashable]], dict[Hashable, int]],
) -> None:
    tests, capacity = mesh
    assert len(set(share(tests, capacity))) == optimum(tests, capacity)


# Counted by hand: tests inside the group need two of its hosts, which those that cross the uplink keep busy.
@pytest.mark.parametrize(
    ("sites", "inside", "at_once", "least"),
    [(6, 2, 1, 18), (6, 2, 2, 10), (8, 2, 1, 26), (8, 2, 2, 14), (10, 3, 1, 42), (10, 3, 2, 24)],
)
def test_a_mesh_behind_one_uplink_takes_the_least(sites: int, inside: int, at_once: int, least: int) -> None:
    behind = set(range(inside))
    tests = [
        frozenset[Hashable]({*pair, *({"uplink"} if len(behind & set(pair)) == 1 else ())})
        for pair in itertools.permutations(range(sites), 2)
    ]
    capacity: dict[Hashable, int] = {"uplink": at_once}
    found = share(tests, capacity)
    assert conflicts(tests, capacity, found) == 0
    assert len(set(found)) == least


SITES = {
    name: Site(name, name, Place(0, 0), iperf3_address=f"192.0.2.{number}")
    for number, name in enumerate("abcdefg", start=1)
}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")).filter(lambda p: p[0] != p[1])
    ),
    st.lists(st.tuples(st.frozensets(st.sampled_from("abcdefg"), min_size=1), st.integers(1, 3)), max_size=2),
    st.none() | st.integers(1, 4),
)
def test_a_plans_rounds_keep_to_hosts_links_and_limit_and_are_near_the_least(
    pairs: list[tuple[str, str]], links: list[tuple[frozenset[str], int]], parallel: int | None
) -> None:
    block = Block("pairs", "test", "iperf3", 1, 10.0, {}, pairs=tuple(pairs), direction="out")
    planned = expand(Plan("p", (block,)), Federation("f", SITES))
    bottlenecks = [Bottleneck(sites, tests) for sites, tests in links]
    found = rounds(planned, parallel, bottlenecks)
    assert sorted(one.key for together in found for one in together.tests) == sorted(
        one.key for one in planned
    )
    for together in found:
        busy = Counter(end.site for one in together.tests for end in (one.test.source, one.test.destination))
        assert max(busy.values()) == 1
        assert parallel is None or len(together.tests) <= parallel
        for link in bottlenecks:
            assert sum(link.crossed_by(one.test) for one in together.tests) <= link.tests
    degree = Counter(site for pair in pairs for site in pair)
    least = [max(degree.values(), default=0), -(-len(pairs) // (parallel or len(pairs) or 1))]
    least += [-(-sum(link.crossed_by(one.test) for one in planned) // link.tests) for link in bottlenecks]
    assert max(least) <= len(found) <= max(least) + max(2, max(least) // 2)


def test_the_same_tests_give_the_same_rounds() -> None:
    tests = [frozenset[Hashable](pair) for pair in itertools.permutations(range(7), 2)]
    assert share(tests, {}) == share(tests, {})


def test_nothing_to_do_takes_no_round() -> None:
    assert share([], {}) == []
    assert fewest([], {}) == 0


def test_a_bottleneck_carries_something() -> None:
    with pytest.raises(ValueError, match="at least one test"):
        share([{"a", "b"}], {"uplink": 0})
