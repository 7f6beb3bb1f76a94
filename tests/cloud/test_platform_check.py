"""What an OpenStack site says it can't run, and why; nothing is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.images import Access
from broker.model import (
    DataItem,
    Executable,
    ExecutableKind,
    Job,
    Level,
    MinMax,
    Note,
    Port,
    Replica,
    Request,
    StorageItem,
)
from broker.platforms import PlatformError, PullsImages, Unreachable, load_platform
from broker.platforms.openstack import OpenStackPlatform
from broker.platforms.openstack_check import check, check_request
from broker.platforms.openstack_options import openstack_options
from broker.platforms.openstack_sizes import RETRY_SECONDS, Sizes, smallest
from federation.clock import ManualClock, SystemClock
from federation.errors import InputError
from federation.sites import Federation, Place, Platform, Site
from reservations.leases import Lease, LeaseState
from reservations.openstack.connection import Cloud
from reservations.openstack.flavours import Flavour
from tests.cloud.stand_in import StandIn
from tests.contracts.platform_support import make_item, make_move
from tests.waiting import until

NOW = datetime(2026, 12, 1, tzinfo=UTC)
IMAGE = "registry.example.org/a/b:1"


def flavour(name: str, cores: int, memory_gib: int, disk_gib: int, **more: int) -> Flavour:
    return Flavour(name, name, {"VCPU": cores, "MEMORY_MB": memory_gib * 1024, "DISK_GB": disk_gib, **more})


FLAVOURS = (
    flavour("large", 8, 32, 80),
    flavour("small", 1, 2, 20),
    flavour("medium", 4, 8, 40),
    flavour("gpu", 4, 8, 40, PGPU=1),
)


def site(**options: Any) -> Site:
    chosen = {"image": "tiny", **options}
    return Site("perth", "Perth", Place(0, 0), platform=Platform("openstack", 64, 384, 1000, options=chosen))


def said(executable: Executable, **options: Any) -> list[str | None]:
    here = site(**options)
    assert here.platform is not None
    notes = check(here, here.platform, openstack_options(here), executable)
    assert all(note.level is Level.ERROR and "\n" not in note.text for note in notes)
    return [note.path for note in notes]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({}, None),
        ({"ports": (Port(8000),)}, "/executable/network/ports"),
        ({"privileged": True}, "/executable/privileged"),
        ({"environment": {"A": "one line"}}, None),
        ({"environment": {"A": "two\nlines"}}, "/executable/environment/A"),
        ({"environment": {"a b": "x"}}, "/executable/environment"),
        ({"architecture": "s390x"}, "/executable/image/platform/architecture"),
        ({"locations": ()}, "/executable/image/locations"),
        ({"locations": ("not a name",)}, "/executable/image/locations"),
        ({"locations": ("localhost/tool:1",)}, "/executable/image/locations"),
        ({"locations": ("localhost/tool:1", IMAGE)}, None),
        ({"kind": ExecutableKind.NOTEBOOK}, "/executable"),
        (
            {"kind": ExecutableKind.SINGULARITY, "locations": ("https://example.org/a.sif",)},
            "/executable/location",
        ),
        ({"kind": ExecutableKind.SINGULARITY, "locations": (f"docker://{IMAGE}",)}, None),
    ],
)
def test_what_a_server_cannot_run_is_refused_with_its_path(more: dict[str, Any], path: str | None) -> None:
    assert said(Executable("test", **{"locations": (IMAGE,), **more})) == ([] if path is None else [path])


def test_an_image_that_the_servers_bring_along_is_there() -> None:
    assert not said(Executable("test", ("localhost/tool:1",)), local_images=["localhost/tool:1"])


def request(cores: int = 1, storage: int = 0, data: tuple[DataItem, ...] = (), minutes: int = 60) -> Request:
    places = (StorageItem("s", "scratch", MinMax(storage)),) if storage else ()
    executable, duration = Executable("test", (IMAGE,)), timedelta(minutes=minutes)
    return Request(executable, MinMax(cores), MinMax(1), places, data, (), duration, NOW, NOW)


def about(
    asked: Request, sizes: tuple[Flavour, ...] | str | None = FLAVOURS, **options: Any
) -> Mapping[str, Note]:
    here = site(**options)
    return {note.kind: note for note in check_request(here, openstack_options(here), sizes, asked)}


def test_what_a_container_writes_is_lost_and_that_is_said() -> None:
    refused = about(request(storage=5))["storage-lost"]
    assert (refused.level, refused.path) == (Level.ERROR, "/storage")
    assert about(request(storage=5), storage="scratch")["storage-lost"].level is Level.WARN
    assert "storage-lost" not in about(request())


def test_without_a_reservation_a_flavour_must_fit() -> None:
    assert "flavour" not in about(request(8))
    assert about(request(9))["flavour"].text == (
        "perth has no flavour with 9 cores, 1 GiB of memory and 8 GiB of disk"
    )
    assert "flavour" in about(request(8, storage=100), storage="scratch")
    assert "flavour" not in about(request(8, storage=100), storage="scratch", boot_volume=True)
    assert about(request(), "Nova is away")["service-unknown"].text.endswith("isn't known: Nova is away")


def test_with_one_its_disk_must_hold_the_server() -> None:
    assert about(request(), None)["server-disk"].level is Level.ERROR
    assert "server-disk" not in about(request(storage=8), None, storage="scratch")
    assert "server-disk" not in about(request(), None, boot_volume=True)


def test_the_smallest_flavour_that_does_is_taken() -> None:
    plain = Sizes(lambda: {each.id: each for each in FLAVOURS}, (), ManualClock(NOW), 600).learn()
    assert [each.name for each in plain] == ["large", "small", "medium"]
    for cores, disk, name in ((1, 1, "small"), (1, 21, "medium"), (5, 1, "large")):
        found = smallest(plain, cores, 1, disk)
        assert found is not None
        assert found.name == name
    assert smallest(plain, 9, 1, 1) is None
    named = Sizes(lambda: {each.id: each for each in FLAVOURS}, ("gpu",), ManualClock(NOW), 600).learn()
    assert [each.name for each in named] == ["gpu"]


def test_flavours_are_asked_for_again_and_nobody_waits() -> None:
    clock, asked, away = ManualClock(NOW), [0], [True]

    def ask() -> Mapping[str, Flavour]:
        asked[0] += 1
        if away[0]:
            raise Unreachable("Nova is away")
        return {each.id: each for each in FLAVOURS}

    sizes = Sizes(ask, (), clock, 600)
    assert isinstance(sizes.last(), str)
    until(lambda: sizes.last() == "Nova is away", "an answer", sizes.last)
    assert asked == [1]
    away[0] = False
    clock.advance(RETRY_SECONDS)
    until(lambda: not isinstance(sizes.last(), str), "flavours", sizes.last)
    away[0] = True
    clock.advance(600)
    sizes.last()
    until(lambda: asked == [3], "three questions", lambda: asked)
    # what was said last counts
    assert len(sizes.last()) == 3
    with pytest.raises(PlatformError):
        sizes.learn()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": ""}, "option 'image': expected the id of an image for servers, got ''"),
        ({"colour": "red"}, "option 'colour' of platform 'openstack' is not known: expected one of"),
        ({"engine": []}, r"option 'engine': expected a command, such as \['podman'\], got \[\]"),
        ({"security_groups": [5]}, r"option 'security_groups': expected a list of texts, got \[5\]"),
        ({"storage": "lost"}, "option 'storage': expected 'refuse' or 'scratch' or 'keep', got 'lost'"),
        ({"storage": "keep"}, "option 'results': expected a bucket where storage is 'keep', and nothing"),
        ({"results": {"bucket": "b"}}, "option 'results': expected a bucket where storage is 'keep', and no"),
        ({"outside_rate": "fast"}, "option 'outside_rate': "),
        ({"python": "python3"}, "option 'python': expected an absolute path"),
        ({"stop_seconds": 50.0}, "option 'stop_seconds': expected 0 to 40, got 50"),
        ({"processes": 0}, "option 'processes': expected 1 or more, got 0"),
        (
            {"image_seconds": "soon"},
            "option 'image_seconds' of platform 'openstack': expected float, got 'soon'",
        ),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"site 'perth': {said}"):
        openstack_options(site(**options))


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A Nova that every cloud is asked for in place of its own."""
    stand_in = StandIn(ManualClock(NOW))
    monkeypatch.setattr(Cloud, "ask", lambda cloud, *asked, **more: stand_in.ask(*asked, **more))
    monkeypatch.setattr(Cloud, "offers", lambda cloud, service: True)
    return stand_in


