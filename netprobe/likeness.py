"""How a throughput test was made, and how like that is to a transfer: which tests forecasts rest on.

A transfer is TCP, sends as fast as it may, with the windows that both systems choose, and alone in its
direction. A test that was told otherwise (a small window, a rate, to send both ways at once) gives another
quantity, which may be a tenth. Where a path has both, the unlike ones teach how far they are off, and no
more; they stand in, corrected by that, once no other test has come for a while.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from federation.errors import InputError
from federation.units import format_size, parse_bits_per_second, parse_size_bytes
from netprobe.measurement import Measurement
from netprobe.weights import LogSpread, log_spread

# A stream that gets this part of the window it was told to use, each round trip, is held down by it: what a
# window of another size would give, nobody knows. Above that the window had room to spare.
HELD_DOWN = 0.5
# Tests that are less alike stand in where they are newer than the newest of the others by more than this.
STAND_IN_SECONDS = 86_400.0
# The newest so many tests of a sort say how far they are off ...
MOST_PAIRS = 20
# ... to this half-width (natural logarithm) at best, and so much more for a single one.
FLOOR, ONE_PAIR = 0.02, 0.16


@dataclass(frozen=True, order=True)
class Sort:
    """Tests that were made alike, for what matters to their rate; the smaller, the more like a transfer.

    Who connects to whom (`reverse`) is none of it: the data flows the same way. `window_bytes` and
    `target_bits_per_second` are 0 where they held nothing down.
    """

    bidirectional: bool = False
    target_bits_per_second: float = 0.0
    window_bytes: float = 0.0
    # more streams than one: what they reach together is no less than what one does
    several: bool = False

    @property
    def plain(self) -> bool:
        """Whether nothing held it down that holds no transfer down."""
        return not (self.bidirectional or self.target_bits_per_second or self.window_bytes)

    @property
    def words(self) -> str:
        """E.g. "with a window of 64 KiB"."""
        found = ["of several streams"] if self.several else []
        if self.window_bytes:
            found.append(f"with a window of {format_size(self.window_bytes)}")
        if self.target_bits_per_second:
            found.append("of a given rate")
        if self.bidirectional:
            found.append("both ways at once")
        return " ".join(found) or "like transfers"


PLAIN, SEVERAL = Sort(), Sort(several=True)


def sort_of(test: Measurement, rtt_seconds: float) -> Sort:
    """`rtt_seconds`: of the test's path."""
    told, count = test.parameters, streams(test)
    if _TOLD.isdisjoint(told):
        return PLAIN if count == 1 else SEVERAL
    # each stream has a window, and a rate, of its own
    rate = test.figures.get("bits_per_second", 0.0) / count
    window = number(told, parse_size_bytes, "window_bytes", "window") or 0.0
    target = number(told, parse_bits_per_second, *_TARGETS) or 0.0
    return _sort(
        told.get("bidirectional") is True,
        target if rate >= HELD_DOWN * target else 0.0,
        window if rate * rtt_seconds / 8 >= HELD_DOWN * window else 0.0,
        count > 1,
    )


# one of each, for a mesh makes thousands of tests alike
_sort = lru_cache(maxsize=1024)(Sort)
_TARGETS = ("target_bits_per_second", "bitrate", "fq_rate")
_TOLD = frozenset(("bidirectional", "window_bytes", "window", *_TARGETS))


def streams(test: Measurement) -> int:
    """How many parallel connections a test used."""
    return int(test.parameters.get("streams") or test.parameters.get("parallel") or 1)


@dataclass(frozen=True)
class Alike:
    """The sort of a path's tests that is most like a transfer; the tests of that sort, and besides these
    those that stand in, newest first."""

    sort: Sort
    own: Sequence[Measurement]
    with_stand_ins: Sequence[Measurement]


def alike(tests: Sequence[Measurement], rtt_seconds: float) -> Alike:
    """What a forecast rests on, of a path's tests (newest first, not empty)."""
    sorts = [sort_of(test, rtt_seconds) for test in tests]
    if all(sort is PLAIN for sort in sorts):
        return Alike(PLAIN, tests, tests)
    best = min(sorts)
    own = [test for test, sort in zip(tests, sorts, strict=True) if sort == best]
    newest = own[0].started.timestamp()
    later = [
        test
        for test, sort in zip(tests, sorts, strict=True)
        if sort == best or test.started.timestamp() - newest > STAND_IN_SECONDS
    ]
    return Alike(best, own, later)


def newest_alike(
    tests: Iterable[Measurement], rtt_seconds: float, most: int
) -> tuple[Sort, list[Measurement]]:
    """The same sort, and the newest `most` tests of it, of tests newest first (none: no tests of PLAIN).

    No more of them are looked at than need be: nothing is more like a transfer than a plain test.
    """
    found: dict[Sort, list[Measurement]] = {}
    last: Sort | None = None
    some: list[Measurement] = []
    for test in tests:
        sort = sort_of(test, rtt_seconds)
        if sort is not last:
            last, some = sort, found.setdefault(sort, [])
        if len(some) < most:
            some.append(test)
        elif sort == PLAIN:
            break
    best = min(found, default=PLAIN)
    return best, found.get(best, [])


def offsets(
    tests: Sequence[Measurement], expected: Callable[[Measurement], float], best: Sort, rtt_seconds: float
) -> Mapping[Sort, LogSpread]:
    """How many times the rate of the sort `best` each other sort gives, of those among the tests (newest
    first).

    `expected`: natural logarithm of a test's own rate over what those of `best` gave by then.
    """
    found: dict[Sort, list[float]] = defaultdict(list)
    for test in tests:
        sort = sort_of(test, rtt_seconds)
        if sort != best and len(found[sort]) < MOST_PAIRS:
            found[sort].append(math.exp(expected(test)))
    return {
        sort: log_spread(ratios, [1.0] * len(ratios)).at_least(FLOOR + ONE_PAIR / len(ratios))
        for sort, ratios in found.items()
        if ratios
    }


def number(parameters: Mapping[str, Any], parse: Callable[[str], float], *names: str) -> float | None:
    """The first of these that is there, a number or text with a unit; what can't be read isn't there."""
    for name in names:
        value = parameters.get(name)
        if value is None or isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str) and (read := _read(parse, value)) is not None:
            return read
    return None


@lru_cache(maxsize=1024)
def _read(parse: Callable[[str], float], text: str) -> float | None:
    # the tests of a mesh are all told the same
    try:
        return float(parse(text))
    except (InputError, ValueError):
        return None
