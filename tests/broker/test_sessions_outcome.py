"""What is told and kept of a session: its preparation, its output, what it wrote, and for how long."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select

from broker.model import Phase
from broker.platforms import State, Status
from broker.sessions import ledger, retention
from broker.sessions.outcome import OUTPUT_BYTES, seen
from broker.tables import audit, components, forgotten, holds, offersets, sessions
from federation.database import write
from reservations.capacity import Booking, Capacity
from tests.broker.conftest import KINDS, NOW, make_document
from tests.broker.driving import ANN, DATA, ENDED, Recording, accept, held, is_in, notes, running, turn

DAY = timedelta(days=1)


class Talking(Recording):
    """Its containers print a line a second."""

    async def poll(self, job):
        status = await super().poll(job)
        run = self._runs.get(job.id)
        if run is None:
            return status
        lines = int((self._clock.now() - run.started).total_seconds())
        return replace(status, stdout="".join(f"line {line}\n" for line in range(lines)), stderr="hm\n")


def writing(**more):
    """A request whose container can write into 2 GiB of storage, and read 1 GiB more."""
    storage = [
        {
            "kind": KINDS + "storage/simple-storage-resource.yaml",
            "meta": {"name": name},
            "size": {"min": size},
        }
        for name, size in (("out", 2), ("in", 1))
    ]
    volumes = [
        {
            "kind": KINDS + "volume/simple-volume-mount.yaml",
            "path": f"/{name}",
            "mode": mode,
            "resource": name,
        }
        for name, mode in (("out", "READWRITE"), ("in", "READONLY"))
    ]
    compute = {
        "kind": KINDS + "compute/simple-compute-resource.yaml",
        "cores": {"min": 1},
        "volumes": volumes,
    }
    return make_document(storage=storage, compute=compute, **more)


def drive(broker, clock, until, step=0.5):
    async def story():
        async with running(broker):
            await turn(clock, until, step=step)

    asyncio.run(story())


def booked(engine):
    with engine.connect() as connection:
        return connection.execute(select(holds)).all()


def test_output_is_there_while_it_runs_and_is_written_only_now_and_then(make_broker, clock):
    broker = make_broker(kind=Talking, run_seconds=20.0)
    uuid = accept(broker)
    seen_so_far = []

    def look():
        session = broker.session(uuid)
        if session.phase is Phase.RUNNING and session.outcome not in seen_so_far:
            seen_so_far.append(session.outcome)
        return session.phase in ENDED

    drive(broker, clock, look, step=0.25)
    assert all(outcome.ended is None and outcome.exit_code is None for outcome in seen_so_far)
    assert 3 <= len(seen_so_far) <= 8
    assert seen_so_far[-1].stdout.startswith("line 0\nline 1\n")
    last = broker.session(uuid).outcome
    assert last.started == seen_so_far[0].started
    assert (last.exit_code, last.stderr) == (0, "hm\n")
    assert "line 18\n" in last.stdout
    # it lives in one place
    assert not [timed for timed in broker.session(uuid).notes if "line 1" in timed.note.text]


@pytest.mark.parametrize("end", ["cancelled", "failed", "over time"])
def test_output_is_kept_however_it_ended(make_broker, engine, clock, end):
    broker = make_broker(kind=Talking, run_seconds=6.0 if end == "failed" else 1e4, exit_code=3)
    uuid = accept(broker, make_document(duration="PT1M"))

    def over():
        session = broker.session(uuid)
        lines = session.outcome.stdout if session.outcome else ""
        if end == "cancelled" and session.phase is Phase.RUNNING and "line 3" in lines:
            broker.update_phase(uuid, Phase.CANCELLED, ANN)
        return session.phase in ENDED and not held(engine)

    drive(broker, clock, over)
    session = broker.session(uuid)
    assert session.phase is (Phase.CANCELLED if end == "cancelled" else Phase.FAILED)
    assert "line 3\n" in session.outcome.stdout
    assert session.outcome.exit_code == (3 if end == "failed" else 143)
    assert session.outcome.started < session.outcome.ended
    assert session.ended is not None


class Absent(Recording):
    """What should run its containers never comes."""

    async def poll(self, job):
        status = await super().poll(job)
        if status.state is not State.RUNNING:
            return status
        return Status(State.EXITED, None, problem="its server said nothing for 10 min")


def test_what_never_ran_is_not_said_to_have_ended(make_broker, clock):
    broker = make_broker(kind=Absent, run_seconds=6.0)
    uuid = accept(broker)
    drive(broker, clock, lambda: broker.session(uuid).phase in ENDED)
    assert broker.session(uuid).phase is Phase.FAILED
    (why,), (code,) = notes(broker, uuid, "resource-limit"), notes(broker, uuid, "exit-code")
    assert why.note.text == "No end of the container was seen: its server said nothing for 10 min"
    assert code.note.text == "No exit code of the container is known"


def test_no_more_than_the_last_64_kib_are_kept():
    found = seen(NOW, Status(State.EXITED, 0, stdout="é" * OUTPUT_BYTES + "end", stderr="x"), NOW)
    assert len(found.stdout.encode()) <= OUTPUT_BYTES
    assert found.stdout.endswith("éend")
    assert found.stderr == "x"


def test_preparation_says_how_far_it_is_in_one_message(make_broker, clock):
    broker = make_broker(stage_seconds=60.0, image_seconds=12.0)
    document = make_document(data=DATA)
    uuid = accept(broker, document, site="lausanne")
    told = []

    def look():
        found = notes(broker, uuid, "progress")
        assert len(found) <= 1
        if found and (not told or told[-1] != found[0].note):
            told.append(found[0].note)
        return broker.session(uuid).phase in ENDED

    drive(broker, clock, look)
    percents = [int(note.values["percent"]) for note in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert all(percent < 100 for percent in percents[:-1])
    moved = [int(note.values["moved_bytes"]) for note in told if "moved_bytes" in note.values]
    total = broker.session(uuid).placement.staging.size_bytes
    assert moved == sorted(moved)
    assert {int(note.values["total_bytes"]) for note in told[:-1]} == {total}
    assert {note.values["step"] for note in told} >= {"image", "done"}
    assert all(float(note.values["seconds_left"]) >= 0 for note in told)


def test_what_it_wrote_is_kept_with_its_room_and_goes_when_its_time_is_over(make_broker, engine, clock):
    broker = make_broker()
    uuid = accept(broker, writing(), site="penticton")
    platform = broker.platforms["penticton"]
    drive(broker, clock, is_in(broker, uuid, Phase.COMPLETED))
    session = broker.session(uuid)
    (out,) = [item.uuid for item in session.request.storage if item.name == "out"]
    assert session.results_until == session.ended + DAY
    assert platform.kept[uuid] == {out}
    (hold,) = booked(engine)
    assert (hold.cores, hold.memory_gib, hold.storage_gib) == (0, 0, 2)
    assert hold.end == session.results_until
    assert "can be fetched until" in notes(broker, uuid, "results")[0].note.text
    # another process sees to it
    again = make_broker(platforms=broker.platforms)
    clock.advance(DAY.total_seconds() - 10)
    drive(again, clock, lambda: clock.now() >= session.results_until)
    drive(again, clock, lambda: not held(engine))
    assert platform.kept[uuid] == set()
    assert again.session(uuid).phase is Phase.COMPLETED


def test_nothing_is_kept_of_a_session_that_never_ran(make_broker, engine, clock):
    broker = make_broker()
    broker.platforms["penticton"].failing["prepare"] = "no such image"
    uuid = accept(broker, writing(), site="penticton")
    drive(broker, clock, lambda: not held(engine))
    session = broker.session(uuid)
    assert (session.phase, session.results_until, session.outcome) == (Phase.FAILED, None, None)
    assert broker.platforms["penticton"].kept[uuid] == set()


POOL = Capacity(8, 32, 10)


@pytest.mark.parametrize(
    ("others", "kept"),
    [
        ([], 24.0),
        # somebody has booked all of it in three hours, and half of it in one
        ([(3, 30, 10)], 3.0),
        ([(1, 30, 8)], 24.0),
        ([(1, 30, 8), (2, 5, 1)], 2.0),
        # it is needed at once
        ([(-1, 1, 10)], None),
        ([(-1, 1, 8), (25, 30, 10)], 24.0),
    ],
)
def test_results_never_take_room_that_others_have_booked(make_broker, engine, clock, others, kept):
    broker = make_broker()
    uuid = accept(broker, site="penticton")
    taken = [
        Booking(NOW + timedelta(hours=since), NOW + timedelta(hours=until), 0, 0, gib)
        for since, until, gib in others
    ]
    with write(engine) as connection:
        until = ledger.keep_storage(connection, uuid, POOL, taken, NOW, NOW + DAY, 2)
    assert until == (None if kept is None else NOW + timedelta(hours=kept))
    (hold,) = booked(engine)
    assert hold.cores == (1 if kept is None else 0)


def count(engine, table):
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def forgotten_until(engine):
    with engine.connect() as connection:
        return connection.execute(select(forgotten.c.created)).scalar_one()


def test_what_has_been_over_for_long_is_removed_and_nothing_else(make_broker, engine, clock):
    broker = make_broker(run_seconds=1.0)
    over = accept(broker, site="penticton")
    kept = accept(broker, writing(), site="perth")
    refused = broker.direct(make_document(cores=(1000, None)), ANN).uuid
    drive(broker, clock, lambda: all(is_in(broker, uuid, *ENDED)() for uuid in (over, kept)))
    waiting = accept(broker, make_document(start="2027-01-20T12:00:00Z/PT1H"), site="penticton")
    with engine.begin() as connection:
        for age in (40, 20):
            row = {"time": NOW - timedelta(days=age), "action": "test", "status": 200}
            connection.execute(insert(audit).values(**row))
    month = timedelta(days=30)
    assert retention.remove_old(engine, clock.now(), month) == 0
    assert count(engine, audit) == 1
    clock.advance((month + timedelta(minutes=1)).total_seconds())
    assert forgotten_until(engine) is None
    assert retention.remove_old(engine, clock.now(), month) == 2
    # the accepted one was asked for before the refused one, and both at that time
    assert forgotten_until(engine) == NOW
    assert broker.session(over) is None
    assert broker.session(refused) is None
    # its results' time is over, but they are still there: first they are removed
    assert broker.session(kept).phase is Phase.COMPLETED
    drive(broker, clock, lambda: kept not in held(engine))
    # the broker that was driven looks for what is old, too: it may have been the first
    assert retention.remove_old(engine, clock.now(), month) <= 1
    assert broker.session(kept) is None
    assert broker.session(waiting).phase is not None
    assert count(engine, offersets) == 1
    assert set(held(engine)) == {waiting}
    with engine.connect() as connection:
        left = select(components.c.uuid).where(components.c.session.not_in(select(sessions.c.uuid)))
        assert connection.execute(left).all() == []