def platform_at(root: Path, **options: Any) -> OpenStackPlatform:
    here = site(cloud="nowhere", **options)
    platform = load_platform(here, Federation("test", {"perth": here}), SystemClock(), root)
    assert isinstance(platform, OpenStackPlatform)
    return platform


def leased(kind: str) -> Job:
    flavour = None if kind == "physical:host" else "reserved-flavour"
    end = NOW + timedelta(hours=1)
    lease = Lease("l", None, "l", kind, NOW, end, LeaseState.ACTIVE, None, flavour=flavour, reservation="r")
    return Job("j", "perth", Executable("test", (IMAGE,)), 1, 1, timedelta(hours=1), lease=lease)


def test_a_server_is_asked_for_as_the_site_says(nova: StandIn, tmp_path: Path) -> None:
    more = {"network": "net-1", "key": "ops", "security_groups": ["closed"], "availability_zone": "az1"}
    platform = platform_at(tmp_path, boot_volume=True, config_drive=True, **more)
    asyncio.run(platform.start(leased("virtual:instance")))
    [asked] = nova.bodies
    server = {name: value for name, value in asked["server"].items() if name != "user_data"}
    volume = {"source_type": "image", "uuid": "tiny", "destination_type": "volume", "boot_index": 0}
    assert server == {
        "name": "fairlead-j",
        "imageRef": "",
        "flavorRef": "reserved-flavour",
        "metadata": {"fairlead_session": "j", "fairlead_word": asked["server"]["metadata"]["fairlead_word"]},
        "tags": ["fairlead"],
        "config_drive": True,
        "networks": [{"uuid": "net-1"}],
        "key_name": "ops",
        "security_groups": [{"name": "closed"}],
        "availability_zone": "az1",
        "block_device_mapping_v2": [{**volume, "volume_size": 8, "delete_on_termination": True}],
    }
    assert "os:scheduler_hints" not in asked


