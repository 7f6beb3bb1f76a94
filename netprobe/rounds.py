"""Conflict-free rounds: which tests may run at the same time.

A host that takes part in two throughput tests at once, as sender or as receiver, measures its own share of
itself. So the tests of a round share no host: the rounds are a proper edge colouring of the multigraph whose
vertices are hosts and whose edges are tests. By Vizing's theorem max degree + max multiplicity colours are
enough; the proof by fans (Berge and Fournier 1991) is the algorithm here, begun with
max degree colours, the least possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

Host = TypeVar("Host", bound=Hashable)


def colour(pairs: Sequence[tuple[Host, Host]], most_at_once: int | None = None) -> list[int]:
    """A colour (0, 1, ...) for each pair, so that pairs that share a host differ.

    At most `most_at_once` pairs have one colour (None: no limit). The number of colours is at most
    max(degree + multiplicity, ceil(pairs / most_at_once)), where degree is the largest number of pairs of one
    host, and multiplicity the largest number of pairs between the same two hosts, in either direction.
    Raises ValueError for a pair of a host with itself.
    """
    if any(one == other for one, other in pairs):
        raise ValueError("a test needs two hosts")
    if most_at_once is not None and most_at_once < 1:
        raise ValueError(f"at least one test at once, not {most_at_once}")
    colouring = _Colouring(pairs)
    for edge in range(len(pairs)):
        colouring.add(edge)
    if most_at_once is not None:
        colouring.level(most_at_once)
    # numbers without gaps, in the order in which the pairs were given
    numbers: dict[int, int] = {}
    return [numbers.setdefault(colouring.colours[edge], len(numbers)) for edge in range(len(pairs))]


class _Colouring:
    """A partial proper colouring. `at[host][colour]` is the edge of that colour at the host."""

    def __init__(self, pairs: Sequence[tuple[Host, Host]]) -> None:
        self.pairs: Sequence[tuple[Hashable, Hashable]] = pairs
        self.colours: dict[int, int] = {}
        self.at: dict[Hashable, dict[int, int]] = defaultdict(dict)
        degree: dict[Hashable, int] = defaultdict(int)
        for pair in pairs:
            for host in pair:
                degree[host] += 1
        self.count = max(degree.values(), default=0)

    def add(self, edge: int) -> None:
        """Colour one more edge; opens a new colour only where the fan finds none."""
        hub = self.pairs[edge][0]
        while not self._by_fan(hub, edge):
            self.count += 1

    def _by_fan(self, hub: Hashable, edge: int) -> bool:
        fan = self._fan(hub, edge)
        if self._shift(hub, fan):
            return True
        free_at_hub = self._free(hub)
        # two rims of the fan that lack the same colour: swap one's chain, so that it lacks what the hub lacks
        lacking: dict[int, Hashable] = {}
        for leaf, _ in fan:
            rim = self._other(leaf, hub)
            for lack in self._free(rim):
                first = lacking.setdefault(lack, rim)
                if first != rim and free_at_hub:
                    spare = min(free_at_hub)
                    chain, end = self._chain(rim, spare, lack)
                    if end == hub:
                        chain, _ = self._chain(first, spare, lack)
                    self._swap(chain, spare, lack)
                    return self._shift(hub, self._fan(hub, edge))
        return False

    def _fan(self, hub: Hashable, edge: int) -> list[tuple[int, int | None]]:
        """Edges at the hub, each with the index of one before it whose rim lacks its colour."""
        fan: list[tuple[int, int | None]] = [(edge, None)]
        inside = {edge}
        for index, (leaf, _) in enumerate(fan):  # grows as it goes
            for lack in sorted(self._free(self._other(leaf, hub))):
                following = self.at[hub].get(lack)
                if following is not None and following not in inside:
                    inside.add(following)
                    fan.append((following, index))
        return fan

    def _shift(self, hub: Hashable, fan: list[tuple[int, int | None]]) -> bool:
        """Where a rim and the hub lack the same colour, use it there and hand the colours down the fan."""
        free_at_hub = self._free(hub)
        for index, (leaf, _) in enumerate(fan):
            common = free_at_hub & self._free(self._other(leaf, hub))
            if common:
                new, step = min(common), index
                while True:
                    edge, parent = fan[step]
                    old = self.colours.get(edge)
                    self._set(edge, new)
                    if old is None or parent is None:
                        return True
                    new, step = old, parent
        return False

    def _chain(self, start: Hashable, one: int, two: int) -> tuple[list[int], Hashable]:
        """The path of alternating colours from `start`, which lacks `two`, and where it ends."""
        chain, host, want = [], start, one
        while (edge := self.at[host].get(want)) is not None:
            chain.append(edge)
            host = self._other(edge, host)
            want = two if want == one else one
        return chain, host

    def _swap(self, chain: Sequence[int], one: int, two: int) -> None:
        old = {edge: self.colours[edge] for edge in chain}
        for edge in chain:
            self._clear(edge)
        for edge, was in old.items():
            self._set(edge, two if was == one else one)

    def level(self, most: int) -> None:
        """Even out the sizes of the colours until none has more than `most` edges.

        Two colours together are paths and even rings; a path with one more edge of the larger colour exists
        wherever the sizes differ by two, and swapping it moves one edge over.
        """
        self.count = max(self.count, -(-len(self.pairs) // most))
        members: list[set[int]] = [set() for _ in range(self.count)]
        for edge, number in self.colours.items():
            members[number].add(edge)
        while members and len(max(members, key=len)) > most:
            large = max(range(self.count), key=lambda number: len(members[number]))
            small = min(range(self.count), key=lambda number: len(members[number]))
            chain = self._surplus(large, small, sorted(members[large]))
            self._swap(chain, large, small)
            for edge in chain:
                members[large].discard(edge)
                members[small].discard(edge)
                members[self.colours[edge]].add(edge)

    def _surplus(self, large: int, small: int, edges: Sequence[int]) -> list[int]:
        for edge in edges:
            for host in self.pairs[edge]:
                if small not in self.at[host]:
                    chain, _ = self._chain(host, large, small)
                    if len(chain) % 2:
                        return chain
        raise AssertionError("two matchings whose sizes differ have a path that evens them out")

    def _free(self, host: Hashable) -> set[int]:
        return set(range(self.count)) - self.at[host].keys()

    def _other(self, edge: int, host: Hashable) -> Hashable:
        one, other = self.pairs[edge]
        return other if host == one else one

    def _clear(self, edge: int) -> None:
        old = self.colours.pop(edge, None)
        for host in self.pairs[edge]:
            if old is not None and self.at[host].get(old) == edge:
                del self.at[host][old]

    def _set(self, edge: int, new: int) -> None:
        # a neighbour may have taken the old colour already, while a fan is handed down
        self._clear(edge)
        self.colours[edge] = new
        for host in self.pairs[edge]:
            self.at[host][new] = edge
