"""A broker whose sessions get their reservations at a real cloud."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from broker.model import Job, Phase
from broker.platforms.simulated import SimulatedPlatform
from broker.records import Owner
from broker.service import Broker
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.settings import load_settings
from federation.sites import Federation, Place, Platform, Policy, Site, Space
from reservations.leases import Lease, LeaseState
from reservations.sources import load_sources
from tests.broker.conftest import make_document
from tests.cloud import leases
from tests.cloud.cloud import Cloud

pytestmark = pytest.mark.cloud
ANN = Owner("ann-uuid", "ann")
OVER = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
# within which a session or a lease must have come as far as it is waited for
PATIENCE_SECONDS = 180.0


class Leased(SimulatedPlatform):
    """The simulated platform, which remembers what it was handed for each session."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.leases: dict[str, Lease | None] = {}

    async def start(self, job: Job) -> Any:
        self.leases[job.id] = job.lease
        return await super().start(job)


class World:
    """A broker of one site that is the cloud, and the cloud itself as its operator sees it."""

    def __init__(
        self, cloud: Cloud, directory: Path, engine: sa.Engine, rebook: bool, **options: Any
    ) -> None:
        self.cloud, self.admin = cloud, cloud.connect()
        space = Space("blazar", {"cloud": "member", "kinds": ["virtual:instance"]}, "virtual:instance")
        size = Platform("simulated", 64, 384, 1000, options=options)
        site = Site("perth", "Perth", Place(-31.95, 115.86), platform=size, space=(space,))
        federation = Federation("cloud", {"perth": replace(site, policy=Policy(rebook=rebook))})
        environment = {"HOME": str(directory), "FAIRLEAD_WORK_DIRECTORY": str(directory / "work")}
        clock = SystemClock()
        self.platform = Leased(federation["perth"], federation, clock, directory / "work")
        self.broker = Broker(
            load_settings(None, environment),
            federation,
            engine,
            clock,
            online=False,
            platforms={"perth": self.platform},
            sources=load_sources(federation, clock),
        )

    def offer(self, cores: int, hours: float = 24) -> Any:
        now = datetime.now(UTC)
        start = f"{now:%Y-%m-%dT%H:%M:%SZ}/{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        return self.broker.request(make_document((cores, None), "PT10M", start=start), ANN)

    def accept(self, cores: int = 8) -> str:
        uuid: str = self.offer(cores).sessions[0].uuid
        return self.broker.update_phase(uuid, Phase.ACCEPTED, ANN).uuid

    def take(self, cores: int, count: int = 1, hours: float = 3) -> Any:
        """A lease of somebody else."""
        size = leases.instances(count, cores, 1024)
        return leases.create(self.admin, size, end=leases.hours_from_now(hours), name="somebody else's")

    def leases(self) -> list[dict[str, Any]]:
        """Those that the broker has there."""
        found = self.admin.reservation.get("/leases").json()["leases"]
        return [each for each in found if each["name"].startswith("fairlead:")]

    def session(self, uuid: str) -> Any:
        found = self.broker.session(uuid)
        assert found is not None
        return found

    def texts(self, uuid: str) -> list[str]:
        return [timed.note.text for timed in self.session(uuid).notes]

    def wait(self, uuid: str, so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not so():
            assert time.monotonic() < deadline, (self.session(uuid).phase, self.texts(uuid), self.leases())
            time.sleep(0.2)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The supervisor, in a thread of its own."""
        import asyncio

        loop = asyncio.new_event_loop()
        task = loop.create_task(self.broker.run())

        def run() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
            loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()


@pytest.fixture
def make_world(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., World]]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))
    cloud.open_calendar(True)
    engine = connect(f"sqlite:///{tmp_path / 'broker.db'}")
    upgrade(engine)
    yield lambda rebook=False, **options: World(cloud, tmp_path, engine, rebook, **options)
    engine.dispose()


@pytest.mark.parametrize("is_open", [True, False])
def test_a_session_runs_on_a_lease_that_is_gone_afterwards(
    cloud: Cloud, make_world: Callable[..., World], is_open: bool
) -> None:
    cloud.open_calendar(is_open)
    world = make_world()
    with world.running():
        uuid = world.accept()
        world.wait(uuid, lambda: world.session(uuid).phase in OVER and not world.leases())
    assert world.session(uuid).phase is Phase.COMPLETED, world.texts(uuid)
    lease = world.platform.leases[uuid]
    assert lease is not None
    assert (lease.state, lease.reference) == (LeaseState.ACTIVE, uuid)
    # what a server would be started on
    assert lease.flavour == lease.reservation
    assert bool(lease.hosts) is is_open
    hidden = [n for n in world.session(uuid).placement.notes if "have booked there is hidden" in n.text]
    assert bool(hidden) is not is_open
    assert world.session(uuid).outcome is not None


def test_cancelled_its_lease_is_gone(make_world: Callable[..., World]) -> None:
    world = make_world(run_seconds=600)
    with world.running():
        uuid = world.accept()
        world.wait(uuid, lambda: world.session(uuid).phase is Phase.RUNNING)
        assert [each["name"] for each in world.leases()] == [f"fairlead:{uuid}"]
        world.broker.update_phase(uuid, Phase.CANCELLED, ANN)
        world.wait(uuid, lambda: not world.leases())
    assert world.session(uuid).phase is Phase.CANCELLED


def test_offers_keep_clear_of_what_somebody_else_has_booked(make_world: Callable[..., World]) -> None:
    """The large host alone has more than 16 cores."""
    world = make_world()
    taken = world.take(32)
    end = datetime.fromisoformat(taken["end_date"]).replace(tzinfo=UTC)
    # Blazar counts what touches as overlapping
    (session,) = world.offer(20).sessions
    assert session.placement.start == end + timedelta(minutes=1)
    told = [note.text for note in session.placement.notes]
    assert any(text.startswith("perth's calendar (blazar, virtual:instance) as of ") for text in told)
    assert world.offer(16).sessions[0].placement.start < end
    assert not world.offer(20, hours=1).yes


@pytest.mark.parametrize("rebook", [False, True])
def test_what_others_take_between_offer_and_acceptance_is_refused_or_moved(
    make_world: Callable[..., World], rebook: bool
) -> None:
    world = make_world(rebook)
    uuid = world.accept(20)
    taken = world.take(32)
    end = datetime.fromisoformat(taken["end_date"]).replace(tzinfo=UTC)
    with world.running():
        if not rebook:
            world.wait(uuid, lambda: world.session(uuid).phase in OVER)
            assert world.session(uuid).phase is Phase.FAILED
            assert any(text.startswith("perth: not enough hosts are free") for text in world.texts(uuid))
            assert not world.leases()
            return
        world.wait(uuid, lambda: world.session(uuid).phase is Phase.WAITING)
        assert world.session(uuid).placement.start == end + timedelta(minutes=1)
        assert any(text.startswith("Moved from ") for text in world.texts(uuid))
        (lease,) = world.leases()
        assert datetime.fromisoformat(lease["start_date"]).replace(tzinfo=UTC) == end + timedelta(minutes=1)
        world.broker.update_phase(uuid, Phase.CANCELLED, ANN)
        world.wait(uuid, lambda: not world.leases())