def test_on_a_host_that_is_reserved_the_server_gets_a_flavour_of_its_size(
    nova: StandIn, tmp_path: Path
) -> None:
    nova.flavours = [{"id": "f", "name": "f", "vcpus": 2, "ram": 2048, "disk": 20}]
    asyncio.run(platform_at(tmp_path).start(leased("physical:host")))
    [asked] = nova.bodies
    assert asked["server"]["flavorRef"] == "f"
    assert asked["server"]["imageRef"] == "tiny"
    assert asked["os:scheduler_hints"] == {"reservation": "r"}


async def _stage(platform: OpenStackPlatform, bearer: str | None) -> None:
    item = make_item("https://example.org/a")
    replica = Replica("https://example.org/a", None, bearer=bearer)
    changed = DataItem(item.uuid, item.name, item.size_bytes, (replica,), item.checksum)
    await platform.stage("j", [(changed, make_move(changed))], lambda size: None)


def test_a_token_is_not_given_to_a_server(nova: StandIn, tmp_path: Path) -> None:
    platform = platform_at(tmp_path)
    asyncio.run(_stage(platform, None))
    with pytest.raises(PlatformError, match="its server wants a token") as refused:
        asyncio.run(_stage(platform, "secret-token"))
    assert "secret-token" not in str(refused.value)
    assert "secret-token" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_registries_are_asked_as_the_servers_will(tmp_path: Path) -> None:
    local, remote = "localhost/here:1", "registry.example.org/team/tool:2"
    plain = platform_at(tmp_path, local_images=[local])
    assert isinstance(plain, PullsImages)
    # not with what this machine has: the servers have only what their image brings along
    wanted, access = plain.wanted_image(Executable("x", (remote,))) or (None, None)
    assert wanted is not None
    assert wanted.locations == (remote,)
    assert access is not None
    assert access == Access(allowed=access.allowed)
    for nothing in ((local,), (remote, local), ("https://example.org/a.sif",)):
        assert plain.wanted_image(Executable("x", nothing)) is None
    assert plain.image_layers() == ()
    assert plain.outside_bits_per_second() is None
    logins, mirrors = tmp_path / "auth.json", tmp_path / "registries.conf"
    logins.write_text('{"auths": {"registry.example.org": {"auth": "YTpi"}}}')
    mirrors.write_text('[[registry]]\nprefix = "registry.example.org"\nlocation = "mirror.example.org"\n')
    files = {"auth_file": str(logins), "registries_file": str(mirrors)}
    special = platform_at(tmp_path, outside_rate="200 Mbit/s", **files)
    _, access = special.wanted_image(Executable("x", (remote,))) or (None, None)
    assert access is not None
    assert access.auth_file == logins
    assert [table.prefix for table in access.registries.tables] == ["registry.example.org"]
    assert special.outside_bits_per_second() == 200e6
    logins.write_text("[]")
    with pytest.raises(InputError, match=r"^site 'perth': option 'auth_file': .*auth.json"):
        platform_at(tmp_path, **files)
    with pytest.raises(InputError, match=r"^site 'perth': option 'registries_file': /nowhere"):
        platform_at(tmp_path, registries_file="/nowhere")


