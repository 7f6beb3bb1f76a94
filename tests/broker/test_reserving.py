"""An accepted session gets its reservation at the site's cloud, and gives it back whatever happens."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from broker.model import Phase
from broker.offers.calendars import GRACE
from broker.sessions.run import RELEASE
from federation.errors import OutsideError
from reservations.calendar import MEMORY_MB, VCPU, Need
from reservations.leases import LeaseState
from tests.broker.clouds import TinyCloud, placed
from tests.broker.conftest import NOW, make_document, make_federation, make_site
from tests.broker.driving import ANN, ENDED, Recording, accept, held, is_in, notes, running, turn

HOUR = timedelta(hours=1)
ALL = Need({VCPU: 8, MEMORY_MB: 1024})


class Leased(Recording):
    """Remembers the lease of each job it starts, as it was then."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.leases = {}

    async def start(self, job):
        self.leases[job.id] = job.lease
        return await super().start(job)


def site(rebook=False):
    perth = make_site("perth", -31.95, 115.86, cores=100)
    return replace(perth, policy=replace(perth.policy, rebook=rebook))


@pytest.fixture
def federation(request):
    return make_federation(site(rebook=getattr(request, "param", False)))


moving = pytest.mark.parametrize("federation", [True], indirect=True)


@pytest.fixture
def cloud(clock):
    return TinyCloud(clock, "perth")


@pytest.fixture
def make(make_broker, cloud):
    return lambda **more: make_broker(kind=Leased, sources=[placed(cloud)], **more)


def document(hours=1, start=None, cores=4):
    first = NOW if start is None else start
    latest = NOW + timedelta(days=1)
    return make_document(
        (cores, None), f"PT{hours}H", start=f"{first:%Y-%m-%dT%H:%M:%SZ}/{latest:%Y-%m-%dT%H:%M:%SZ}"
    )


def drive(broker, clock, *until, step=0.5, turns=600):
    async def story():
        async with running(broker):
            for each in until:
                await turn(clock, each, step, turns)

    asyncio.run(story())


def texts(broker, uuid):
    return [timed.note.text for timed in broker.session(uuid).notes]


def test_a_session_runs_on_its_lease_which_is_gone_when_it_has_ended(make, cloud, clock, engine):
    broker = make()
    uuid = accept(broker, document())
    drive(broker, clock, is_in(broker, uuid, *ENDED), lambda: not held(engine))
    session = broker.session(uuid)
    assert session.phase is Phase.COMPLETED, texts(broker, uuid)
    lease = broker.platforms["perth"].leases[uuid]
    assert lease.state is LeaseState.ACTIVE
    assert (lease.reference, lease.need.amounts[VCPU]) == (uuid, 4)
    placement = session.placement
    assert lease.start == placement.start.replace(second=0)
    end = placement.start + placement.start_within + placement.duration + GRACE
    assert end <= lease.end < end + timedelta(minutes=1)
    assert cloud.leases_now == {}
    (note,) = notes(broker, uuid, "lease")
    assert note.note.text.startswith("Reserved at perth from 2026-11-25T12:00:00Z to ")


def test_a_lease_is_made_at_once_however_late_the_session_starts(make, cloud, clock, engine):
    broker = make()
    uuid = accept(broker, document(start=NOW + 6 * HOUR))
    drive(broker, clock, lambda: cloud.ours == [uuid], is_in(broker, uuid, Phase.WAITING))
    (lease,) = cloud.leases_now.values()
    assert lease.start == NOW + 6 * HOUR
    # and another process goes on with it
    again = make(platforms=broker.platforms)
    clock.advance(6 * 3600 - 90)
    drive(again, clock, is_in(again, uuid, *ENDED), step=2)
    assert again.session(uuid).phase is Phase.COMPLETED, texts(again, uuid)
    assert again.session(uuid).outcome.started >= NOW + 6 * HOUR
    assert cloud.leases_now == {}


