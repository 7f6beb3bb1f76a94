"""Why a cloud said no, this time: its sentence read beside what is known of it, and when it would say yes.

A cloud's own sentence often stands for several things. What the calendars know of the cloud at the same
moment tells them apart: whether hosts are taken, or kept for reservations, or none was ever right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from reservations.afford import in_words
from reservations.calendar import Calendar, Need, Sight, Spread, Taken
from reservations.credits import Account
from reservations.leases import RefusedError
from reservations.openstack import said
from reservations.openstack.flavours import RESERVED, Flavour
from reservations.openstack.said import Meaning, meaning
from reservations.windows import Limit, Opening, Question, obstacles, openings
from reservations.words import need_words

UNRESERVED = "unreserved"
FREEPOOL = "freepool"
AGGREGATE = "aggregate"
_FLAVOUR_KIND = "flavor:instance"
# How long a server is taken to be wanted, where nobody says it.
_A_WHILE = timedelta(hours=1)
_LIMITS = {
    Limit.DURATION: said.DURATION,
    Limit.FURTHEST: said.DURATION,
    Limit.QUOTA: said.QUOTA,
    Limit.FLAVOUR: said.FLAVOUR,
    Limit.PROPERTIES: said.PROPERTIES,
}
_NAMED = 3


@dataclass(frozen=True)
class Explanation:
    """What stood in the way: `text` is a sentence, `details` are more, `said` is the cloud's own.

    `opening` is when it would work, by a booking of `kind`; None: not within what is known.
    """

    limit: str
    text: str
    said: str
    details: tuple[str, ...] = ()
    opening: Opening | None = None
    kind: str | None = None


def explain(
    problem: RefusedError | str | Mapping[str, Any],
    calendars: Sequence[Calendar] = (),
    question: Question | None = None,
    *,
    kind: str | None = None,
    accounts: Sequence[Account] = (),
) -> Explanation:
    """Why `problem` happened: a refused reservation, a cloud's sentence, or Nova's document of a server.

    `calendars` are those of the site, read after it happened; `question` and `kind` are what was asked for
    (of a server they are read from its document). `accounts` are the caller's purses.
    """
    if isinstance(problem, Mapping):
        return _server(problem, calendars, question)
    text = problem.said if isinstance(problem, RefusedError) else problem
    understood = meaning(text) if text else Meaning(said.FAULT, str(problem))
    if isinstance(problem, RefusedError):
        understood = Meaning(problem.limit, str(problem))
    calendar = next((each for each in calendars if each.kind == kind), None)
    if question is None:
        return _only(understood, text)
    if understood.limit == said.CREDITS:
        return replace(_only(understood, text), details=tuple(_purses(accounts, question)))
    if calendar is None:
        return _only(understood, text)
    if understood.limit in (said.CAPACITY, said.CONFLICT, said.PROPERTIES):
        return _looked(understood, text, calendar, question)
    return _only(understood, text)


def _only(understood: Meaning, text: str) -> Explanation:
    return Explanation(understood.limit, understood.text, text)


def _looked(understood: Meaning, text: str, calendar: Calendar, question: Question) -> Explanation:
    """What the calendar of that kind says of a question that was refused."""
    opening = _next(calendar, question)
    if calendar.sight is not Sight.ALL:
        return Explanation(understood.limit, understood.text, text, calendar.remarks[:1], None, calendar.kind)
    found = obstacles(calendar, question)
    hard = [each for each in found if each.limit is not Limit.BOOKED]
    if hard:
        limit = _LIMITS.get(hard[0].limit, understood.limit)
        return Explanation(
            limit, hard[0].text, text, tuple(each.text for each in hard[1:]), opening, calendar.kind
        )
    if question.need.spread is not Spread.ANY and understood.limit == said.CAPACITY:
        anyhow = replace(question, need=replace(question.need, spread=Spread.ANY))
        if found and openings(calendar, anyhow, 1):
            how = "on one host" if question.need.spread is Spread.TOGETHER else "on a host of its own"
            sentence = f"there is enough for {need_words(question.need)}, but not {how}"
            return Explanation(said.AFFINITY, sentence, text, (), opening, calendar.kind)
    if not found and understood.limit == said.PROPERTIES:
        return _only(understood, text)
    if not found:
        sentence = (
            "it fits now, by all that is known: someone gave up space, or was faster and failed; ask again"
        )
        return Explanation(understood.limit, sentence, text, (), opening, calendar.kind)
    first = understood.text if understood.limit == said.CONFLICT else found[0].text
    return Explanation(
        understood.limit, first, text, tuple(_holders(calendar, question)), opening, calendar.kind
    )


def _server(
    server: Mapping[str, Any], calendars: Sequence[Calendar], question: Question | None
) -> Explanation:
    """Of a server that Nova didn't start: its document has the fault and the flavour."""
    text = str((server.get("fault") or {}).get("message") or "").strip()
    if not text:
        status = str(server.get("status", "unknown"))
        return Explanation(said.FAULT, f"the server is {status}, and Nova gives no reason", text)
    understood = meaning(text)
    document = server.get("flavor") or {}
    if understood.limit != said.CAPACITY or "vcpus" not in document:
        return _only(understood, text)
    name = str(document.get("original_name", ""))
    if name.startswith(RESERVED):
        return Explanation(
            AGGREGATE,
            "the reservation of this flavour has no place left: its instances all run, or it isn't active "
            "yet, or it lost its hosts",
            text,
        )
    unreserved = next((each for each in calendars if each.kind == UNRESERVED), None)
    if unreserved is None or unreserved.sight is Sight.NONE:
        return _only(understood, text)
    flavour = Flavour.read({"id": name, "name": name, "OS-FLV-EXT-DATA:ephemeral": 0, **document})
    asked = _asked(flavour, unreserved, question)
    opening, kind = _reserved_opening(calendars, flavour, asked)
    open_to_all = replace(unreserved, hosts=tuple(replace(host, bookable=True) for host in unreserved.hosts))
    if not openings(unreserved, asked, 1) and openings(open_to_all, asked, 1):
        return Explanation(
            FREEPOOL,
            "hosts have room for it, but take no servers without a reservation: Blazar keeps them (or they "
            "are disabled or down). Reserve it first",
            text,
            unreserved.remarks,
            opening,
            kind,
        )
    looked = _looked(understood, text, unreserved, asked)
    return replace(looked, opening=opening, kind=kind) if opening is not None else looked


