"""When a session may start at a site by the site's own calendars: on its hosts, beside the ledger's pool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from broker.model import Level, Note
from federation.units import format_age
from reservations.afford import booked_amounts
from reservations.asking import WHOLE, as_booked
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Amounts, Calendar, Need, Sight, Taken
from reservations.capacity import Capacity, Window
from reservations.openings import starts
from reservations.windows import Question, obstacles, openings

# so long after the last moment of a session its reservation ends: it is stopped and released in that time
GRACE = timedelta(minutes=5)
# openings to look at, as in broker.offers.windows
MANY = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Held:
    """What the ledger has promised to a session during [start, end)."""

    session: str
    start: datetime
    end: datetime
    size: Capacity


@dataclass(frozen=True)
class Charged:
    """What of a reservation is paid for. `amounts` is all that it takes; `flavours` are its cloud's."""

    need: Need
    duration: timedelta
    amounts: Amounts
    flavours: Mapping[str, tuple[str, Amounts]]


@dataclass(frozen=True)
class SiteCalendars:
    """The calendars of one site that say when a session may start: at any start that one of them leaves free.

    `books`: each session gets a reservation there, in the one calendar that there is then.
    """

    site: str
    calendars: tuple[Calendar, ...]
    books: bool = False

    def windows(
        self, size: Capacity, duration: timedelta, earliest: datetime, latest: datetime
    ) -> list[Window]:
        """Starts in [earliest, latest] at which a host has `size` free for `duration`; earliest first.

        Whole seconds: a start between two of the cloud's steps is one at the step before, and ends later.
        """
        found = sorted(
            (
                window
                for calendar in self.calendars
                for window in self._windows(calendar, size, duration, earliest, latest)
            ),
            key=lambda window: window.start,
        )
        return list(_merged(found))

    def beside(self, held: Iterable[Held]) -> SiteCalendars:
        """The same with what is promised but not in the calendars yet: on hosts that have room for it. What
        was there by an earlier call, and is promised no longer, is left out.
        """
        known = sorted(held, key=lambda each: (each.start, each.session))
        now = (self._without_others(calendar, known) for calendar in self.calendars)
        return replace(self, calendars=tuple(self._with(calendar, known) for calendar in now))

    def also(self, held: Held) -> SiteCalendars:
        """The same with one promise more."""
        return replace(self, calendars=tuple(self._with(calendar, [held]) for calendar in self.calendars))

    def obstacle(
        self, size: Capacity, duration: timedelta, earliest: datetime, latest: datetime
    ) -> str | None:
        """Why there is no such start, in a sentence; None where there is one, or it isn't known why."""
        if self.windows(size, duration, earliest, latest):
            return None
        for calendar in self.calendars:
            need = self.need(calendar, size)
            if need is None:
                return f"no flavour there has {size.cores} cores and {size.memory_gib} GiB"
            length = self._length(duration)
            question = Question(need, length, floor(earliest, calendar.rules.step), latest)
            for obstacle in obstacles(calendar, question):
                return obstacle.text
        return None

    def charged(self, size: Capacity, start: datetime, end: datetime) -> Charged | None:
        """What a reservation for a session during [start, end) takes; None where no flavour serves it."""
        for calendar in self.calendars:
            need = self.need(calendar, size)
            if need is not None:
                since, until = lease_times(start, end, calendar.rules.step)
                found = openings(calendar, Question(need, until - since, since, since), 1)
                amounts = booked_amounts(need, calendar, found[0] if found else None)
                return Charged(need, until - since, amounts, calendar.flavours)
        return None

    def notes(self, now: datetime) -> list[Note]:
        """How old the calendars are, and what is hidden in them."""
        notes = []
        for calendar in self.calendars:
            values = {"site": self.site, "kind": calendar.kind, "source": calendar.source}
            values["age"] = format_age(max((now - calendar.known_at).total_seconds(), 0.0))
            text = "{site}'s calendar ({source}, {kind}) as of {age} ago"
            if calendar.sight is Sight.OWN:
                text += "; what others have booked there is hidden, so that the cloud may still refuse"
            notes.append(Note("calendar", text, values, Level.INFO))
        return notes

    def need(self, calendar: Calendar, size: Capacity) -> Need | None:
        """A session of `size` as this calendar's cloud is asked for it; None where no flavour serves it.

        Storage is the platform's own, which the ledger counts; but what is reserved has all that the session
        has, as far as the hosts have disks.
        """
        amounts = {VCPU: size.cores, MEMORY_MB: size.memory_gib * 1024}
        disks = not _shows_hosts(calendar) or any(host.amounts.get(DISK_GB) for host in calendar.hosts)
        if self.books and disks:
            amounts[DISK_GB] = size.storage_gib
        asked = {name: amount for name, amount in amounts.items() if amount}
        return as_booked(calendar, Need(asked, whole_hosts=self.books and calendar.kind in WHOLE))

    def _windows(
        self, calendar: Calendar, size: Capacity, duration: timedelta, earliest: datetime, latest: datetime
    ) -> Iterator[Window]:
        need, step = self.need(calendar, size), calendar.rules.step
        if need is None:
            return
        length, first = self._length(duration), floor(earliest, step)
        # what starts between two steps takes one step more
        for start, last in _openings(calendar, Question(need, length + step, first, latest)):
            window = Window(max(start, earliest), min(last + step - _SECOND, latest))
            if window.start <= window.latest_start:
                yield window
        # a gap that is just as long as needed has one start alone
        for start, last in _openings(calendar, Question(need, length, first, latest)):
            for exact in (start, last):
                if earliest <= exact <= latest:
                    yield Window(exact, exact)

    def _length(self, duration: timedelta) -> timedelta:
        return duration + GRACE if self.books else duration

    def _times(self, each: Held, step: timedelta) -> tuple[datetime, datetime]:
        return floor(each.start, step), ceil(each.end + GRACE if self.books else each.end, step)

    def _without_others(self, calendar: Calendar, held: Sequence[Held]) -> Calendar:
        """Without promises that are none of these."""
        times = {each.session: self._times(each, calendar.rules.step) for each in held}
        kept = tuple(
            part
            for part in calendar.taken
            if not _placed(part) or times.get(part.booking) == (part.start, part.end)
        )
        return calendar if len(kept) == len(calendar.taken) else replace(calendar, taken=kept)

    def _with(self, calendar: Calendar, held: Sequence[Held]) -> Calendar:
        if not _shows_hosts(calendar):
            return calendar
        known = {part.ours for part in calendar.taken}
        for each in held:
            need = self.need(calendar, each.size)
            if each.session in known or need is None or not (each.size.cores or each.size.memory_gib):
                continue
            start, end = self._times(each, calendar.rules.step)
            for opening in openings(calendar, Question(need, end - start, start, start), 1):
                amounts = None if need.whole_hosts else need.amounts
                part = Taken(opening.hosts[0], start, end, amounts, each.session, ours=each.session)
                calendar = replace(calendar, taken=(*calendar.taken, part))
        return calendar


