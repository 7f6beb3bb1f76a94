"""A cloud's use hour by hour: what was taken as far as it is known, and what is booked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from reports.space_use.model import Cloud, Reading
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar
from reservations.history.past import Past
from reservations.history.record import HOSTS, Sample
from reservations.occupancy import HOUR, Grid, Hours, size, taken_by_hour

CLASSES = (VCPU, MEMORY_MB, PGPU)


class Basis(IntEnum):
    """What an hour's figures are made of."""

    UNKNOWN = 0
    # what a source remembers that may have forgotten some of it
    AT_LEAST = 1
    SOURCE = 2
    RECORD = 3
    BOOKED = 4


@dataclass(frozen=True)
class Series:
    """Hour by hour, from `grid.start` on: what there is and what is taken, by class; NaN: it isn't known.
    `basis` is of each hour (`Basis`), `ours` is cores."""

    grid: Grid
    total: Mapping[str, Hours]
    taken: Mapping[str, Hours]
    ours: Hours
    basis: npt.NDArray[np.int8]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        return self.basis > Basis.UNKNOWN

    def resource_hours(self, name: str) -> float | None:
        """Core-hours (MiB-hours, GPU-hours) taken in the hours that are known; None where none is."""
        return float(np.nansum(self.taken[name])) if self.known.any() else None

    def share(self, name: str = VCPU) -> float | None:
        """What was taken of what there was, over all hours that are known."""
        return ratio(np.nansum(self.taken[name]), np.nansum(self.total[name]))

    def shares(self, name: str = VCPU) -> Hours:
        """Hour by hour."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.taken[name] / self.total[name]
        return np.where(self.total[name] > 0, found, np.nan)

    def peak(self, name: str = VCPU) -> tuple[float, datetime] | None:
        """The fullest hour, the first of several; None where none is known."""
        shares = self.shares(name)
        if not np.isfinite(shares).any():
            return None
        at = int(np.nanargmax(shares))
        return float(shares[at]), self.grid.start + at * HOUR

    def first_known(self) -> datetime | None:
        found = np.flatnonzero(self.known)
        return self.grid.start + int(found[0]) * HOUR if len(found) else None


def ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def before(cloud: Cloud, reading: Reading) -> Series:
    """What was taken: by our own record where there is one, else as the source remembers it."""
    grid = Grid.of(reading.since, reading.now.replace(minute=0, second=0, microsecond=0))
    found = _unknown(grid)
    if cloud.past is not None and cloud.calendar is not None and size(cloud.calendar).get(VCPU):
        _remembered(found, cloud.past, cloud.calendar)
    _recorded(found, cloud.samples)
    return found


def after(cloud: Cloud, reading: Reading) -> Series:
    """What is booked from this hour on, as far ahead as the calendar says."""
    grid = Grid.of(reading.now, reading.ahead)
    found = _unknown(grid)
    calendar = cloud.calendar
    if calendar is None or not size(calendar).get(VCPU):
        return found
    shown = np.array([hour < calendar.until for hour in grid.hours], dtype=bool)
    taken, have = taken_by_hour(calendar, grid, CLASSES), size(calendar)
    for name in CLASSES:
        found.taken[name][shown] = taken[name][shown]
        found.total[name][shown] = have.get(name, 0)
    found.basis[shown] = Basis.BOOKED
    own = grid.spread(spans(calendar, VCPU, ours=True))
    found.ours[shown] = own[shown]
    return found


def spans(
    calendar: Calendar, name: str, ours: bool = False
) -> Iterable[tuple[datetime, datetime | None, float]]:
    """(start, end, amount) of each booking, those on hosts that can't be booked left out."""
    own = {host.id: host.amounts for host in calendar.hosts if host.bookable}
    for part in calendar.taken:
        if part.host in own and (part.ours is not None or not ours):
            amounts = own[part.host] if part.amounts is None else part.amounts
            yield part.start, part.end, float(amounts.get(name, 0))


def together(all_series: Sequence[Series]) -> Series:
    """The sum of several clouds, hour by hour of those that are known then."""
    grid = all_series[0].grid
    known = np.array([one.known for one in all_series])
    some = known.any(axis=0)

    def total(parts: Sequence[Hours]) -> Hours:
        return np.where(some, np.nansum(np.array(parts), axis=0), np.nan)

    # as sure as the least sure of those that are known
    basis = np.array([np.where(one.known, one.basis, Basis.BOOKED) for one in all_series]).min(axis=0)
    return Series(
        grid,
        {name: total([one.total[name] for one in all_series]) for name in CLASSES},
        {name: total([one.taken[name] for one in all_series]) for name in CLASSES},
        total([one.ours for one in all_series]),
        np.where(some, basis, Basis.UNKNOWN).astype(np.int8),
    )


def _unknown(grid: Grid) -> Series:
    def nothing() -> Hours:
        return np.full(grid.count, np.nan)

    return Series(
        grid,
        {name: nothing() for name in CLASSES},
        {name: nothing() for name in CLASSES},
        nothing(),
        np.zeros(grid.count, dtype=np.int8),
    )


def _remembered(found: Series, past: Past, calendar: Calendar) -> None:
    """The cloud is taken to have been as large as it is now. That a source which forgets remembers nothing at
    all says nothing."""
    if not past.whole and not past.uses:
        return
    grid, have = found.grid, size(calendar)
    inside = np.array([past.since < hour + HOUR and hour < past.until for hour in grid.hours], dtype=bool)
    for name in CLASSES:
        taken = grid.spread((use.start, use.end, float(use.amounts.get(name, 0))) for use in past.uses)
        most = float(have.get(name, 0))
        found.taken[name][inside] = np.minimum(taken, most)[inside]
        found.total[name][inside] = most
    own = grid.spread(
        (use.start, use.end, float(use.amounts.get(VCPU, 0))) for use in past.uses if use.ours is not None
    )
    found.ours[inside] = own[inside]
    found.basis[inside] = Basis.SOURCE if past.whole else Basis.AT_LEAST


def _recorded(found: Series, samples: Iterable[Sample]) -> None:
    """What was seen in an hour stands for the hour."""
    for sample in samples:
        at = (sample.hour - found.grid.start) // HOUR
        if sample.resource == HOSTS or not 0 <= at < found.grid.count:
            continue
        found.taken[sample.resource][at] = sample.taken
        found.total[sample.resource][at] = sample.total
        if sample.resource == VCPU:
            found.ours[at] = sample.ours
            found.basis[at] = Basis.RECORD
