"""The answers about the clouds' space: when something fits, what is taken, what is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from fairlead.api.frames import table
from fairlead.api.opening import Instant, Names, Opened, names
from fairlead.cli._space import Asked
from federation.errors import InputError
from federation.settings import data_directory
from reservations.answers import compromise_words, most_telling, state_now
from reservations.asking import Answer, ask, remarks
from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Amounts, Calendar
from reservations.reading import read_need, read_range
from reservations.snapshots import Snapshots
from reservations.sources import load_sources
from reservations.windows import Opening, Question, total_free_steps

# how the resource classes are called here, and what one of them is in that unit
_AMOUNTS = {
    VCPU: ("cores", 1),
    MEMORY_MB: ("memory_bytes", 1 << 20),
    DISK_GB: ("disk_bytes", 1 << 30),
    PGPU: ("gpus", 1),
}
_WINDOWS = ("site", "booked_as", "start", "latest_start", "end", "hosts", "units", "compromise", "known_at")
_BOOKINGS = ("site", "booked_as", "host", "start", "end", "whole", "name", "holder", "booking")
_FREE = ("site", "booked_as", "start", "end", "hosts_free")
_NOW = ("site", "booked_as", "hosts_free", "hosts", "full", "full_until", "known_at")


class Space:
    """Questions to the space of a federation's sites, all at once; `fairlead.open(...).space`.

    Clouds are asked at most every 30 seconds; `known_at` says how old an answer is. What must be known of it
    (a cloud that could not be asked, bookings that are hidden) is in the DataFrame's `attrs["remarks"]`.
    `sites` are ids of the catalogue, None stands for all that say when they have space.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        # what was seen of the present is no answer about another time, and the other way round
        kept = None if opened.replayed else data_directory(os.environ) / "space"
        self._sources = load_sources(opened.federation, opened.clock)
        self._snapshots = Snapshots(self._sources, opened.clock, kept)

    def windows(
        self,
        duration: str,
        *,
        cores: int | None = None,
        memory: str | None = None,
        disk: str | None = None,
        gpu: int | None = None,
        hosts: int | None = None,
        instances: int | None = None,
        flavour: str | None = None,
        spread: str = "any",
        properties: str = "",
        after: Instant = "now",
        before: Instant = "30d",
        sites: Names | None = None,
        count: int = 3,
        compromises: bool = False,
    ) -> pd.DataFrame:
        """The first `count` windows of each site in which all of it fits, for the whole `duration` ("3d").

        What is asked for is one unit (`cores`, `memory` "200 GiB", `disk`, `gpu`, or a `flavour`), or so
        many `instances` of it, or so many whole `hosts`, which may begin from `after` to `before`. A row is
        a window, soonest sites first; none: it fits nowhere, and `attrs["obstacles"]` says why, by site and
        way of booking.

        Columns: `site`, `booked_as`, `start` and `latest_start` (every start from the one to the other leaves
        room), `end` (of what starts at `start`), `hosts` (names), `units`, `compromise`, `known_at`. With
        `compromises` what would fit sooner, or at all, comes after the windows; `compromise` says what it
        gives up.
        """
        need = read_need(
            cores, memory, disk, gpu, hosts, instances, flavour, spread, properties, named=_as_argument
        )
        if count < 1:
            raise InputError(f"count: expected at least 1, got {count}")
        length, first, last = read_range(
            duration, _text(after), _text(before), self._opened.now, named=_as_argument
        )
        known = self._asked().known(names("sites", sites), last + length)
        answers = ask(known, Question(need, length, first, last), count, self._sources)
        rows = [_window(one, each, one.question) for one in answers for each in one.openings]
        if compromises:
            rows += [
                _window(one, other.opening, other.question) | {"compromise": compromise_words(one, other)}
                for one in answers
                for other in one.alternatives
            ]
        why = {
            f"{one.calendar.site} ({one.calendar.kind})": [each.text for each in one.obstacles]
            for one in answers
            if one.obstacles
        }
        return table(rows, _WINDOWS, remarks=remarks(known, answers), obstacles=why)

    def bookings(self, duration: str = "14d", sites: Names | None = None) -> pd.DataFrame:
        """What is taken from now on, for so long: a row for each host and booking.

        Columns: `site`, `booked_as`, `host` (name), `start`, `end` (NaT: until further notice), `whole`
        (whether all of the host is taken), `name` and `holder` as far as the cloud shows them, `booking`
        (the same for all hosts of one booking), and what of the host is taken: `cores`, `memory_bytes`,
        `disk_bytes`, `gpus` (NaN: none, or all of it).
        """
        until, calendars, told = self._calendars(duration, sites)
        rows = [row for each in calendars for row in _taken(each, self._opened.now, until)]
        return table(rows, (*_BOOKINGS, *(name for name, _ in _AMOUNTS.values())), remarks=told)

    def free(self, duration: str = "14d", sites: Names | None = None) -> pd.DataFrame:
        """What is free from now on, for so long: a row for each step in which it stays the same, site by
        site.

        Columns: `site`, `booked_as`, `start`, `end`, `hosts_free` (nothing is booked on them), and what is
        free on all hosts together, which need not be on one: `cores`, `memory_bytes`, `disk_bytes`, `gpus`.
        """
        until, calendars, told = self._calendars(duration, sites)
        rows = [
            {
                "site": each.site,
                "booked_as": each.kind,
                "start": step.start,
                "end": step.end,
                "hosts_free": step.hosts,
                **_amounts(step.amounts),
            }
            for each in calendars
            for step in total_free_steps(each, self._opened.now, until)
        ]
        return table(rows, _FREE, remarks=told)

    def now(self, sites: Names | None = None) -> pd.DataFrame:
        """What is free now: a row for each site and way of booking it.

        Columns: `site`, `booked_as`, `hosts_free` of `hosts`, `full` (not even one core for an hour) and
        `full_until` (NaT: as far as is known), `known_at`, and for cores, memory and so on `cores_free`
        of `cores`.
        """
        now = self._opened.now
        known = self._asked().known(names("sites", sites), now + timedelta(days=1))
        states = [state_now(each, now) for one in known for each in one.calendars]
        rows = [
            {
                "site": one.site,
                "booked_as": one.calendar.kind,
                "hosts_free": one.free_hosts,
                "hosts": one.hosts,
                "full": one.full,
                "full_until": one.full_until,
                "known_at": one.calendar.known_at,
                **{f"{name}_free": amount for name, amount in _amounts(one.free).items()},
                **_amounts(one.total),
            }
            for one in states
            if one.hosts
        ]
        told = [*remarks(known, []), *(text for one in states for text in one.remarks)]
        return table(rows, _NOW, remarks=list(dict.fromkeys(told)))

    def _asked(self) -> Asked:
        opened = self._opened
        return Asked(opened.federation, self._sources, self._snapshots, opened.now)

    def _calendars(self, duration: str, sites: Names | None) -> tuple[datetime, list[Calendar], list[str]]:
        """Until when; of each site the calendar that shows most; and what must be known of them."""
        length = read_range(duration, "now", "now", self._opened.now, named=_as_argument)[0]
        until = self._opened.now + length
        known = self._asked().known(names("sites", sites), until)
        found = [each for each in (most_telling(one, None) for one in known) if each is not None]
        told = [*remarks(known, []), *(text for one in found for text in one.remarks)]
        return until, found, list(dict.fromkeys(told))


