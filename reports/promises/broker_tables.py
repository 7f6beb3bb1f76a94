"""What the broker promised and what came true, as tables."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import pandas as pd

from broker.model import Phase
from federation.units import format_price, format_seconds, format_size
from reports.document import Column, Table
from reports.promises import scoring, starts
from reports.promises.sessions import Asked, Promise

SITES_NAMED = 4


def when(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def number(value: float) -> str:
    return f"{value:,.0f}"


def day(value: datetime) -> str:
    return f"{value:%Y-%m-%d}"


def price(value: float) -> str:
    """As everywhere, with its thousands apart."""
    return f"{value:,.2f}" if value >= 1000 else format_price(value)


def tenths(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def late(seconds: float) -> str:
    return f"{format_seconds(-seconds)} early" if seconds < 0 else f"{format_seconds(seconds)} late"


def sites(promises: Sequence[Promise], until: datetime) -> Table:
    """What became of each site's offers, starts and preparations; the most accepted first."""
    rows = [{"site": site, **_site(some, until)} for site, some in by_site(promises)]
    return Table(
        "sites",
        "Promises by site",
        pd.DataFrame(rows),
        (
            Column("site", "site"),
            Column("offers", "offers", number, numeric=True),
            Column("accepted", "accepted", number, numeric=True),
            Column("on_time", "started on time"),
            Column("late_seconds_p50", "start, usually", late, numeric=True),
            Column("late_seconds_p90", "nine in ten by", late, numeric=True),
            Column("prepared_in_time", "prepared in time"),
            Column("waited_seconds_p90", "waited, nine in ten", format_seconds, numeric=True),
            Column("longest_queue", "longest queue", number, numeric=True),
        ),
    )


def uses(promises: Sequence[Promise]) -> Table:
    """What each site's sessions used, and how they ended."""
    frame = pd.DataFrame([{"site": site, **_use(some)} for site, some in by_site(promises)])
    columns = (
        Column("site", "site"),
        Column("completed", "completed", number, numeric=True),
        Column("failed", "failed", number, numeric=True),
        Column("cancelled", "cancelled", number, numeric=True),
        Column("core_hours_promised", "core-h promised", tenths, numeric=True),
        Column("core_hours_used", "used", tenths, numeric=True),
        Column("moved_bytes", "data brought", format_size, numeric=True),
        Column("money_promised", "money", price, numeric=True),
        Column("credits_promised", "credits", tenths, numeric=True),
        Column("credits_charged", "charged", tenths, numeric=True),
    )
    # what no site has takes no room
    known = tuple(one for one in columns if frame[one.key].notna().any())
    return Table("use", "Use by site", frame, known)


def by_site(promises: Sequence[Promise]) -> list[tuple[str, list[Promise]]]:
    found: dict[str, list[Promise]] = defaultdict(list)
    for one in promises:
        found[one.site].append(one)
    return sorted(found.items(), key=lambda item: (-sum(one.accepted for one in item[1]), item[0]))


def _site(promises: Sequence[Promise], until: datetime) -> dict[str, Any]:
    accepted = [one for one in promises if one.accepted]
    kept, ready = starts.kept(accepted, until), starts.prepared_in_time(accepted)
    lateness = [starts.lateness_seconds(one) for one in accepted]
    waits = [starts.waited_seconds(one) for one in accepted]
    return {
        "offers": sum(not one.direct for one in promises),
        "accepted": len(accepted),
        "due": kept.count,
        "on_time_share": kept.value,
        "on_time": kept.words if kept.count else None,
        "late_seconds_p50": starts.quantile(lateness, 0.5),
        "late_seconds_p90": starts.quantile(lateness, 0.9),
        "prepared": ready.count,
        "prepared_in_time_share": ready.value,
        "prepared_in_time": ready.words if ready.count else None,
        "waited_seconds_p50": starts.quantile(waits, 0.5),
        "waited_seconds_p90": starts.quantile(waits, 0.9),
        "longest_queue": starts.longest_queue(accepted),
    }


