"""Several supervisors on one database: one of them drives a session, whatever becomes of the others."""

import asyncio
import contextlib
from collections import Counter

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError

from broker.model import Phase
from broker.sessions import lease, worker_id
from broker.tables import sessions
from federation.database import connect
from tests.broker.conftest import make_document
from tests.broker.driving import (
    DATA,
    ENDED,
    accept,
    held,
    is_in,
    notes,
    running,
    turn,
    turned,
)

MANY = 12


@pytest.fixture
def second_engine(database_url, engine):
    """The other process's own connections to the same database."""
    other = connect(database_url)
    yield other
    other.dispose()


@pytest.fixture
def two(make_broker, second_engine):
    """Two brokers with a supervisor each, on the same database and the same platforms."""
    first = make_broker(run_seconds=5.0)
    second = make_broker(platforms=first.platforms, engine=second_engine)
    return first, second


def workers(engine):
    """Who has which session."""
    with engine.connect() as connection:
        rows = connection.execute(select(sessions.c.uuid, sessions.c.worker))
        return {row.uuid: row.worker for row in rows if row.worker is not None}


def starts(broker):
    return sum(platform.calls.count("really started") for platform in broker.platforms.values())


def test_two_supervisors_share_the_sessions_and_drive_each_once(two, engine, clock):
    first, second = two
    uuids = [accept(first, make_document(duration="PT5M")) for _ in range(MANY)]
    seen = Counter()

    def done():
        seen.update(workers(engine).values())
        return all(first.session(uuid).phase in ENDED for uuid in uuids)

    async def story():
        async with running(first), running(second):
            await turn(clock, done, step=0.25)

    asyncio.run(story())
    assert [first.session(uuid).phase for uuid in uuids] == [Phase.COMPLETED] * MANY
    assert starts(first) == MANY
    assert all(len(notes(first, uuid, "started")) == 1 for uuid in uuids)
    assert all(len(notes(first, uuid, "exit-code")) == 1 for uuid in uuids)
    assert held(engine) == set()
    assert set(seen) <= {first.supervisor.id, second.supervisor.id}


def test_a_clean_stop_gives_the_leases_back_at_once(two, engine, clock):
    first, second = two
    uuid = accept(first, make_document(data=DATA))

    async def story():
        async with running(first):
            await turn(clock, is_in(first, uuid, Phase.RUNNING))
            assert workers(engine) == {uuid: first.supervisor.id}
        assert workers(engine) == {}
        before = clock.now()
        async with running(second):
            await turn(clock, is_in(second, uuid, *ENDED))
        assert (clock.now() - before) < lease.LEASE

    asyncio.run(story())
    assert second.session(uuid).phase is Phase.COMPLETED
    assert starts(first) == 1


def test_a_dead_ones_work_is_taken_over_when_its_lease_is_over(two, engine, clock):
    first, second = two
    uuid = accept(first, make_document(data=DATA))

    async def story():
        async with running(first):
            await turn(clock, is_in(first, uuid, Phase.RUNNING))
        # dead, not stopped: nothing was given back
        claimed(engine, uuid, "a machine elsewhere", clock.now() + lease.LEASE)
        async with running(second):
            await turned(clock, 8, step=2.0)
            assert second.session(uuid).phase is Phase.RUNNING
            assert workers(engine) == {uuid: "a machine elsewhere"}
            await turn(clock, is_in(second, uuid, *ENDED), step=2.0)

    asyncio.run(story())
    assert second.session(uuid).phase is Phase.COMPLETED
    assert starts(first) == 1


def test_a_dead_one_of_this_machine_is_not_waited_for(two, engine, clock, monkeypatch):
    first, second = two
    uuid = accept(first)
    mine = worker_id.new_worker_id()
    machine, _, rest = mine.partition(":")
    # the number is this process's, but another process had it: it started at another time
    gone = f"{machine}:{rest.split(':')[0]}:1:cafe"
    assert worker_id.is_dead(gone)
    assert not worker_id.is_dead(mine)
    assert not worker_id.is_dead("another machine:1:1:cafe")
    claimed(engine, uuid, gone, clock.now() + lease.LEASE)

    async def story():
        async with running(second):
            await turn(clock, lambda: second.session(uuid).phase is Phase.RUNNING, step=0.1)

    started = clock.now()
    asyncio.run(story())
    assert clock.now() - started < lease.LEASE


