"""Space: what is taken of each site, and when something would fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.sessions import ledger
from federation.errors import InputError
from reports.pages.desk import Desk, Viewer, add_figures, add_page, asked_of, page, understood
from reports.themed import inline
from reservations.answers import (
    answer_document,
    calendar_document,
    compromise_words,
    host_words,
    how_seen,
    most_telling,
    span_words,
    state_now,
)
from reservations.asking import Answer, ask, remarks
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Calendar, Need, Taken
from reservations.reading import MOST_OF_ANYTHING, read_need, read_range
from reservations.snapshots import Known
from reservations.windows import Question
from reservations.words import need_words

DAYS = 14
# how far ahead may be asked about
FURTHEST = timedelta(days=400)
WINDOWS = 3
# bookings that the page lists of one site
LISTED = 50
# how a need is asked for, and what is taken where the form says nothing
FIELDS = ("cores", "memory", "disk", "gpu", "hosts", "instances", "for", "after", "before", "site")
_DEFAULTS = {"for": "1d", "after": "now", "before": "30d"}
_NAMES = {
    "gpu": "GPUs",
    "hosts": "whole hosts",
    "instances": "units",
    "for": "for how long",
    "after": "not before",
    "before": "not to start after",
}


@dataclass(frozen=True)
class Asked:
    """A question as the form has it, and what it means."""

    need: Need
    question: Question


def read_question(fields: Mapping[str, str], now: datetime) -> Asked | None:
    """None where nothing is asked. Raises InputError that names the field."""
    if not any(name in fields for name in FIELDS if name not in (*_DEFAULTS, "site")):
        return None
    given = {**_DEFAULTS, **fields}
    need = read_need(
        _count(given, "cores"),
        given.get("memory"),
        given.get("disk"),
        _count(given, "gpu"),
        _count(given, "hosts"),
        _count(given, "instances"),
        None,
        "any",
        "",
        _named,
    )
    length, first, last = read_range(given["for"], given["after"], given["before"], now, _named, FURTHEST)
    return Asked(need, Question(need, length, first, last))


def _named(name: str) -> str:
    return _NAMES.get(name, name)


def _count(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:8]) <= MOST_OF_ANYTHING):
        expected = f"a whole number from 1 to {MOST_OF_ANYTHING}"
        raise InputError(f"{_named(name)}: expected {expected}, got {text[:40]!r}")
    return int(text)


def shown_to(calendar: Calendar, viewer: Viewer) -> Calendar:
    """Who holds what is for operators: others see that it is taken."""
    if viewer.owner.sees_all:
        return calendar
    hidden = tuple(
        replace(part, booking=str(number), name=None, holder=None, ours=None)
        for number, part in enumerate(calendar.taken)
    )
    return replace(calendar, taken=hidden)


def known_space(desk: Desk, sites: Sequence[str], until: datetime) -> list[Known]:
    """What is known of these sites, with what this broker itself has promised there.

    Blocks while clouds are asked.
    """
    with desk.front.engine.connect() as connection:
        promised = ledger.occupancy(connection, desk.clock.now(), sites)
    return [
        replace(site, calendars=tuple(_with_promises(each, promised) for each in site.calendars))
        for site in desk.snapshots.known(sites, until)
    ]


def add_space(router: APIRouter, desk: Desk) -> None:
    def known(sites: Sequence[str], until: datetime, viewer: Viewer) -> list[Known]:
        return [
            replace(site, calendars=tuple(shown_to(each, viewer) for each in site.calendars))
            for site in known_space(desk, sites, until)
        ]

    @lru_cache(maxsize=16)
    def picture(drawn: _Drawn) -> Markup:
        from reports.space_calendar import rendered

        names = {site.id: site.name for site in desk.federation}
        return inline(rendered(drawn.calendars, drawn.start, drawn.end, drawn.start, "svg", names))

    def sites_of(fields: Mapping[str, str]) -> list[str]:
        return [desk.site(fields["site"])] if "site" in fields else list(desk.federation.sites)

    async def show(request: Request, viewer: Viewer) -> Response:
        """The form, its answer where something is asked, what is free now, and the calendar."""
        fields = asked_of(request, *FIELDS)
        now = desk.clock.now()
        try:
            asked, wrong = read_question(fields, now), ""
        except InputError as error:
            asked, wrong = None, str(error)

        def answer() -> Response:
            end = now + timedelta(days=DAYS)
            until = end if asked is None else max(end, asked.question.before + asked.question.duration)
            sites = known(sites_of(fields), until, viewer)
            calendars = [each for each in (most_telling(site, None) for site in sites) if each]
            answers = [] if asked is None else ask(sites, asked.question, WINDOWS, desk.sources)
            minute = now.replace(second=0, microsecond=0)
            drawn = _Drawn(calendars, minute, minute + timedelta(days=DAYS))
            return page(
                desk,
                request,
                viewer,
                "space.html",
                400 if wrong else 200,
                title="Space",
                fields={**_DEFAULTS, **fields},
                wrong=wrong,
                asked=None if asked is None else need_words(asked.need),
                answers=[_answer_lines(one, now) for one in answers],
                remarks=remarks(sites, answers),
                states=[
                    (state, state.cells(now))
                    for site in sites
                    for state in (state_now(each, now) for each in site.calendars)
                    if state.hosts
                ],
                picture=picture(drawn) if calendars else None,
                days=DAYS,
                taken=[_taken_lines(each, now, end) for each in calendars],
                listed=LISTED,
                figures="/pages/data/space" + (f"?{request.url.query}" if request.url.query else ""),
            )

        return await run_in_threadpool(answer)

    async def figures(request: Request, viewer: Viewer) -> Any:
        """The calendars, and the answers where something is asked; amounts as Placement counts them."""
        fields = asked_of(request, *FIELDS)
        now = desk.clock.now()
        asked = understood(lambda: read_question(fields, now))

        def document() -> Any:
            end = now + timedelta(days=DAYS)
            until = end if asked is None else max(end, asked.question.before + asked.question.duration)
            sites = known(sites_of(fields), until, viewer)
            answers = [] if asked is None else ask(sites, asked.question, WINDOWS, desk.sources)
            return {
                "at": now,
                "need": None if asked is None else need_words(asked.need),
                "answers": [answer_document(one) for one in answers],
                "now": [state_now(each, now).document() for site in sites for each in site.calendars],
                "calendars": [calendar_document(each) for site in sites for each in site.calendars],
                "remarks": remarks(sites, answers),
            }

        return await run_in_threadpool(document)

    add_page(router, desk, "/pages/space", show)
    add_figures(router, desk, "/pages/data/space", figures)


class _Drawn:
    """What a picture is drawn of, as a key: the same calendars make the same picture."""

    def __init__(self, calendars: Sequence[Calendar], start: datetime, end: datetime) -> None:
        self.calendars, self.start, self.end = calendars, start, end
        # when it was last asked makes another title, no other picture within a minute
        self._key = repr([(each.site, each.kind, each.hosts, each.taken) for each in calendars]), start, end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Drawn) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _with_promises(calendar: Calendar, promised: ledger.Occupancy) -> Calendar:
    """The calendar of a platform as a whole, with this broker's own holds and bookings of it."""
    bookings = promised.get(calendar.site, [])
    if calendar.source != "static" or [host.id for host in calendar.hosts] != [calendar.site]:
        return calendar
    ours = tuple(
        Taken(
            calendar.site,
            each.start,
            each.end,
            {VCPU: each.cores, MEMORY_MB: each.memory_gib * 1024, DISK_GB: each.storage_gib},
            f"session-{number}",
            "session",
            "this broker",
            f"session-{number}",
        )
        for number, each in enumerate(bookings)
    )
    return replace(calendar, taken=calendar.taken + ours)


def _answer_lines(answer: Answer, now: datetime) -> dict[str, Any]:
    """One calendar's answer in words."""
    return {
        "site": answer.calendar.site,
        "kind": answer.calendar.kind,
        "seen": how_seen(answer.calendar, now),
        "openings": [
            (*span_words(opening), host_words(answer.calendar, opening.hosts)) for opening in answer.openings
        ],
        "obstacles": [each.text for each in answer.obstacles],
        "compromises": [
            (compromise_words(answer, other), span_words(other.opening)[0]) for other in answer.alternatives
        ],
    }


def _taken_lines(calendar: Calendar, start: datetime, end: datetime) -> dict[str, Any]:
    """What is taken of a calendar within the picture, soonest first."""
    names = {host.id: host.name for host in calendar.hosts}
    parts = sorted(
        (each for each in calendar.taken if each.start < end and (each.end is None or each.end > start)),
        key=lambda each: (each.start, names.get(each.host, each.host)),
    )
    return {
        "calendar": calendar,
        "lines": [(names.get(each.host, each.host), each) for each in parts[:LISTED]],
        "more": max(len(parts) - LISTED, 0),
    }
