"""What Blazar sends, recorded from Blazar 18, moved to where a test wants it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from federation.clock import ManualClock
from reservations.enforcement import purses
from reservations.enforcement.app import Enforcement

FILE = Path(__file__).parent / "data" / "blazar" / "enforcement.jsonl"
RECORDED = [json.loads(line) for line in FILE.read_text().splitlines()]
PROJECT = "8a7a9248a0024f9dbca6e48d2824791d"
# the lease of the first recorded question: one host of 10 VCPUs for two hours
START = datetime(2026, 11, 23, 17, 27, tzinfo=UTC)
BEFORE = START - timedelta(minutes=5)


def recorded(path: str, name: str | None = None) -> dict[str, Any]:
    """The first question of its kind, about the lease of a name."""
    for each in RECORDED:
        body = each["body"]
        lease = body.get("current_lease", body["lease"])
        if each["path"].endswith(path) and name in (None, lease["name"]):
            return copy.deepcopy(body)
    raise AssertionError(f"no {path} of {name}")


def create(name: str = "lease", hours: float = 2, hosts: int = 1, start: datetime = START) -> dict[str, Any]:
    """A question for hosts of 10 VCPUs each."""
    body = recorded("check-create", "ok1")
    lease = body["lease"]
    lease.update(name=name, start_date=naive(start), end_date=naive(start + timedelta(hours=hours)))
    (reservation,) = lease["reservations"]
    reservation.update(min=hosts, max=hosts, allocations=reservation["allocations"] * hosts)
    return body


def made(question: Mapping[str, Any], number: str = "lease-1", **values: Any) -> dict[str, Any]:
    """The lease that a question became."""
    return {**copy.deepcopy(dict(question["lease"])), "id": number, "status": "ACTIVE", **values}


def update(question: Mapping[str, Any], number: str = "lease-1", **values: Any) -> dict[str, Any]:
    """A question to change the lease that another question became."""
    lease = made(question, number)
    reservations = copy.deepcopy(lease["reservations"])
    changed = {"start_date": lease["start_date"], "end_date": lease["end_date"], "reservations": reservations}
    return {"context": question["context"], "current_lease": lease, "lease": {**changed, **values}}


def end(question: Mapping[str, Any], number: str = "lease-1", **values: Any) -> dict[str, Any]:
    """What Blazar says when the lease that a question became is over."""
    return {"context": question["context"], "lease": made(question, number, **values)}


def listed(question: Mapping[str, Any], number: str = "lease-1", **values: Any) -> dict[str, Any]:
    """The lease in Blazar's list: other dates than in questions."""
    lease = made(question, number, **values)
    dates = {key: f"{lease[key]}.000000" for key in ("start_date", "end_date")}
    return {**lease, "created_at": "2026-11-23 17:22:30", **dates}


def naive(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat()


class World:
    """A ledger, its clock, and a cloud whose leases a test writes down."""

    def __init__(self, engine, with_cloud=False, **options):
        self.engine, self.clock, self.leases = engine, ManualClock(BEFORE), []
        self.enforcement = Enforcement(
            engine, self.clock, (lambda seconds: self.leases) if with_cloud else None, **options
        )
        self.ledger = self.enforcement.ledger

    def grant(self, units=40.0, per_hour=None, project=PROJECT, name="2026Q4", **more):
        purses.grant(
            self.engine, self.clock.now(), project, name, units, "core-hours", per_hour or {"VCPU": 1}, **more
        )

    def left(self, project=PROJECT):
        return [account.left for account in self.ledger.accounts(project)]

    def states(self):
        return [str(each.state) for each in self.ledger.bookings(over=True)]

    def until(self, instant):
        self.clock.advance((instant - self.clock.now()).total_seconds())
