"""A Blazar that takes longer than its own API waits for, which the real one can't be made to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import ManualClock
from federation.errors import OutsideError
from reservations.calendar import Need
from reservations.leases import LeaseState, RefusedError
from reservations.openstack.blazar import Hidden, SaidNoError
from reservations.openstack.connection import Caller
from reservations.openstack.leases import BlazarLeases

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
BROKEN = SaidNoError(500, "Internal Server Error")


class Slow:
    """Answers with what it is given: errors are raised, statuses are those of the one lease, in turn."""

    def __init__(self, statuses=(), error=BROKEN):
        self.statuses, self.error = list(statuses), error
        self.cloud = self
        self.made, self.asked = [], []
        self.looked_at = lambda: None

    def caller(self):
        return Caller("p1", False)

    def create(self, body):
        self.asked.append(body)
        self.made.append({**document("PENDING"), "name": body["name"]})
        raise self.error

    def update(self, lease_id, body):
        raise self.error

    def delete(self, lease_id):
        raise self.error

    def leases(self):
        self.looked_at()
        return self.made

    def lease(self, lease_id):
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return None if status is None else document(status)

    def hosts(self):
        return Hidden("blazar:oshosts:get")

    allocations = hosts


def document(status):
    return {
        "id": "l1",
        "name": "fairlead:job",
        "project_id": "p1",
        "start_date": "2026-12-01T00:00:00.000000",
        "end_date": "2026-12-01T01:00:00.000000",
        "created_at": "2026-12-01 00:00:00",
        "status": status,
        "reservations": [],
    }


def leases(blazar):
    clock = ManualClock(NOW)
    return BlazarLeases(blazar, clock, pause=clock.advance), clock


@pytest.mark.parametrize("error", [BROKEN, OutsideError("Blazar doesn't answer within 75 s")])
def test_a_lease_whose_servers_take_minutes_to_go_is_waited_for(error):
    ours, clock = leases(Slow(["DELETING"] * 90 + [None], error))
    ours.cancel("l1")
    assert timedelta(minutes=2) < clock.now() - NOW < timedelta(minutes=4)


def test_one_that_never_goes_is_given_up_on_after_eleven_minutes():
    ours, clock = leases(Slow(["DELETING"]))
    with pytest.raises(RefusedError, match="failed inside"):
        ours.cancel("l1")
    assert clock.now() - NOW >= timedelta(minutes=11)


def test_one_that_stays_as_it_is_was_not_given_up():
    ours, clock = leases(Slow(["ACTIVE"], OutsideError("gone")))
    with pytest.raises(OutsideError, match="gone"):
        ours.cancel("l1")
    assert clock.now() == NOW


@pytest.mark.parametrize("error", [BROKEN, OutsideError("Blazar doesn't answer within 75 s")])
def test_what_the_api_gave_up_on_is_made_all_the_same(error):
    ours, _ = leases(Slow(error=error))
    need = Need({}, whole_hosts=True)
    assert ours.reserve("job", need, "physical:host", None, NOW + HOUR).id == "l1"


@pytest.mark.parametrize(
    ("start", "begins"),
    [
        (NOW + timedelta(minutes=1), "now"),
        (NOW + timedelta(minutes=5), "2026-12-01 00:05"),
        # what was over before is for Blazar to refuse
        (NOW - timedelta(minutes=1), "2026-11-30 23:59"),
    ],
)
def test_a_start_that_passes_while_the_cloud_is_looked_through_is_now(start, begins):
    blazar = Slow()
    ours, clock = leases(blazar)
    blazar.looked_at = lambda: clock.advance(150)
    ours.reserve("job", Need({}, whole_hosts=True), "physical:host", start, NOW + HOUR)
    assert [body["start_date"] for body in blazar.asked] == [begins]


def test_a_change_is_waited_for_until_it_is_done():
    ours, clock = leases(Slow(["PENDING", "UPDATING", "UPDATING", "PENDING"], OutsideError("gone")))
    assert ours.extend("l1", NOW + HOUR).id == "l1"
    assert clock.now() == NOW
    with pytest.raises(OutsideError, match="gone"):
        ours.extend("l1", NOW + 2 * HOUR)


def test_what_has_ended_is_not_ended_again():
    ours, clock = leases(Slow(["TERMINATED"]))
    clock.advance(7200)
    assert ours.extend("l1", NOW).state is LeaseState.ENDED


def test_following_ends_where_it_is_told_to():
    ours, clock = leases(Slow(["PENDING", "PENDING", "STARTING", "STARTING", "ACTIVE"]))
    seen = [lease.said for lease in ours.follow("l1", NOW + HOUR)]
    assert seen == ["PENDING", "STARTING", "ACTIVE"]
    ours, clock = leases(Slow(["PENDING"]))
    assert len(list(ours.follow("l1", NOW + timedelta(minutes=1)))) == 1
    assert clock.now() >= NOW + timedelta(minutes=1)
