"""The recorded measurements that the simulated federation lives on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from federation.catalogue import builtin_federation
from federation.clock import ManualClock
from netprobe.archive import Archive
from netprobe.cost import seconds_for
from netprobe.forecast import Forecaster, Rung
from netprobe.measurement import Kind
from netprobe.recorded import document, load_recorded, recorded

NOW = datetime(2030, 6, 1, 12, 0, tzinfo=UTC)


def test_the_newest_is_a_few_minutes_old_and_the_rest_keeps_its_distance(engine: Engine) -> None:
    archive = Archive(engine)
    assert load_recorded(archive, NOW) == len(recorded())
    loaded = sorted(found.started for found in archive.all())
    assert timedelta(0) < NOW - loaded[-1] < timedelta(minutes=10)
    taken = sorted(found.started for found in recorded())
    assert loaded[-1] - loaded[0] == taken[-1] - taken[0]


def test_loading_twice_adds_nothing(engine: Engine) -> None:
    archive = Archive(engine)
    load_recorded(archive, NOW)
    assert load_recorded(archive, NOW + timedelta(days=1)) == 0


def test_every_path_of_the_built_in_federation_was_measured(engine: Engine) -> None:
    archive, federation = Archive(engine), builtin_federation()
    load_recorded(archive, NOW)
    forecaster = Forecaster(archive, federation, ManualClock(NOW))
    for source in federation.sites:
        for destination in federation.sites:
            found = forecaster.path(source, destination)
            expected = Rung.SAME_SITE if source == destination else Rung.MEASURED
            assert found.rung is expected, found.explanation
            assert seconds_for(found, 10**9).p50 > 0


def test_one_direction_is_much_worse_as_in_the_lab(engine: Engine) -> None:
    archive = Archive(engine)
    load_recorded(archive, NOW)
    forecaster = Forecaster(archive, builtin_federation(), ManualClock(NOW))
    there = forecaster.path("lausanne", "penticton").bits_per_second.p50
    back = forecaster.path("penticton", "lausanne").bits_per_second.p50
    assert there > 5 * back


def test_what_is_written_is_read_back() -> None:
    found = recorded()
    assert document(found)["measurements"][0]["id"] == found[0].id
    assert {one.kind for one in found} >= {Kind.THROUGHPUT, Kind.LATENCY}
    assert all(one.succeeded or not one.figures.get("bits_per_second") for one in found)