@pytest.mark.parametrize(
    ("size_gib", "duration", "level", "path", "said"),
    [
        (4, timedelta(hours=1), Level.INFO, "/storage", "perth is sent to be kept when the container ends"),
        (641, timedelta(hours=1), Level.ERROR, "/storage", "perth can give back 640 GiB of storage at most"),
        (4, timedelta(days=7), Level.ERROR, "/schedule/requested/duration", "for sessions of 6 d at most"),
    ],
)
def test_what_can_be_kept(size_gib: int, duration: timedelta, level: Level, path: str, said: str) -> None:
    key = {"endpoint": "https://s3.example.org", "bucket": "results", "environment": "RESULTS"}
    wanted = request(storage=size_gib, minutes=int(duration.total_seconds() / 60))
    notes = about(wanted, None, boot_volume=True, storage="keep", results=key)
    [note] = [each for each in notes.values() if said in each.text]
    assert (note.level, note.path) == (level, path)


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (
            {"endpoint": "https://s3.example.org", "bucket": "b", "environment": "R", "upload": "ftp"},
            "upload: expected 'post' or 'put'",
        ),
        ({"endpoint": "https://s3.example.org", "environment": "R"}, "bucket: expected a text"),
        (
            {"endpoint": "http://s3.example.org", "bucket": "b", "environment": "R"},
            "endpoint: expected a URL",
        ),
        ({"endpoint": "https://s3.example.org", "bucket": "b"}, "expected file or environment"),
        ({"endpoint": "https://s3.example.org", "bucket": "b", "environment": "R", "x": 1}, "unknown x"),
    ],
)
def test_a_bucket_that_cannot_work_is_named(tmp_path: Path, results: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"site 'perth': option 'results'.*{said}"):
        platform_at(tmp_path, storage="keep", results=results)