def _asked(flavour: Flavour, calendar: Calendar, question: Question | None) -> Question:
    need = Need(flavour.asked)
    if question is not None:
        return replace(question, need=need)
    return Question(need, _A_WHILE, calendar.known_at, calendar.known_at + calendar.rules.step)


def _reserved_opening(
    calendars: Sequence[Calendar], flavour: Flavour, asked: Question
) -> tuple[Opening | None, str | None]:
    """When the flavour could be had by a reservation instead: the soonest, and the kind."""
    found: list[tuple[datetime, Opening, str]] = []
    for calendar in calendars:
        if calendar.kind in (UNRESERVED, "physical:host"):
            continue
        need = Need(flavour.amounts)
        if calendar.kind == _FLAVOUR_KIND:
            known = next(
                (
                    (key, amounts)
                    for key, (name, amounts) in calendar.flavours.items()
                    if name == flavour.name
                ),
                None,
            )
            if known is None:
                continue
            need = Need(known[1], flavour=known[0])
        opening = _next(calendar, replace(asked, need=need))
        if opening is not None:
            found.append((opening.start, opening, calendar.kind))
    if not found:
        return None, None
    _, opening, kind = min(found, key=lambda each: each[0])
    return opening, kind


def _next(calendar: Calendar, question: Question) -> Opening | None:
    """The first opening from the asked start on, as far as the calendar knows."""
    latest = calendar.until - question.duration
    if latest < question.after:
        return None
    found = openings(calendar, replace(question, before=latest), 1)
    return found[0] if found else None


def _holders(calendar: Calendar, question: Question) -> Iterator[str]:
    """Who has what is wanted, soonest gone first, as far as the caller may know."""
    end = question.before + question.duration
    meeting: dict[str, Taken] = {}
    for each in calendar.taken:
        if each.start < end and (each.end is None or each.end > question.after):
            meeting.setdefault(each.booking, each)
    held = sorted(meeting.values(), key=lambda each: (each.end is None, each.end or each.start))
    for each in held[:_NAMED]:
        whose = f" of {each.holder}" if each.holder else ""
        until = f"until {each.end:%Y-%m-%d %H:%M} UTC" if each.end else "until further notice"
        yield f"{each.name or 'a reservation'}{whose} has a part of it {until}"
    if len(held) > _NAMED:
        yield f"and {len(held) - _NAMED} more"


def _purses(accounts: Sequence[Account], question: Question) -> Iterator[str]:
    if accounts:
        at = max(account.known_at for account in accounts)
        yield in_words(accounts, question.need, question.duration, at)
