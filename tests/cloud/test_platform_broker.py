"""A broker whose sessions run on servers of a real cloud, from their request to the last trace of them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from broker.model import Level, Phase
from broker.records import Owner, SessionRecord
from broker.service import Broker
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.settings import load_settings
from federation.sites import Federation, Place, Platform, Policy, Site, Space
from netprobe.archive import Archive
from netprobe.measurement import Kind, Origin
from reservations.sources import load_sources
from tests.broker.conftest import KINDS, make_document
from tests.broker.podman_support import an_image
from tests.cloud.cloud import Cloud
from tests.cloud.guest import booted, place_of
from tests.cloud.test_platform import options, servers_of
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server

pytestmark = [pytest.mark.cloud, pytest.mark.podman]
ANN = Owner("ann-uuid", "ann")
OVER = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
PATIENCE_SECONDS = 300.0
STORAGE = {
    "kind": KINDS + "storage/simple-storage-resource.yaml",
    "meta": {"name": "scratch"},
    "size": {"min": 4},
}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


class World:
    """The cloud, a database and a work directory; `broker()` is one after a restart."""

    def __init__(
        self, cloud: Cloud, directory: Path, engine: sa.Engine, image: str, data: FileServer
    ) -> None:
        self.cloud, self.directory, self.engine, self.image = cloud, directory, engine, image
        self.files = data
        self.admin = cloud.connect()
        chosen = options(storage="scratch", server_disk_gib=4, local_images=[image], stop_seconds=3.0)
        space = Space("blazar", {"cloud": "member", "kinds": ["virtual:instance"]}, "virtual:instance")
        size = Platform("openstack", 64, 384, 1000, options=chosen)
        near = Policy(allowed_networks=("127.0.0.0/8",))
        site = Site("perth", "Perth", Place(-31.95, 115.86), platform=size, space=(space,), policy=near)
        holder = Site("lausanne", "Lausanne", Place(46.52, 6.63), data_hosts=(urlsplit(data.url("")).netloc,))
        self.federation = Federation("cloud", {"perth": site, "lausanne": holder})

    def broker(self) -> Broker:
        environment = {
            "HOME": str(self.directory),
            "FAIRLEAD_WORK_DIRECTORY": str(self.directory / "work"),
        }
        clock = SystemClock()
        settings = load_settings(None, environment)
        sources = load_sources(self.federation, clock)
        return Broker(settings, self.federation, self.engine, clock, online=False, sources=sources)

    def document(self, *command: str, **more: Any) -> Any:
        now = datetime.now(UTC)
        start = f"{now:%Y-%m-%dT%H:%M:%SZ}/{now + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
        document = make_document((1, None), "PT10M", start=start, **more)
        document["executable"]["image"] = {"locations": [self.image]}
        document["executable"]["command"] = list(command)
        return document

    def offer(self, broker: Broker, *command: str, **more: Any) -> SessionRecord:
        answer = broker.request(self.document(*command, storage=[STORAGE], **more), ANN)
        assert answer.yes, [note.text for note in answer.notes]
        return answer.sessions[0]

    def leases(self) -> list[Any]:
        found = self.admin.reservation.get("/leases").json()["leases"]
        return [each for each in found if each["name"].startswith("fairlead:")]


@contextlib.contextmanager
def running(broker: Broker) -> Iterator[None]:
    """The supervisor, in a thread of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(broker.run())

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


def session_of(broker: Broker, uuid: str) -> SessionRecord:
    found = broker.session(uuid)
    assert found is not None
    return found


def wait(broker: Broker, uuid: str, so: Callable[[SessionRecord], bool]) -> SessionRecord:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not so(session := session_of(broker, uuid)):
        texts = [timed.note.text for timed in session.notes]
        assert time.monotonic() < deadline, (session.phase, texts)
        time.sleep(0.2)
    return session


