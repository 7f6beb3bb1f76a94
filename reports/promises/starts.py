"""Whether sessions started when it was promised, and what else of a promise can be held against a session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from broker.contract.message_kinds import MESSAGE_KINDS
from broker.model import Phase
from federation.units import format_apart, format_seconds
from reports.promises import scoring
from reports.promises.sessions import Promise

# a container takes a moment to start
GRACE = timedelta(minutes=1)
# Below this many there is no verdict on starts: of 20, all on time say 83 % or more.
LEAST = 20
# preparation is promised to be done with this probability, and starts wait for it
PROMISED = 0.9


class Start(StrEnum):
    """What came of a promised start. DUE_LATER, CANCELLED: nothing can be said."""

    ON_TIME = "on time"
    LATE = "late"
    NEVER = "never started"
    OVERDUE = "not started yet"
    DUE_LATER = "due later"
    CANCELLED = "cancelled before"


BROKEN = (Start.LATE, Start.NEVER, Start.OVERDUE)
KEPT_OR_BROKEN = (Start.ON_TIME, *BROKEN)
NOT_KNOWN = "not known"


def start_of(one: Promise, until: datetime) -> Start:
    """Of an accepted one, by what is known; `until` says whether a start that isn't there was due."""
    latest = one.promised_start + one.start_within + GRACE
    if one.started is not None:
        return Start.ON_TIME if one.started <= latest else Start.LATE
    if one.phase is Phase.CANCELLED:
        return Start.CANCELLED
    if one.phase in (Phase.FAILED, Phase.COMPLETED, Phase.RELEASING):
        return Start.NEVER
    return Start.OVERDUE if latest < until else Start.DUE_LATER


def kept(promises: Iterable[Promise], until: datetime) -> scoring.Share:
    """The share of accepted ones that started on time, of those of which it can be said."""
    found = [start_of(one, until) for one in promises if one.accepted]
    return scoring.share([start is Start.ON_TIME for start in found if start in KEPT_OR_BROKEN])


def lateness_seconds(one: Promise) -> float | None:
    """After the promised start; negative: sooner. None: it didn't start."""
    return None if one.started is None else (one.started - one.promised_start).total_seconds()


def preparation_seconds(one: Promise) -> float | None:
    """From the begin of its preparation until all was in place, for the first time; None where not known."""
    if one.preparing is None or one.prepared is None:
        return None
    return (one.prepared - one.preparing).total_seconds()


def prepared_in_time(promises: Iterable[Promise]) -> scoring.Share:
    """The share whose preparation took no longer than its promised 90 % quantile. Those at other brokers
    were promised by these, and are left out."""
    took = [(preparation_seconds(one), one) for one in promises if one.accepted and not one.elsewhere]
    return scoring.share([seconds <= one.prepare_seconds for seconds, one in took if seconds is not None])


def waited_seconds(one: Promise) -> float | None:
    """How long it waited to start though it was ready and its time had come: for room, mostly."""
    if one.prepared is None or one.started is None:
        return None
    return max((one.started - max(one.prepared, one.promised_start)).total_seconds(), 0.0)


def used_seconds(one: Promise) -> float | None:
    if one.started is None or one.finished is None:
        return None
    return max((one.finished - one.started).total_seconds(), 0.0)


@dataclass(frozen=True)
class Use:
    """Core-hours of what ran to some end: promised for all of its time, and used."""

    promised: float
    used: float
    sessions: int


def use(promises: Iterable[Promise]) -> Use:
    found = [(one, seconds) for one in promises if (seconds := used_seconds(one)) is not None]
    promised = sum(one.cores * one.duration.total_seconds() for one, _ in found) / 3600
    used = sum(one.cores * seconds for one, seconds in found) / 3600
    return Use(promised, used, len(found))


def longest_queue(promises: Iterable[Promise]) -> int:
    """The most sessions that waited at the same time, for more than a moment, as `waited_seconds` has it."""
    changes = []
    for one in promises:
        waited = waited_seconds(one)
        if waited is not None and one.started is not None and waited > GRACE.total_seconds():
            changes += [(one.started - timedelta(seconds=waited), 1), (one.started, -1)]
    waiting = most = 0
    # who starts makes room first
    for _, change in sorted(changes, key=lambda item: (item[0], item[1])):
        waiting += change
        most = max(most, waiting)
    return most


def quantile(values: Sequence[float | None], probability: float) -> float:
    """Of those that are known; NaN of none."""
    found = [value for value in values if value is not None]
    return float(np.quantile(found, probability)) if found else float("nan")


def why(one: Promise, start: Start) -> str:
    """Why a start was late or never came, as far as is known; else empty."""
    return _reason(one, start)[1]


def cause(one: Promise, start: Start) -> str:
    """The same as `why`, without the figures of one session, so that it can be counted."""
    return _reason(one, start)[0] or NOT_KNOWN


def _reason(one: Promise, start: Start) -> tuple[str, str]:
    """What it has in common with others, and the same with its figures."""
    if start in (Start.NEVER, Start.OVERDUE) and one.problem is not None:
        return kind_title(one.problem[0]), problem_words(one)
    if start not in (Start.LATE, Start.OVERDUE):
        return "", ""
    if one.moves:
        words = "its cloud refused the reservation, and it was moved to a later one"
        return words, words
    took, waited = preparation_seconds(one), waited_seconds(one)
    if took is not None and took > one.prepare_seconds and one.prepared and one.prepared > one.promised_start:
        said, limit = format_apart(format_seconds, took, one.prepare_seconds, "s")
        words = f"preparation took {said}, {limit} was promised at 90 %"
        return "preparation took longer than was promised", words
    if one.preparing is not None and one.preparing > one.promised_start:
        words = "the broker was late to begin its preparation"
        return words, words
    if waited is not None and waited > GRACE.total_seconds():
        words = f"it was ready, and waited {format_seconds(waited)} for room"
        return "it was ready, and waited for room", words
    return "", ""


def kind_title(kind: str) -> str:
    known = MESSAGE_KINDS.get(kind)
    return known.title if known is not None else kind


def problem_words(one: Promise) -> str:
    """Why it failed, without what may be somebody's: addresses and identifiers are left out."""
    if one.problem is None:
        return ""
    kind, text = one.problem
    return _PRIVATE.sub("…", text) or kind_title(kind)


# URLs, paths, images, digests and uuids
_PRIVATE = re.compile(r"\S*(?:/|@|sha256:|[0-9a-f]{8}-[0-9a-f]{4})\S*")
