"""Rounds where tests share more than their hosts: a bottleneck carries so many tests at once, and no more.

With such resources the fewest rounds are no longer an edge colouring's, and hard to find. The heuristic
fills round after round, what is scarcest first: a test whose resources have the most left to do relative to
what they carry at once. It is tried in several orders. The best is then squeezed, one round less each time:
the tests of one round push others out of their way, those that were pushed least, until all are placed again.
It stops where `fewest` says that nothing can be better, or where pushing comes to nothing.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence, Set

TRIES = 20
# of pushing, for each test
STEPS = 30


def fewest(tests: Sequence[Set[Hashable]], capacity: Mapping[Hashable, int]) -> int:
    """A lower bound of the rounds: of each resource, the tests that use it over what it carries at once.

    A resource that `capacity` doesn't name carries one test.
    """
    load = Counter(resource for test in tests for resource in test)
    return max((-(-count // capacity.get(resource, 1)) for resource, count in load.items()), default=0)


def share(tests: Sequence[Set[Hashable]], capacity: Mapping[Hashable, int]) -> list[int]:
    """A round (0, 1, ...) for each test, so that no resource is in more tests of a round than it carries.

    `tests` are the resources that each test uses. Raises ValueError for a capacity under 1.
    """
    if any(most < 1 for most in capacity.values()):
        raise ValueError("a resource carries at least one test at once")
    least = fewest(tests, capacity)
    # the same tests give the same rounds, so that a run can be taken up again
    dice = random.Random(len(tests))
    best: list[int] = []
    for attempt in range(TRIES):
        found = _fill(tests, capacity, dice if attempt else None)
        if not best or max(found) < max(best):
            best = found
        if not best or max(best) + 1 <= least:
            break
    while best and max(best) + 1 > least:
        squeezed = _squeeze(best, tests, capacity, dice)
        if squeezed is None:
            break
        best = squeezed
    numbers: dict[int, int] = {}
    return [numbers.setdefault(number, len(numbers)) for number in best]


def _fill(
    tests: Sequence[Set[Hashable]], capacity: Mapping[Hashable, int], dice: random.Random | None
) -> list[int]:
    rounds = [-1] * len(tests)
    waiting = list(range(len(tests)))
    load = Counter(resource for test in tests for resource in test)
    number = 0
    while waiting:
        if dice is not None:
            dice.shuffle(waiting)

        def urgency(test: int) -> tuple[float, float]:
            needs = [load[resource] / capacity.get(resource, 1) for resource in tests[test]]
            return max(needs, default=0.0), sum(needs)

        used: Counter[Hashable] = Counter()
        left = []
        # sorting keeps the (shuffled) order of equals
        for test in sorted(waiting, key=urgency, reverse=True):
            if all(used[resource] < capacity.get(resource, 1) for resource in tests[test]):
                used.update(tests[test])
                rounds[test] = number
            else:
                left.append(test)
        load.subtract(used)
        waiting = sorted(left)
        number += 1
    return rounds


def _squeeze(
    rounds: Sequence[int],
    tests: Sequence[Set[Hashable]],
    capacity: Mapping[Hashable, int],
    dice: random.Random,
) -> list[int] | None:
    """The same tests in one round less, or None where that wasn't found."""
    sizes = Counter(rounds)
    last = max(sizes)
    dissolved = min(sizes, key=lambda number: sizes[number])
    # the numbers of those that stay have no gap
    placed = [dissolved if number == last else number for number in rounds]
    waiting = [test for test, number in enumerate(rounds) if number == dissolved]
    at: list[dict[Hashable, set[int]]] = [defaultdict(set) for _ in range(last)]
    for test, number in enumerate(rounds):
        if number != dissolved:
            for resource in tests[test]:
                at[placed[test]][resource].add(test)
    # in an order of their own, which that of sets isn't: the same tests must give the same rounds
    needs = [sorted(resources, key=str) for resources in tests]
    pushed: Counter[int] = Counter()

    def in_the_way(test: int, number: int) -> set[int]:
        out: set[int] = set()
        for resource in needs[test]:
            there = at[number][resource]
            if len(there - out) >= capacity.get(resource, 1):
                out.add(min(there - out, key=lambda other: (pushed[other], other)))
        return out

    for _ in range(STEPS * len(tests)):
        if not waiting:
            return placed
        test = waiting.pop()
        choices = [in_the_way(test, number) for number in range(last)]
        costs = [sum(1 + pushed[other] for other in out) for out in choices]
        least = min(costs, default=None)
        if least is None:
            return None
        number = dice.choice([one for one, cost in enumerate(costs) if cost == least])
        for other in choices[number]:
            pushed[other] += 1
            for resource in tests[other]:
                at[number][resource].discard(other)
        waiting = [*choices[number], *waiting]
        placed[test] = number
        for resource in tests[test]:
            at[number][resource].add(test)
    return None
