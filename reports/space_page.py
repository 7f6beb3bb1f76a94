"""The calendar as one page that needs no network: the picture, and the same as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from reports.space_calendar import rendered
from reports.templating import environment
from reports.themed import inline
from reservations.calendar import Calendar, Taken
from reservations.words import amount_words

_TEMPLATES = environment()
_TEMPLATES.filters["instant"] = "{:%Y-%m-%d %H:%M}".format


def page(
    calendars: Sequence[Calendar], start: datetime, end: datetime, now: datetime, remarks: Sequence[str]
) -> str:
    """One self-contained HTML document."""
    return _TEMPLATES.get_template("space.html").render(
        title=f"What is taken, {start:%Y-%m-%d} to {end:%Y-%m-%d}",
        now=now,
        picture=inline(rendered(calendars, start, end, now, "svg")),
        remarks=remarks,
        calendars=[(calendar, list(_lines(calendar, start, end))) for calendar in calendars],
    )


def _lines(calendar: Calendar, start: datetime, end: datetime) -> Iterator[tuple[str, Taken, str]]:
    """Host, booking and what it takes, by host and start."""
    names = {host.id: host.name for host in calendar.hosts}
    for part in sorted(calendar.taken, key=lambda each: (names.get(each.host, each.host), each.start)):
        if part.start < end and (part.end is None or part.end > start):
            what = "all of it" if part.amounts is None else amount_words(part.amounts)
            yield names.get(part.host, part.host), part, what
