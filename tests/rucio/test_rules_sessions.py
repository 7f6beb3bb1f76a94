"""Sessions whose data a real Rucio brings to their site: offered, waited for, taken from there, let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from broker.model import Phase
from broker.platforms.simulated import SimulatedPlatform
from broker.service import Broker
from federation.clock import ManualClock
from federation.settings import load_settings
from federation.sites import Platform
from tests.broker.conftest import KINDS, NOW, make_document
from tests.broker.driving import ANN, Recording, is_in, notes, running, turn
from tests.databases import with_tables
from tests.rucio.conftest import World
from tests.rucio.server import PASSWORD
from tests.rucio.storage import content

ENDED = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
SIZE = Platform("simulated", 8, 32, 100)


class Seeing(Recording):
    """A platform that also writes down where it was told to fetch from."""

    async def stage(self, job_id: str, wanted: Any, progress: Any) -> Any:
        self.sources = {move.source for _, move in wanted}
        self.urls = [move.url for _, move in wanted]
        return await super().stage(job_id, wanted, progress)


def within_the_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@dataclass
class Running:
    """A broker on the world's sites."""

    broker: Any
    clock: ManualClock
    directory: Path

    def accepted(self, name: str) -> str:
        data = {
            "kind": KINDS + "data/rucio-data-resource.yaml",
            "meta": {"name": "survey"},
            "rucio": {"scope": "sky", "object": name},
        }
        answer = self.broker.request(make_document(duration="PT10M") | {"data": [data]}, ANN)
        [offer] = [each for each in answer.sessions if each.placement.site_id == "b"]
        return str(self.broker.update_phase(offer.uuid, Phase.ACCEPTED, ANN).uuid)

    def story(self, uuid: str, world: World, name: str, *acts: Callable[[], Any]) -> Any:
        """Its session until it has ended; once it waits for its rule, what else happens."""

        async def story() -> None:
            async with running(self.broker):
                await turn(
                    self.clock, lambda: self.rule(world, name) is not None or self.over(uuid), step=0.2
                )
                for act in acts:
                    await asyncio.to_thread(act)
                await turn(self.clock, is_in(self.broker, uuid, *ENDED))
                await turn(self.clock, lambda: self.is_let_go(world, name), step=0.2)

        asyncio.run(story())
        return self.broker.session(uuid)

    def over(self, uuid: str) -> bool:
        return bool(is_in(self.broker, uuid, *ENDED)())

    def rule(self, world: World, name: str) -> dict[str, Any] | None:
        found = world.admin.rules("sky", name)
        assert len(found) <= 1
        return found[0] if found else None

    def is_let_go(self, world: World, name: str) -> bool:
        """Ended, and Rucio's own cleaner would take it within the hour."""
        rule = self.rule(world, name)
        return rule is None or parsedate_to_datetime(rule["expires_at"]) <= within_the_hour()


@pytest.fixture
def made(world: World, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    engine = with_tables(tmp_path / "broker.db")
    clock = ManualClock(NOW)
    settings = load_settings(None, {"HOME": str(tmp_path), "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work")})

    def make(**told: Any) -> Running:
        options = {**world.rucio.options, "staging": [{"site": "b", "rse": "B", "delay": "1m", **told}]}
        sites = {site.id: replace(site, platform=SIZE) for site in world.federation}
        federation = replace(world.federation, sites=sites, catalogues={"rucio": options})
        platforms: dict[str, SimulatedPlatform] = {
            site.id: Seeing(site, federation, clock, tmp_path / site.id) for site in federation
        }
        broker: Any = Broker(
            settings, federation, engine, clock, online=True, platforms=platforms, sources=()
        )
        broker.platforms = platforms
        return Running(broker, clock, tmp_path)

    yield make
    engine.dispose()


def test_the_rule_brings_it_and_it_is_taken_from_the_site_s_own_storage(
    world: World, made: Callable[..., Running]
) -> None:
    world.dataset("brought", C=range(12), B=range(5))
    run = made()
    uuid = run.accepted("brought")
    [told] = [note for note in run.broker.session(uuid).placement.notes if note.kind == "data-by-rule"]
    assert "7 of 12 files" in told.text
    # what is there is not paid for
    staging, missing = run.broker.session(uuid).placement.staging, [f"brought/{n}.fits" for n in range(5, 12)]
    crossing = [move for move in staging.moves if move.source != "b"]
    assert sum(move.size_bytes for move in crossing) == sum(len(content(name)) for name in missing)
    session = run.story(uuid, world, "brought", world.conveyor.carry)
    assert session.phase is Phase.COMPLETED, session.notes
    platform = run.broker.platforms["b"]
    assert platform.sources == {"b"}
    assert len(platform.urls) == 12
    assert all("/B/sky/" in url for url in platform.urls)
    assert "brought to B at b by a rule" in notes(run.broker, uuid, "rule")[0].note.text
    # nobody was told how we sign in
    assert PASSWORD not in json.dumps([timed.note.text for timed in session.notes])
    assert PASSWORD.encode() not in (run.directory / "broker.db").read_bytes()


@pytest.mark.parametrize("or_download", [False, True])
def test_a_rule_that_is_stuck_fails_the_session_or_is_downloaded(
    world: World, made: Callable[..., Running], or_download: bool
) -> None:
    name = f"stuck-{or_download}"
    world.dataset(name, C=range(3))
    run = made(download=or_download)
    uuid = run.accepted(name)
    session = run.story(
        uuid, world, name, lambda: world.conveyor.fail("DESTINATION [122] Disk quota exceeded")
    )
    kind = "rule" if or_download else "failed"
    assert session.phase is (Phase.COMPLETED if or_download else Phase.FAILED)
    assert (
        "3 of 3 files to B (STUCK): DESTINATION [122] Disk quota"
        in notes(run.broker, uuid, kind)[0].note.text
    )
    if or_download:
        assert run.broker.platforms["b"].sources == {"c"}


def test_a_cancelled_session_takes_its_rule_with_it(world: World, made: Callable[..., Running]) -> None:
    world.dataset("cancelled", C=range(3))
    run = made()
    uuid = run.accepted("cancelled")
    session = run.story(uuid, world, "cancelled", lambda: run.broker.update_phase(uuid, Phase.CANCELLED, ANN))
    assert session.phase is Phase.CANCELLED
    assert "stage" not in run.broker.platforms["b"].calls
    assert run.rule(world, "cancelled") is not None, "it was begun"


def test_a_broker_that_is_ended_while_it_waits_finds_its_rule_again(
    world: World, made: Callable[..., Running]
) -> None:
    world.dataset("killed", C=range(3))
    run = made()
    uuid = run.accepted("killed")

    async def until_it_waits() -> None:
        async with running(run.broker):
            await turn(run.clock, lambda: run.rule(world, "killed") is not None, step=0.2)

    asyncio.run(until_it_waits())
    assert run.broker.session(uuid).phase is Phase.PREPARING
    again = made()
    session = again.story(uuid, world, "killed", world.conveyor.carry)
    assert session.phase is Phase.COMPLETED, session.notes
    assert again.broker.platforms["b"].sources == {"b"}
