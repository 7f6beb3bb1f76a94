"""The broker's process ends at every single step of a session that has a reservation at its site's cloud.

As in test_supervisor_crashes; what is asked of the cloud is a step, too, before it is done and behind it. It
leaves one lease while the session lives, and none afterwards.
"""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from sqlalchemy import select

from broker.model import Phase
from broker.sessions import lease, reserving
from broker.tables import cloud_leases
from tests.broker.clouds import TinyCloud, host, placed
from tests.broker.conftest import NOW, make_document, make_federation, make_site
from tests.broker.driving import ANN, accept
from tests.broker.test_supervisor_crashes import MOST_STEPS, Fate, Mortal, is_settled, live_until, mortal


@pytest.fixture
def federation():
    return make_federation(make_site("perth", -31.95, 115.86, cores=1000))


def state_of(engine, uuid):
    with engine.connect() as connection:
        return connection.execute(
            select(cloud_leases.c.state).where(cloud_leases.c.session == uuid)
        ).scalar_one()


CANCELLED_IN = {
    "completes": (),
    "cancelled": (Phase.RUNNING,),
    "cancelled at once": (Phase.ACCEPTED, Phase.PREPARING),
}


@pytest.mark.parametrize("story", CANCELLED_IN)
def test_whichever_step_is_the_last_no_lease_is_lost_or_doubled(
    make_broker, engine, clock, monkeypatch, story
):
    monkeypatch.setattr("broker.sessions.run.POLL_SECONDS", 1.0)
    # a process that is killed is known to have asked nothing more
    monkeypatch.setattr(reserving, "SETTLES", timedelta(seconds=5))
    cloud = TinyCloud(clock, "perth", hosts=(host(cores=500),))
    options = {"run_seconds": 1e4 if story == "cancelled" else 2.0}
    platforms = None
    for last_step in range(0, MOST_STEPS, 1 if engine.dialect.name == "sqlite" else 4):
        broker = make_broker(kind=Mortal, platforms=platforms, sources=[placed(cloud)], **options)
        platforms = broker.platforms
        start = f"{NOW:%Y-%m-%dT%H:%M:%SZ}/{NOW + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
        uuid = accept(broker, make_document(start=start))
        fate, made = Fate(last_step), cloud.made

        def cancel(which, uuid=uuid):
            if which.session(uuid).phase in CANCELLED_IN[story]:
                with contextlib.suppress(BaseException):
                    which.update_phase(uuid, Phase.CANCELLED, ANN)

        def over(uuid=uuid):
            return is_settled(engine, uuid)

        cloud.fate = fate
        with mortal(broker, engine, fate):
            asyncio.run(live_until(broker, clock, fate, over, cancel))
        cloud.fate = None
        assert len(cloud.ours) <= 1, last_step
        clock.advance(lease.LEASE.total_seconds())
        again = make_broker(platforms=platforms, sources=[placed(cloud)])
        asyncio.run(live_until(again, clock, Fate(10**6), over, cancel))
        session = again.session(uuid)
        wanted = Phase.COMPLETED if story == "completes" else Phase.CANCELLED
        assert session.phase is wanted, (last_step, [timed.note.text for timed in session.notes])
        assert cloud.leases_now == {}, last_step
        assert cloud.made - made <= 1, last_step
        assert state_of(engine, uuid) == "gone"
        if not fate.dead:
            break
    assert not fate.dead
    assert last_step >= 4 if story == "cancelled at once" else last_step > 15