def _use(promises: Sequence[Promise]) -> dict[str, Any]:
    accepted = [one for one in promises if one.accepted]
    used = starts.use(accepted)
    phases = Counter(one.phase for one in accepted)
    return {
        "completed": phases[Phase.COMPLETED],
        "failed": phases[Phase.FAILED],
        "cancelled": phases[Phase.CANCELLED],
        "core_hours_promised": used.promised,
        "core_hours_used": used.used,
        # what was never all there isn't counted: how much of it was moved isn't known
        "moved_bytes": sum(one.move_bytes for one in accepted if one.prepared is not None),
        "money_promised": sum(one.money for one in accepted),
        "credits_promised": _sum([one.credits for one in accepted]),
        "credits_charged": _sum([one.charged for one in accepted]),
    }


def _sum(values: Sequence[float | None]) -> float:
    """NaN where none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else math.nan


def reasons(asked: Sequence[Asked]) -> Table:
    """How many requests were answered NO for each reason, wherever; one NO may have many."""
    no = sum(not one.yes for one in asked)
    counts = Counter(kind for one in asked for kind in {kind for _, kind in one.refusals})
    of_sites = Counter(reason for one in asked for reason in one.refusals)
    rows = []
    for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        where = sorted((-n, site) for (site, each), n in of_sites.items() if each == kind and site)
        named = [f"{site} {-n:,}" for n, site in where[:SITES_NAMED]]
        more = [f"{len(where) - SITES_NAMED} more"] if len(where) > SITES_NAMED else []
        rows.append((kind, starts.kind_title(kind), count, count / no, ", ".join([*named, *more]) or None))
    return Table(
        "reasons",
        "Why requests were answered NO",
        pd.DataFrame(rows, columns=["kind", "reason", "requests", "share_of_no", "sites"]),
        (
            Column("reason", "reason"),
            Column("requests", "requests", number, numeric=True),
            Column("share_of_no", "of all NO", scoring.percent, numeric=True),
            Column("sites", "at"),
        ),
        "A NO has reasons at every site, and counts for each. Without a site: it is in the request itself.",
        printed=15,
    )


def refusals(asked: Sequence[Asked]) -> Table:
    """The same for each site."""
    counts = Counter(reason for one in asked for reason in one.refusals if reason[0])
    no = sum(not one.yes for one in asked)
    rows = [
        (site, kind, starts.kind_title(kind), count, count / no)
        for (site, kind), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(
        "refusals",
        "And at which site",
        pd.DataFrame(rows, columns=["site", "kind", "reason", "requests", "share_of_no"]),
        (
            Column("site", "site"),
            Column("reason", "reason"),
            Column("requests", "requests", number, numeric=True),
            Column("share_of_no", "of all NO", scoring.percent, numeric=True),
        ),
        printed=10,
        shown=50,
    )


def fates(promises: Sequence[Promise]) -> Table:
    """What became of the offers."""
    taken = {one.offerset for one in promises if one.accepted}
    counts = Counter(_fate(one, one.offerset in taken) for one in promises if not one.direct)
    return _counted("offers", "What became of offers", "offers", counts)


def _fate(one: Promise, set_taken: bool) -> str:
    if one.phase is Phase.OFFERED:
        return "still open"
    if one.phase is Phase.EXPIRED:
        return "expired: nobody took one of its set"
    if one.phase is Phase.REJECTED:
        return "given up for another of its set" if set_taken else "rejected by the user"
    return "accepted"


def ranks(promises: Sequence[Promise]) -> Table:
    """Which of the offers of a set was accepted: 1 is the one that the broker thought best."""
    sizes = Counter(one.offerset for one in promises if not one.direct)
    accepted = Counter(one.rank for one in promises if one.accepted and not one.direct)
    total = sum(accepted.values())
    rows = [
        (rank, sum(size >= rank for size in sizes.values()), accepted[rank], accepted[rank] / total)
        for rank in range(1, max(accepted, default=0) + 1)
    ]
    return Table(
        "ranks",
        "Which offer was accepted",
        pd.DataFrame(rows, columns=["rank", "sets_with_one", "accepted", "share"]),
        (
            Column("rank", "rank", str, numeric=True),
            Column("sets_with_one", "answers with so many", number, numeric=True),
            Column("accepted", "accepted", number, numeric=True),
            Column("share", "of all accepted", scoring.percent, numeric=True),
        ),
    )


def ends(promises: Sequence[Promise]) -> Table:
    """How accepted sessions ended, and why where they failed."""
    counts: Counter[str] = Counter()
    for one in promises:
        if one.accepted:
            going = one.phase not in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
            words = "going on" if going else one.phase.value.lower()
            counts[f"{words}: {starts.problem_words(one)}" if one.problem else words] += 1
    return _counted("ends", "How sessions ended", "sessions", counts)


def leases(promises: Sequence[Promise]) -> Table:
    """What became of the reservations that sessions got at their sites' clouds."""
    rows = []
    for site, some in by_site([one for one in promises if one.lease is not None]):
        kinds = Counter(one.problem[0] for one in some if one.problem is not None)
        made = sum(one.lease_made for one in some)
        refused, lost = kinds["lease-refused"], kinds["lease-lost"]
        rows.append((site, len(some), made, sum(one.moves for one in some), refused, lost))
    columns = ["site", "wanted", "made", "moved", "refused", "lost"]
    heads = ("wanted", "made", "moved to another window", "refused for good", "lost")
    return Table(
        "leases",
        "Reservations at clouds",
        pd.DataFrame(rows, columns=columns),
        (
            Column("site", "site"),
            *(Column(key, head, number, numeric=True) for key, head in zip(columns[1:], heads, strict=True)),
        ),
    )


