"""Many sessions at once: bounded at each site, in the order of their promised start, in nobody's way."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from broker.model import Level, Phase
from tests.broker.conftest import make_document
from tests.broker.driving import (
    ANN,
    DATA,
    ENDED,
    Recording,
    ThreadsAtWork,
    accept,
    held,
    is_in,
    running,
    turn,
    turned,
)


class Stubborn(Recording):
    """Hangs in the call that a test names, and in a thread of the common ones where it wants that."""

    blocks = None

    async def _do(self, name):
        await super()._do(name)
        if name == self.blocks:
            loop = asyncio.get_running_loop()
            blocked = loop.run_in_executor(None, self.released.wait)
            ThreadsAtWork.of(loop).leave(blocked)
            await blocked

    released = threading.Event()


@pytest.mark.parametrize("call", ["stage", "prepare", "start", "poll", "release"])
def test_a_site_that_hangs_in_any_call_delays_no_other(make_broker, engine, clock, call):
    broker = make_broker()
    broker.platforms["penticton"].hanging.add(call)
    for _ in range(4):
        accept(broker, make_document(data=DATA), site="penticton")
    others = [accept(broker, make_document(data=DATA), site="perth") for _ in range(4)]

    async def story():
        async with running(broker):
            await turn(clock, lambda: all(is_in(broker, uuid, *ENDED)() for uuid in others), step=0.25)

    asyncio.run(story())
    assert {broker.session(uuid).phase for uuid in others} == {Phase.COMPLETED}
    assert not held(engine) & set(others)


@pytest.mark.parametrize("call", ["stage", "prepare", "start", "poll", "release"])
def test_a_defect_of_a_platform_is_a_failed_session_and_frees_what_it_can(make_broker, engine, clock, call):
    broker = make_broker()
    site = broker.platforms["penticton"]
    site.defective = {call}
    uuid = accept(broker, make_document(data=DATA), site="penticton")

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED))
            site.defective = set()
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    session = broker.session(uuid)
    # the job itself went well where only its removal didn't
    assert session.phase is (Phase.COMPLETED if call == "release" else Phase.FAILED)
    errors = [timed.note.text for timed in session.notes if timed.note.level is Level.ERROR]
    assert len(errors) == (call != "release")
    assert all("by a defect of the platform" in text for text in errors)


def test_platforms_that_keep_all_common_threads_waiting_delay_no_other(make_broker, clock):
    """More blocking calls than the event loop has threads for such, all at one site."""
    broker = make_broker(kind=Stubborn, stage_seconds=0.1)
    site = broker.platforms["penticton"]
    site.blocks, site.released = "prepare", threading.Event()
    for _ in range(8):
        accept(broker, make_document(duration="PT5M"), site="penticton")
    other = accept(broker, make_document(duration="PT5M"), site="perth")

    async def story():
        # as few as there are on a small machine
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(5))
        async with running(broker):
            try:
                for _ in range(600):
                    await turned(clock, 1, step=0.25)
                    # not in a thread: there may be none left
                    if broker.session(other).phase in ENDED:
                        return
            finally:
                site.released.set()

    asyncio.run(story())
    assert broker.session(other).phase is Phase.COMPLETED


def test_a_site_prepares_no_more_than_it_is_told_and_in_the_promised_order(make_broker, settings, clock):
    broker = make_broker(settings=replace(settings, sessions_per_site=2), run_seconds=3.0, image_seconds=3.0)
    documents = [make_document(start=f"2026-11-25T12:{minute:02}:00Z/PT0S") for minute in (9, 3, 6, 1, 8, 4)]
    uuids = [accept(broker, document, site="penticton") for document in documents]
    most = 0

    def done():
        nonlocal most
        found = [broker.session(uuid).phase for uuid in uuids]
        most = max(most, sum(phase is Phase.PREPARING for phase in found))
        return all(phase in ENDED for phase in found)

    async def story():
        async with running(broker):
            await turn(clock, done, step=0.5, turns=2000)

    # the broker comes back when all of them are due
    clock.advance(600)
    asyncio.run(story())
    found = sorted(map(broker.session, uuids), key=lambda session: session.placement.start)
    assert {session.phase for session in found} == {Phase.COMPLETED}
    started = [session.outcome.started for session in found]
    # two go side by side, whichever is the quicker
    assert all(earlier <= later for earlier, later in zip(started, started[2:], strict=False))
    assert most == 2


def test_what_cannot_be_begun_yet_waits_where_it_is_and_can_be_cancelled(make_broker, settings, clock):
    broker = make_broker(settings=replace(settings, sessions_per_site=1), image_seconds=100.0)
    first = accept(broker, site="penticton")
    clock.advance(1)
    second = accept(broker, site="penticton")

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, first, Phase.PREPARING))
            assert broker.session(second).phase in (Phase.ACCEPTED, Phase.WAITING)
            await asyncio.to_thread(broker.update_phase, second, Phase.CANCELLED, ANN)
            await turn(clock, is_in(broker, first, *ENDED))

    asyncio.run(story())
    assert broker.session(first).phase is Phase.COMPLETED
    assert broker.session(second).phase is Phase.CANCELLED


def test_what_runs_keeps_nobody_from_what_was_booked(make_broker, settings, clock):
    broker = make_broker(settings=replace(settings, sessions_per_site=1), run_seconds=1000.0)
    uuids = [accept(broker, site="penticton") for _ in range(3)]

    async def story():
        async with running(broker):
            await turn(clock, lambda: all(is_in(broker, uuid, Phase.RUNNING)() for uuid in uuids))

    asyncio.run(story())


CANCELLABLE = (Phase.ACCEPTED, Phase.WAITING, Phase.PREPARING, Phase.AVAILABLE, Phase.RUNNING)


@pytest.mark.parametrize("phase", CANCELLABLE)
def test_cancelling_frees_everything_in_every_phase(make_broker, engine, clock, phase):
    broker = make_broker(run_seconds=1000.0)
    late = "2026-11-25T14:00:00Z/PT0S" if phase is Phase.WAITING else None
    uuid = accept(broker, make_document(data=DATA, start=late), site="penticton")
    platform = broker.platforms["penticton"]
    if phase is Phase.AVAILABLE:
        platform.hanging.add("start")

    async def story():
        if phase is Phase.ACCEPTED:
            broker.update_phase(uuid, Phase.CANCELLED, ANN)
        async with running(broker):
            if phase is not Phase.ACCEPTED:
                await turn(clock, is_in(broker, uuid, phase))
                await asyncio.to_thread(broker.update_phase, uuid, Phase.CANCELLED, ANN)
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    session = broker.session(uuid)
    assert session.phase is Phase.CANCELLED
    assert session.ended is not None
    assert (session.outcome is not None) == (phase is Phase.RUNNING)
    assert platform._runs == {}
    assert platform._staged == set()
    assert broker.update_phase(uuid, Phase.CANCELLED, ANN).phase is Phase.CANCELLED


def test_a_site_that_left_the_catalogue_keeps_its_sessions_until_their_time_is_over(make_broker, clock):
    """Another process may still have the site, and the site may come back."""
    broker = make_broker(run_seconds=60.0)
    back, never = (accept(broker, site="penticton") for _ in range(2))

    async def until_running():
        async with running(broker):
            await turn(clock, lambda: all(is_in(broker, uuid, Phase.RUNNING)() for uuid in (back, never)))

    async def until(known, *phases, uuid=back, step=0.5):
        async with running(known):
            await turn(clock, is_in(known, uuid, *phases), step=step)

    asyncio.run(until_running())
    others = {site: platform for site, platform in broker.platforms.items() if site != "penticton"}
    smaller = make_broker(platforms=others)
    other = accept(smaller, site="perth")
    asyncio.run(until(smaller, *ENDED, uuid=other))
    assert broker.session(back).phase is Phase.RUNNING
    asyncio.run(until(make_broker(platforms=broker.platforms), Phase.COMPLETED))
    assert broker.session(never).phase in (Phase.RUNNING, Phase.RELEASING, Phase.COMPLETED)


def test_a_site_that_never_comes_back_fails_its_sessions_in_the_end(make_broker, engine, clock):
    broker = make_broker(run_seconds=1e6)
    uuid = accept(broker, site="penticton")
    others = {site: platform for site, platform in broker.platforms.items() if site != "penticton"}
    smaller = make_broker(platforms=others)

    async def story():
        async with running(smaller):
            await turn(clock, is_in(smaller, uuid, Phase.FAILED), step=20)
            await turn(clock, lambda: not held(engine))

    asyncio.run(story())
    assert "penticton is no longer in the catalogue" in smaller.session(uuid).notes[-1].note.text
