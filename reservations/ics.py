"""Windows and bookings as iCalendar (RFC 5545), for people's own calendars. Needs the extra `calendar`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from icalendar import Calendar as Document
from icalendar import Event

from reservations.asking import Answer
from reservations.calendar import Calendar

# The same window or booking has the same id each time: a calendar that subscribes shows it once.
_NAMESPACE = uuid.UUID("6f2b1b7a-52d1-5c0c-9a55-3f3b6f1d3a10")


def openings_document(answers: Iterable[Answer], words: str, now: datetime) -> bytes:
    """The openings as events that don't block (transparent, tentative): each lasts as the need would from its
    earliest start."""
    document = _document("Fairlead: free space")
    for answer in answers:
        site, kind = answer.calendar.site, answer.calendar.kind
        for opening in answer.openings:
            event = _event(f"{site} {kind} {words} {opening.start.isoformat()}", now)
            event.add("summary", f"{site} has room for {words}")
            event.add("dtstart", opening.start)
            event.add("dtend", opening.start + answer.question.duration)
            event.add("location", site)
            text = f"{kind}; it can start until {opening.latest_start:%Y-%m-%d %H:%M} UTC."
            event.add("description", f"{text} As known at {answer.calendar.known_at:%Y-%m-%d %H:%M} UTC.")
            event.add("status", "TENTATIVE")
            event.add("transp", "TRANSPARENT")
            document.add_component(event)
    return bytes(document.to_ical())


def bookings_document(calendars: Sequence[Calendar], until: datetime, now: datetime) -> bytes:
    """What is taken, one event for each booking; those without an end last until `until`."""
    document = _document("Fairlead: what is taken")
    for calendar in calendars:
        names = {host.id: host.name for host in calendar.hosts}
        booked: dict[str, list[int]] = {}
        for number, taken in enumerate(calendar.taken):
            booked.setdefault(taken.booking, []).append(number)
        for booking, numbers in booked.items():
            parts = [calendar.taken[number] for number in numbers]
            hosts = sorted({names.get(part.host, part.host) for part in parts})
            event = _event(f"{calendar.site} {calendar.kind} {booking}", now)
            event.add("summary", f"{calendar.site}: {parts[0].name or 'taken'}")
            event.add("dtstart", min(part.start for part in parts))
            event.add("dtend", max(part.end or until for part in parts))
            event.add("location", calendar.site)
            holder = f"held by {parts[0].holder}; " if parts[0].holder else ""
            event.add("description", f"{holder}{calendar.kind}; hosts: {', '.join(hosts)}")
            document.add_component(event)
    return bytes(document.to_ical())


def _document(name: str) -> Document:
    document = Document()
    document.add("prodid", "-//Fairlead//space//EN")
    document.add("version", "2.0")
    document.add("x-wr-calname", name)
    return document


def _event(what: str, now: datetime) -> Event:
    event = Event()
    event.add("uid", str(uuid.uuid5(_NAMESPACE, what)))
    event.add("dtstamp", now)
    return event