def test_a_paused_one_finds_itself_fenced_off(two, engine, second_engine, clock):
    """The first stands still in the middle of a transfer, loses its lease, and wakes up to touch nothing."""
    first, second = two
    uuid = accept(first, make_document(data=DATA))
    paused = asyncio.Event()
    awake = asyncio.Event()
    written = []

    async def story():
        platform = first.platforms[first.session(uuid).placement.site_id]
        stage = platform.stage

        async def stand_still(*arguments):
            if not paused.is_set():
                paused.set()
                await awake.wait()
            return await stage(*arguments)

        platform.stage = stand_still
        async with running(first):
            await turn(clock, paused.is_set)
            # a process that stands still doesn't look either
            first.supervisor._look = lambda doing: (_ for _ in ()).throw(OSError("paused"))
            clock.advance(lease.LEASE.total_seconds())
            async with running(second):
                await turn(clock, is_in(second, uuid, Phase.RUNNING), step=0.25)
                with listening(engine, written):
                    awake.set()
                    await turn(clock, is_in(second, uuid, *ENDED), step=0.25)

    asyncio.run(story())
    assert second.session(uuid).phase is Phase.COMPLETED
    assert starts(first) == 1
    assert [text for text in written if "SET phase" in text or "progress=" in text] == []


def test_a_write_of_one_who_lost_the_lease_changes_nothing(two, engine, clock):
    first, _ = two
    uuid = accept(first, make_document(data=DATA))

    async def story():
        async with running(first):
            await turn(clock, is_in(first, uuid, Phase.PREPARING))
            # it doesn't look before it writes: the write itself must find out
            first.supervisor._look = lambda doing: (_ for _ in ()).throw(OSError("paused"))
            claimed(engine, uuid, "somebody else", clock.now() + lease.LEASE)
            await turned(clock, 80, step=0.25)
            assert first.session(uuid).phase is Phase.PREPARING
            assert starts(first) == 0
            assert workers(engine) == {uuid: "somebody else"}

    asyncio.run(story())


@pytest.mark.parametrize("away", [0, 2])
def test_what_a_late_call_left_behind_is_cleaned_up(two, engine, clock, monkeypatch, away):
    """The first starts the container when the second has cleaned up already: it has others look again, as
    soon as the database, whose absence may have cost it the lease, is there."""
    first, second = two
    refusals, look_again = [OperationalError("UPDATE", None, Exception("away"))] * away, lease.look_again

    def refusing(connection, uuid):
        if refusals:
            raise refusals.pop()
        look_again(connection, uuid)

    monkeypatch.setattr(lease, "look_again", refusing)
    uuid = accept(first)
    platform = first.platforms[first.session(uuid).placement.site_id]
    awake, paused = asyncio.Event(), asyncio.Event()
    start = platform.start

    async def late(job):
        if not paused.is_set():
            paused.set()
            # such a call isn't ended by our being cancelled: it is a process on another machine
            await uncancelled(awake)
        return await start(job)

    platform.start = late

    async def story():
        async with running(first):
            await turn(clock, paused.is_set)
            look = first.supervisor._look
            first.supervisor._look = lambda doing: (_ for _ in ()).throw(OSError("paused"))
            clock.advance(lease.LEASE.total_seconds())
            async with running(second):
                await turn(clock, is_in(second, uuid, *ENDED), step=0.25)
                assert held(engine) == set()
                first.supervisor._look = look
                awake.set()
                await turn(clock, lambda: starts(first) == 2 and not platform._runs, step=0.25)

    asyncio.run(story())
    assert second.session(uuid).phase is Phase.COMPLETED
    assert held(engine) == set()


async def uncancelled(event):
    while not event.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await event.wait()


def claimed(engine, uuid, worker, until):
    values = {"worker": worker, "lease_until": until}
    with engine.begin() as connection:
        connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(**values))


@contextlib.contextmanager
def listening(engine, written):
    """What is sent to the database through `engine`, while the block runs."""

    def before(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith("UPDATE"):
            written.append(statement)

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", before)
