"""Sessions whose data its own system brings to the site: waited for, told, given up, and never left behind.

The system is one in memory, which can be away, slow, full or stuck at will; tests/rucio has a real one.
"""

import asyncio
import contextlib
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.catalogues import Brought, CatalogueError, File, Resolved, StagingRefused
from broker.model import DataItem, Level, Phase, Replica, Target
from broker.offers.by_rule import delay_seconds
from broker.offers.policy import usable_data
from broker.sessions import lease
from tests.broker.conftest import KINDS, NOW, make_document, make_request
from tests.broker.driving import ANN, Recording, accept, broker_maker, is_in, notes, running, turn, turned
from tests.databases import with_tables
from tests.waiting import ThreadsAtWork

FILES = 8
ENDED = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)


class Lake:
    """Brings data to PERTH-DISK, a file at each look, once `moving`. `rules` by session: how many files are
    there. `made`: all that ever were begun."""

    kinds = ("rucio-data-resource",)

    def __init__(self):
        self.rules, self.made, self.asked = {}, [], []
        self.moving, self.away, self.refusal, self.stuck, self.or_download = True, False, None, None, False
        self.lifetimes, self.fate, self.gate = {}, None, None
        # how many files are there before anything is moved, and what its own clock says in the end
        self.there, self.took = 2, 300.0
        self.size_bytes, self.delay_seconds = 400_000_000, 120.0

    def resolve(self, uuid, name, resource, path):
        replicas = tuple(
            Replica(f"http://data.{one}.example/#sky:x", one) for one in ("penticton", "lausanne")
        )
        target = Target("perth", "PERTH-DISK", FILES, self.size_bytes, self.delay_seconds, self.or_download)
        item = DataItem(uuid, name, self.size_bytes, replicas, files=FILES, unpacked=True, targets=(target,))
        return Resolved(item)

    def files(self, item, site, seconds):
        self._asked("files")
        here = next(iter(self.rules.values()), 0) == FILES and item.target(site.id) is not None
        where = "perth" if here else "penticton"
        return [
            File(f"{n}", self.size_bytes // FILES, (Replica(f"http://data.{where}.example/{n}", where),))
            for n in range(FILES)
        ]

    def begin(self, item, target, session, seconds):
        with self._step("begin"):
            if self.refusal:
                raise StagingRefused(self.refusal)
            if session not in self.rules:
                self.made.append(session)
                self.rules[session], self.lifetimes[session] = self.there, seconds

    def look(self, item, target, session):
        with self._step("look"):
            if self.stuck or session not in self.rules:
                raise StagingRefused(self.stuck or "no such rule")
            self.rules[session] = min(self.rules[session] + self.moving, FILES)
            there = self.rules[session]
            done = there == FILES
            return Brought(done, there, FILES, there * self.size_bytes // FILES, self.took if done else None)

    def end(self, item, target, session):
        with self._step("end"):
            self.rules.pop(session, None)

    @contextlib.contextmanager
    def _step(self, what):
        if self.fate is not None:
            self.fate.step()
        self._asked(what)
        yield
        if self.fate is not None:
            self.fate.step()

    def _asked(self, what):
        self.asked.append(what)
        if self.gate is not None:
            assert self.gate.wait(600), "the lake's gate never opened"
        if self.away:
            raise CatalogueError("the lake can't be asked: Connection refused")


@pytest.fixture
def engine(tmp_path):
    engine = with_tables(tmp_path / "broker.db")
    yield engine
    engine.dispose()


@pytest.fixture
def lake(monkeypatch):
    lake = Lake()
    monkeypatch.setattr("broker.service.load_catalogues", lambda *_: {Lake.kinds[0]: lake})
    return lake


@pytest.fixture
def make(lake, settings, federation, engine, clock, tmp_path):
    return broker_maker(settings, federation, engine, clock, tmp_path)


def document(duration="PT10M", **more):
    data = {
        "kind": KINDS + "data/rucio-data-resource.yaml",
        "meta": {"name": "survey"},
        "rucio": {"scope": "sky", "object": "x"},
    }
    return make_document(duration=duration, **more) | {"data": [data]}


def at_perth(broker):
    return accept(broker, document(), site="perth")


async def driven(broker, lake, clock, uuid):
    async with running(broker):
        await turn(clock, is_in(broker, uuid, *ENDED))
        await turn(clock, lambda: not lake.rules)


def test_offers_count_the_queues_and_say_so(make, lake, engine):
    broker = make()
    offers = {each.placement.site_id: each for each in broker.request(document(), ANN).sessions}
    [told] = [note for note in offers["perth"].placement.notes if note.kind == "data-by-rule"]
    assert "survey (all 8 files, 400 MB) to PERTH-DISK" in told.text
    assert "so its operator says" in told.text
    assert "the queues 2 min" in told.text
    assert not [note for note in offers["lausanne"].placement.notes if note.kind == "data-by-rule"]
    staging = offers["perth"].placement.staging
    moving = max(group.seconds.p50 for group in staging.groups)
    assert staging.seconds.p50 > moving + 119


class NoWay:
    """No site may fetch from anywhere but itself."""

    def wrong_with(self, site, replica):
        return None if replica.site_id == site.id else "10.0.0.1 is no public address"


def test_a_site_that_may_not_fetch_it_may_have_it_brought(lake, federation):
    item = lake.resolve("u-1", "survey", {}, "/data/0").item
    request = make_request(data=[item])
    _, said = usable_data(federation["perth"], request, NoWay())
    assert said == []
    _, said = usable_data(federation["lausanne"], make_request(data=[replace(item, targets=())]), NoWay())
    assert [note.level for note in said] == [Level.INFO]
    [wrong] = usable_data(federation["perth"], make_request(data=[replace(item, targets=())]), NoWay())[1][:1]
    assert wrong.level is Level.ERROR


@given(st.floats(0, 1e5), st.lists(st.floats(0, 1e6), max_size=60))
@example(60.0, [47278.702377] * 12)
@example(60.0, [419430.5256008681] * 12)
def test_delays_lie_between_what_was_seen_and_stated_and_end_up_as_seen(stated, seen):
    delay = delay_seconds(stated, seen)
    assert min([stated / 2, *seen]) <= delay.p10 * (1 + 1e-9)
    assert delay.p90 <= max([2 * stated, *seen]) * (1 + 1e-9)
    many = delay_seconds(stated, [77.0] * 50)
    assert (many.p10, many.p50, many.p90) == (77.0, 77.0, 77.0)


def test_a_session_waits_and_tells_how_far_it_is_and_takes_it_from_there(make, lake, clock):
    broker = make()
    uuid = at_perth(broker)
    lake.moving = False

    async def story():
        async with running(broker):
            await turn(clock, lambda: "2 of 8 files" in str(notes(broker, uuid, "progress")))
            assert broker.session(uuid).phase is Phase.PREPARING
            lake.moving = True
            await turn(clock, is_in(broker, uuid, *ENDED), step=2.0)

    asyncio.run(story())
    session = broker.session(uuid)
    assert session.phase is Phase.COMPLETED, session.notes
    [told] = notes(broker, uuid, "rule")
    assert "brought to PERTH-DISK at perth by a rule in 5 min" in told.note.text
    assert lake.made == [uuid]
    assert lake.rules == {}
    # it would have lain there for all of the session, and longer
    assert lake.lifetimes[uuid] > 600 + 3600
    assert broker.platforms["perth"].calls.count("stage") == 1
    # what it took besides moving is what the next offer counts with
    broker = make(platforms=broker.platforms)
    offers = {each.placement.site_id: each for each in broker.request(document(), ANN).sessions}
    [told] = [note for note in offers["perth"].placement.notes if note.kind == "data-by-rule"]
    assert "seen at 1 earlier rule there" in told.text


@pytest.mark.parametrize(
    ("there", "took", "told"),
    [
        # seen on its way, for less than a second of the lake's clock
        (2, 0.0, True),
        # there when it was asked for, by a clock that struck meanwhile or didn't
        (FILES, 0.0, False),
        (FILES, 1.0, False),
        # begun long before, by a broker that was ended meanwhile
        (FILES, 40.0, True),
        (2, None, False),
    ],
)
def test_what_was_there_already_says_nothing_of_the_queues(make, lake, clock, there, took, told):
    lake.there, lake.took = there, took
    broker = make()
    uuid = at_perth(broker)
    asyncio.run(driven(broker, lake, clock, uuid))
    assert broker.session(uuid).phase is Phase.COMPLETED
    assert len(notes(broker, uuid, "rule")) == told
    broker = make(platforms=broker.platforms)
    offers = {each.placement.site_id: each for each in broker.request(document(), ANN).sessions}
    [said] = [note for note in offers["perth"].placement.notes if note.kind == "data-by-rule"]
    assert ("seen at 1 earlier rule there" in said.text) is told


@pytest.mark.parametrize("trouble", ["refusal", "stuck"])
@pytest.mark.parametrize("or_download", [False, True])
def test_what_is_refused_fails_with_the_reason_or_is_downloaded(make, lake, clock, trouble, or_download):
    lake.or_download = or_download
    setattr(lake, trouble, "the lake is full")
    broker = make()
    uuid = at_perth(broker)
    asyncio.run(driven(broker, lake, clock, uuid))
    session = broker.session(uuid)
    if or_download:
        assert session.phase is Phase.COMPLETED
        [told] = notes(broker, uuid, "rule")
        assert told.note.text == "survey: the lake is full; it is downloaded instead"
    else:
        assert session.phase is Phase.FAILED
        assert notes(broker, uuid, "failed")[0].note.text == "survey: the lake is full"
    assert lake.rules == {}


def test_a_system_that_is_away_for_a_while_is_asked_again(make, lake, clock):
    broker = make()
    uuid = at_perth(broker)
    lake.away = True

    async def story():
        async with running(broker):
            await turn(clock, lambda: notes(broker, uuid, "rule"))
            lake.away = False
            await turn(clock, is_in(broker, uuid, Phase.RUNNING))
            # at its end, too
            lake.away = True
            await turn(clock, is_in(broker, uuid, *ENDED))
            assert lake.rules
            lake.away = False
            await turn(clock, lambda: not lake.rules, step=2.0)

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.COMPLETED
    assert lake.made == [uuid]


def test_what_does_not_come_is_given_up_when_there_is_no_more_time(make, lake, clock, monkeypatch):
    monkeypatch.setattr("broker.sessions.bringing.LEAST_LIMIT", 10.0)
    lake.size_bytes, lake.delay_seconds = 8_000, 1.0
    broker = make()
    uuid = accept(broker, document("PT1M", start=f"{NOW:%Y-%m-%dT%H:%M:%SZ}/PT30S"), site="perth")
    lake.moving = False

    async def story():
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED))
            await turn(clock, lambda: not lake.rules)

    asyncio.run(story())
    placement = broker.session(uuid).placement
    [failed] = notes(broker, uuid, "failed")
    assert "survey: 2 of 8 files came to PERTH-DISK in" in failed.note.text
    assert "there is no more time" in failed.note.text
    # as long as the time that was promised lasts, and a look
    latest = placement.start + placement.start_within + placement.duration
    assert latest <= failed.time < latest + timedelta(minutes=5)


