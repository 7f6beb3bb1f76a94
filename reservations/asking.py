"""A question put to everything that is known: per site, when and how; where not, what would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reservations.calendar import Calendar, Need, Sight
from reservations.obstacles import Obstacle, obstacles
from reservations.snapshots import Known
from reservations.windows import Alternative, Opening, Question, alternatives, openings

# kinds that book whole machines, and kinds that book parts of them; every other kind does both
WHOLE = frozenset({"physical:host"})
PARTS = frozenset({"virtual:instance", "flavor:instance", "unreserved"})
# an opening that begins later than this after the asked start is "not soon": compromises are looked for, too
SOON_SHARE = 0.5


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


def ask(known: Iterable[Known], question: Question, count: int = 3) -> list[Answer]:
    """Every calendar's answer that could serve the need; the soonest first, those without openings last.

    Blocks for the computation only. Of equally early ones those come first that saw everything.
    """
    found = []
    for site in known:
        for calendar in site.calendars:
            need = as_booked(calendar, question.need)
            if need is None or calendar.sight is Sight.NONE:
                continue
            asked = replace(question, need=need)
            windows = tuple(openings(calendar, asked, count))
            late = not windows or windows[0].start > question.after + SOON_SHARE * question.duration
            seen = late and calendar.sight is Sight.ALL
            found.append(
                Answer(
                    calendar,
                    asked,
                    windows,
                    tuple(alternatives(calendar, asked)) if seen else (),
                    tuple(obstacles(calendar, asked)) if seen and not windows else (),
                )
            )
    return sorted(found, key=_order)


def _order(answer: Answer) -> tuple[bool, datetime, bool, str]:
    first = answer.first
    seen = answer.calendar.sight is not Sight.ALL
    return first is None, first or answer.question.after, seen, answer.calendar.site


def as_booked(calendar: Calendar, need: Need) -> Need | None:
    """The need as this calendar's cloud would be asked for it; None where that kind can't serve it.

    A cloud that books by flavours gets the smallest one that covers the need.
    """
    if (need.whole_hosts and calendar.kind in PARTS) or (not need.whole_hosts and calendar.kind in WHOLE):
        return None
    if calendar.kind != "flavor:instance":
        return None if need.flavour is not None else need
    if need.flavour is not None:
        flavour = flavour_called(calendar, need.flavour)
        return (
            None if flavour is None else replace(need, flavour=flavour, amounts=calendar.flavours[flavour][1])
        )
    covering = [
        (sorted(amounts.items()), flavour)
        for flavour, (_, amounts) in calendar.flavours.items()
        if all(amounts.get(name, 0) >= amount for name, amount in need.amounts.items())
    ]
    if not covering:
        return None
    flavour = min(covering, key=lambda each: _size(calendar, each[1]))[1]
    return replace(need, flavour=flavour, amounts=calendar.flavours[flavour][1])


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
