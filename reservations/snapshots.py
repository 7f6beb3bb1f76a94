"""Calendars as they were last seen: asked for again when they are old, kept for when a source is down.

A source that can't be asked never makes an answer wrong: what was known of it stays, as old as it is, and a
remark says so; where nothing was known, it is absent, and a remark says that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from pydantic import TypeAdapter

from federation.clock import Clock
from federation.errors import FairleadError, InputError, OutsideError
from federation.files import write_whole
from federation.units import format_age
from reservations.calendar import Calendar
from reservations.occupancy import hour_of
from reservations.sources import Placed

# What is this young is not asked for again: a cloud must not be asked by every question of every user.
FRESH = timedelta(seconds=30)
# Sources are asked for at least so much at a time, so that the next question finds its answer there.
HORIZON = timedelta(days=90)
SITES_AT_ONCE = 16

_CALENDARS = TypeAdapter(tuple[Calendar, ...])
# what is told of the calendars that a source has just given, and when; from several threads; raises nothing
Keep = Callable[[Sequence[Calendar], datetime], None]


@dataclass(frozen=True)
class Problem:
    """Why a source could not be asked: a line, and whether it is what is set (else the cloud)."""

    text: str
    in_settings: bool


@dataclass(frozen=True)
class Known:
    """What is known of one site's space. `remarks` are of sources that could not be asked just now,
    `problems` why not."""

    site: str
    calendars: tuple[Calendar, ...]
    remarks: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """What a source said when it was `asked`; `tried` is when it answered last, with or without success, and
    `problem` why it could not be asked then. Replaced as a whole, so that every thread sees one state."""

    calendars: tuple[Calendar, ...] | None
    asked: datetime | None
    tried: datetime | None
    problem: Problem | None = None


class _Kept:
    """One source, with what was last seen of it. Threads that ask at once take turns: one asks the cloud, the
    others find its answer."""

    def __init__(self, placed: Placed, clock: Clock, file: Path | None, keep: Keep | None) -> None:
        self.placed, self.clock, self.file, self.keep = placed, clock, file, keep
        self.site, self.name = placed.site, placed.space.source
        self.turn = Lock()
        self.seen: _Seen | None = None

    def refresh(self, now: datetime, until: datetime, fresh: timedelta) -> None:
        with self.turn:
            seen = self.seen or _read(self.file)
            self.seen = seen
            if not _due(seen, now, until, fresh):
                return
            try:
                found = tuple(self.placed.source.calendars(now, max(until, now + HORIZON)))
            except FairleadError as error:
                self.seen = _Seen(seen.calendars, seen.asked, self.clock.now(), _problem(error))
                return
            # an answer can take long, and whoever waited for it has it
            self.seen = _Seen(found, now, self.clock.now())
            if self.file is not None:
                _write(self.file, found, now)
            if self.keep is not None and (seen.asked is None or hour_of(seen.asked) != hour_of(now)):
                self.keep(found, now)

    def due(self, now: datetime, until: datetime, fresh: timedelta) -> bool:
        """Whether the source, or the file, has something to be asked for."""
        return self.seen is None or _due(self.seen, now, until, fresh)

    def forget(self) -> None:
        with self.turn:
            self.seen = _Seen(None, None, None)
            if self.file is not None:
                self.file.unlink(missing_ok=True)


def _problem(error: FairleadError) -> Problem:
    # not the error itself, which would keep all that its frames hold for as long as a source is down
    return Problem(str(error), isinstance(error, InputError))


def _due(seen: _Seen, now: datetime, until: datetime, fresh: timedelta) -> bool:
    """Whether to ask again; one that is down is not asked by every question either."""
    return seen.tried is None or now - seen.tried >= fresh or not _reaches(seen, until)


def _reaches(seen: _Seen, until: datetime) -> bool:
    """Whether it says anything of all the time until then; what isn't known is not asked for twice."""
    return seen.problem is not None or all(calendar.until >= until for calendar in seen.calendars or ())


class Snapshots:
    """The calendars of a federation's sites. Blocks while it asks sources, all sites at the same time; may be
    used from several threads.

    `directory` keeps them from one process to the next, readable for the user alone (a calendar may say who
    holds what); None: only in memory. `keep` is handed what a source says for the first time in an hour.
    """

    def __init__(
        self,
        sources: Iterable[Placed],
        clock: Clock,
        directory: Path | None,
        fresh: timedelta = FRESH,
        keep: Keep | None = None,
    ) -> None:
        self._clock, self._fresh = clock, fresh
        self._kept = [_Kept(placed, clock, _file(directory, placed), keep) for placed in sources]

    def known(self, sites: Sequence[str], until: datetime) -> list[Known]:
        """What is known of these sites from now until `until`, in their order; a site without any source is
        left out."""
        wanted = [each for each in self._kept if each.site in sites]
        now = self._clock.now()
        # most questions find all that they need: they start no threads
        due = [each for each in wanted if each.due(now, until, self._fresh)]
        if due:
            with ThreadPoolExecutor(max_workers=SITES_AT_ONCE, thread_name_prefix="space") as pool:
                list(pool.map(lambda each: each.refresh(now, until, self._fresh), due))
        return [
            _known(site, [each for each in wanted if each.site == site], now)
            for site in sites
            if any(each.site == site for each in wanted)
        ]

    def forget(self, site: str) -> None:
        """Ask this site's sources again next time: we have just changed something there ourselves."""
        for one in self._kept:
            if one.site == site:
                one.forget()


def _known(site: str, sources: Sequence[_Kept], now: datetime) -> Known:
    calendars: list[Calendar] = []
    remarks: list[str] = []
    problems: list[Problem] = []
    for one in sources:
        seen = one.seen
        assert seen is not None
        calendars += seen.calendars or ()
        if seen.problem is None:
            continue
        problems.append(seen.problem)
        remark = f"{one.name} of {site} could not be asked: {seen.problem.text}; "
        if seen.asked is None:
            remarks.append(remark + "nothing is known of it")
        else:
            remarks.append(
                remark + f"this is what it said {format_age((now - seen.asked).total_seconds())} ago"
            )
    return Known(site, tuple(calendars), tuple(remarks), tuple(problems))


def _file(directory: Path | None, placed: Placed) -> Path | None:
    """One for each site and source with its options: another cloud or another user's rights are another."""
    if directory is None:
        return None
    space = placed.space
    cloud = {name: value for name, value in os.environ.items() if name.startswith("OS_")}
    asked_as = json.dumps([space.source, space.options, cloud], sort_keys=True, default=str)
    digest = hashlib.sha256(asked_as.encode()).hexdigest()[:16]
    return directory / f"{placed.site}-{space.source}-{digest}.json"


def _read(file: Path | None) -> _Seen:
    """What was kept. What can't be read is as if it weren't there: the source is asked again."""
    if file is not None:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            asked = datetime.fromisoformat(document["asked"])
            return _Seen(_CALENDARS.validate_python(document["calendars"]), asked, asked)
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return _Seen(None, None, None)


def _write(file: Path, calendars: tuple[Calendar, ...], asked: datetime) -> None:
    """Whole or not at all. Where it can't be written, the next process has to ask again, no more."""
    document = {"asked": asked.isoformat(), "calendars": _CALENDARS.dump_python(calendars, mode="json")}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(file, json.dumps(document).encode(), mode=0o600)
    except (OSError, OutsideError):
        return