def step_of(length: timedelta) -> tuple[timedelta, str]:
    """How finely so long a time is divided, and what a part is called."""
    if length <= timedelta(days=3):
        return timedelta(hours=1), "hour"
    return (timedelta(days=1), "day") if length <= timedelta(days=62) else (timedelta(days=7), "week")


def over_time(asked: Sequence[Asked], promises: Sequence[Promise], since: datetime, until: datetime) -> Table:
    """Requests and what came of them, by when they were asked, the newest first."""
    step, name = step_of(until - since)
    requests: dict[int, list[Asked]] = defaultdict(list)
    for request in asked:
        requests[int((request.created - since) / step)].append(request)
    made: dict[int, list[Promise]] = defaultdict(list)
    for promise in promises:
        if promise.accepted:
            made[int((promise.created - since) / step)].append(promise)
    rows = []
    for part in sorted(requests.keys() | made.keys(), reverse=True):
        of_time, some = requests[part], made[part]
        kept, ready = starts.kept(some, until), starts.prepared_in_time(some)
        yes = sum(one.yes for one in of_time)
        begin = since + part * step
        rows.append(
            (begin, yes, len(of_time) - yes, len(some), kept.value, ready.value, starts.use(some).used)
        )
    whole_days = step >= timedelta(days=1) and since.time() == time()
    columns = ["begin", "yes", "no", "accepted", "on_time_share", "prepared_in_time_share", "core_hours_used"]
    return Table(
        "time",
        f"By {name} in which it was asked",
        pd.DataFrame(rows, columns=columns),
        (
            Column("begin", f"{name} (UTC)", day if whole_days else when, numeric=True),
            Column("yes", "YES", number, numeric=True),
            Column("no", "NO", number, numeric=True),
            Column("accepted", "accepted", number, numeric=True),
            Column("on_time_share", "started on time", scoring.percent, numeric=True),
            Column("prepared_in_time_share", "prepared in time", scoring.percent, numeric=True),
            Column("core_hours_used", "core-hours used", tenths, numeric=True),
        ),
        printed=14,
    )


def owners(asked: Sequence[Asked], promises: Sequence[Promise], names: Mapping[str, str]) -> Table:
    """Who asked for how much; for operators."""
    rows = []
    for owner in sorted({one.owner for one in asked} | {one.owner for one in promises}):
        own = [one for one in promises if one.owner == owner and one.accepted]
        requests = sum(one.owner == owner for one in asked)
        rows.append((names.get(owner, owner), requests, len(own), starts.use(own).used))
    rows.sort(key=lambda row: (-row[3], -row[1], row[0]))
    return Table(
        "owners",
        "By owner",
        pd.DataFrame(rows, columns=["owner", "requests", "accepted", "core_hours_used"]),
        (
            Column("owner", "owner"),
            Column("requests", "requests", number, numeric=True),
            Column("accepted", "accepted", number, numeric=True),
            Column("core_hours_used", "core-hours used", tenths, numeric=True),
        ),
    )


def _counted(name: str, title: str, what: str, counts: Counter[str]) -> Table:
    total = sum(counts.values())
    rows = [
        (words, count, count / total)
        for words, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(
        name,
        title,
        pd.DataFrame(rows, columns=["became", what, "share"]),
        (
            Column("became", "what became of them"),
            Column(what, what, number, numeric=True),
            Column("share", "share", scoring.percent, numeric=True),
        ),
        printed=25,
    )
