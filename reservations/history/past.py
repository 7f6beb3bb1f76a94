"""A cloud's past, as its source remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reservations.calendar import Amounts


class End(StrEnum):
    """How a booking ended."""

    RUNNING = "running"
    ENDED = "ended as asked"
    EARLY = "ended early"
    FAILED = "failed"
    UNUSED = "never active"
    # over, and the source doesn't say how
    UNKNOWN = "ended"


@dataclass(frozen=True)
class Use:
    """A booking as it was: `amounts` is all that it took, on all hosts together, during [start, end).

    `end` None: until further notice. `asked_end` is until when it had been asked for, where the source tells.
    `hosts` is what it took of each host (id), empty where the source doesn't tell. One that was never active
    took nothing. `name`, `holder` and `ours` as those of `reservations.calendar.Taken`.
    """

    booking: str
    start: datetime
    end: datetime | None
    amounts: Amounts
    how: End
    kind: str = ""
    name: str | None = None
    holder: str | None = None
    ours: str | None = None
    asked_end: datetime | None = None
    hosts: Mapping[str, Amounts] = field(default_factory=dict)


@dataclass(frozen=True)
class Past:
    """What a source remembers of [since, until). Not `whole`: there may have been more than it tells, so that
    figures made of it are "at least". `remarks` are sentences for people on what is missing."""

    uses: tuple[Use, ...]
    since: datetime
    until: datetime
    whole: bool = True
    remarks: tuple[str, ...] = ()
