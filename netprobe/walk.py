"""Going through a path's tests as they came: what each forecaster of the bank would have said, and how wrong.

From that come the forecaster to use now, its errors (for a calibrated interval), and the change points. The
forecaster is chosen by what would really have been said: a change counts from when it was recognised. The
errors for the interval are those of the chosen ones, with one difference: tests after a change are forecast
without those before it. So each change surprises once, as it will next time, and not again until it was
recognised.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache

from netprobe.bank import BANK
from netprobe.changes import changes
from netprobe.conformal import Miss

# Errors that each forecaster must have before one is chosen by them.
LEAST_SCORED = 8
# Forecasts from fewer tests than this are no measure of those from more.
LEAST_KNOWN = 3
# An error counts half after so many newer ones: what was best last month need not be.
HALF_LIFE_SCORED = 25.0
# A later member of the bank must be better than an earlier one by this much.
MARGIN = 0.02


@dataclass(frozen=True)
class Said:
    """A forecast of the next test: natural logarithm, by which member of the bank, from which tests on."""

    value: float
    member: int
    first: int


@dataclass(frozen=True)
class Walk:
    """A path's tests, oldest first (seconds; natural logarithms of bit/s), and what going through them
    taught.

    `chosen[i]` is the member of the bank to use when i tests are known, `errors` the weighted mean absolute
    error of every member, `scored` of how many forecasts. `misses` are the errors of what was chosen each
    time.
    """

    times: tuple[float, ...]
    values: tuple[float, ...]
    starts: tuple[int, ...]
    chosen: tuple[int, ...]
    errors: tuple[float, ...]
    misses: tuple[Miss, ...]

    @property
    def scored(self) -> int:
        return len(self.misses)

    def at(self, now: float) -> Said:
        """What to expect at `now`, by the tests until then; by the first one where there is none yet."""
        known = max(bisect_right(self.times, now), 1)
        return self._said(known, now)

    def _said(self, known: int, now: float) -> Said:
        member = self.chosen[known]
        first = 0 if BANK[member].across_changes else _level_start(self.starts, known)
        value = BANK[member].predict(self.times[first:known], self.values[first:known], now)
        return Said(value, member, first)


@lru_cache(maxsize=1024)
def walk(times: tuple[float, ...], values: tuple[float, ...]) -> Walk:
    """Go through a path's tests. `times` in seconds, ascending; `values` natural logarithms, at least one."""
    found = changes(values)
    starts = tuple(change.start for change in found)
    decay = 0.5 ** (1 / HALF_LIFE_SCORED)
    sums, weight = [0.0] * len(BANK), 0.0
    chosen = [0, 0]
    misses = []
    for known in range(1, len(values)):
        when, now = times[known], values[known]
        first = _level_start(tuple(change.start for change in found if change.known <= known), known)
        for number, member in enumerate(BANK):
            begin = 0 if member.across_changes else first
            said = member.predict(times[begin:known], values[begin:known], when)
            sums[number] = decay * sums[number] + abs(now - said)
        if known >= LEAST_KNOWN:
            member = BANK[chosen[known]]
            begin = 0 if member.across_changes else _level_start(starts, known)
            said = member.predict(times[begin:known], values[begin:known], when)
            misses.append(Miss(when, now - said))
        weight = decay * weight + 1.0
        chosen.append(_best(sums) if known >= LEAST_SCORED else 0)
    errors = tuple(total / weight if weight else 0.0 for total in sums)
    return Walk(times, values, starts, tuple(chosen), errors, tuple(misses))


def _level_start(starts: tuple[int, ...], known: int) -> int:
    """Where the level begins in which the test before index `known` is."""
    before = bisect_left(starts, known)
    return starts[before - 1] if before else 0


def _best(sums: list[float]) -> int:
    """The simplest member that is nearly as good as the best one."""
    limit = min(sums) * (1 + MARGIN)
    return next(number for number, total in enumerate(sums) if total <= limit)