def test_it_is_not_started_before_the_lease_is_active(make, cloud, clock):
    broker = make()
    uuid = accept(broker, document(start=NOW + timedelta(minutes=10)))
    drive(broker, clock, is_in(broker, uuid, Phase.PREPARING), step=5)
    (lease,) = cloud.ours and list(cloud.leases_now)
    cloud.break_lease(lease, start=NOW + timedelta(minutes=15))
    drive(broker, clock, lambda: clock.now() >= NOW + timedelta(minutes=14), step=5)
    assert broker.session(uuid).phase is Phase.PREPARING
    drive(broker, clock, is_in(broker, uuid, Phase.RUNNING, *ENDED), step=5)
    assert broker.session(uuid).outcome.started >= NOW + timedelta(minutes=15)


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.RUNNING])
def test_cancelled_it_gives_the_lease_back(make, cloud, clock, engine, phase):
    broker = make(run_seconds=1e4)
    uuid = accept(broker, document(start=NOW + HOUR if phase is Phase.WAITING else None))
    drive(broker, clock, lambda: cloud.ours == [uuid], is_in(broker, uuid, phase))
    broker.update_phase(uuid, Phase.CANCELLED, ANN)
    drive(broker, clock, lambda: not held(engine))
    assert cloud.leases_now == {}


def test_what_expires_or_is_rejected_asks_for_nothing(make, cloud, clock):
    broker = make()
    first, second = (broker.request(document(), ANN).sessions[0] for _ in range(2))
    broker.update_phase(first.uuid, Phase.REJECTED, ANN)
    drive(broker, clock, is_in(broker, second.uuid, Phase.EXPIRED), step=5)
    assert cloud.made == 0


def test_a_direct_execution_gets_one_too(make, cloud, clock):
    broker = make()
    uuid = broker.direct(document(), ANN).uuid
    drive(broker, clock, is_in(broker, uuid, *ENDED))
    assert broker.session(uuid).phase is Phase.COMPLETED
    assert (cloud.made, cloud.leases_now) == (1, {})


def test_given_up_is_tried_until_the_cloud_confirms_it(make, cloud, clock, engine):
    broker = make(run_seconds=60)
    uuid = accept(broker, document())
    drive(broker, clock, is_in(broker, uuid, Phase.RUNNING))
    cloud.down = True
    drive(broker, clock, is_in(broker, uuid, Phase.COMPLETED))
    assert uuid in held(engine)
    assert cloud.ours == [uuid]
    cloud.down = False
    drive(broker, clock, lambda: not held(engine), step=5)
    assert cloud.leases_now == {}


def test_a_cloud_that_is_down_is_asked_again(make, cloud, clock):
    broker = make()
    uuid = accept(broker, document())
    cloud.down = True
    drive(broker, clock, lambda: notes(broker, uuid, "lease"))
    assert "its cloud can't be asked just now: the cloud doesn't answer" in texts(broker, uuid)[-1]
    cloud.down = False
    drive(broker, clock, is_in(broker, uuid, *ENDED), step=2)
    assert broker.session(uuid).phase is Phase.COMPLETED, texts(broker, uuid)


def test_a_cloud_that_stays_down_fails_the_session_when_it_is_too_late(make, cloud, clock):
    broker = make()
    uuid = accept(broker, document())
    cloud.down = True
    drive(broker, clock, lambda: notes(broker, uuid, "lease"))
    clock.advance(7200)
    drive(broker, clock, is_in(broker, uuid, *ENDED), step=2)
    assert broker.session(uuid).phase is Phase.FAILED
    assert "could not be asked until it was too late" in notes(broker, uuid, "lease-refused")[0].note.text


def test_answers_that_get_lost_leave_one_lease_and_then_none(make, cloud, clock, engine):
    broker = make()
    uuid = accept(broker, document())
    cloud.deaf = True
    drive(broker, clock, lambda: cloud.calls.count("reserve") >= 3, step=5)
    assert cloud.made == 1
    # cancelled before anybody knows whether it was made
    broker.update_phase(uuid, Phase.CANCELLED, ANN)
    drive(broker, clock, lambda: not held(engine), step=5)
    assert cloud.leases_now == {}


