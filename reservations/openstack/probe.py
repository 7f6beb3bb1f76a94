"""Asking a cloud that hides its calendar: a lease that it must refuse, once it has looked for space.

Blazar looks for hosts, then asks for credits, and then reads `before_end_date`; one after the lease's end it
refuses before anything is written. So "Datetime is out of lease limits" says that there is space. Each such
question leaves a trust behind in Keystone, which Blazar never deletes, and lines in Blazar's log: they are
asked for sparingly, only where the site's table [[space]] allows a number of them, and never twice within
minutes. Of whole hosts (physical:host) nothing is learnt, as Blazar looks for those silently.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from federation.clock import Clock
from reservations.calendar import Need
from reservations.leases import RefusedError
from reservations.openstack import said
from reservations.openstack.blazar import Blazar, SaidNoError
from reservations.openstack.dates import MINUTE, asked, minute_down, minute_up
from reservations.openstack.kinds import FLAVOUR, VIRTUAL, reservation

_FRESH = timedelta(minutes=5)
_LATER = timedelta(days=1)
_MANY = 10**9
_LARGEST = {
    "amount": 1,
    "vcpus": _MANY,
    "memory_mb": _MANY,
    "disk_gb": 0,
    "affinity": None,
    "resource_properties": "",
}


class Fit(StrEnum):
    """What a cloud said when it was asked."""

    FITS = "fits"
    FULL = "full"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Confirmation:
    """The cloud's answer; `text` says in a sentence what was learnt, or why nothing was."""

    fit: Fit
    text: str
    asked_at: datetime | None = None
    limit: str | None = None


_FITS = {said.CAPACITY: Fit.FULL, said.CONFLICT: Fit.FULL, said.FAULT: Fit.UNKNOWN}


class Prober:
    """Confirms openings of one cloud, `budget` of them at most in its life. May be used from any thread."""

    def __init__(self, blazar: Blazar, clock: Clock, budget: int) -> None:
        self._blazar, self._clock = blazar, clock
        self._left = budget
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str, str], Confirmation] = {}
        self._offered: dict[str, bool] = {}

    @property
    def left(self) -> int:
        """How many questions may still be asked."""
        return self._left

    def confirm(self, need: Need, kind: str, start: datetime, end: datetime) -> Confirmation:
        """Whether the cloud would grant `need` by way of `kind` during [start, end).

        Raises OutsideError where it can't be asked; a refusal is an answer.
        """
        if kind not in (VIRTUAL, FLAVOUR):
            return Confirmation(Fit.UNKNOWN, f"{kind} can't be asked for without booking it")
        try:
            wanted = reservation(need, kind)
        except RefusedError as error:
            return Confirmation(Fit.REFUSED, str(error))
        with self._lock:
            now = self._clock.now()
            key = (repr(sorted(wanted.items(), key=str)), asked(start), asked(end))
            known = self._answers.get(key)
            if known is not None and known.asked_at is not None and now - known.asked_at < _FRESH:
                return known
            if self._left < 1:
                return Confirmation(
                    Fit.UNKNOWN,
                    "no question to the cloud is left: the option `probes` says how many may be asked",
                )
            self._left -= 1
            answer = self._ask(wanted, start, end, now)
            self._answers[key] = answer
            return answer

    def offers(self, kind: str) -> bool | None:
        """Whether the cloud makes reservations of this kind at all; None where that may not be asked.

        Asks once, for what can't be granted: a reservation without its figures, or one larger than any host.
        """
        with self._lock:
            if kind not in self._offered and self._left > 0:
                self._left -= 1
                wanted = {"resource_type": kind, **(_LARGEST if kind == VIRTUAL else {})}
                now = self._clock.now()
                answer = self._ask(wanted, now + _LATER, now + _LATER + MINUTE, now)
                self._offered[kind] = answer.limit != said.KIND
            return self._offered.get(kind)

    def first(
        self, need: Need, kind: str, duration: timedelta, starts: Iterable[datetime]
    ) -> tuple[datetime, Confirmation] | None:
        """The first of `starts`, tried in their order, that the cloud would grant; None where it would grant
        none of them, or no question was left."""
        for start in starts:
            answer = self.confirm(need, kind, start, start + duration)
            if answer.fit is Fit.FITS:
                return start, answer
            if answer.fit is not Fit.FULL:
                return None
        return None

    def _ask(
        self, wanted: Mapping[str, object], start: datetime, end: datetime, now: datetime
    ) -> Confirmation:
        begins = max(minute_up(start), minute_down(now))
        body = {
            "name": "fairlead-question",
            "start_date": "now" if begins == minute_down(now) else asked(begins),
            "end_date": asked(end),
            "reservations": [wanted],
            "events": [],
            "before_end_date": asked(minute_up(end) + MINUTE),
        }
        try:
            made = self._blazar.create(body)
        except SaidNoError as error:
            meaning = said.meaning(error.said, error.status)
            if meaning.limit == said.BEFORE_END:
                return Confirmation(Fit.FITS, "the cloud looked, and has the space", now)
            return Confirmation(_FITS.get(meaning.limit, Fit.REFUSED), meaning.text, now, meaning.limit)
        # A cloud that doesn't read before_end_date has made a lease of it. It must not stay.
        self._blazar.delete(made["id"])
        return Confirmation(Fit.FITS, "the cloud granted it, and it was given back at once", now)
