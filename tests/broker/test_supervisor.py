"""Sessions are driven from the database: to their end, through failures and restarts, in parallel."""

import asyncio
from datetime import timedelta

import pytest

from broker.model import Level, Phase
from broker.sessions import store
from netprobe.archive import Archive
from netprobe.measurement import Kind
from tests.broker.conftest import NOW, make_document
from tests.broker.driving import (
    ANN,
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


def test_a_session_runs_from_acceptance_to_its_end(make_broker, engine, clock):
    broker = make_broker()
    uuid = accept(broker, make_document(data=DATA))
    platform = broker.platforms[broker.session(uuid).placement.site_id]
    seen = []

    def done():
        phase = broker.session(uuid).phase
        if not seen or seen[-1] is not phase:
            seen.append(phase)
        return phase in ENDED

    async def story():
        async with running(broker):
            await turn(clock, done, step=0.1)

    asyncio.run(story())
    order = [
        Phase.ACCEPTED,
        Phase.PREPARING,
        Phase.AVAILABLE,
        Phase.RUNNING,
        Phase.RELEASING,
        Phase.COMPLETED,
    ]
    assert seen == [phase for phase in order if phase in seen]
    assert {Phase.PREPARING, Phase.RUNNING, Phase.COMPLETED} <= set(seen)
    assert held(engine) == set()
    steps = [call for call in platform.calls if call in ("stage", "prepare", "start", "release")]
    assert steps == ["stage", "prepare", "start", "release"]
    assert notes(broker, uuid, "exit-code")[0].note.values["code"] == "0"
    with engine.connect() as connection:
        progress = store.read_progress(connection, uuid)
    assert list(progress.phases) == order
    assert list(progress.phases.values()) == sorted(progress.phases.values())
    assert progress.phases["PREPARING"] < progress.prepared <= progress.phases["RUNNING"]
    outcome = broker.session(uuid).outcome
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("simulated: example.org/checksum:1")
    assert outcome.started + timedelta(seconds=2) <= outcome.ended <= broker.session(uuid).ended


def test_every_transfer_is_recorded_with_what_was_forecast_for_it(make_broker, engine, clock):
    broker = make_broker()
    uuid = accept(broker, make_document(data=DATA))
    moves = {move.source: move for move in broker.session(uuid).placement.staging.moves}
    here = broker.session(uuid).placement.site_id

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED))

    asyncio.run(story())
    away = {source: move for source, move in moves.items() if source != here}
    assert away
    for source, move in away.items():
        (found,) = Archive(engine).recent(Kind.TRANSFER, source, here, None)
        assert found.figures["predicted_seconds"] == move.seconds.p50
        assert found.figures["predicted_seconds_p90"] == move.seconds.p90
        assert found.figures["seconds"] == 2.0
        assert found.context["forecast"]["rung"] == move.forecast.rung
        assert found.context["forecast"]["newest_age_seconds"] == move.forecast.newest_age_seconds
    texts = [timed.note.text for timed in notes(broker, uuid, "moved")]
    assert len(texts) == len(away)
    assert all("in 2 s; the forecast was" in text for text in texts)


@pytest.mark.parametrize("step", ["stage", "prepare", "start"])
def test_a_platform_that_cannot_makes_one_clear_note_and_frees_everything(make_broker, engine, clock, step):
    broker = make_broker()
    for platform in broker.platforms.values():
        platform.failing[step] = "no space left on the disk of penticton: 200 MB needed, 3 MB free"
    uuid = accept(broker, make_document(data=DATA))

    async def story():
        async with running(broker):
            await turn(clock, lambda: broker.session(uuid).phase in ENDED and not held(engine))

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.FAILED
    errors = [timed.note for timed in broker.session(uuid).notes if timed.note.level is Level.ERROR]
    assert [note.text for note in errors] == [
        "no space left on the disk of penticton: 200 MB needed, 3 MB free"
    ]
    assert broker.platforms[broker.session(uuid).placement.site_id].calls[-1] == "release"


def test_a_container_that_fails_is_a_session_that_failed(make_broker, engine, clock):
    broker = make_broker(exit_code=3)
    uuid = accept(broker)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED))

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.FAILED
    assert notes(broker, uuid, "exit-code")[0].note.values["code"] == "3"
    assert held(engine) == set()


def test_a_cancelled_session_is_stopped_and_freed(make_broker, engine, clock):
    broker = make_broker(run_seconds=3000.0)
    uuid = accept(broker)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, Phase.RUNNING))
            await asyncio.to_thread(broker.update_phase, uuid, Phase.CANCELLED, ANN)
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.CANCELLED
    platform = broker.platforms[broker.session(uuid).placement.site_id]
    assert platform.calls[-1] == "release"
    assert platform._runs == {}


def test_a_session_that_hangs_is_cancelled_all_the_same(make_broker, engine, clock):
    broker = make_broker()
    for platform in broker.platforms.values():
        platform.hanging.add("prepare")
    uuid = accept(broker)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, Phase.PREPARING))
            await asyncio.to_thread(broker.update_phase, uuid, Phase.CANCELLED, ANN)
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.CANCELLED


def test_the_end_of_the_offered_time_ends_the_session(make_broker, engine, clock):
    broker = make_broker(run_seconds=1e6)
    uuid = accept(broker, make_document(duration="PT1M"))

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED), step=1.0)

    asyncio.run(story())
    session = broker.session(uuid)
    assert session.phase is Phase.FAILED
    assert "The offered time was over" in notes(broker, uuid, "time-limit")[0].note.text
    assert timedelta(minutes=1) <= session.modified - NOW < timedelta(minutes=2)
    assert held(engine) == set()


