"""What the clouds' answers look like to people and to programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from federation.units import format_age, format_seconds
from reservations.asking import PARTS, Answer
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar, Need, Sight
from reservations.free import total_free_steps
from reservations.snapshots import Known
from reservations.windows import Alternative, Compromise, Opening, Question, openings
from reservations.words import amount_words, binary_words

# "full" is: not even one core for an hour
_LEAST = Need({VCPU: 1})
_AN_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class State:
    """What of one calendar is free at an instant. `full_until`: None where it isn't full; with `full` and no
    instant it is full as far as is known."""

    calendar: Calendar
    free_hosts: int
    hosts: int
    free: dict[str, int]
    total: dict[str, int]
    full: bool
    full_until: datetime | None

    @property
    def site(self) -> str:
        return self.calendar.site

    @property
    def remarks(self) -> tuple[str, ...]:
        return self.calendar.remarks

    def document(self) -> dict[str, Any]:
        calendar = self.calendar
        return {
            "site": calendar.site,
            "source": calendar.source,
            "kind": calendar.kind,
            "known_at": calendar.known_at,
            "sight": calendar.sight,
            "hosts": self.hosts,
            "hosts_free": self.free_hosts,
            "free": self.free,
            "total": self.total,
            "full": self.full,
            "full_until": self.full_until,
        }

    def cells(self, now: datetime) -> tuple[str, ...]:
        """As `fairlead space now` shows them, from the site on."""
        until = f"{self.full_until:%Y-%m-%d %H:%M}" if self.full_until else "further notice"
        return (
            self.calendar.site,
            self.calendar.kind,
            f"{self.free_hosts} of {self.hosts}",
            f"{self.free.get(VCPU, 0)} of {self.total.get(VCPU, 0)}",
            f"{self._memory(self.free)} of {self._memory(self.total)}",
            f"{self.free.get(PGPU, 0)} of {self.total[PGPU]}" if self.total.get(PGPU) else "-",
            until if self.full else "-",
            how_seen(self.calendar, now),
        )

    @staticmethod
    def _memory(amounts: Mapping[str, int]) -> str:
        return binary_words(amounts.get(MEMORY_MB, 0), "MiB")


def state_now(calendar: Calendar, now: datetime) -> State:
    """What is free of `calendar` at `now`, as far as it is seen."""
    bookable = [host for host in calendar.hosts if host.bookable]
    total: Counter[str] = Counter()
    for host in bookable:
        total.update(host.amounts)
    free = total_free_steps(calendar, now, now + calendar.rules.step)[0]
    need = replace(_LEAST, whole_hosts=calendar.kind == "physical:host")
    range_end = max(calendar.until - _AN_HOUR, now)
    first = openings(calendar, Question(need, _AN_HOUR, now, range_end), 1)
    # the next whole step is still "now"
    full = not first or first[0].start - now > calendar.rules.step
    until = first[0].start if full and first else None
    return State(calendar, free.hosts, len(bookable), dict(free.amounts), dict(total), full, until)


def how_seen(calendar: Calendar, now: datetime) -> str:
    """How old it is, and what of it is hidden."""
    seconds = max((now - calendar.known_at).total_seconds(), 0.0)
    age = "just now" if seconds < 5 else f"{format_age(seconds)} ago"
    hidden = {Sight.ALL: "", Sight.OWN: ", only our own bookings", Sight.NONE: ", no bookings"}
    return age + hidden[calendar.sight]


def host_words(calendar: Calendar, hosts: Sequence[str], most: int = 4) -> str:
    """The hosts by name, each with how many units it gets; long lists are cut."""
    names = {host.id: host.name for host in calendar.hosts}
    counts = Counter(names.get(host, host) for host in hosts)
    shown = [name if count == 1 else f"{name} ×{count}" for name, count in list(counts.items())[:most]]
    more = len(counts) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def span_words(opening: Opening) -> tuple[str, str]:
    """The first start, and the last one."""
    latest = (
        "then only" if opening.latest_start == opening.start else f"{opening.latest_start:%Y-%m-%d %H:%M}"
    )
    return f"{opening.start:%Y-%m-%d %H:%M}", latest


def compromise_words(answer: Answer, other: Alternative) -> str:
    """What is given up, in words."""
    asked, instead = answer.question, other.question
    need = instead.need
    match other.compromise:
        case Compromise.FEWER:
            return f"{need.units} instead of {asked.need.units}"
        case Compromise.SMALLER:
            return f"{amount_words(need.amounts)} instead of {amount_words(asked.need.amounts)}"
        case Compromise.SHORTER:
            length, whole = instead.duration.total_seconds(), asked.duration.total_seconds()
            return f"for {format_seconds(length)} instead of {format_seconds(whole)}"
        case Compromise.SPLIT:
            assert other.second is not None
            assert other.second_duration is not None
            first, second = (
                format_seconds(length.total_seconds()) for length in (instead.duration, other.second_duration)
            )
            return f"in two parts: {first}, then {second} from {other.second.start:%Y-%m-%d %H:%M} on"
        case Compromise.FLAVOUR:
            flavour = need.flavour or ""
            return f"flavour {answer.calendar.flavours.get(flavour, (flavour,))[0]}"
        case Compromise.LATER:
            return "later than asked"


def opening_document(calendar: Calendar, opening: Opening, duration: timedelta) -> dict[str, Any]:
    names = {host.id: host.name for host in calendar.hosts}
    return {
        "start": opening.start,
        "latest_start": opening.latest_start,
        "end": opening.start + duration,
        "hosts": [names.get(host, host) for host in opening.hosts],
    }


def answer_document(answer: Answer) -> dict[str, Any]:
    """One calendar's answer as JSON has it. Instants are in UTC; amounts are of one unit."""
    calendar, question = answer.calendar, answer.question
    return {
        "site": calendar.site,
        "source": calendar.source,
        "kind": calendar.kind,
        "known_at": calendar.known_at,
        "sight": calendar.sight,
        "units": question.need.units,
        "amounts": dict(question.need.amounts),
        "flavour": question.need.flavour,
        "duration_seconds": question.duration.total_seconds(),
        "openings": [opening_document(calendar, each, question.duration) for each in answer.openings],
        "obstacles": [{"limit": each.limit, "words": each.text} for each in answer.obstacles],
        "compromises": [
            {
                "compromise": other.compromise,
                "words": compromise_words(answer, other),
                "units": other.question.need.units,
                "amounts": dict(other.question.need.amounts),
                "duration_seconds": other.question.duration.total_seconds(),
                "lost_seconds": other.lost.total_seconds(),
                "opening": opening_document(calendar, other.opening, other.question.duration),
                "second": None
                if other.second is None or other.second_duration is None
                else opening_document(calendar, other.second, other.second_duration),
            }
            for other in answer.alternatives
        ],
    }


