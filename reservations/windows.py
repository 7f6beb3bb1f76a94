"""When does all of it fit, for the whole time, on the same hosts?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from reservations.calendar import Calendar, Need


@dataclass(frozen=True)
class Opening:
    """Every start in [start, latest_start], both included, leaves room for the whole need and duration.

    `hosts` are those (ids) that each unit would get at `start`, one entry a unit.
    """

    start: datetime
    latest_start: datetime
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A need, for how long, and when it may start: within [after, before]."""

    need: Need
    duration: timedelta
    after: datetime
    before: datetime


def openings(calendar: Calendar, question: Question, count: int = 10) -> list[Opening]:
    """The first `count` openings, earliest first; maximal, so that none touches the next. Empty: never.

    Counts as the calendar's own cloud does (its `rules`): what is given here, that cloud would grant.
    Raises ValueError for a duration of zero or less, or units below one.
    """
    raise NotImplementedError


class Compromise(StrEnum):
    """What a compromise changes."""

    FEWER = "fewer"  # fewer units now
    SMALLER = "smaller"  # smaller units
    SHORTER = "shorter"
    SPLIT = "split"  # the same time in two parts
    FLAVOUR = "flavour"  # another flavour of the cloud
    LATER = "later"  # after the asked range


@dataclass(frozen=True)
class Alternative:
    """A question near the asked one that has an answer sooner, or at all."""

    compromise: Compromise
    question: Question
    opening: Opening
    # the second part, of a split
    second: Opening | None = None


def alternatives(calendar: Calendar, question: Question) -> list[Alternative]:
    """The nearest compromises, each the best of its kind, in the order of `Compromise`."""
    raise NotImplementedError