def lease_times(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """From when until when a cloud that counts in steps is asked for a session during [start, end)."""
    return floor(start, step), ceil(end + GRACE, step)


def floor(instant: datetime, step: timedelta) -> datetime:
    """The last multiple of `step` since 1970 that isn't later."""
    return instant - (instant - _EPOCH) % step


def ceil(instant: datetime, step: timedelta) -> datetime:
    """The first multiple of `step` since 1970 that isn't earlier."""
    return instant + (_EPOCH - instant) % step


def _placed(part: Taken) -> bool:
    """Whether it is a promise of the ledger: a cloud's own bookings have names of its own."""
    return part.ours is not None and part.booking == part.ours


def _shows_hosts(calendar: Calendar) -> bool:
    """A cloud that hides its hosts has no space to promise in its calendar, which says nothing of it."""
    return calendar.sight is Sight.ALL or any(host.bookable for host in calendar.hosts)


def _openings(calendar: Calendar, question: Question) -> Iterator[tuple[datetime, datetime]]:
    """(first start, last start) of each; all that the cloud's rules allow where it hides its hosts."""
    if _shows_hosts(calendar):
        for opening in openings(calendar, question, MANY):
            yield opening.start, opening.latest_start
    else:
        first, last = starts(calendar, question)
        if first <= last:
            step = calendar.rules.step
            yield _EPOCH + first * step, _EPOCH + last * step


def _merged(windows: Iterable[Window]) -> Iterator[Window]:
    """Those that overlap as one; they come in the order of their starts."""
    last: Window | None = None
    for window in windows:
        if last is None:
            last = window
        elif window.start <= last.latest_start:
            last = Window(last.start, max(last.latest_start, window.latest_start))
        else:
            yield last
            last = window
    if last is not None:
        yield last
