"""`fairlead serve` records each hour how much of the clouds is taken."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from fairlead.recording import Recorder, recording
from fairlead.served import start
from federation.catalogue import load_federation
from federation.clock import ManualClock
from federation.database import connect, upgrade
from reservations.history.record import recorded, recorded_purses
from tests.waiting import until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "space.toml"
NOW = datetime(2026, 11, 26, 10, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'fairlead.db'}"
    engine = connect(url)
    upgrade(engine)
    engine.dispose()
    return url


def test_each_hour_has_its_rows_and_what_is_left_in_purses_too(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, clock = connect(database), ManualClock(NOW)
    recorder = Recorder(load_federation(EXAMPLE), engine, clock)
    recorder.record()
    clock.advance(recorder.seconds_to_next())
    assert clock.now() == NOW.replace(hour=11, minute=2)
    recorder.record()
    found = recorded(engine, NOW - HOUR, NOW + 9 * HOUR)
    cores = {
        (each.site, each.hour.hour): (each.taken, each.total) for each in found if each.resource == "VCPU"
    }
    # Thursday: the survey has two machines of 64 cores, the training 16; two of three machines are lent
    assert cores == {
        ("perth", 10): (144, 320),
        ("perth", 11): (144, 320),
        ("manchester", 10): (64, 96),
        ("manchester", 11): (64, 96),
    }
    assert [each.remaining for each in recorded_purses(engine, NOW - HOUR, NOW + 9 * HOUR)] == [2000, 2000]
    engine.dispose()


def test_a_defect_costs_an_hour_and_not_the_thread(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried, twice = [], threading.Event()

    def record(self: Recorder) -> None:
        tried.append(1)
        if len(tried) == 2:
            twice.set()
        raise RuntimeError("a source that is broken")

    monkeypatch.setattr(Recorder, "record", record)
    monkeypatch.setattr(Recorder, "seconds_to_next", lambda self: 0.0)
    engine = connect(database)
    with recording(load_federation(EXAMPLE), engine):
        assert twice.wait(60)
    engine.dispose()
    assert "a source that is broken" in caplog.text
    for thread in threading.enumerate():
        if thread.name == "space-record":
            thread.join(60)
            assert not thread.is_alive()


def test_the_service_does_so_from_its_start(database: str, tmp_path: Path) -> None:
    served = start(["--catalogue", str(EXAMPLE)], tmp_path / "log", {"FAIRLEAD_DATABASE_URL": database})
    engine = connect(database)
    try:

        def sites() -> int:
            with engine.connect() as connection:
                counted = sa.text("SELECT count(DISTINCT site) FROM space_use")
                return int(connection.execute(counted).scalar_one())

        until(lambda: sites() == 2, "both sites' hour", sites, 300)
        now = datetime.now(UTC)
        found = recorded(engine, now - 2 * HOUR, now + HOUR)
        assert {each.site for each in found} == {"perth", "manchester"}
    finally:
        served.stop()
        engine.dispose()
