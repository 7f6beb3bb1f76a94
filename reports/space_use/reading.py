"""Reads all that the report is made of: calendars that are known, the sources' past, our own record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import sqlalchemy as sa

from federation.errors import FairleadError
from federation.sites import Federation
from reports.space_use.model import Cloud, Purse, Reading
from reservations.counted import counted
from reservations.credits import Account
from reservations.history.past import Past
from reservations.history.record import Sample, recorded, recorded_purses
from reservations.snapshots import Known
from reservations.sources import Placed, Remembering

_AT_ONCE = 16


def read(
    known: Sequence[Known],
    sources: Iterable[Placed],
    engine: sa.Engine,
    federation: Federation,
    times: tuple[datetime, datetime, datetime],
    accounts: Mapping[str, Sequence[Account]],
    remarks: Sequence[str] = (),
) -> Reading:
    """All that is known of the sites that `known` is of. `times` are since when, now, and until when ahead;
    `accounts` are the purses by site. Blocks while it asks the sources for their past; where one can't be
    asked, the report says so."""
    since, now, ahead = times
    sites = {one.site: one for one in known}
    placed = [each for each in sources if each.site in sites]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="past") as pool:
        pasts = list(pool.map(lambda each: _past(each, since, now), placed))
    samples: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in recorded(engine, since, now):
        samples.setdefault((sample.site, sample.source, sample.kind), []).append(sample)
    clouds: dict[tuple[str, str], Cloud] = {}
    for each, (past, problem) in zip(placed, pasts, strict=True):
        name = each.space.source
        calendars = tuple(one for one in sites[each.site].calendars if one.source == name)
        before = clouds.get((each.site, name))
        if before is not None:  # two tables of a site that name the same source
            past, problem = _both(before.past, past), before.problem or problem
        calendar = counted(calendars)
        kept = (
            samples.get((each.site, name, calendar.kind), [])
            if calendar is not None
            else _only(samples, each)
        )
        clouds[each.site, name] = Cloud(each.site, name, calendars, calendar, past, tuple(kept), problem)
    history = recorded_purses(engine, since, now)
    return Reading(
        since,
        now,
        ahead,
        tuple(clouds.values()),
        {site.id: site.name for site in federation},
        tuple(
            Purse(
                site,
                account,
                tuple(one for one in history if (one.site, one.purse) == (site, account.name)),
            )
            for site, found in accounts.items()
            for account in found
        ),
        tuple(dict.fromkeys([*(remark for one in known for remark in one.remarks), *remarks])),
    )


def _past(placed: Placed, since: datetime, now: datetime) -> tuple[Past | None, str | None]:
    if not isinstance(placed.source, Remembering):
        return None, "this source knows the present only"
    try:
        return placed.source.past(since, now), None
    except FairleadError as error:
        return None, str(error)


def _both(one: Past | None, other: Past | None) -> Past | None:
    if one is None or other is None:
        return one or other
    return Past(
        one.uses + other.uses,
        max(one.since, other.since),
        min(one.until, other.until),
        one.whole and other.whole,
        tuple(dict.fromkeys(one.remarks + other.remarks)),
    )


def _only(samples: Mapping[tuple[str, str, str], list[Sample]], placed: Placed) -> list[Sample]:
    """Of a source that can't be asked now: what was recorded, if that is of one kind alone."""
    found = [
        rows
        for (site, source, _), rows in samples.items()
        if (site, source) == (placed.site, placed.space.source)
    ]
    return found[0] if len(found) == 1 else []