@pytest.fixture
def world(cloud: Cloud, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))
    cloud.open_calendar(True)
    engine = connect(f"sqlite:///{tmp_path / 'broker.db'}")
    upgrade(engine)
    with file_server(CONTENT) as data:
        yield World(cloud, tmp_path, engine, image, data)
    engine.dispose()


def test_a_session_runs_on_a_server_and_outlives_the_broker(world: World, tmp_path: Path) -> None:
    broker = world.broker()
    url = world.files.url("/good")
    offer = world.offer(broker, "sh", "-c", "echo begun; sleep 1; echo over; exit 0", data=[url])
    assert offer.placement is not None
    told = {note.text: note.level for note in offer.placement.notes}
    [starts] = [text for text in told if text.startswith("a server at perth boots and brings data and image")]
    assert starts.endswith("which are booked besides the 10 min that are asked for")
    assert told[starts] is Level.INFO
    # nothing has to come before it, and in its time all of it
    assert offer.placement.start - offer.created < timedelta(seconds=1)
    staging = offer.placement.staging.seconds.p90
    assert offer.placement.inside_seconds == pytest.approx(180 + staging)
    inside = timedelta(seconds=math.ceil(offer.placement.inside_seconds))
    assert offer.placement.duration == timedelta(minutes=10) + inside
    assert told["what is written into storage at perth is gone when the session ends"] is Level.WARN
    uuid = broker.update_phase(offer.uuid, Phase.ACCEPTED, ANN).uuid
    with running(broker):
        wait(broker, uuid, lambda session: session.phase is Phase.RUNNING and bool(servers_of(world.cloud)))
    # another broker finds it as it is
    again = world.broker()
    with running(again):
        wait(again, uuid, lambda session: any("is booting" in timed.note.text for timed in session.notes))
        [server] = servers_of(world.cloud)
        [lease] = world.leases()
        # on the flavour that Blazar made for its lease
        assert server.flavor["original_name"] == f"reservation:{lease['reservations'][0]['id']}"
        place = place_of(world.cloud, server.id)
        with booted((place / "user-data").read_text(), place / "console", uuid, tmp_path):
            session = wait(again, uuid, lambda session: session.phase in OVER)
        wait(again, uuid, lambda session: not world.leases())
    assert session.phase is Phase.COMPLETED, [timed.note.text for timed in session.notes]
    assert session.outcome is not None
    assert (session.outcome.exit_code, session.outcome.stdout) == (0, "begun\nover\n")
    assert not servers_of(world.cloud)
    assert not list((tmp_path / "work").rglob("openstack*.json"))
    # what the server fetched is measured, told, and corrects the next forecast
    [moved] = Archive(world.engine).recent(Kind.TRANSFER)
    assert (moved.source, moved.destination, moved.origin) == ("lausanne", "perth", Origin.STAGING)
    assert (moved.figures["size_bytes"], moved.parameters["url"]) == (len(CONTENT), url)
    [said] = [timed.note.text for timed in session.notes if timed.note.kind == "moved"]
    assert "moved from lausanne to perth in " in said


def test_cancelled_its_server_and_its_lease_are_gone(world: World) -> None:
    broker = world.broker()
    offer = world.offer(broker, "sleep", "600")
    uuid = broker.update_phase(offer.uuid, Phase.ACCEPTED, ANN).uuid
    with running(broker):
        wait(broker, uuid, lambda session: bool(servers_of(world.cloud)))
        broker.update_phase(uuid, Phase.CANCELLED, ANN)
        wait(broker, uuid, lambda session: not world.leases())
    assert session_of(broker, uuid).phase is Phase.CANCELLED
    assert not servers_of(world.cloud)


def test_a_request_for_a_disk_that_nothing_reserves_is_a_no(world: World) -> None:
    answer = world.broker().request(world.document("true"), ANN)
    assert not answer.yes
    texts = [note.text for note in answer.notes]
    assert any("its servers take 4 GiB themselves: expected that much storage" in text for text in texts), (
        texts
    )
