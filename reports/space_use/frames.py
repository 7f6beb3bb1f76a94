"""The report's figures as tables: a row for each cloud, day, purse; units are in the columns' names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from reports.space_use.model import Reading
from reports.space_use.purses import burn
from reports.space_use.series import Basis, Series, ratio
from reports.space_use.waits import USUAL, Wait, pieces
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Amounts, Calendar, Sight
from reservations.free import full_until
from reservations.history.past import End
from reservations.occupancy import HOUR, Grid, size

ALL = "all together"
_ENDS = (End.ENDED, End.EARLY, End.UNKNOWN, End.FAILED, End.UNUSED, End.RUNNING)
_MIB = 1024


def clouds(
    reading: Reading, before: Sequence[Series], after: Sequence[Series], both: tuple[Series, Series]
) -> pd.DataFrame:
    """The fullest first; then all together."""
    rows: list[dict[str, Any]] = []
    for cloud, past, ahead in zip(reading.clouds, before, after, strict=True):
        calendar = cloud.calendar
        have = size(calendar) if calendar is not None else {}
        hosts = [host for host in calendar.hosts if host.bookable] if calendar is not None else []
        # of one that hides its hosts the size isn't known, rather than nothing
        shown = calendar is not None and (calendar.sight is Sight.ALL or any(have.values()))
        rows.append(
            {"cloud": reading.name(cloud), "site": cloud.site, "source": cloud.source}
            | _have(have, len(hosts) if shown else None)
            | _figures(past, ahead)
        )
    rows.sort(key=lambda row: -max(row["share_taken"] or 0.0, row["share_booked"] or 0.0))
    if len(rows) > 1:
        total: Counter[str] = Counter()
        for cloud in reading.clouds:
            total.update(size(cloud.calendar) if cloud.calendar is not None else {})
        hosts_in_all = sum(row["hosts"] or 0 for row in rows)
        rows.append(
            {"cloud": ALL, "site": None, "source": None} | _have(total, hosts_in_all) | _figures(*both)
        )
    return pd.DataFrame(rows)


def _have(have: Amounts, hosts: int | None) -> dict[str, Any]:
    known = hosts is not None
    return {
        "hosts": hosts,
        "cores": have.get(VCPU, 0) if known else None,
        "memory_gib": have.get(MEMORY_MB, 0) / _MIB if known else None,
        "gpus": have.get(PGPU, 0) if known else None,
    }


def _figures(past: Series, ahead: Series) -> dict[str, Any]:
    peak, next_peak = past.peak(), ahead.peak()
    return {
        "hours_known": int(past.known.sum()),
        "hours": past.grid.count,
        "at_least": bool((past.basis == Basis.AT_LEAST).any()),
        "share_taken": past.share(),
        "core_hours_taken": past.resource_hours(VCPU),
        "gib_hours_taken": _scaled(past.resource_hours(MEMORY_MB), 1 / _MIB),
        "gpu_hours_taken": past.resource_hours(PGPU),
        "share_of_memory_taken": past.share(MEMORY_MB),
        "share_of_gpus_taken": past.share(PGPU),
        "peak_share": peak[0] if peak else None,
        "peak_at": peak[1] if peak else pd.NaT,
        "share_booked": ahead.share(),
        "core_hours_booked": ahead.resource_hours(VCPU),
        "gib_hours_booked": _scaled(ahead.resource_hours(MEMORY_MB), 1 / _MIB),
        "gpu_hours_booked": ahead.resource_hours(PGPU),
        "booked_peak_share": next_peak[0] if next_peak else None,
        "booked_peak_at": next_peak[1] if next_peak else pd.NaT,
        "core_hours_ours": float(np.nansum(past.ours)) if past.known.any() else None,
    }


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def waiting(reading: Reading, found: Sequence[Wait]) -> pd.DataFrame:
    """A row for each cloud: of each usual need when it first fits, the seconds until then, and why not."""
    rows: dict[str, dict[str, Any]] = {reading.name(cloud): {} for cloud in reading.clouds}
    for wait in found:
        seconds = wait.seconds(reading.now)
        rows[wait.cloud] |= {
            f"{wait.usual.name}_from": pd.NaT if wait.start is None else wait.start,
            f"{wait.usual.name}_wait_seconds": seconds,
            f"{wait.usual.name}_why_not": wait.why or None,
        }
    frame = pd.DataFrame([{"cloud": name} | row for name, row in rows.items()])
    for usual in USUAL if len(frame) else ():
        # of columns without an instant pandas would make objects
        frame[f"{usual.name}_from"] = pd.to_datetime(frame[f"{usual.name}_from"], utc=True)
    return frame


def free_now(reading: Reading) -> pd.DataFrame:
    """What is free now, and in how many pieces; without the clouds that don't show it."""
    rows: list[dict[str, Any]] = []
    for cloud in reading.clouds:
        calendar = cloud.calendar
        if calendar is None or not size(calendar).get(VCPU):
            continue
        found = pieces(calendar, reading.now)
        until = None if found.cores else full_until(calendar, reading.now)
        rows.append(
            {
                "cloud": reading.name(cloud),
                "cores": size(calendar)[VCPU],
                "cores_free": found.cores,
                "largest_piece_cores": found.largest,
                "largest_piece_on": found.largest_host or None,
                "share_outside_largest": found.scattered,
                "hosts_with_some": found.hosts_with_some,
                "hosts_all_free": found.whole_hosts,
                "small_pieces": found.small,
                "full_until": pd.NaT if until is None else until,
            }
        )
    return pd.DataFrame(rows)


