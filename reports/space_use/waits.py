"""How long one waits today for what people usually need, and in how many pieces the free space lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reports.space_use.model import Cloud, Reading
from reservations.asking import as_booked
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar, Need, Sight
from reservations.free import free_steps, total_free_steps
from reservations.obstacles import obstacles
from reservations.occupancy import size
from reservations.windows import Question, openings

SMALL_CORES, SMALL_MEMORY_MB = 4, 16 * 1024
# how far ahead an opening is looked for
LOOK = timedelta(days=30)
_HALF = "half the cloud"


@dataclass(frozen=True)
class Usual:
    """A need that is asked of every cloud; `words` say it at the head of a column."""

    name: str
    words: str
    duration: timedelta


USUAL = (
    Usual("small", f"{SMALL_CORES} cores, {SMALL_MEMORY_MB // 1024} GiB for 8 h", timedelta(hours=8)),
    Usual("half", f"{_HALF}'s cores for 24 h", timedelta(hours=24)),
    Usual("whole_host", "one whole host for 24 h", timedelta(hours=24)),
    Usual("gpu", "1 GPU with 4 cores for 8 h", timedelta(hours=8)),
)


@dataclass(frozen=True)
class Wait:
    """When a cloud first has room for one of the usual needs: `start` None where it hasn't within LOOK, and
    `why` is the reason then."""

    cloud: str
    usual: Usual
    start: datetime | None
    kind: str
    why: str = ""

    def seconds(self, now: datetime) -> float | None:
        return None if self.start is None else max((self.start - now).total_seconds(), 0.0)


@dataclass(frozen=True)
class Pieces:
    """What is free of a cloud's cores now: in all, on the host that has most of them free, on hosts that are
    free as a whole; and how many small pieces (`SMALL_CORES`, `SMALL_MEMORY_MB`) would fit into it."""

    cores: int
    largest: int
    largest_host: str
    hosts_with_some: int
    whole_hosts: int
    small: int

    @property
    def scattered(self) -> float | None:
        """The share of the free cores that lies outside of the largest piece; None where nothing is free."""
        return 1 - self.largest / self.cores if self.cores else None


def waits(reading: Reading) -> list[Wait]:
    """Every cloud's first opening for every usual need, over all its ways of booking."""
    return [_wait(cloud, reading, usual) for cloud in reading.clouds for usual in USUAL]


def _wait(cloud: Cloud, reading: Reading, usual: Usual) -> Wait:
    name = reading.name(cloud)
    asked = [
        (calendar, need, Question(need, usual.duration, reading.now, reading.now + LOOK))
        for calendar in cloud.calendars
        if calendar.sight is not Sight.NONE and (need := _need(calendar, usual)) is not None
    ]
    if not asked:
        hidden = not any(
            calendar.sight is Sight.ALL or any(size(calendar).values()) for calendar in cloud.calendars
        )
        why = "not shown" if hidden else "has none" if usual.name == "gpu" else "not for booking so"
        return Wait(name, usual, None, "", why)
    found: tuple[datetime, str] | None = None
    for calendar, _, question in asked:
        first = openings(calendar, question, 1)
        if first and (found is None or first[0].start < found[0]):
            found = first[0].start, calendar.kind
    if found is not None:
        return Wait(name, usual, found[0], found[1])
    calendar, _, question = asked[0]
    return Wait(name, usual, None, calendar.kind, _why(calendar, question))


def _why(calendar: Calendar, question: Question) -> str:
    if calendar.sight is not Sight.ALL:
        return "hidden: only our own bookings are shown"
    return next((each.text for each in obstacles(calendar, question)), f"not within {LOOK.days} d")


def _need(calendar: Calendar, usual: Usual) -> Need | None:
    """The need as this calendar can be asked for it; None where it has nothing of the sort."""
    hosts = [host for host in calendar.hosts if host.bookable]
    most = max((host.amounts.get(VCPU, 0) for host in hosts), default=0)
    if not most:
        return None
    whole = Need({}, whole_hosts=True)
    match usual.name:
        case "whole_host":
            return as_booked(calendar, whole)
        case "gpu":
            if not size(calendar).get(PGPU):
                return None
            need = Need({VCPU: SMALL_CORES, PGPU: 1})
            return as_booked(calendar, need) or as_booked(calendar, replace(need, whole_hosts=True))
        case "half":
            # in pieces that any host can take; of a cloud of whole hosts, half of them
            piece = min(SMALL_CORES, *(host.amounts.get(VCPU, 0) or most for host in hosts), most)
            units = math.ceil(size(calendar)[VCPU] / 2 / piece)
            return as_booked(calendar, Need({VCPU: piece}, units)) or as_booked(
                calendar, whole.of(math.ceil(len(hosts) / 2))
            )
        case _:
            need = Need({VCPU: SMALL_CORES, MEMORY_MB: SMALL_MEMORY_MB})
            return as_booked(calendar, need) or as_booked(calendar, replace(need, whole_hosts=True))


def pieces(calendar: Calendar, now: datetime) -> Pieces:
    """How the free cores lie on the hosts at `now`."""
    moment = now + timedelta(minutes=1)
    total = total_free_steps(calendar, now, moment)[0]
    free = list(_free_by_host(calendar, now, moment))
    cores, name = max(((cores, name) for name, cores, _ in free), default=(0, ""), key=lambda each: each[0])
    return Pieces(
        cores=total.amounts.get(VCPU, 0),
        largest=cores,
        largest_host=name if cores else "",
        hosts_with_some=sum(cores > 0 for _, cores, _ in free),
        whole_hosts=total.hosts,
        small=sum(min(cores // SMALL_CORES, memory // SMALL_MEMORY_MB) for _, cores, memory in free),
    )


def _free_by_host(calendar: Calendar, now: datetime, moment: datetime) -> Iterator[tuple[str, int, int]]:
    for host in calendar.hosts:
        step = free_steps(calendar, host.id, now, moment)[0]
        yield host.name, step.amounts.get(VCPU, 0), step.amounts.get(MEMORY_MB, 0)


def first_of(found: Sequence[Wait], name: str) -> Wait | None:
    """The earliest over all clouds for one usual need; None where none has room."""
    fitting = [each for each in found if each.usual.name == name and each.start is not None]
    return min(fitting, key=lambda each: (each.start, each.cloud), default=None)