def test_a_lease_that_comes_after_all_is_given_back(make, cloud, clock, engine):
    """Asked for, and made by the cloud only after the session was cancelled and looked for once."""
    broker = make()
    uuid = accept(broker, document())
    real, late = cloud.reserve, []

    def silent(reference, need, kind, start, end):
        late.append((need, NOW, end, reference))
        raise OutsideError("the cloud doesn't answer")

    cloud.reserve = silent
    drive(broker, clock, lambda: late)
    broker.update_phase(uuid, Phase.CANCELLED, ANN)
    drive(broker, clock, lambda: "list" in cloud.calls)
    assert cloud.book(*late[0]) is not None
    cloud.reserve = real
    drive(broker, clock, lambda: not held(engine), step=5)
    assert cloud.leases_now == {}


def test_refused_it_fails_with_the_clouds_reason(make, cloud, clock, engine):
    broker = make()
    uuid = accept(broker, document())
    assert cloud.book(ALL, NOW, NOW + 2 * HOUR) is not None
    drive(broker, clock, is_in(broker, uuid, *ENDED), lambda: not held(engine))
    assert broker.session(uuid).phase is Phase.FAILED
    (note,) = notes(broker, uuid, "lease-refused")
    assert note.note.text == "perth: not enough hosts are free for all of that time"
    assert cloud.ours == []


@moving
def test_refused_it_takes_the_next_window_where_the_site_says_so(make, cloud, clock, engine):
    broker = make()
    uuid = accept(broker, document())
    old = broker.session(uuid).placement.start
    other = cloud.book(ALL, NOW, NOW + 2 * HOUR)
    drive(broker, clock, lambda: cloud.ours == [uuid], is_in(broker, uuid, Phase.WAITING))
    session = broker.session(uuid)
    assert session.placement.start == NOW + 2 * HOUR
    (note,) = notes(broker, uuid, "rebooked")
    expected = f"Moved from {old:%Y-%m-%dT%H:%M:%SZ} to 2026-11-25T14:00:00Z, since perth: not enough hosts"
    assert note.note.text.startswith(expected)
    cloud.leases_now.pop(other.id)
    clock.advance(2 * 3600 - 90)
    drive(broker, clock, is_in(broker, uuid, *ENDED), step=2)
    assert broker.session(uuid).phase is Phase.COMPLETED, texts(broker, uuid)
    assert broker.session(uuid).outcome.started >= NOW + 2 * HOUR
    drive(broker, clock, lambda: not held(engine))
    assert cloud.leases_now == {}


@moving
def test_where_there_is_no_later_window_it_fails(make, cloud, clock, engine):
    broker = make()
    uuid = accept(broker, document())
    cloud.book(ALL, NOW, NOW + 48 * HOUR)
    drive(broker, clock, is_in(broker, uuid, *ENDED))
    (note,) = notes(broker, uuid, "lease-refused")
    assert note.note.text.endswith("and there is no later window in the start range")