def test_a_session_for_tomorrow_waits_and_starts_when_it_was_promised(make_broker, clock):
    broker = make_broker()
    uuid = accept(broker, make_document(start="2026-11-26T12:00:00Z/PT1H"))
    started = []

    def done():
        session = broker.session(uuid)
        if session.phase is Phase.RUNNING and not started:
            started.append(clock.now())
        return session.phase in ENDED

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, Phase.WAITING))
            clock.advance(23.9 * 3600)
            await turn(clock, done, step=1.0, turns=2000)

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.COMPLETED
    assert timedelta(days=1) <= started[0] - NOW < timedelta(days=1, minutes=1)


def test_one_that_hangs_does_not_delay_another(make_broker, clock):
    broker = make_broker()
    broker.platforms["penticton"].hanging.add("prepare")
    slow, quick = accept(broker), accept(broker, position=1)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, quick, *ENDED))

    asyncio.run(story())
    assert broker.session(quick).phase is Phase.COMPLETED
    assert broker.session(slow).phase is Phase.PREPARING


def test_a_step_that_never_ends_is_given_up(make_broker, engine, clock, monkeypatch):
    monkeypatch.setattr("broker.sessions.prepare.IMAGE_LIMIT", 60.0)
    broker = make_broker()
    broker.platforms["penticton"].hanging.add("prepare")
    uuid = accept(broker)

    async def story():
        async with running(broker):
            await turn(clock, lambda: not held(engine), step=1.0)

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.FAILED
    assert notes(broker, uuid, "failed")[0].note.text == "bringing the image took more than 1 min"


@pytest.mark.parametrize("turns", [0, 2, 5, 8, 12, 16, 20, 24])
def test_a_restart_at_any_point_loses_and_repeats_nothing(make_broker, engine, clock, turns):
    broker = make_broker()
    uuid = accept(broker, make_document(data=DATA))

    async def first():
        async with running(broker):
            for _ in range(turns):
                clock.advance(0.5)
                await asyncio.sleep(0.01)

    async def second(again):
        async with running(again):
            await turn(clock, is_in(again, uuid, *ENDED))

    asyncio.run(first())
    # the machine and its containers stay; the broker's process is new
    again = make_broker(platforms=broker.platforms)
    asyncio.run(second(again))
    assert again.session(uuid).phase is Phase.COMPLETED
    platform = broker.platforms[again.session(uuid).placement.site_id]
    assert platform.calls.count("really started") == 1
    assert len(notes(again, uuid, "exit-code")) == 1
    assert len(notes(again, uuid, "moved")) <= 2
    assert held(engine) == set()


def test_a_container_lost_with_its_machine_runs_again(make_broker, engine, clock):
    broker = make_broker(run_seconds=100.0)
    uuid = accept(broker, make_document(data=DATA))

    async def first():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, Phase.RUNNING))

    async def second(again):
        async with running(again):
            await turn(clock, is_in(again, uuid, *ENDED))

    asyncio.run(first())
    again = make_broker(run_seconds=1.0)
    asyncio.run(second(again))
    assert again.session(uuid).phase is Phase.COMPLETED
    assert [timed.note.level for timed in notes(again, uuid, "restarted")] == [Level.WARN]


@pytest.mark.parametrize("phase", [Phase.AVAILABLE, Phase.RUNNING])
def test_what_was_lost_does_not_run_again_when_its_time_is_over(make_broker, engine, clock, phase):
    broker = make_broker(run_seconds=3000.0)
    uuid = accept(broker, make_document(duration="PT10M"))
    if phase is Phase.AVAILABLE:
        # its start has been recorded, and never came
        broker.platforms[broker.session(uuid).placement.site_id].hanging.add("start")

    async def first():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, phase))
            await turned(clock, 20)

    async def second(again):
        async with running(again):
            await turn(clock, lambda: not held(engine))

    asyncio.run(first())
    again = make_broker()
    clock.advance(3600)
    asyncio.run(second(again))
    session = again.session(uuid)
    assert session.phase is Phase.FAILED
    assert "over" in notes(again, uuid, "failed")[0].note.text
    assert "start" not in again.platforms[session.placement.site_id].calls


def test_a_container_that_somebody_else_removed_is_a_failure(make_broker, engine, clock):
    broker = make_broker(run_seconds=3000.0)
    uuid = accept(broker)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, Phase.RUNNING))
            broker.platforms[broker.session(uuid).placement.site_id]._runs.clear()
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.FAILED
    assert "the container is gone" in notes(broker, uuid, "failed")[0].note.text


def test_a_release_that_fails_is_tried_again(make_broker, engine, clock):
    broker = make_broker(exit_code=1)
    platform = broker.platforms["penticton"]
    platform.failing["release"] = "the engine does not answer"
    uuid = accept(broker)

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, Phase.FAILED))
            assert held(engine) == {uuid}
            del platform.failing["release"]
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.FAILED


def test_the_supervisor_ends_offers_that_nobody_looks_at(make_broker, engine, clock):
    broker = make_broker()
    broker.request(make_document(), ANN)
    assert len(held(engine)) == 3

    async def story():
        async with running(broker):
            await turn(clock, lambda: not held(engine), step=60.0)

    asyncio.run(story())
    assert clock.now() - NOW >= timedelta(minutes=5)
