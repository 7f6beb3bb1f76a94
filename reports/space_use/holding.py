"""Who holds what of the clouds, and on which hosts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from reports.space_use.model import Cloud, Reading
from reports.space_use.series import Series, ratio
from reservations.calendar import PGPU, VCPU
from reservations.history.past import Use
from reservations.occupancy import HOUR, Grid, amounts_of, taken_of_host

OURS, HIDDEN, UNRECORDED = "ours", "not shown", "not recorded by whom"
_HELD = ("core_hours_taken", "gpu_hours_taken", "core_hours_booked", "gpu_hours_booked")
Span = tuple[datetime, datetime | None, float]


def holders(reading: Reading, before: Sequence[Series], after: Sequence[Series]) -> pd.DataFrame:
    """Who held how much and will: the largest first."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: dict.fromkeys(_HELD, 0.0))
    for cloud, past, ahead in zip(reading.clouds, before, after, strict=True):
        name = reading.name(cloud)
        for who, key, amount in (*_held(cloud, past), *_booked(cloud, ahead.grid)):
            found[name, who][key] += amount
    rows = [
        {"cloud": cloud, "holder": who, **held} for (cloud, who), held in found.items() if any(held.values())
    ]
    frame = pd.DataFrame(rows, columns=["cloud", "holder", *_HELD])
    frame["all"] = frame["core_hours_taken"] + frame["core_hours_booked"]
    order = frame.sort_values(["all", "cloud", "holder"], ascending=[False, True, True], kind="stable")
    return order.drop(columns="all").reset_index(drop=True)


def _held(cloud: Cloud, past: Series) -> Iterator[tuple[str, str, float]]:
    grid = past.grid
    if cloud.past is not None:
        for use in cloud.past.uses:
            hours = _overlap(use.start, use.end, grid)
            who = OURS if use.ours is not None else use.holder or HIDDEN
            yield who, "core_hours_taken", hours * use.amounts.get(VCPU, 0)
            yield who, "gpu_hours_taken", hours * use.amounts.get(PGPU, 0)
    elif past.known.any():
        ours = float(np.nansum(past.ours))
        yield OURS, "core_hours_taken", ours
        yield UNRECORDED, "core_hours_taken", (past.resource_hours(VCPU) or 0.0) - ours
        yield UNRECORDED, "gpu_hours_taken", past.resource_hours(PGPU) or 0.0


def _booked(cloud: Cloud, grid: Grid) -> Iterator[tuple[str, str, float]]:
    calendar = cloud.calendar
    own = {host.id: host.amounts for host in calendar.hosts if host.bookable} if calendar is not None else {}
    for part in calendar.taken if calendar is not None else ():
        if part.host not in own:
            continue
        hours, amounts = _overlap(part.start, part.end, grid), amounts_of(part, own)
        who = OURS if part.ours is not None else part.holder or HIDDEN
        yield who, "core_hours_booked", hours * amounts.get(VCPU, 0)
        yield who, "gpu_hours_booked", hours * amounts.get(PGPU, 0)


def _overlap(start: datetime, end: datetime | None, grid: Grid) -> float:
    last = grid.end if end is None else min(end, grid.end)
    return max((last - max(start, grid.start)) / HOUR, 0.0)


def hosts(reading: Reading, before: Sequence[Series], after: Sequence[Series]) -> pd.DataFrame:
    """Each host's share of cores taken, as far as the source tells it of the past, and booked."""
    rows: list[dict[str, Any]] = []
    for cloud, past, ahead in zip(reading.clouds, before, after, strict=True):
        calendar = cloud.calendar
        if calendar is None:
            continue
        told = _by_host(cloud, past.grid)
        for host in calendar.hosts:
            cores = host.amounts.get(VCPU, 0)
            if not cores:
                continue
            booked = taken_of_host(calendar, host.id, ahead.grid, VCPU)
            rows.append(
                {
                    "cloud": reading.name(cloud),
                    "host": host.name,
                    "cores": cores,
                    "gpus": host.amounts.get(PGPU, 0),
                    "bookable": host.bookable,
                    "share_taken": None
                    if told is None
                    else _of_host(told.get(host.id, []), cores, past.grid),
                    "share_booked": ratio(float(booked.sum()), cores * ahead.grid.count)
                    if host.bookable
                    else None,
                }
            )
    frame = pd.DataFrame(rows)
    return (
        frame
        if frame.empty
        else frame.sort_values(
            ["share_taken", "share_booked"], ascending=False, na_position="last", kind="stable"
        )
    )


def _by_host(cloud: Cloud, grid: Grid) -> dict[str, list[Span]] | None:
    """What the source tells of each host; None where it doesn't tell on which hosts things were."""
    uses: tuple[Use, ...] = cloud.past.uses if cloud.past is not None else ()
    if cloud.past is None or any(use.amounts and not use.hosts for use in uses):
        return None
    found: dict[str, list[Span]] = defaultdict(list)
    for use in uses:
        for host, amounts in use.hosts.items():
            found[host].append((use.start, use.end, float(amounts.get(VCPU, 0))))
    return found


def _of_host(spans: Sequence[Span], cores: int, grid: Grid) -> float | None:
    return ratio(float(np.minimum(grid.spread(spans), cores).sum()), cores * grid.count)
