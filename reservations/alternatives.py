"""What would fit sooner, or at all: the compromises nearest to what was asked.

All compromises are compared by the time they lose: waiting for the start (and between the parts of a split),
plus the share of the asked duration that what is missing amounts to. Half of the units of a need of two days
at once loses as much as all of them a day later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import partial

from reservations.calendar import VCPU, Amounts, Calendar, Need
from reservations.index import instant_of, microseconds
from reservations.openings import Opening, Question, most_that, openings, starts

# However many there are: so many sizes of a kind, and so many flavours, are looked at. Each size costs the
# openings of one question and about 2 log2(size) looks at a single start.
MOST_SIZES = 8
MOST_FLAVOURS = 16


class Compromise(StrEnum):
    """What a compromise changes."""

    FEWER = "fewer"  # fewer units
    SMALLER = "smaller"  # smaller units
    SHORTER = "shorter"
    SPLIT = "split"  # the same time in two parts
    FLAVOUR = "flavour"  # another flavour of the cloud
    LATER = "later"  # after the asked range


@dataclass(frozen=True)
class Alternative:
    """A question near the asked one that has an answer sooner, or at all.

    `lost` is what it costs against all of the asked at the asked start: see the module.
    """

    compromise: Compromise
    question: Question
    opening: Opening
    lost: timedelta
    # the second part of a split, and how long it is; `question` is the first part
    second: Opening | None = None
    second_duration: timedelta | None = None


@dataclass(frozen=True)
class _Family:
    """The same question in all sizes from 1 to `size`, the asked one; a larger one is never easier."""

    compromise: Compromise
    size: int
    of: Callable[[int], Question]


def alternatives(calendar: Calendar, question: Question) -> list[Alternative]:
    """Compromises that start sooner than the first opening of what was asked; the one that loses least first.

    Of fewer units, smaller units and shorter times there are up to two: what is possible at the earliest
    start at which anything is (the asked one, where it can be), and what loses least. Of the others the one
    that loses least. Later than asked: only where it doesn't fit in the asked range. Empty where all of it
    fits at the asked start. Bounded: at most about `MOST_SIZES` openings of each kind and some hundred looks
    at single starts. Raises as `openings`.
    """
    whole = openings(calendar, question, 1)
    first, _ = starts(calendar, question)
    asked = instant_of(first * microseconds(calendar.rules.step))
    if whole and whole[0].start <= asked:
        return []
    before = whole[0].start - calendar.rules.step if whole else question.before
    sooner = replace(question, after=asked, before=before)
    fronts = [_front(calendar, sooner, family) for family in _families(calendar, sooner)]
    found = [each for front in fronts for each in _best(front)]
    for shorter in (front for front in fronts if front and front[0].compromise is Compromise.SHORTER):
        found += _split(calendar, sooner, shorter, whole[0].start if whole else None)
    found += _flavour(calendar, sooner)
    if not whole:
        found += _later(calendar, question, asked)
    order = list(Compromise)
    return sorted(found, key=lambda each: (each.lost, order.index(each.compromise)))


def _families(calendar: Calendar, question: Question) -> Iterator[_Family]:
    need, step = question.need, calendar.rules.step
    yield _Family(Compromise.FEWER, need.units, lambda units: replace(question, need=need.of(units)))
    sizes = need.amounts.get(VCPU) or max(need.amounts.values(), default=0)
    # a flavour is what it is: a smaller one is another one
    if need.flavour is None and sizes:
        yield _Family(
            Compromise.SMALLER,
            sizes,
            lambda size: replace(question, need=replace(need, amounts=scaled(need.amounts, size, sizes))),
        )
    steps = -(-question.duration // step)
    yield _Family(Compromise.SHORTER, steps, lambda size: replace(question, duration=size * step))


def scaled(amounts: Amounts, size: int, sizes: int) -> dict[str, int]:
    """size/sizes of each amount, rounded up."""
    return {name: -(-amount * size // sizes) for name, amount in amounts.items()}


def _front(calendar: Calendar, question: Question, family: _Family) -> list[Alternative]:
    """The sizes worth having, smallest and soonest first: each is the largest at its start, and waits for it
    no longer than any before it loses.
    """
    found: list[Alternative] = []
    size, before = 0, question.before
    while len(found) < MOST_SIZES and size < family.size - 1 and question.after <= before:
        larger = openings(calendar, replace(family.of(size + 1), before=before), 1)
        if not larger:
            break
        start = larger[0].start
        fits = partial(_fits_at, calendar, family, start)
        size = most_that(fits, family.size - 1, size + 1)
        smaller = family.of(size)
        lost = start - question.after + _part(question.duration, family.size - size, family.size)
        opening = openings(calendar, replace(smaller, after=start), 1)[0]
        found.append(Alternative(family.compromise, smaller, opening, lost))
        # one that waits longer than this loses more
        before = min(before, question.after + min(each.lost for each in found))
    return found


def _part(duration: timedelta, missing: int, whole: int) -> timedelta:
    """missing/whole of it; a year times the MiB of a large machine is more than a timedelta holds."""
    return timedelta(microseconds=round(Fraction(microseconds(duration) * missing, whole)))


def _fits_at(calendar: Calendar, family: _Family, start: datetime, size: int) -> bool:
    return bool(openings(calendar, replace(family.of(size), after=start, before=start), 1))


def _best(front: Sequence[Alternative]) -> list[Alternative]:
    if not front:
        return []
    best = min(front, key=lambda each: each.lost)
    return [best] if best is front[0] else [front[0], best]


def _split(
    calendar: Calendar, question: Question, front: Sequence[Alternative], whole: datetime | None
) -> list[Alternative]:
    """Each of the front's parts with the rest of the time as soon after it as can be; the best of these.

    With the first part's start given, the longest first part ends the second one soonest: a second part that
    began before its end would do so without its own beginning, too.
    """
    rules = calendar.rules
    best: Alternative | None = None
    for part in front:
        rest = -(-question.duration // rules.step) * rules.step - part.question.duration
        after = part.opening.start + part.question.duration + rules.gap + rules.cleaning
        second = openings(calendar, Question(question.need, rest, after, calendar.until), 1)
        if not second:
            continue
        lost = second[0].start - part.question.duration - question.after
        if (whole is None or question.after + lost < whole) and (best is None or lost < best.lost):
            best = replace(
                part, compromise=Compromise.SPLIT, lost=lost, second=second[0], second_duration=rest
            )
    return [] if best is None else [best]


def _flavour(calendar: Calendar, question: Question) -> list[Alternative]:
    need = question.need
    if need.flavour is None:
        return []
    best: Alternative | None = None
    asked = 0
    tried: list[Amounts] = []
    for share, flavour, amounts in _flavours(calendar, need):
        missing = _part(question.duration, share.denominator - share.numerator, share.denominator)
        if asked == MOST_FLAVOURS or (best is not None and missing >= best.lost):
            break
        # one that is no smaller in anything than one that was tried starts no sooner
        if any(all(amounts.get(name, 0) >= amount for name, amount in each.items()) for each in tried):
            continue
        asked += 1
        tried.append(amounts)
        other = replace(question, need=replace(need, amounts=amounts, flavour=flavour))
        found = openings(calendar, other, 1)
        if found and (best is None or found[0].start - question.after + missing < best.lost):
            lost = found[0].start - question.after + missing
            best = Alternative(Compromise.FLAVOUR, other, found[0], lost)
    return [] if best is None else [best]


def _flavours(calendar: Calendar, need: Need) -> list[tuple[Fraction, str, Amounts]]:
    """Other flavours with what share of the need each of them is (its scarcest class): largest share first,
    and then the smallest flavour. Those without any of a class that is needed are left out.
    """
    found = []
    for flavour, (_, amounts) in calendar.flavours.items():
        shares = [
            Fraction(amounts.get(name, 0), amount) for name, amount in need.amounts.items() if amount > 0
        ]
        share = min(shares, default=Fraction(1))
        if flavour != need.flavour and share > 0:
            found.append((min(share, Fraction(1)), sum(shares), flavour, amounts))
    found.sort(key=lambda each: (-each[0], each[1], each[2]))
    return [(share, flavour, amounts) for share, _, flavour, amounts in found]


def _later(calendar: Calendar, question: Question, asked: datetime) -> list[Alternative]:
    after = max(question.before + calendar.rules.step, question.after)
    later = replace(question, after=after, before=max(after, calendar.until))
    found = openings(calendar, later, 1)
    return [Alternative(Compromise.LATER, later, each, each.start - asked) for each in found]