def _as_argument(name: str) -> str:
    """What the command calls --for is called otherwise here: it is a word of Python."""
    return "duration" if name == "for" else name


def _text(value: Instant) -> str:
    return value if isinstance(value, str) else value.isoformat()


def _window(answer: Answer, opening: Opening, question: Question) -> dict[str, Any]:
    calendar = answer.calendar
    called = {host.id: host.name for host in calendar.hosts}
    return {
        "site": calendar.site,
        "booked_as": calendar.kind,
        "start": opening.start,
        "latest_start": opening.latest_start,
        "end": opening.start + question.duration,
        "hosts": ", ".join(dict.fromkeys(called.get(host, host) for host in opening.hosts)),
        "units": question.need.units,
        "compromise": None,
        "known_at": calendar.known_at,
    }


def _taken(calendar: Calendar, now: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    called = {host.id: host.name for host in calendar.hosts}
    for part in sorted(calendar.taken, key=lambda each: (called.get(each.host, each.host), each.start)):
        if part.start < until and (part.end is None or part.end > now):
            yield {
                "site": calendar.site,
                "booked_as": calendar.kind,
                "host": called.get(part.host, part.host),
                "start": part.start,
                "end": part.end,
                "whole": part.amounts is None,
                "name": part.name,
                "holder": part.holder,
                "booking": part.booking,
                **_amounts(part.amounts or {}),
            }


def _amounts(found: Amounts) -> dict[str, int]:
    """By columns with units; other classes by their own names."""
    return {
        name: amount * unit
        for (name, unit), amount in (
            (_AMOUNTS.get(each, (each, 1)), amount) for each, amount in found.items()
        )
    }
