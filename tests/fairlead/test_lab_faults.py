"""What goes wrong around a session on the lab ends in one clear line and a clean state."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from broker.contract import kinds
from broker.model import Level, Phase
from broker.platforms.podman_cli import command
from broker.records import Owner, SessionRecord
from broker.service import Broker
from broker.tables import holds
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from federation.catalogue import load_federation
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.settings import Settings
from federation.sites import Federation
from lab import lab

pytestmark = [pytest.mark.lab, pytest.mark.podman]

OWNER = Owner("ann-uuid", "ann")
ENDED = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
FEW_SECONDS = 180.0


@dataclass(frozen=True)
class Story:
    """A lab that is up, its sites, an empty staging place at alpha, and the image of the checksum example."""

    status: lab.Status
    federation: Federation
    staging: Path
    image: str
    work: Path
    engine: Engine

    def broker(self) -> Broker:
        alpha = self.federation["alpha"]
        assert alpha.platform is not None
        given = {**alpha.platform.options, "staging": str(self.staging)}
        # beta has no compute here, so that the data always has to move
        sites = {
            "alpha": replace(alpha, platform=replace(alpha.platform, options=given)),
            "beta": replace(self.federation["beta"], platform=None),
        }
        settings = Settings(database_url="", work_directory=self.work)
        return Broker(settings, Federation("story", sites), self.engine, SystemClock(), online=True)

    def request(self, name: str, checksum: str | None = None) -> dict[str, Any]:
        file = next(file for file in self.status.files if file["name"] == name)
        return {
            "executable": {"kind": kinds.DOCKER_CONTAINER, "image": {"locations": [self.image]}},
            "data": [
                {
                    "kind": kinds.SKAO_DATA,
                    "meta": {"name": name},
                    "skao": {
                        "namespace": "story",
                        "objectname": name,
                        "objecttype": "FILE",
                        "datasize": file["size_bytes"],
                        "checksum": {"type": "sha256", "value": checksum or file["sha256"]},
                        "replicas": [{"rsename": "BETA-DISK", "dataurl": file["urls"][0]}],
                    },
                }
            ],
        }


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    name = build_checksum_image(f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1")
    yield name
    assert remove_checksum_image(name)


@pytest.fixture
def story(tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setenv("FAIRLEAD_LAB_NAME", f"w{os.getpid()}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    staging = tmp_path / "staging"
    staging.mkdir()
    engine = connect(f"sqlite:///{tmp_path}/broker.db")
    upgrade(engine)
    try:
        status = lab.up(Path(__file__).with_name("story.toml"))
        yield Story(status, load_federation(status.catalogue), staging, image, tmp_path / "work", engine)
    finally:
        lab.down()
        engine.dispose()


def live(
    story: Story,
    document: Mapping[str, Any],
    meanwhile: Callable[[Broker, SessionRecord], bool] | None = None,
) -> SessionRecord:
    """Accept the best offer and follow it until it has ended and nothing of it is staged or held any more.

    `meanwhile` is called at each look until it is True.
    """
    broker = story.broker()

    async def follow() -> SessionRecord:
        supervisor = asyncio.create_task(broker.run())
        todo = meanwhile
        try:
            answer = await asyncio.to_thread(broker.request, document, OWNER)
            assert answer.yes, [note.text for note in answer.notes]
            ident = answer.sessions[0].uuid
            await asyncio.to_thread(broker.update_phase, ident, Phase.ACCEPTED, OWNER)
            async with asyncio.timeout(FEW_SECONDS):
                while True:
                    session = await asyncio.to_thread(broker.session, ident)
                    assert session is not None
                    if session.phase in ENDED and not list(story.staging.iterdir()) and not held(story):
                        return session
                    if todo is not None and todo(broker, session):
                        todo = None
                    await asyncio.sleep(0.1)
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

    return asyncio.run(follow())


def held(story: Story) -> list[str]:
    """The sessions for which something is held."""
    with story.engine.connect() as connection:
        return list(connection.execute(select(holds.c.session)).scalars())


def has_moved(session: SessionRecord) -> bool:
    """Whether some of its data is at the site."""
    return any(int(timed.note.values.get("moved_bytes", "0")) > 0 for timed in session.notes)


def the_error(session: SessionRecord) -> str:
    """The one line that says why it failed."""
    assert session.phase is Phase.FAILED
    errors = [timed.note.text for timed in session.notes if timed.note.level is Level.ERROR]
    assert len(errors) == 1, errors
    assert "\n" not in errors[0]
    return errors[0]


def assert_clean(story: Story, session: SessionRecord) -> None:
    """Nothing staged, no container, nothing held."""
    assert list(story.staging.iterdir()) == []
    label = f"label=fairlead.session={session.uuid}"
    listed = subprocess.run(
        command("ps", "-aq", "--filter", label), capture_output=True, text=True, timeout=60
    )
    assert listed.stdout == ""
    assert held(story) == []


def test_a_session_that_goes_well_leaves_as_little(story: Story) -> None:
    session = live(story, story.request("table.dat"))
    assert session.phase is Phase.COMPLETED, [timed.note.text for timed in session.notes]
    assert session.outcome is not None
    assert story.status.files[0]["sha256"] in session.outcome.stdout
    assert_clean(story, session)


def test_a_wrong_checksum_names_the_file_and_both_values(story: Story) -> None:
    session = live(story, story.request("table.dat", checksum="00" * 32))
    error = the_error(session)
    assert "table.dat" in error
    assert "00" * 32 in error
    assert story.status.files[0]["sha256"] in error
    assert_clean(story, session)


def test_storage_that_is_killed_in_the_middle_of_the_transfer(story: Story) -> None:
    def kill(_: Broker, session: SessionRecord) -> bool:
        if not has_moved(session):
            return False
        storage = lab.status().processes["storage-beta"]
        os.kill(storage.pid, signal.SIGKILL)
        return True

    session = live(story, story.request("cube.fits"), kill)
    error = the_error(session)
    assert "cube.fits" in error
    assert "10.77.2.2:8080" in error or "beta" in error
    assert_clean(story, session)


def test_a_site_that_is_dead_before_anything_moved(story: Story) -> None:
    storage = story.status.processes["storage-beta"]
    os.kill(storage.pid, signal.SIGKILL)
    session = live(story, story.request("table.dat"))
    assert "refused" in the_error(session)
    assert_clean(story, session)


def test_a_disk_that_is_too_small_at_the_target(story: Story) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", story.staging], check=True)
    try:
        session = live(story, story.request("cube.fits"))
        error = the_error(session)
        assert "alpha" in error
        assert "free" in error
        assert_clean(story, session)
    finally:
        subprocess.run(["umount", story.staging], check=True)


def test_cancelling_in_the_middle_of_the_transfer(story: Story) -> None:
    def cancel(broker: Broker, session: SessionRecord) -> bool:
        if not has_moved(session):
            return False
        broker.update_phase(session.uuid, Phase.CANCELLED, OWNER)
        return True

    session = live(story, story.request("cube.fits"), cancel)
    assert session.phase is Phase.CANCELLED
    assert_clean(story, session)