def most_telling(known: Known, kind: str | None) -> Calendar | None:
    """The calendar that shows most of a site: parts of hosts before whole ones; or that of `kind`."""
    seen = [one for one in known.calendars if one.sight is not Sight.NONE]
    if kind is not None:
        return next((one for one in seen if one.kind == kind), None)
    return min(seen, key=lambda one: one.kind not in PARTS or one.kind == "unreserved", default=None)


def calendar_document(calendar: Calendar) -> dict[str, Any]:
    """A calendar as JSON has it."""
    names = {host.id: host.name for host in calendar.hosts}
    return {
        "site": calendar.site,
        "source": calendar.source,
        "kind": calendar.kind,
        "known_at": calendar.known_at,
        "until": calendar.until,
        "sight": calendar.sight,
        "hosts": [
            {
                "name": host.name,
                "amounts": dict(host.amounts),
                "properties": dict(host.properties),
                "bookable": host.bookable,
            }
            for host in calendar.hosts
        ],
        "taken": [
            {
                "host": names.get(part.host, part.host),
                "start": part.start,
                "end": part.end,
                "amounts": None if part.amounts is None else dict(part.amounts),
                "booking": part.booking,
                "name": part.name,
                "holder": part.holder,
                "ours": part.ours,
            }
            for part in calendar.taken
        ],
    }
