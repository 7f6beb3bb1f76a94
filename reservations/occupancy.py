"""How much of a cloud is taken, hour by hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from reservations.calendar import Amounts, Calendar, Taken
from reservations.free import FreeStep, free_steps, total_free_steps

Hours = npt.NDArray[np.float64]
HOUR = timedelta(hours=1)


def hour_of(instant: datetime) -> datetime:
    """The whole hour (UTC) that an instant is in."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hours_between(start: datetime, end: datetime) -> int:
    """How many hours, rounded up, none where the end isn't after the start."""
    return max(0, -((start - end) // HOUR))


@dataclass(frozen=True)
class Grid:
    """So many hours from `start` on, which is a whole hour."""

    start: datetime
    count: int

    @classmethod
    def of(cls, start: datetime, end: datetime) -> Grid:
        """All hours that [start, end) has a part of."""
        first = hour_of(start)
        return cls(first, hours_between(first, end))

    @property
    def end(self) -> datetime:
        return self.start + self.count * HOUR

    @property
    def hours(self) -> list[datetime]:
        """When each begins."""
        return [self.start + number * HOUR for number in range(self.count)]

    def spread(self, spans: Iterable[tuple[datetime, datetime | None, float]]) -> Hours:
        """The mean in each hour of what spans (start, end, amount) sum up to; `end` None: for ever.

        Exact: a span counts for the part of an hour that it covers. O(hours + spans).
        """
        rows = [
            ((start - self.start) / HOUR, self.count if end is None else (end - self.start) / HOUR, amount)
            for start, end, amount in spans
            if amount and (end is None or end > start)
        ]
        if not rows or not self.count:
            return np.zeros(self.count)
        begin, finish, amount = np.array(rows).T
        begin, finish = np.clip(begin, 0, self.count), np.clip(finish, 0, self.count)
        return self._ramp(begin, amount) - self._ramp(finish, amount)

    def _ramp(self, at: Hours, amount: Hours) -> Hours:
        """The mean in each hour of steps of `amount` at `at`, each of which stays for ever."""
        whole = np.minimum(at.astype(np.int64), self.count - 1)
        part = at - whole
        step = np.zeros(self.count + 1)
        np.add.at(step, whole, amount * (1 - part))
        np.add.at(step, whole + 1, amount * part)
        return np.asarray(np.cumsum(step)[: self.count])


def size(calendar: Calendar) -> dict[str, int]:
    """What there is that can be booked, by class; host by host summed up."""
    found: dict[str, int] = {}
    for host in calendar.hosts:
        for name, amount in host.amounts.items() if host.bookable else ():
            found[name] = found.get(name, 0) + amount
    return found


def taken_by_hour(calendar: Calendar, grid: Grid, names: Sequence[str]) -> Mapping[str, Hours]:
    """The mean of each hour of what is taken of these classes. A host is never more than full, and what can't
    be booked is not there."""
    return _taken(total_free_steps(calendar, grid.start, grid.end), size(calendar), grid, names)


def taken_of_host(calendar: Calendar, host: str, grid: Grid, name: str) -> Hours:
    """Likewise, of one host (id) and class."""
    own = next(each for each in calendar.hosts if each.id == host)
    have = own.amounts if own.bookable else {}
    return _taken(free_steps(calendar, host, grid.start, grid.end), have, grid, [name])[name]


def _taken(steps: Sequence[FreeStep], have: Amounts, grid: Grid, names: Sequence[str]) -> dict[str, Hours]:
    return {
        name: grid.spread(
            (step.start, step.end, float(have.get(name, 0) - step.amounts.get(name, 0))) for step in steps
        )
        for name in names
    }


def amounts_of(taken: Taken, own: Mapping[str, Amounts]) -> Amounts:
    """What a booking takes of its host; `own`: what each host (id) has."""
    return own.get(taken.host, {}) if taken.amounts is None else taken.amounts
