"""Real reservations at a real Blazar."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import SystemClock
from federation.errors import OutsideError
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Need
from reservations.leases import LeaseState, RefusedError
from reservations.openstack import said
from reservations.openstack.blazar import Blazar, SaidNoError
from reservations.openstack.connection import Cloud
from reservations.openstack.dates import asked as date
from reservations.openstack.kinds import reservation
from reservations.openstack.leases import BlazarLeases
from reservations.properties import parse_expression

pytestmark = pytest.mark.cloud

HOUR = timedelta(hours=1)
HOSTS = Need({}, 1, whole_hosts=True)
SMALL = Need({VCPU: 2, MEMORY_MB: 2048, DISK_GB: 1}, 3)
# twice as many as there are hosts, and how often they ask until two of them have got the same one
ASKERS = ("member", "other") * 3
ATTEMPTS = 30


@pytest.fixture
def tomorrow():
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)


@pytest.mark.parametrize(
    ("kind", "need", "holds"),
    [
        ("physical:host", HOSTS.of(2), 2),
        ("virtual:instance", SMALL, 3),
        ("flavor:instance", Need({}, 2, flavour="large"), 2),
    ],
)
def test_an_administrator_reserves_extends_and_gives_up_once_each(source_of, tomorrow, kind, need, holds):
    leases = source_of("admin").leases()
    start = tomorrow + timedelta(seconds=30)
    made = leases.reserve("job-7", need, kind, start, tomorrow + HOUR)
    assert (made.reference, made.kind, made.state) == ("job-7", kind, LeaseState.PENDING)
    assert made.start == tomorrow + timedelta(minutes=1)
    assert len(made.hosts) == holds
    assert made.doubts == ()
    assert leases.reserve("job-7", need, kind, start, tomorrow + HOUR) == made
    assert [each.id for each in leases.list()] == [made.id]
    longer = leases.extend(made.id, tomorrow + 2 * HOUR)
    assert longer.end == tomorrow + 2 * HOUR
    assert leases.extend(made.id, tomorrow + 2 * HOUR).end == longer.end
    leases.cancel(made.id)
    leases.cancel(made.id)
    assert leases.get(made.id) is None
    assert leases.list() == []


def test_a_lease_that_starts_now_is_followed_until_it_is_active_and_ends(source_of):
    leases = source_of("member").leases()
    now = datetime.now(UTC)
    made = leases.reserve("now", SMALL, "virtual:instance", None, now + HOUR)
    assert any("only once it is active" in doubt for doubt in made.doubts)
    patience = now + timedelta(minutes=10)
    seen = list(leases.follow(made.id, patience, every_seconds=0.5))
    assert seen[-1].state is LeaseState.ACTIVE
    assert seen[-1].doubts == ()
    assert seen[-1].flavour == made.reservation
    ended = leases.extend(made.id, now)
    while ended.state is LeaseState.ACTIVE and datetime.now(UTC) < patience:
        time.sleep(0.1)
        ended = leases.get(made.id)
    assert ended.state is LeaseState.ENDED


def test_two_who_ask_at_the_same_time_with_one_reference_have_one_lease(source_of, tomorrow):
    def ask():
        leases = source_of("member").leases()
        found.append(leases.reserve("twice", HOSTS, "physical:host", tomorrow, tomorrow + HOUR).id)

    found = []
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (left,) = source_of("member").leases().list()
    assert left.id in found


def test_a_host_that_blazar_gave_twice_is_told(source_of, cloud, tomorrow):
    """Blazar decides without locks: of several who ask at once, more get a host than there are."""
    source_of("admin")
    admin, askers = Blazar(Cloud("admin", "test")), [Blazar(Cloud(name, "test")) for name in ASKERS]
    dates = {"start_date": date(tomorrow), "end_date": date(tomorrow + HOUR), "events": []}
    together = threading.Barrier(len(askers))

    def ask(blazar):
        # signed in by then, so that they really ask at once
        blazar.leases()
        together.wait()
        with contextlib.suppress(SaidNoError):
            blazar.create({"name": "at once", **dates, "reservations": [reservation(HOSTS, "physical:host")]})

    for _ in range(ATTEMPTS):
        with ThreadPoolExecutor(len(askers)) as threads:
            list(threads.map(ask, askers))
        documents = admin.leases()
        if len(documents) > len(cloud.hosts):
            break
        for document in documents:
            admin.delete(document["id"])
    else:
        pytest.fail("Blazar has locks now: what is said of it in verify.py and the documentation is not true")
    leases = source_of("admin").leases()
    doubts = [doubt for each in documents for doubt in leases.get(each["id"]).doubts]
    assert any("is held by another reservation of project" in doubt for doubt in doubts)
    assert any("only one of them can start" in doubt for doubt in doubts)


def test_more_instances_than_the_host_has_are_told(source_of, tomorrow):
    """Blazar counts a reservation's instances on a host as one: it grants what can't run."""
    leases = source_of("admin").leases()
    need = Need({VCPU: 4, MEMORY_MB: 1024, DISK_GB: 1}, 4, properties=_named("cpu1"))
    first = leases.reserve("first", need, "virtual:instance", tomorrow, tomorrow + HOUR)
    assert first.doubts == ()
    second = leases.reserve("second", need.of(3), "virtual:instance", tomorrow, tomorrow + HOUR)
    assert second.doubts == (
        "host cpu1 has 16 VCPU and 28 are promised at a time: Blazar counts the instances that a "
        "reservation has on "
        "a host as one",
    )


class Deaf(Blazar):
    """Blazar whose answers get lost on the way after it has done what it was asked."""

    def create(self, body):
        super().create(body)
        raise OutsideError("Blazar doesn't answer within 75 s")

    def update(self, lease_id, body):
        super().update(lease_id, body)
        raise OutsideError("Blazar doesn't answer within 75 s")

    def delete(self, lease_id):
        super().delete(lease_id)
        raise OutsideError("Blazar doesn't answer within 75 s")


class Dead(Blazar):
    """Blazar that never gets what it is asked to make."""

    def create(self, body):
        raise OutsideError("Blazar doesn't answer within 75 s")


def test_a_lost_answer_changes_nothing(source_of, tomorrow):
    source_of("member")
    leases = BlazarLeases(Deaf(Cloud("member", "test")), SystemClock())
    made = leases.reserve("deaf", HOSTS, "physical:host", tomorrow, tomorrow + HOUR)
    assert leases.reserve("deaf", HOSTS, "physical:host", tomorrow, tomorrow + HOUR).id == made.id
    assert leases.extend(made.id, tomorrow + 2 * HOUR).end == tomorrow + 2 * HOUR
    assert len(leases.list()) == 1
    leases.cancel(made.id)
    assert leases.list() == []


def test_what_never_arrived_may_be_asked_again(source_of, tomorrow):
    source_of("member")
    leases = BlazarLeases(Dead(Cloud("member", "test")), SystemClock())
    with pytest.raises(OutsideError, match="ask again with the same reference"):
        leases.reserve("dead", HOSTS, "physical:host", tomorrow, tomorrow + HOUR)
    assert leases.list() == []


def test_refusals_say_which_limit(source_of, cloud, tomorrow):
    member, reader = source_of("member").leases(), source_of("reader").leases()

    def limit(need, kind="physical:host", leases=member, start=tomorrow, end=None):
        with pytest.raises(RefusedError) as refused:
            leases.reserve("no", need, kind, start, end or start + HOUR)
        return refused.value.limit

    assert limit(HOSTS.of(4)) == said.CAPACITY
    assert limit(HOSTS, leases=reader) == said.RIGHTS
    assert limit(HOSTS, start=tomorrow - timedelta(days=2)) == said.DATES
    assert limit(HOSTS, end=tomorrow) == said.DATES
    unknown = Need({}, 1, whole_hosts=True, properties=parse_expression('["==", "$nosuch", "1"]'))
    assert limit(unknown) == said.PROPERTIES
    assert limit(Need({}, 1, flavour="nosuch"), "flavor:instance") == said.FLAVOUR
    member.reserve("mine", SMALL, "virtual:instance", tomorrow, tomorrow + HOUR)
    assert limit(Need({}, 1, flavour="small"), "flavor:instance") == said.CONFLICT
    with pytest.raises(RefusedError, match="no reservation"):
        member.extend("nonexistent", tomorrow)
    cloud.enforce(max_lease_seconds=3600)
    assert limit(HOSTS, end=tomorrow + 2 * HOUR) == said.DURATION


def test_another_projects_lease_is_not_ours(source_of, tomorrow):
    theirs = source_of("other").leases().reserve("x", HOSTS, "physical:host", tomorrow, tomorrow + HOUR)
    mine = source_of("member").leases()
    assert mine.list() == []
    with pytest.raises(RefusedError, match="belongs to another project"):
        mine.get(theirs.id)
    with pytest.raises(RefusedError, match="belongs to another project"):
        mine.cancel(theirs.id)
    assert source_of("admin").leases().list() == []


def _named(host):
    return parse_expression(f'["==", "$hypervisor_hostname", "{host}"]')
