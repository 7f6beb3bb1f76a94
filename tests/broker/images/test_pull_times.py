"""Pulls that were seen make the next forecast: how they are kept, what is learnt of them, where it shows."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from broker.images import Access, Image, Layer, Looked, Wanted
from broker.images.pulls import (
    LIFETIME,
    MOST_KEPT,
    Pull,
    Pulled,
    PullLog,
    keep_pulls,
    learn,
    pull_seen,
    read_pulls,
)
from broker.offers.candidates import Candidate, assess
from broker.platforms import TellsPulls
from broker.pull_times import by_pulls, keep_told
from broker.records import Owner
from broker.service import PULLS_SECONDS, Broker
from federation.database import write
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from netprobe.quantiles import Quantiles
from tests.broker.conftest import NOW, make_document, make_request
from tests.broker.offering import forecast as path_forecast

MB = 1_000_000
LAYERS = (Layer("sha256:a", 40 * MB, "sha256:1"), Layer("sha256:b", 60 * MB, "sha256:2"))
DIGESTS = frozenset({"sha256:m"})
IMAGE = Image(
    "r.example/tool:1", "r.example", "sha256:m", DIGESTS, "amd64", "linux", LAYERS, command=("tool",)
)
FORECAST = Quantiles(8.0, 10.0, 14.0)


def pull(seconds: float, days: float = 0.0, **more: object) -> Pull:
    first = Pull("perth", "r.example", "r.example/tool:1", NOW - timedelta(days=days), 100 * MB, 2, seconds)
    return replace(first, **more)  # type: ignore[arg-type]


def expected(size_bytes: int, layers: int) -> float:
    return 10.0 * size_bytes / (100 * MB)


def after(*seen: Pull, image: str = "r.example/tool:1") -> Quantiles:
    found = learn(FORECAST, image, 100 * MB, seen, expected, NOW)
    assert found is not None
    return found.seconds


# what is learnt


def test_without_pulls_nothing_is_learnt() -> None:
    assert learn(FORECAST, "r.example/tool:1", MB, [], expected, NOW) is None


def test_few_pulls_correct_a_little_and_many_nearly_all() -> None:
    one, many = after(pull(30.0)), after(*[pull(30.0)] * 40)
    assert 10.0 < one.p50 < 20.0
    assert 26.0 < many.p50 < 30.0
    assert one.p90 / one.p10 > many.p90 / many.p10


def test_old_pulls_and_pulls_of_other_sizes_count_less() -> None:
    new = after(*[pull(30.0)] * 3).p50
    assert after(*[pull(30.0, days=30)] * 3).p50 < new
    assert after(*[pull(0.3, size_bytes=MB)] * 3).p50 < new
    assert after(*[pull(0.3, size_bytes=MB)] * 3).p50 > FORECAST.p50


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 59), st.integers(0, 10**12)), min_size=1, max_size=60)
)
def test_whatever_was_seen_gives_quantiles_in_order(seen: list[tuple[float, float, int]]) -> None:
    found = after(*(pull(seconds, days, size_bytes=size) for seconds, days, size in seen))
    assert 0 <= found.p10 <= found.p50 <= found.p90
    assert math.isfinite(found.p90)


@pytest.mark.parametrize("number", [4, 12, 50])
def test_the_interval_holds_what_it_says(number: int) -> None:
    """Of pulls that take about 2.5 times as long as forecast, give or take; 80 % is what it says."""
    chance, inside, trials = random.Random(7), 0, 400
    for _ in range(trials):
        took = [25.0 * math.exp(chance.gauss(0, 0.35)) for _ in range(number + 1)]
        found = after(*map(pull, took[1:]))
        inside += found.p10 <= took[0] <= found.p90
    assert 0.68 <= inside / trials <= 0.92


def test_an_image_that_was_always_in_place_takes_no_time_and_another_one_does() -> None:
    seen = [pull(0.0)] * 15 + [pull(20.0, image="r.example/other:1")] * 15
    here, other = after(*seen), after(*seen, image="r.example/other:1")
    assert (here.p10, here.p50, here.p90) == (0.0, 0.0, 0.0)
    assert 15.0 < other.p50 < 20.0
    half = after(*[pull(0.0), pull(20.0)] * 10)
    assert half.p10 == 0.0
    assert half.p90 > 15.0


# what is kept


def kept(engine: Engine, *seen: Pull) -> list[Pull]:
    with write(engine) as connection:
        keep_pulls(connection, seen, NOW)
    with engine.connect() as connection:
        return list(read_pulls(connection, ["perth"], NOW))


def test_only_what_was_missing_counts() -> None:
    pulled = Pulled(Wanted(("r.example/tool:1",)), Access(), NOW, 3.0, frozenset({"sha256:1"}))
    seen = pull_seen("perth", pulled, IMAGE)
    assert (seen.size_bytes, seen.layers, seen.seconds) == (60 * MB, 1, 3.0)


def test_old_ones_are_forgotten_and_of_many_the_oldest(engine: Engine) -> None:
    assert kept(engine, pull(5.0, days=1), pull(4.0, days=2)) == [pull(4.0, days=2), pull(5.0, days=1)]
    old = replace(pull(9.0), ended=NOW - LIFETIME - timedelta(seconds=1))
    elsewhere = pull(1.0, site="lausanne")
    assert old not in kept(engine, old, elsewhere)
    found = kept(engine, *(pull(float(number), days=0) for number in range(MOST_KEPT)))
    assert len(found) == MOST_KEPT
    assert pull(5.0, days=1) not in found
    with engine.connect() as connection:
        assert list(read_pulls(connection, ["lausanne"], NOW)) == [elsewhere]


def test_each_pull_is_told_once_and_the_oldest_are_dropped() -> None:
    log = PullLog()
    for number in range(300):
        log.add(Pulled(Wanted(("x",)), Access(), NOW, float(number)))
    assert [each.seconds for each in log.take()] == [float(number) for number in range(44, 300)]
    assert log.take() == ()


# where it shows


class Backend:
    """A platform that pulls images of a registry, as far as offers ask it, and tells what it saw."""

    def __init__(self) -> None:
        self.log = PullLog()

    def check(self, executable):
        return ()

    def image_seconds(self, executable):
        return 60.0

    def wanted_image(self, executable):
        return Wanted(("r.example/tool:1",)), Access()

    def image_layers(self):
        return ()

    def outside_bits_per_second(self):
        return 100e6

    def check_image(self, image):
        return ()

    def pulled(self):
        return self.log.take()


@dataclass
class Known:
    """Stands for `Images`: what a registry would say, without one."""

    image: Image | None = IMAGE
    asked: list[object] = field(default_factory=list)

    def look(self, questions, seconds=6.0):
        found = list(questions)
        self.asked += found
        return {question: Looked(self.image) for question in found}


SITE = Site("perth", "Perth", Place(0, 0), platform=SitePlatform("simulated", 8, 32, 100))
FEDERATION = Federation("test", {"perth": SITE})


def candidate(backend: Backend) -> Candidate:
    found = assess(SITE, backend, make_request(), path_forecast, FEDERATION, Looked(IMAGE))
    assert isinstance(found, Candidate)
    return found


def test_the_next_offer_there_knows_what_pulls_took(engine: Engine) -> None:
    backend = Backend()
    assert isinstance(backend, TellsPulls)
    before = candidate(backend)
    assert by_pulls([before], engine, NOW) == [before]
    for _ in range(5):
        pulled = Pulled(Wanted(("r.example/tool:1",)), Access(), NOW, 3 * before.pull.seconds.p50)
        backend.log.add(pulled)
    assert keep_told(engine, {"perth": backend}, Known(), NOW) == 5
    assert keep_told(engine, {"perth": backend}, Known(), NOW) == 0
    [after] = by_pulls([candidate(backend)], engine, NOW + timedelta(hours=2))
    assert 1.7 < after.pull.seconds.p50 / before.pull.seconds.p50 < 2.3
    assert after.prepare == before.staging.seconds + after.pull.seconds
    [note] = [each for each in after.warnings if each.kind == "image"]
    assert "5 pulls from there, the newest 2 h ago, make it 2 times what was forecast" in note.text
    # of what no registry knows any more nobody can say how large it was
    backend.log.add(pulled)
    assert keep_told(engine, {"perth": backend}, Known(None), NOW) == 0
    [elsewhere] = by_pulls([replace(candidate(backend), site=replace(SITE, id="lausanne"))], engine, NOW)
    assert elsewhere.pull == before.pull


@pytest.fixture
def make(engine, clock, settings, monkeypatch):
    """A broker with one site, and registries that know IMAGE."""
    monkeypatch.setattr("broker.service.Images", lambda clock: Known())
    return lambda backend: Broker(settings, FEDERATION, engine, clock, True, {"perth": backend}, [], {})


def test_a_broker_s_offers_know_what_was_seen(engine, make):
    kept(engine, *(pull(90.0) for _ in range(5)))
    answer = make(Backend()).request(make_document(), Owner("ada", "ada"))
    assert answer.yes
    said = [note.text for note in answer.sessions[0].placement.notes]
    assert any("5 pulls from there" in each for each in said), said


def test_a_broker_writes_down_what_its_platforms_see(engine, clock, make):
    backend = Backend()
    broker = make(backend)

    async def story() -> None:
        running = asyncio.create_task(broker.run())
        backend.log.add(Pulled(Wanted(("r.example/tool:1",)), Access(), NOW, 5.0))
        try:
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(seen):
                    clock.advance(PULLS_SECONDS)
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def seen() -> bool:
        with engine.connect() as connection:
            return bool(read_pulls(connection, ["perth"], NOW))

    asyncio.run(story())