def test_cancelled_while_it_is_being_asked_for_it_leaves_nothing(make, lake, clock, monkeypatch):
    # the thread that asks hangs until the gate opens, and so is soon waited for no more
    monkeypatch.setattr(ThreadsAtWork, "HANGS", 1.0)
    broker = make()
    uuid = at_perth(broker)
    lake.gate = threading.Event()

    async def story():
        async with running(broker):
            await turn(clock, lambda: "begin" in lake.asked, step=0.1)
            await asyncio.to_thread(broker.update_phase, uuid, Phase.CANCELLED, ANN)
            await turned(clock, 60, step=0.1)
            # what is being asked may still be granted: only then it can be taken back
            assert "end" not in lake.asked
            lake.gate.set()
            await turn(clock, lambda: "end" in lake.asked, step=0.1)

    asyncio.run(story())
    assert broker.session(uuid).phase is Phase.CANCELLED
    assert lake.asked[0] == "begin"
    assert lake.asked[-1] == "end"
    assert lake.rules == {}


class Killed(BaseException):
    """The end of the process: no handler of errors catches it."""


class Fate:
    """Ends the process at one of its steps: before or behind a question to the lake. (Its commits and its
    platforms are test_supervisor_crashes' part.)"""

    def __init__(self, last_step):
        self.left, self.dead = last_step, False

    def step(self):
        if not self.dead:
            self.left -= 1
            self.dead = self.left < 0
        if self.dead:
            raise Killed


