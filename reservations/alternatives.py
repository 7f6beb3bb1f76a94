"""What would fit sooner, or at all: the compromises nearest to what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reservations.calendar import Calendar
from reservations.openings import Opening, Question


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
    """A question near the asked one that has an answer sooner, or at all."""

    compromise: Compromise
    question: Question
    opening: Opening
    # the second part, of a split
    second: Opening | None = None


def alternatives(calendar: Calendar, question: Question) -> list[Alternative]:
    """The nearest compromises, each the best of its kind, in the order of `Compromise`."""
    raise NotImplementedError
