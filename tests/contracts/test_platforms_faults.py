"""What fails at a platform ends in a named error and leaves nothing there: each fault at each platform.

Sessions are driven by the real supervisor, through a front that fails (`faults`), at the real thing
(`fault_platforms`); `fault_table` says what is to come of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from broker.model import Phase
from broker.platforms import GROUP
from broker.sessions import limits
from tests.contracts import fault_platforms
from tests.contracts.fault_table import CATALOGUES, TABLE, WAYS, Fails, GoesOn, cells, markdown
from tests.contracts.fault_worlds import ENDED, KILLED, World, running, session_of, why
from tests.contracts.faults import Fault
from tests.databases import with_tables

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
MARKS: dict[str, Any] = dict.fromkeys(("podman", "slurm", "slurmrestd"), pytest.mark.podman)
STORIES = (Fault.VANISHING, Fault.KILLED)


def params(*cells: tuple[str, Fault]) -> pytest.MarkDecorator:
    ids = [pytest.param(*cell, marks=MARKS.get(cell[0], ()), id="-".join(cell)) for cell in cells]
    return pytest.mark.parametrize(("world", "fault"), ids, indirect=["world"])


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[World]:
    """Whatever becomes of the test, nothing stays at the platform, and nothing secret was told."""
    caplog.set_level(logging.DEBUG)
    # a platform that can't be asked is given up sooner than an operator would like
    monkeypatch.setattr(limits, "PATIENCE_SECONDS", 12.0)
    engine = with_tables(tmp_path / "broker.db")
    try:
        with fault_platforms.made(request, request.param, tmp_path, engine) as world:
            try:
                yield world
                secrets, told = world.secrets(), world.told() + caplog.text
                assert [secret for secret in secrets if secret in told] == []
            finally:
                world.front.end()
                world.clean()
    finally:
        engine.dispose()


def test_every_platform_is_in_the_table_with_every_fault() -> None:
    assert {WAYS.get(row, row) for row in TABLE} == {entry.name for entry in entry_points(group=GROUP)}
    assert all(set(outcomes) == set(Fault) for outcomes in TABLE.values())


def test_the_docs_show_the_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert markdown(TABLE, "platform") in page
    assert markdown(CATALOGUES, "data") in page


# each platform with its faults that come and go
SPOILT = [cell for cell in cells(Fails, GoesOn) if cell[1] not in STORIES and cell[0] != "simulated"]
HALVES = [cell for cell in SPOILT if cell[1] is Fault.HALF]


@params(*HALVES)
def test_a_session_that_runs_goes_on_whatever_goes_by(world: World, fault: Fault) -> None:
    """One session, through all faults in turn; with the last of them it ends."""

    async def story() -> None:
        broker = world.broker()
        session = world.accept(broker, world.offer(broker))
        async with running(broker):
            await world.until_running(broker, session)
        for each in [each for kind, each in SPOILT if kind == world.kind]:
            broker = world.broker(impatient=each is Fault.SLOW)
            world.front.begin(each)
            async with running(broker):
                await world.asked(2)
                world.front.end()
                await world.asked(1)
                assert session_of(broker, session).phase is Phase.RUNNING, (each, world.told())
        broker = world.broker()
        async with running(broker):
            world.finish(session)
            await world.turn(lambda: session_of(broker, session).phase in ENDED)
            await world.until_free(session)
        assert session_of(broker, session).phase is Phase.COMPLETED, world.told()
        assert world.made(session) == 1

    asyncio.run(story())


@params(*SPOILT)
def test_a_fault_that_lasts_is_told_and_nothing_stays(world: World, fault: Fault) -> None:
    outcome = TABLE[world.kind][fault]

    async def story() -> None:
        broker = world.broker()
        offered = world.offer(broker)
        broker = world.broker(impatient=fault is Fault.SLOW)
        session = world.accept(broker, offered)
        world.front.begin(fault)
        async with running(broker):
            if isinstance(outcome, GoesOn):
                await world.until_running(broker, session)
                world.finish(session)
            await world.turn(lambda: session_of(broker, session).phase in ENDED, 2.0)
        world.front.end()
        broker = world.broker()
        async with running(broker):
            await world.until_free(session)
        if isinstance(outcome, Fails):
            assert world.nowhere(why(broker, session)).startswith(outcome.line)
            assert not world.kept(session)
        else:
            assert session_of(broker, session).phase is Phase.COMPLETED

    asyncio.run(story())


@params(*HALVES)
def test_what_was_started_without_a_whole_answer_does_not_stay(world: World, fault: Fault) -> None:
    async def story() -> None:
        broker = world.broker()
        session = world.accept(broker, world.offer(broker))
        world.front.begin(fault, from_start=True)
        async with running(broker):
            await world.turn(lambda: session_of(broker, session).phase in ENDED, 2.0)
            assert why(broker, session)
            world.front.end()
            await world.until_free(session)
        # it may have run, and have left results
        assert world.kept(session) <= {"storage"}

    asyncio.run(story())


@params(*[cell for cell in cells(Fails) if cell[1] is Fault.VANISHING])
def test_what_vanishes_in_the_middle_is_told_and_cleaned_up_when_it_is_back(
    world: World, fault: Fault
) -> None:
    outcome = TABLE[world.kind][fault]
    assert isinstance(outcome, Fails)

    async def story() -> None:
        broker = world.broker()
        session = world.accept(broker, world.offer(broker))
        async with running(broker):
            await world.until_running(broker, session)
            world.front.begin(Fault.DOWN)
            await world.turn(lambda: session_of(broker, session).phase in ENDED, 2.0)
            assert world.nowhere(why(broker, session)).startswith(outcome.line)
            assert world.occupies(session)
            # else it is released before it is looked at
            await world.until_quiet()
            world.front.end()
            assert len(world.there(session)) >= 1
            await world.until_free(session)

    asyncio.run(story())


@params(*[cell for cell in cells(GoesOn) if cell[1] is Fault.KILLED and cell[0] != "simulated"])
def test_a_broker_that_is_killed_before_its_start_is_answered_makes_nothing_twice(
    world: World, fault: Fault
) -> None:
    broker = world.broker()
    session = world.accept(broker, world.offer(broker))
    assert world.killed() == KILLED
    assert len(world.there(session)) >= 1

    async def story() -> None:
        broker = world.broker()
        async with running(broker):
            await world.until_running(broker, session)
            world.finish(session)
            await world.turn(lambda: session_of(broker, session).phase in ENDED)
            await world.until_free(session)
        assert session_of(broker, session).phase is Phase.COMPLETED, world.told()
        assert world.made(session) == 1

    asyncio.run(story())
