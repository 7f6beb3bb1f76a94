"""A container that waits in its site's queue, and a platform that can't be asked for a while."""

import asyncio
from datetime import timedelta

import pytest

from broker.model import Connector, Level, Phase
from broker.platforms import State, Status, Unreachable, Waiting
from tests.broker.conftest import NOW
from tests.broker.driving import ENDED, Recording, accept, held, is_in, notes, running, turn


class Queueing(Recording):
    """Its containers wait until `begins`, of which it says what `reason` is."""

    reason, begins, away, until = "the nodes are busy (Resources)", None, 0, None

    async def poll(self, job):
        await self._absent()
        status = await super().poll(job)
        if self.until is not None and status.state is not State.ABSENT and self._clock.now() < self.until:
            return Status(State.RUNNING, waiting=Waiting(self.reason, self.begins))
        return status

    async def start(self, job):
        await self._absent()
        return await super().start(job)

    async def prepare(self, job):
        await self._absent()
        await super().prepare(job)

    async def _absent(self):
        if self.away > 0:
            self.away -= 1
            raise Unreachable("squeue: unable to contact the controller")


def first(broker, uuid):
    return broker.platforms[broker.session(uuid).placement.site_id]


@pytest.mark.parametrize(
    ("late", "expected", "level"),
    [
        (timedelta(minutes=40), "2400 s later than was promised", Level.WARN),
        (timedelta(0), "it is planned to begin at", Level.INFO),
        (None, "It waits at", Level.WARN),
    ],
)
def test_a_session_says_that_it_waits_and_when_it_begins(make_broker, engine, clock, late, expected, level):
    broker = make_broker(kind=Queueing)
    uuid = accept(broker)
    placement, platform = broker.session(uuid).placement, first(broker, uuid)
    promised = placement.start + placement.start_within
    platform.begins = None if late is None else promised + late
    platform.until = NOW + timedelta(seconds=60)
    seen = []

    def waits():
        seen.extend(timed.note for timed in notes(broker, uuid, "queued"))
        return broker.session(uuid).phase in ENDED

    async def story():
        async with running(broker):
            await turn(clock, waits)

    asyncio.run(story())
    assert expected.replace("2400 s", seen[0].values.get("late", "")) in seen[0].text
    assert seen[0].level is level
    assert "the nodes are busy (Resources)" in seen[0].text
    # what was told is one note, and it says last that it is over
    [last] = notes(broker, uuid, "queued")
    assert "It waited at" in last.note.text
    assert broker.session(uuid).phase is Phase.COMPLETED


def test_a_queue_of_a_moment_is_not_told(make_broker, engine, clock):
    broker = make_broker(kind=Queueing)
    uuid = accept(broker)
    first(broker, uuid).until = NOW + timedelta(seconds=3)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED))

    asyncio.run(story())
    assert notes(broker, uuid, "queued") == []


def test_ports_of_what_waited_are_told_when_it_has_begun(make_broker, engine, clock):
    where = Connector(80, "HTTP", "http://n1.example:40001", ("n1.example",), 40001, True)

    class Late(Queueing):
        async def poll(self, job):
            if self.until <= self._clock.now() < self.until + timedelta(seconds=30):
                return Status(State.RUNNING, connectors=(where,))
            return await super().poll(job)

    broker = make_broker(kind=Late)
    uuid = accept(broker)
    first(broker, uuid).until = NOW + timedelta(seconds=60)
    seen = []

    def waits():
        session = broker.session(uuid)
        seen.append((session.phase, session.connectors))
        return session.phase in ENDED

    async def story():
        async with running(broker):
            await turn(clock, waits)

    asyncio.run(story())
    assert (Phase.RUNNING, ()) in seen
    assert (Phase.RUNNING, (where,)) in seen


def test_a_platform_that_is_away_for_minutes_loses_nothing(make_broker, engine, clock):
    broker = make_broker(kind=Queueing)
    uuid = accept(broker)
    platform = first(broker, uuid)
    # about eight minutes: longer than any platform that answers with an error is given
    platform.away = 95

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED), step=2.0, turns=2000)

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.COMPLETED
    assert held(engine) == set()


def test_a_platform_that_stays_away_has_lost_the_session(make_broker, engine, clock):
    broker = make_broker(kind=Queueing)
    uuid = accept(broker)
    first(broker, uuid).away = 10**6

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED), step=2.0, turns=2000)

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.FAILED
    assert "unable to contact the controller" in broker.session(uuid).notes[-1].note.text
