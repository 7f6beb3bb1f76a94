"""The report on the broker: what it was asked, what it promised, and what came true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from federation.units import format_count, format_seconds, format_size
from reports.document import BAD, COLD, GOOD, NOBODY, Card, Document, Made, Section
from reports.promises import answer_times, broken, scoring, starts
from reports.promises import broker_pictures as pictures
from reports.promises import broker_tables as tables
from reports.promises.sessions import Asked, Promise, Record

METHOD = (
    "Requests are those of this time, direct executions among them; of their offers and sessions it is told "
    "what is known by now. A start is on time up to a minute after the interval that was offered; where a "
    "session was moved since, the first promise counts. A session that failed before it started has broken "
    "it, one that was cancelled before has not. Preparation runs from its phase PREPARING until data and "
    "image were in place; it is promised with its 90 % quantile. Queue: the most sessions that waited at the "
    "same time for over a minute. Shares have Clopper and Pearson's 95 % intervals.",
    "Core-hours are those of sessions whose end is known: promised if all of their time is used, and used. "
    "Money and credits are what offers promised; the broker bills nobody, so that what was charged is known "
    "only where its own ledger of credits has the reservation. Data brought is what had to be moved for "
    "sessions that were prepared, by their offers.",
    f"Below {starts.LEAST} starts that were due there is no verdict.",
)
LEGEND = (
    "Start: against the promised one. Prepared in time: the share of preparations within the time that was "
    "promised at 90 %. Waited: ready and due, until it started. Shares with 95 % intervals."
)


def report(
    record: Record, since: datetime, until: datetime, made: Made = NOBODY, *, owners: bool = False
) -> Document:
    """Of what was asked from `since` until before `until`, as far as it is still known. `owners`: with who
    asked, for operators; else they are only counted."""
    begin = since
    if record.complete_since is not None and record.complete_since >= since:
        begin = record.complete_since
    asked = [one for one in record.asked if begin == since or one.created > begin]
    promises = [one for one in record.promises if begin == since or one.created > begin]
    accepted = [one for one in promises if one.accepted]
    kept, ready = starts.kept(accepted, until), starts.prepared_in_time(accepted)
    sections = []
    if accepted:
        sections += [_starts(accepted, until), _sites(promises, until)]
    if asked:
        sections.append(_answers(asked, promises, since, until))
    if accepted:
        sections.append(_ends(accepted))
    if asked and owners:
        sections.append(Section("Owners", tables=(tables.owners(asked, promises, record.names),)))
    return Document(
        "broker",
        "What the broker promised, and what came true",
        since,
        until,
        f"{format_count(len(asked), 'request')}, {format_count(len(accepted), 'session')}",
        headline(asked, kept, ready) + _where(accepted, until),
        tuple(sections),
        made,
        _remarks(begin, since, until),
        _cards(asked, promises, kept, ready) if asked else (),
        METHOD,
        {
            "requests": len(asked),
            "yes": sum(one.yes for one in asked),
            "offers": sum(not one.direct for one in promises),
            "accepted": len(accepted),
            "due": kept.count,
            "on_time": kept.hits,
            "on_time_interval": [kept.low, kept.high],
            "verdict": verdict(kept),
            "owners": len({one.owner for one in asked}),
            "known_since": begin.isoformat(),
        },
        about="sessions",
    )


def verdict(kept: scoring.Share) -> str:
    """ "none" (too few), "kept" or "broken"."""
    if kept.count < starts.LEAST:
        return "none"
    return "broken" if kept.high < starts.PROMISED else "kept"


def headline(asked: Sequence[Asked], kept: scoring.Share, ready: scoring.Share) -> str:
    """The answer in a few sentences."""
    if not asked:
        return "Nothing was asked of the broker in this time."
    yes = sum(one.yes for one in asked)
    told = f"Of {format_count(len(asked), 'request')} {yes:,} {_were(yes)} answered YES"
    told += f" ({_percent(yes, len(asked))}). "
    if not kept.count:
        return told + "No session was due to start: nothing can be said of starts."
    told += f"{kept.hits:,} of {format_count(kept.count, 'promised start')} came true"
    found = verdict(kept)
    if found == "none":
        missing = starts.LEAST - kept.count
        return f"{told}: too few for a verdict, {missing} more are needed."
    interval = f"{scoring.percent(kept.value)}, 95 % interval {100 * kept.low:.0f} to {100 * kept.high:.0f} %"
    told += f" ({interval}): "
    told += (
        "fewer than the 90 % that an offer stands for"
        if found == "broken"
        else "in keeping with the promised 90 %"
    )
    if ready.count:
        preparations = format_count(ready.count, "preparation")
        told += f"; {ready.hits:,} of {preparations} kept to the time promised at 90 %"
    return told + "."


def _where(accepted: Sequence[Promise], until: datetime) -> str:
    """The site that broke most of its promises, and the usual reason: where to ask."""
    bad = [one for one in accepted if starts.start_of(one, until) in starts.BROKEN]
    if not bad:
        return ""
    (site, count), *_ = sorted(Counter(one.site for one in bad).items(), key=lambda item: (-item[1], item[0]))
    there = starts.kept((one for one in accepted if one.site == site), until)
    causes = Counter(starts.cause(one, starts.start_of(one, until)) for one in bad if one.site == site)
    cause = min(causes, key=lambda one: (-causes[one], one))
    told = f" Most were broken at {site}: {count:,} of {there.count:,}"
    return f"{told}, usually because of this: {cause}." if cause != starts.NOT_KNOWN else f"{told}."


def _cards(
    asked: Sequence[Asked], promises: Sequence[Promise], kept: scoring.Share, ready: scoring.Share
) -> tuple[Card, ...]:
    yes = sum(one.yes for one in asked)
    accepted = [one for one in promises if one.accepted]
    cards = [Card(f"{len(asked):,}", "requests"), Card(_percent(yes, len(asked)), "answered YES", COLD)]
    sets = {one.offerset for one in promises if not one.direct}
    taken = {one.offerset for one in accepted if not one.direct}
    if sets:
        cards.append(Card(_percent(len(taken), len(sets)), "of YES taken up"))
    if kept.count:
        cards.append(Card(scoring.percent(kept.value), "started when promised", _colour(kept)))
    if ready.count:
        cards.append(Card(scoring.percent(ready.value), "prepared in the promised time", _colour(ready)))
    ended = Counter(one.phase.value for one in accepted if one.ended is not None)
    over = sum(ended.values())
    if over:
        cards.append(Card(_percent(ended["COMPLETED"], over), f"of {over:,} ended sessions completed"))
    used = starts.use(accepted)
    if used.sessions:
        cards.append(Card(tables.tenths(used.used), "core-hours used"))
    money, credits = sum(one.money for one in accepted), [one.credits for one in accepted if one.credits]
    if money:
        cards.append(Card(tables.price(money), "promised, in the federation's currency"))
    if credits:
        cards.append(Card(tables.tenths(sum(credits)), "credits promised"))
    return tuple(cards)


def _colour(found: scoring.Share) -> str:
    if found.count < starts.LEAST:
        return COLD
    return BAD if found.high < starts.PROMISED else GOOD


def _starts(accepted: Sequence[Promise], until: datetime) -> Section:
    late = [starts.lateness_seconds(one) for one in accepted]
    waits = [starts.waited_seconds(one) for one in accepted]
    counts = Counter(starts.start_of(one, until).value for one in accepted)
    text = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) + "."
    if any(value is not None for value in late):
        middle, worst = starts.quantile(late, 0.5), starts.quantile(late, 0.9)
        text += f" Of those that started, half were {tables.late(middle)} or better, "
        text += f"nine in ten {tables.late(worst)} or better."
    if any(value is not None for value in waits):
        waited = starts.quantile(waits, 0.9)
        words = f"waited {format_seconds(waited)} or less" if waited >= 1 else "did not wait"
        text += f" Nine in ten that were ready when their time came {words}."
    drawn = []
    if any(value is not None for value in late):
        drawn.append(pictures.lateness(accepted, until))
    prepared = pictures.preparation(accepted)
    if prepared is not None:
        drawn.append(prepared)
    why = (
        [broken.causes(accepted, until)]
        if any(starts.start_of(one, until) in starts.BROKEN for one in accepted)
        else []
    )
    return Section(
        "Promised starts, and real ones", (text,), tuple(drawn), (*why, broken.broken(accepted, until))
    )


def _sites(promises: Sequence[Promise], until: datetime) -> Section:
    found = (tables.sites(promises, until), tables.uses(promises))
    return Section("Site by site", (LEGEND,), tables=found, new_page=True)


def _answers(
    asked: Sequence[Asked], promises: Sequence[Promise], since: datetime, until: datetime
) -> Section:
    owners = Counter(one.owner for one in asked)
    most = max(owners.values())
    share = _percent(most, len(asked))
    text = f"{format_count(len(owners), 'owner')} asked; the one who asked most made {share} of the requests."
    direct = sum(one.direct for one in asked)
    if direct:
        were = f"{format_count(direct, 'request')} {_were(direct)}"
        text += f" {were} to be run at once, without a choice of offers."
    found = []
    if any(one.refusals for one in asked):
        found += [tables.reasons(asked), tables.refusals(asked)]
    if any(not one.direct for one in promises):
        found.append(tables.fates(promises))
    if any(one.accepted and not one.direct for one in promises):
        found.append(tables.ranks(promises))
    if answer_times.known(asked):
        found += [answer_times.quartiles(asked), answer_times.slowest(asked)]
    found.append(tables.over_time(asked, promises, since, until))
    return Section("Requests and answers", (text,), (pictures.requests(asked, since, until),), tuple(found))


def _ends(accepted: Sequence[Promise]) -> Section:
    text = []
    used = starts.use(accepted)
    if used.promised:
        shares = [
            seconds / one.duration.total_seconds()
            for one in accepted
            if (seconds := starts.used_seconds(one)) is not None and one.duration
        ]
        median = scoring.percent(starts.quantile(shares, 0.5))
        text.append(
            f"Of {tables.tenths(used.promised)} core-hours that were promised to "
            f"{format_count(used.sessions, 'session')}, {tables.tenths(used.used)} were used "
            f"({scoring.percent(used.used / used.promised)}); half of the "
            f"sessions used {median} of their time or less."
        )
    moved = sum(one.move_bytes for one in accepted if one.prepared is not None)
    if moved:
        text.append(f"{format_size(moved)} of data were brought to the sites for them.")
    found = [tables.ends(accepted)]
    if any(one.lease is not None for one in accepted):
        found.append(tables.leases(accepted))
    return Section("Sessions and their ends", tuple(text), tables=tuple(found))


def _remarks(begin: datetime, since: datetime, until: datetime) -> tuple[str, ...]:
    if begin == since:
        return ()
    when = f"{begin:%Y-%m-%d %H:%M} UTC"
    if begin >= until:
        return (f"What was asked until {when} is forgotten in part: nothing is told of this time.",)
    return (f"What was asked until {when} is forgotten in part: the figures are of what was asked since.",)


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _percent(part: int, whole: int) -> str:
    return scoring.percent(part / whole) if whole else "–"
