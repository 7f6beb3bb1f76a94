"""What a server says of how long data and image took: believed as far as it can be, kept once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import Executable, Job
from broker.platforms import TellsPulls, load_platform, openstack_lines
from broker.platforms.openstack import OpenStackPlatform
from broker.platforms.openstack_learnt import Came, came_of, measurements, pulled_of
from broker.platforms.openstack_records import Records
from federation.clock import ManualClock
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from netprobe.measurement import Kind, Origin
from tests.cloud.stand_in import StandIn
from tests.contracts.platform_support import CONTENT, make_item, make_move

ASKED = datetime(2026, 12, 1, tzinfo=UTC)
NOW = ASKED + timedelta(seconds=500)
BEGAN = ASKED + timedelta(seconds=60)
IMAGE = "registry.example.org/a/b:1"
SAID: dict[str, Any] = {"began": BEGAN.timestamp(), "sizes": [5, 7], "seconds": {"perth": 2.5}}


def test_what_a_server_says_is_as_it_was() -> None:
    assert came_of({"came": SAID}, ASKED, NOW) == Came(BEGAN, (5, 7), {"perth": 2.5})
    assert (pulled_of({"pulled": 12.5}, ASKED, NOW), pulled_of({"pulled": 0.0}, ASKED, NOW)) == (12.5, 0.0)


@pytest.mark.parametrize("began", [0, -1e300, 10**400, float("nan"), NOW.timestamp() + 1])
def test_a_server_that_does_not_know_the_time_is_believed_the_rest(began: float) -> None:
    assert came_of({"came": {**SAID, "began": began}}, ASKED, NOW) == Came(ASKED, (5, 7), {"perth": 2.5})


@pytest.mark.parametrize(
    "lie",
    [
        {"sizes": [5, -1]},
        {"sizes": ["5"]},
        {"sizes": None},
        {"seconds": {}},
        {"seconds": []},
        {"seconds": {"perth": 0}},
        {"seconds": {"perth": 501}},
        {"seconds": {"perth": float("nan")}},
        {"seconds": {"perth": "1"}},
        {"began": "now"},
    ],
)
def test_what_cannot_be_is_not_believed(lie: dict[str, Any]) -> None:
    assert came_of({"came": {**SAID, **lie}}, ASKED, NOW) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON, JSON, JSON)
def test_nothing_that_a_server_says_is_an_error(began: Any, sizes: Any, seconds: Any, pulled: Any) -> None:
    report = {"came": {"began": began, "sizes": sizes, "seconds": seconds}, "pulled": pulled}
    found = came_of(report, ASKED, NOW)
    if found is not None:
        assert ASKED <= found.began <= NOW
        assert all(0 < each <= 500 for each in found.seconds.values())
    took = pulled_of(report, ASKED, NOW)
    assert took is None or 0 <= took <= 500


def file(group: str, size: int | None, **more: Any) -> dict[str, Any]:
    url = "https://u:p@data.example.org/a?X-Amz-Signature=hidden"
    return {"url": url, "path": "/a", "size_bytes": size, "checksum": None, "group": group, **more}


def test_files_of_one_source_are_one_measurement() -> None:
    files = [file("perth", 5), file("outside", None, checksum=f"sha256:{'ab' * 32}"), file("perth", None)]
    came = Came(BEGAN, (5, 100, 7), {"perth": 2.0, "outside": 4.0})
    perth, outside = measurements(came, files, "s1", "here")
    assert (perth.source, perth.destination, perth.kind, perth.origin) == (
        "perth",
        "here",
        Kind.TRANSFER,
        Origin.STAGING,
    )
    assert perth.figures == {"seconds": 2.0, "size_bytes": 12.0, "files": 2.0, "bits_per_second": 48.0}
    assert (perth.started, perth.seconds) == (BEGAN, 2.0)
    assert outside.parameters == {"url": "https://data.example.org/a", "sha256": "ab" * 32}
    assert "hidden" not in repr((perth, outside))
    # told again, it is the same; another server's is another
    assert measurements(came, files, "s1", "here") == (perth, outside)
    assert {each.id for each in measurements(came, files, "s2", "here")}.isdisjoint({perth.id, outside.id})


@pytest.mark.parametrize(
    "came",
    [
        Came(BEGAN, (5,), {"perth": 2.0}),
        Came(BEGAN, (6, 7), {"perth": 2.0}),
        Came(BEGAN, (5, 7), {"lausanne": 2.0}),
        Came(BEGAN, (5, 7), {"perth": 2.0, "lausanne": 2.0}),
    ],
)
def test_what_it_was_not_told_to_fetch_says_nothing(came: Came) -> None:
    assert measurements(came, [file("perth", 5), file("perth", 7)], "s1", "here") == ()


def test_a_broker_learns_of_each_server_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(ASKED)
    nova = StandIn(clock, flavours=[{"id": "f", "name": "f", "vcpus": 4, "ram": 8192, "disk": 40}])
    monkeypatch.setattr("broker.platforms.openstack.Cloud", lambda *_: nova)
    described = SitePlatform("openstack", 4, 8, 10, options={"image": "tiny", "poll_seconds": 0.0})
    site = Site("here", "Here", Place(0, 0), platform=described)
    job = Job("6f1c7a52", "here", Executable("x", (IMAGE,)), 1, 1, timedelta(hours=1))
    item = make_item("https://data.example.org/cube?signature=hidden")
    report = {
        "step": "run",
        "came": {"began": BEGAN.timestamp(), "sizes": [len(CONTENT)], "seconds": {"there": 3.0}},
        "pulled": 20.0,
    }

    def platform() -> OpenStackPlatform:
        found = load_platform(site, Federation("test", {"here": site}), clock, tmp_path)
        assert isinstance(found, OpenStackPlatform)
        return found

    async def live() -> None:
        first = platform()
        assert isinstance(first, TellsPulls)
        await first.stage(job.id, [(item, make_move(item))], lambda size: None)
        await first.start(job)
        assert (await first.poll(job)).measurements == ()
        record = Records("here", tmp_path).find(job.id)
        assert record is not None
        assert record.server_id is not None
        clock.advance(500)
        nova.consoles[record.server_id] = "\n".join(openstack_lines.written(record.word, 1, report))
        [seen] = (await first.poll(job)).measurements
        assert (seen.source, seen.destination, seen.figures["seconds"]) == ("there", "here", 3.0)
        [pulled] = first.pulled()
        assert (pulled.wanted.locations, pulled.seconds, pulled.there) == ((IMAGE,), 20.0, frozenset())
        # said again and again, also to the next broker, and at the end, when nothing else is said any more
        end = {"step": "end", "exit_code": 0, "stdout": "", "stderr": ""}
        nova.consoles[record.server_id] = "\n".join(openstack_lines.written(record.word, 2, end))
        again = platform()
        for each in (first, again):
            status = await each.poll(job)
            assert status.exit_code == 0
            assert status.measurements == (seen,)
            assert not each.pulled()
        await again.release(job.id)

    asyncio.run(live())
    assert not list(tmp_path.iterdir())
    # what the servers' own image brings along is no pull
    local = replace(described, options={**described.options, "local_images": [IMAGE]})
    own = load_platform(replace(site, platform=local), Federation("test", {"here": site}), clock, tmp_path)
    assert isinstance(own, OpenStackPlatform)
    assert (own.wanted_image(job.executable), own.image_seconds(job.executable)) == (None, 0.0)
