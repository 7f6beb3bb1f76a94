"""A question put to everything that is known: per site, when and how; where not, what would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reservations.calendar import Calendar, Need, Sight
from reservations.obstacles import Limit, Obstacle, obstacles
from reservations.snapshots import Known
from reservations.sources import Confirming, Placed
from reservations.windows import Alternative, Opening, Question, alternatives, openings
from reservations.words import amount_words

# kinds that book whole machines, and kinds that book parts of them; every other kind does both
WHOLE = frozenset({"physical:host"})
PARTS = frozenset({"virtual:instance", "flavor:instance", "unreserved"})
# an opening that begins later than this after the asked start is "not soon": compromises are looked for, too
SOON_SHARE = 0.5
# starts that a cloud which hides its calendar may be asked about for one question; its source may allow fewer
MOST_STARTS = 50


@dataclass(frozen=True)
class Answer:
    """What one calendar says. `question` is the asked one as this cloud would be asked (its flavour).

    No openings: it doesn't fit in the asked range, and `obstacles` say why. `calendar.sight` says how much
    was seen.
    """

    calendar: Calendar
    question: Question
    openings: tuple[Opening, ...]
    alternatives: tuple[Alternative, ...]
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def first(self) -> datetime | None:
        return self.openings[0].start if self.openings else None


def ask(
    known: Iterable[Known], question: Question, count: int = 3, sources: Sequence[Placed] = ()
) -> list[Answer]:
    """Every calendar's answer that could serve the need; the soonest first, those without openings last.

    Of equally early ones those come first that saw everything. Blocks for the computation, and where a cloud
    hides its calendar, and its source among `sources` may ask it, for that.
    """
    found = [
        answer
        for site in known
        for calendar in site.calendars
        if (answer := _answer(calendar, question, count, sources)) is not None
    ]
    return sorted(found, key=_order)


def _answer(calendar: Calendar, question: Question, count: int, sources: Sequence[Placed]) -> Answer | None:
    if calendar.sight is Sight.NONE or not _kind_serves(calendar, question.need):
        return None
    need = as_booked(calendar, question.need)
    if need is None:
        return Answer(calendar, question, (), (), (_no_flavour(calendar, question.need),))
    asked = replace(question, need=need)
    windows = tuple(openings(calendar, asked, count))
    if calendar.sight is not Sight.ALL:
        return Answer(calendar, asked, windows or _confirmed(calendar, asked, sources), ())
    late = not windows or windows[0].start > question.after + SOON_SHARE * question.duration
    return Answer(
        calendar,
        asked,
        windows,
        tuple(alternatives(calendar, asked)) if late else (),
        () if windows else tuple(obstacles(calendar, asked)),
    )


def _confirmed(calendar: Calendar, question: Question, sources: Sequence[Placed]) -> tuple[Opening, ...]:
    """The first start that the cloud itself grants: it is asked for the first one, for the ends of the
    caller's own bookings, and in steps of half the duration."""
    for placed in sources:
        if (placed.site, placed.space.source) == (calendar.site, calendar.source) and isinstance(
            placed.source, Confirming
        ):
            ends = {part.end + calendar.rules.gap for part in calendar.taken if part.end is not None}
            steps = int((question.before - question.after) / (question.duration / 2)) + 1
            grid = {
                question.after + number * question.duration / 2 for number in range(min(steps, MOST_STARTS))
            }
            starts = sorted(each for each in ends | grid if question.after <= each <= question.before)
            found = placed.source.first(question.need, calendar.kind, question.duration, starts)
            if found is not None:
                return (Opening(found[0], found[0], ()),)
    return ()


def _no_flavour(calendar: Calendar, need: Need) -> Obstacle:
    if need.flavour is not None:
        names = ", ".join(sorted(name for name, _ in calendar.flavours.values())) or "none"
        return Obstacle(Limit.FLAVOUR, f"no flavour is called {need.flavour!r}: expected one of {names}")
    return Obstacle(Limit.FLAVOUR, f"no flavour of this cloud has {amount_words(need.amounts)}")


def _order(answer: Answer) -> tuple[bool, datetime, bool, str]:
    first = answer.first
    seen = answer.calendar.sight is not Sight.ALL
    return first is None, first or answer.question.after, seen, answer.calendar.site


def _kind_serves(calendar: Calendar, need: Need) -> bool:
    """Whether this way of booking is for whole hosts, or for parts, as the need is; flavours book by flavour
    alone."""
    if need.flavour is not None and calendar.kind != "flavor:instance":
        return False
    return calendar.kind not in (PARTS if need.whole_hosts else WHOLE)


def as_booked(calendar: Calendar, need: Need) -> Need | None:
    """The need as this calendar's cloud would be asked for it; None where that kind can't serve it.

    A cloud that books by flavours gets the smallest one that covers the need.
    """
    if not _kind_serves(calendar, need):
        return None
    if calendar.kind != "flavor:instance":
        return need
    if need.flavour is not None:
        flavour = flavour_called(calendar, need.flavour)
        return None if flavour is None else _of_flavour(calendar, need, flavour)
    covering = [
        flavour
        for flavour, (_, amounts) in calendar.flavours.items()
        if all(amounts.get(name, 0) >= amount for name, amount in need.amounts.items())
    ]
    if not covering:
        return None
    return _of_flavour(calendar, need, min(covering, key=lambda flavour: _size(calendar, flavour)))


def _of_flavour(calendar: Calendar, need: Need, flavour: str) -> Need:
    return replace(need, flavour=flavour, amounts=calendar.flavours[flavour][1])


def usual_kind(need: Need) -> str:
    """How Blazar is asked for such a need, where nobody says it."""
    if need.whole_hosts:
        return "physical:host"
    return "virtual:instance" if need.flavour is None else "flavor:instance"


def flavour_called(calendar: Calendar, name: str) -> str | None:
    """The id of the flavour with this id or name."""
    if name in calendar.flavours:
        return name
    return next((each for each, (called, _) in calendar.flavours.items() if called == name), None)


def _size(calendar: Calendar, flavour: str) -> tuple[float, str]:
    """How large a flavour is: the sum over classes of its share of the largest flavour's amount."""
    largest: dict[str, int] = {}
    for _, amounts in calendar.flavours.values():
        for name, amount in amounts.items():
            largest[name] = max(largest.get(name, 0), amount)
    amounts = calendar.flavours[flavour][1]
    return sum(amount / largest[name] for name, amount in amounts.items() if largest[name]), flavour


def remarks(known: Sequence[Known], answers: Sequence[Answer]) -> list[str]:
    """What a reader has to know of these answers, each sentence once."""
    told = [remark for site in known for remark in site.remarks]
    told += [f"{answer.calendar.site}: {remark}" for answer in answers for remark in answer.calendar.remarks]
    return list(dict.fromkeys(told))
