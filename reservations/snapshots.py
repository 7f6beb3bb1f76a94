"""Calendars as they were last seen: asked for again when they are old, kept for when a source is down.

A source that can't be asked never makes an answer wrong: what was known of it stays, as old as it is, and a
remark says so; where nothing was known, it is absent, and a remark says that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from federation.clock import Clock
from federation.errors import FairleadError, OutsideError
from federation.files import write_whole
from federation.sites import Federation, Space
from federation.units import format_age
from reservations.calendar import Calendar
from reservations.sources import CapacitySource, load_source

# What is this young is not asked for again: a cloud must not be asked by every question of every user.
FRESH = timedelta(seconds=30)
# Sources are asked for at least so much at a time, so that the next question finds its answer there.
HORIZON = timedelta(days=90)
SITES_AT_ONCE = 16

_CALENDARS = TypeAdapter(tuple[Calendar, ...])


@dataclass(frozen=True)
class Known:
    """What is known of one site's space. `remarks` are of sources that could not be asked just now."""

    site: str
    calendars: tuple[Calendar, ...]
    remarks: tuple[str, ...] = ()


@dataclass
class _Source:
    site: str
    name: str
    source: CapacitySource
    file: Path | None
    last: tuple[Calendar, ...] | None = None
    asked: datetime | None = None
    problem: str | None = field(default=None)


class Snapshots:
    """The calendars of a federation's sites. Blocks while it asks sources, all sites at the same time; may be
    used from several threads.

    `directory` keeps them from one process to the next, readable for the user alone (a calendar may say who
    holds what); None: only in memory.
    """

    def __init__(
        self, federation: Federation, clock: Clock, directory: Path | None, fresh: timedelta = FRESH
    ) -> None:
        """Raises InputError for a source that nobody knows, or whose options it can't use."""
        self._clock, self._fresh = clock, fresh
        self._sources: list[_Source] = []
        for site in federation:
            spaces = site.space or ((Space("static"),) if site.platform is not None else ())
            for space in spaces:
                source = load_source(site, space, clock)
                self._sources.append(_Source(site.id, space.source, source, _file(directory, site.id, space)))

    def known(self, sites: Sequence[str], until: datetime) -> list[Known]:
        """What is known of these sites from now until `until`, in their order; a site without any source is
        left out."""
        wanted = [each for each in self._sources if each.site in sites]
        now = self._clock.now()
        with ThreadPoolExecutor(max_workers=SITES_AT_ONCE, thread_name_prefix="space") as pool:
            list(pool.map(lambda each: self._refresh(each, now, until), wanted))
        return [
            _known(site, [each for each in wanted if each.site == site], now)
            for site in sites
            if any(each.site == site for each in wanted)
        ]

    def _refresh(self, one: _Source, now: datetime, until: datetime) -> None:
        if one.last is None and one.file is not None:
            one.last, one.asked = _read(one.file)
        young = one.asked is not None and now - one.asked < self._fresh
        if young and one.last is not None and all(calendar.until >= until for calendar in one.last):
            one.problem = None
            return
        try:
            found = tuple(one.source.calendars(now, max(until, now + HORIZON)))
        except FairleadError as error:
            one.problem = str(error)
            return
        one.last, one.asked, one.problem = found, now, None
        if one.file is not None:
            _write(one.file, found, now)


def _known(site: str, sources: Sequence[_Source], now: datetime) -> Known:
    calendars: list[Calendar] = []
    remarks: list[str] = []
    for one in sources:
        calendars += one.last or ()
        if one.problem is not None and one.last is None:
            remarks.append(
                f"{one.name} of {site} could not be asked, and nothing is known of it: {one.problem}"
            )
        elif one.problem is not None and one.asked is not None:
            age = format_age((now - one.asked).total_seconds())
            remarks.append(
                f"{one.name} of {site} could not be asked: {one.problem}; this is what it said {age} ago"
            )
    return Known(site, tuple(calendars), tuple(remarks))


def _file(directory: Path | None, site: str, space: Space) -> Path | None:
    """One for each site and source with its options: another cloud or another user's rights are another."""
    if directory is None:
        return None
    cloud = {name: value for name, value in os.environ.items() if name.startswith("OS_")}
    asked_as = json.dumps([space.source, space.options, cloud], sort_keys=True, default=str)
    digest = hashlib.sha256(asked_as.encode()).hexdigest()[:16]
    return directory / f"{site}-{space.source}-{digest}.json"


def _read(file: Path) -> tuple[tuple[Calendar, ...] | None, datetime | None]:
    """What was kept, and when it was asked for. What can't be read is as if it weren't there: it is asked for
    again."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        asked = datetime.fromisoformat(document["asked"])
        return _CALENDARS.validate_python(document["calendars"]), asked
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None, None


def _write(file: Path, calendars: tuple[Calendar, ...], asked: datetime) -> None:
    """Whole or not at all. Where it can't be written, the next process has to ask again, no more."""
    document = {"asked": asked.isoformat(), "calendars": _CALENDARS.dump_python(calendars, mode="json")}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(file, json.dumps(document).encode(), mode=0o600)
    except (OSError, OutsideError):
        return
