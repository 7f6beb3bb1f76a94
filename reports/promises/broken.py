"""Promised starts that were broken, as tables: which, and why."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from reports.document import Column, Table
from reports.promises import starts
from reports.promises.broker_tables import SITES_NAMED, late, number, when
from reports.promises.sessions import Promise
from reports.promises.starts import Start

BROKEN_SHOWN = 8


def broken(promises: Sequence[Promise], until: datetime) -> Table:
    """All accepted sessions, broken promises first: those that never started, then by how late they were."""
    accepted = [(one, starts.start_of(one, until)) for one in promises if one.accepted]
    ordered = sorted(accepted, key=lambda pair: _badness(*pair))
    frame = pd.DataFrame([_session(*pair) for pair in ordered])
    count = sum(start in starts.BROKEN for _, start in accepted)
    shown = min(count, BROKEN_SHOWN) or BROKEN_SHOWN
    rest = f"{count - shown:,} more broken ones, and all that were kept," if count > shown else "All others"
    return Table(
        "sessions",
        "The worst broken promises" if count else "No promised start was broken; the last to start",
        frame,
        (
            Column("session", "session", lambda uuid: uuid[:8]),
            Column("site", "site"),
            Column("promised_start", "promised (UTC)", when, numeric=True),
            Column("start", "start"),
            Column("late_seconds", "by", late, numeric=True),
            Column("why", "why"),
        ),
        printed=shown,
        shown=shown,
        rest=rest if count else "",
    )


def causes(promises: Sequence[Promise], until: datetime) -> Table:
    """What broke promised starts, how often and where: whom to ask about it."""
    counts: Counter[str] = Counter()
    sites: dict[str, Counter[str]] = defaultdict(Counter)
    for one in promises:
        start = starts.start_of(one, until)
        if one.accepted and start in starts.BROKEN:
            cause = starts.cause(one, start)
            counts[cause] += 1
            sites[cause][one.site] += 1
    rows = [
        (cause, count, ", ".join(f"{site} {n:,}" for site, n in sites[cause].most_common(SITES_NAMED)))
        for cause, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(
        "causes",
        "Why promised starts were broken",
        pd.DataFrame(rows, columns=["cause", "sessions", "sites"]),
        (
            Column("cause", "why"),
            Column("sessions", "sessions", number, numeric=True),
            Column("sites", "at"),
        ),
        printed=12,
        shown=50,
    )


_RANK = {Start.NEVER: 0, Start.OVERDUE: 1, Start.LATE: 2, Start.ON_TIME: 3}


def _badness(one: Promise, start: Start) -> tuple[int, float, str]:
    return (_RANK.get(start, 4), -(starts.lateness_seconds(one) or 0.0), one.uuid)


def _session(one: Promise, start: Start) -> dict[str, Any]:
    def known(value: float | None) -> float:
        return math.nan if value is None else value

    return {
        "session": one.uuid,
        "site": one.site,
        "rank": one.rank,
        "direct": one.direct,
        "phase": one.phase.value,
        "created": one.created,
        "promised_start": one.promised_start,
        "promised_within_seconds": one.start_within.total_seconds(),
        "started": pd.Timestamp(one.started) if one.started else pd.NaT,
        "start": start.value,
        "late_seconds": known(starts.lateness_seconds(one)),
        "preparation_seconds_p90": one.prepare_seconds,
        "preparation_seconds": known(starts.preparation_seconds(one)),
        "waited_seconds": known(starts.waited_seconds(one)),
        "duration_seconds_promised": one.duration.total_seconds(),
        "duration_seconds_used": known(starts.used_seconds(one)),
        "cores": one.cores,
        "memory_gib": one.memory_gib,
        "moves": one.moves,
        "why": starts.why(one, start) or None,
        "failed_by": starts.problem_words(one) or None,
    }