def test_whichever_step_is_the_last_there_is_one_rule_and_none_in_the_end(make, lake, clock):
    lake.moving = 3
    platforms, last_step, survived = None, 0, False
    while not survived:
        broker = make(platforms, kind=Recording, run_seconds=1.0, stage_seconds=0.5)
        platforms = broker.platforms
        uuid = at_perth(broker)
        fate = lake.fate = Fate(last_step)
        asyncio.run(until_killed(broker, clock, fate, uuid, lake))
        survived = not fate.dead
        lake.fate = None
        clock.advance(lease.LEASE.total_seconds())
        again = make(platforms, kind=Recording, run_seconds=1.0, stage_seconds=0.5)
        asyncio.run(until_killed(again, clock, Fate(10**6), uuid, lake))
        assert again.session(uuid).phase is Phase.COMPLETED, (last_step, again.session(uuid).notes)
        assert lake.made.count(uuid) == 1, last_step
        assert lake.rules == {}, last_step
        assert len(notes(again, uuid, "rule")) == 1, last_step
        clock.advance(86_400)
        last_step += 1
    assert last_step > 7


async def until_killed(broker, clock, fate, uuid, lake):
    """Run the broker until it is killed, or the session is over and nothing is left of it at the lake."""
    task = asyncio.create_task(broker.run())
    try:
        over = is_in(broker, uuid, *ENDED)
        await turn(clock, lambda: fate.dead or (over() and not lake.rules), step=1.0, turns=2000)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Killed):
            await task
