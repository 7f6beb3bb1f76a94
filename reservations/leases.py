"""Reserving for real: what a cloud that takes reservations is asked to do, and what it said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from reservations.calendar import Need


class LeaseState(StrEnum):
    """Where a lease is. ACTIVE is a promise kept; everything before it is only said."""

    PENDING = "pending"
    ACTIVE = "active"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class Lease:
    """A reservation at a cloud. `reference` is our own name for it: asking twice with one makes one lease.

    `hosts` are those that it holds, None where the cloud doesn't say. `flavour` and `aggregate` are what a
    server needs to be started on it, once it is active. `doubts` are sentences on what isn't as it was asked
    for: fewer hosts than asked, a host that another lease holds at the same time.
    """

    id: str
    reference: str | None
    name: str
    kind: str
    start: datetime
    end: datetime
    state: LeaseState
    need: Need | None
    hosts: tuple[str, ...] | None = None
    holder: str | None = None
    flavour: str | None = None
    reservation: str | None = None
    doubts: tuple[str, ...] = ()
    said: str | None = None


class RefusedError(Exception):
    """The cloud said no. The text is a sentence for people; `limit` names what stood in the way (quota,
    credits, capacity, properties, duration, rights, conflict ...), `said` is the cloud's own text.
    """

    def __init__(self, text: str, limit: str, said: str) -> None:
        super().__init__(text)
        self.limit, self.said = limit, said


class Leases(Protocol):
    """A cloud that can be booked. All calls block, and may be repeated: the second changes nothing more.

    Each raises RefusedError where the cloud refuses, and OutsideError where it can't be asked (then nothing
    is known of the outcome: ask again with the same reference).
    """

    def reserve(self, reference: str, need: Need, kind: str, start: datetime | None, end: datetime) -> Lease:
        """Book, verify what is really held, and say so. `start` None: now."""
        ...

    def extend(self, lease_id: str, end: datetime) -> Lease:
        """Move a lease's end, to earlier or later."""
        ...

    def cancel(self, lease_id: str) -> None:
        """Give it up; one that is gone already is fine."""
        ...

    def get(self, lease_id: str) -> Lease | None: ...

    def list(self) -> Sequence[Lease]:
        """The caller's leases, newest start last."""
        ...

    def follow(self, lease_id: str, until: datetime) -> Iterator[Lease]:
        """The lease at once, and each time something of it changes, until it is active, ended or failed, or
        until `until`. Raises RefusedError where it is gone."""
        ...