@moving
@pytest.mark.parametrize(("limit", "asked"), [("credits", 1), ("capacity", 6)])
def test_it_is_not_moved_for_ever_nor_where_another_time_does_not_help(make, cloud, clock, limit, asked):
    broker = make()
    uuid = accept(broker, document())
    cloud.refusing, cloud.limit = "no, whatever the calendar says", limit
    drive(broker, clock, is_in(broker, uuid, *ENDED))
    assert broker.session(uuid).phase is Phase.FAILED
    assert cloud.calls.count("reserve") == asked
    assert "no, whatever the calendar says" in notes(broker, uuid, "lease-refused")[0].note.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": LeaseState.FAILED}, "the reservation failed"),
        ({"state": LeaseState.ENDED}, "the reservation has ended before its time"),
        (
            {"state": LeaseState.ACTIVE, "doubts": ("a host of this lease failed",)},
            "the reservation is not as it was asked for: a host of this lease failed",
        ),
        (None, "the reservation is gone: somebody gave it up"),
    ],
)
def test_a_lease_that_is_lost_under_a_running_session_ends_it(make, cloud, clock, engine, changes, words):
    broker = make(run_seconds=1e4)
    uuid = accept(broker, document())
    drive(broker, clock, is_in(broker, uuid, Phase.RUNNING))
    (lease,) = cloud.leases_now
    if changes is None:
        cloud.cancel(lease)
    else:
        cloud.break_lease(lease, **changes)
    drive(broker, clock, is_in(broker, uuid, *ENDED), lambda: not held(engine))
    assert broker.session(uuid).phase is Phase.FAILED
    assert words in notes(broker, uuid, "lease-lost")[0].note.text
    assert broker.platforms["perth"]._runs == {}
    assert cloud.leases_now == {}


def test_a_cloud_that_is_down_does_not_disturb_what_runs(make, cloud, clock):
    broker = make(run_seconds=120)
    uuid = accept(broker, document())
    drive(broker, clock, is_in(broker, uuid, Phase.RUNNING))
    cloud.down = True
    drive(broker, clock, is_in(broker, uuid, *ENDED))
    assert broker.session(uuid).phase is Phase.COMPLETED


@moving
def test_a_lease_that_fails_before_the_session_runs_is_moved(make, cloud, clock):
    broker = make()
    uuid = accept(broker, document(start=NOW + HOUR))
    drive(broker, clock, lambda: cloud.ours == [uuid], is_in(broker, uuid, Phase.WAITING))
    (lease,) = cloud.leases_now
    cloud.break_lease(lease, state=LeaseState.FAILED)
    clock.advance(3600 - 90)
    drive(broker, clock, is_in(broker, uuid, *ENDED), step=2)
    assert broker.session(uuid).phase is Phase.COMPLETED, texts(broker, uuid)
    assert notes(broker, uuid, "rebooked")
    assert cloud.made == 2
    assert cloud.leases_now == {}


def test_a_session_that_could_start_late_alone_ends_with_what_is_reserved(make, cloud, clock):
    """Its lease doesn't grow: so it has less time."""
    broker = make(run_seconds=1e5)
    uuid = accept(broker, document())
    drive(broker, clock, lambda: cloud.ours == [uuid])
    (lease,) = cloud.leases_now
    clock.advance(1800)
    drive(broker, clock, is_in(broker, uuid, Phase.RUNNING))
    end = notes(broker, uuid, "started")[0].note.values["end"]
    assert end == f"{cloud.leases_now[lease].end - RELEASE:%Y-%m-%dT%H:%M:%SZ}"


def test_a_lease_that_begins_a_moment_late_costs_no_time(make, cloud, clock):
    broker = make(run_seconds=1e5)
    uuid = accept(broker, document(start=NOW + HOUR))
    drive(broker, clock, lambda: cloud.ours == [uuid])
    late = NOW + HOUR + timedelta(seconds=40)
    real = cloud.get
    cloud.get = lambda which: replace(
        real(which), state=LeaseState.ACTIVE if clock.now() >= late else LeaseState.PENDING
    )
    clock.advance(3600 - 60)
    drive(broker, clock, is_in(broker, uuid, Phase.RUNNING))
    started = broker.session(uuid).outcome.started
    assert started >= late
    end = notes(broker, uuid, "started")[0].note.values["end"]
    assert late + HOUR <= datetime.fromisoformat(end) <= started + HOUR


def test_a_site_without_book_reserves_nothing(make_broker, cloud, clock):
    broker = make_broker(kind=Leased, sources=[placed(cloud, None)])
    uuid = accept(broker, document())
    drive(broker, clock, is_in(broker, uuid, *ENDED))
    assert broker.session(uuid).phase is Phase.COMPLETED
    assert cloud.made == 0
    assert broker.platforms["perth"].leases[uuid] is None