def days(all_series: Sequence[tuple[str, Series, Series]]) -> pd.DataFrame:
    """Each cloud's core-hours day by day (UTC), before and ahead; `hours_known` of 24."""
    rows: list[dict[str, Any]] = []
    for name, past, ahead in all_series:
        for series, when in ((past, "before"), (ahead, "ahead")):
            for day, at in by_day(series.grid):
                known = int(series.known[at].sum())
                rows.append(
                    {
                        "cloud": name,
                        "day": day,
                        "when": when,
                        "hours_known": known,
                        "at_least": bool((series.basis[at] == Basis.AT_LEAST).any()),
                        "core_hours_taken": float(np.nansum(series.taken[VCPU][at])) if known else None,
                        "core_hours": float(np.nansum(series.total[VCPU][at])) if known else None,
                        "share": ratio(np.nansum(series.taken[VCPU][at]), np.nansum(series.total[VCPU][at])),
                        "gib_hours_taken": float(np.nansum(series.taken[MEMORY_MB][at])) / _MIB
                        if known
                        else None,
                        "gpu_hours_taken": float(np.nansum(series.taken[PGPU][at])) if known else None,
                    }
                )
    return pd.DataFrame(rows)


def by_day(grid: Grid) -> Iterator[tuple[datetime, slice]]:
    """Each day that the grid has hours of, and which."""
    at = 0
    while at < grid.count:
        begin = grid.start + at * HOUR
        day = begin.replace(hour=0)
        following = min(grid.count, (day + timedelta(days=1) - grid.start) // HOUR)
        yield day, slice(at, following)
        at = following


def endings(reading: Reading) -> pd.DataFrame:
    """How the bookings of the time ended, as far as the sources know."""
    rows: list[dict[str, Any]] = []
    for cloud in reading.clouds:
        uses = cloud.past.uses if cloud.past is not None else ()
        counted = Counter(use.how for use in uses)
        over = [
            use
            for use in uses
            if use.how in (End.ENDED, End.EARLY) and use.end and use.asked_end and use.asked_end > use.start
        ]
        used = sum(((use.end or use.start) - use.start for use in over), timedelta(0))
        asked = sum(((use.asked_end or use.start) - use.start for use in over), timedelta(0))
        rows.append(
            {"cloud": reading.name(cloud), "bookings": len(uses) if cloud.past is not None else None}
            | {how.name.lower(): counted[how] if cloud.past is not None else None for how in _ENDS}
            | {
                "share_of_asked_time_used": used / asked if asked else None,
                "remark": cloud.problem,
            }
        )
    return pd.DataFrame(rows)


def purses(reading: Reading) -> pd.DataFrame:
    """What is left, and for how long."""
    rows: list[dict[str, Any]] = []
    for purse in reading.purses:
        account, pace = purse.account, burn(purse, reading.now)
        rows.append(
            {
                "site": reading.names.get(purse.site, purse.site),
                "purse": account.name,
                "unit": account.unit,
                "units_left": account.left,
                "units_granted": account.granted,
                "units_per_day": pace.per_day,
                "pace": pace.how,
                "lasts_until": pd.NaT if pace.lasts_until is None else pace.lasts_until,
                "valid_until": pd.NaT if account.end is None else account.end,
                "age_seconds": max((reading.now - account.known_at).total_seconds(), 0.0),
            }
        )
    return pd.DataFrame(rows)


def known(reading: Reading, before: Sequence[Series]) -> pd.DataFrame:
    """How whole and how old what is known is: a row for each way of booking, and for sources without any."""
    rows: list[dict[str, Any]] = []
    for cloud, past in zip(reading.clouds, before, strict=True):
        first = past.first_known()
        told = {
            "past_known_from": pd.NaT if first is None else first,
            "hours_recorded": int((past.basis == Basis.RECORD).sum()),
            "hours_remembered": int(((past.basis == Basis.SOURCE) | (past.basis == Basis.AT_LEAST)).sum()),
            "hours_unknown": int((past.basis == Basis.UNKNOWN).sum()),
        }
        shown: tuple[Calendar | None, ...] = cloud.calendars or (None,)
        for calendar in shown:
            rows.append(
                {
                    "cloud": reading.name(cloud),
                    "booked_as": None if calendar is None else calendar.kind,
                    "hosts": None if calendar is None else len(calendar.hosts),
                    "sight": None if calendar is None else calendar.sight.value,
                    "known_at": pd.NaT if calendar is None else calendar.known_at,
                    "age_seconds": None
                    if calendar is None
                    else max((reading.now - calendar.known_at).total_seconds(), 0.0),
                    "known_until": pd.NaT if calendar is None else calendar.until,
                }
                | told
            )
    return pd.DataFrame(rows)


def hour_of_week(series: Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    """7 days (from Monday on, UTC) x 24 hours: the mean share of cores taken, NaN where it isn't known."""
    taken, total = np.zeros((7, 24)), np.zeros((7, 24))
    for at, hour in enumerate(series.grid.hours):
        if series.known[at]:
            taken[hour.weekday(), hour.hour] += series.taken[VCPU][at]
            total[hour.weekday(), hour.hour] += series.total[VCPU][at]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, taken / total, np.nan)
