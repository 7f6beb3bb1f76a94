"""The broker's process ends at every single step of a session, in turn; another one takes over.

A step is a call to the platform (the process may end before it, or behind it) or a commit (it may end before
it). From the moment on, nothing that the ended process still tries has any effect.
"""

import asyncio
import contextlib

import pytest
from sqlalchemy import event, select

from broker.model import Phase
from broker.sessions import lease
from broker.tables import sessions
from tests.broker.conftest import KINDS, make_document
from tests.broker.driving import ANN, DATA, Recording, accept, held, notes, turn

# more than there are in any story; a story that gets through alive is the last
MOST_STEPS = 80


class Killed(BaseException):
    """The end of the process: no handler of errors catches it."""


class Fate:
    """Counts steps and ends the process at one of them."""

    def __init__(self, last_step):
        self.left, self.dead = last_step, False

    def step(self):
        if not self.dead:
            self.left -= 1
            self.dead = self.left < 0
        if self.dead:
            raise Killed


class Mortal(Recording):
    """A platform whose caller may be killed before each call and behind it; its machine lives on."""

    fate = None

    async def mortally(self, call, *arguments, **more):
        if self.fate is not None:
            self.fate.step()
        result = await call(*arguments, **more)
        if self.fate is not None:
            self.fate.step()
        return result


def _mortal(name):
    async def call(self, *arguments, **more):
        return await self.mortally(getattr(super(Mortal, self), name), *arguments, **more)

    return call


for name in ("make_storage", "stage", "prepare", "start", "poll", "stop", "release"):
    setattr(Mortal, name, _mortal(name))


@contextlib.contextmanager
def mortal(broker, engine, fate):
    """While the block runs, what the broker does to its platforms and its database counts as steps."""

    def commit(connection):
        fate.step()

    for platform in broker.platforms.values():
        platform.fate = fate
    event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(engine, "commit", commit)
        for platform in broker.platforms.values():
            platform.fate = None


async def live_until(broker, clock, fate, over, cancel):
    """Run the broker until it is killed, or the story is over. `cancel`: as soon as the session runs."""

    def killed_or_over():
        if fate.dead or over():
            return True
        if cancel is not None:
            cancel(broker)
        return False

    task = asyncio.create_task(broker.run())
    try:
        await turn(clock, killed_or_over, step=0.25, turns=800)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Killed):
            await task


def document():
    return make_document(
        data=DATA[:1],
        storage=[
            {
                "kind": KINDS + "storage/simple-storage-resource.yaml",
                "meta": {"name": "out"},
                "size": {"min": 2},
            }
        ],
        compute={
            "kind": KINDS + "compute/simple-compute-resource.yaml",
            "cores": {"min": 1},
            "volumes": [
                {
                    "kind": KINDS + "volume/simple-volume-mount.yaml",
                    "path": "/out",
                    "mode": "READWRITE",
                    "resource": "out",
                }
            ],
        },
    )


@pytest.mark.parametrize("story", ["completes", "cancelled"])
def test_whichever_step_is_the_last_another_process_goes_on(
    make_broker, federation, engine, clock, tmp_path, monkeypatch, story
):
    # one poll is as good as twenty
    monkeypatch.setattr("broker.sessions.run.POLL_SECONDS", 1.0)
    options = {
        "run_seconds": 1e4 if story == "cancelled" else 2.0,
        "stage_seconds": 0.5,
    }
    survived = False
    # every step on SQLite, every third on PostgreSQL
    for last_step in range(0, MOST_STEPS, 1 if engine.dialect.name == "sqlite" else 3):
        broker = make_broker(kind=Mortal, **options)
        uuid = accept(broker, document())
        fate = Fate(last_step)

        def over(uuid=uuid):
            return is_settled(engine, uuid)

        def cancel(which, uuid=uuid):
            if story == "cancelled" and which.session(uuid).phase is Phase.RUNNING:
                with contextlib.suppress(Killed):
                    which.update_phase(uuid, Phase.CANCELLED, ANN)

        with mortal(broker, engine, fate):
            asyncio.run(live_until(broker, clock, fate, over, cancel))
        survived = not fate.dead
        clock.advance(lease.LEASE.total_seconds())
        again = make_broker(platforms=broker.platforms)
        asyncio.run(live_until(again, clock, Fate(10**6), over, cancel))
        check(again, engine, uuid, story, last_step)
        # the results' time comes, and they go
        clock.advance(86_400)
        if survived:
            break
    asyncio.run(live_until(again, clock, Fate(10**6), lambda: not held(engine), None))
    assert again.platforms[again.session(uuid).placement.site_id].kept[uuid] == set()
    assert survived
    assert last_step > 15


def is_settled(engine, uuid):
    """Ended, and nothing at the platform but what is kept."""
    query = select(sessions.c.phase, sessions.c.occupies_platform, sessions.c.results_until)
    with engine.connect() as connection:
        row = connection.execute(query.where(sessions.c.uuid == uuid)).one()
    kept = row.results_until is not None
    return row.phase in ("COMPLETED", "CANCELLED", "FAILED") and (kept or not row.occupies_platform)


def check(broker, engine, uuid, story, last_step):
    session = broker.session(uuid)
    platform = broker.platforms[session.placement.site_id]
    wanted = {"completes": Phase.COMPLETED, "cancelled": Phase.CANCELLED}[story]
    assert session.phase is wanted, (last_step, [timed.note.text for timed in session.notes])
    assert platform.calls.count("really started") == 1, last_step
    assert platform._runs == {}, last_step
    assert platform.calls[-1] == "release"
    assert len(notes(broker, uuid, "exit-code")) == (0 if story == "cancelled" else 1), last_step
    assert session.outcome.ended is not None
    assert session.ended is not None
    # what it wrote is kept, and only that is held
    assert session.results_until is not None
    assert platform.kept[uuid] == {session.request.storage[0].uuid}
    assert uuid in held(engine)
