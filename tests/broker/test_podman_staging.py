"""Files brought to a site: right and whole, or an error that says why and nothing left. Needs no engine."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker.model import DataItem
from broker.platforms import Platform, PlatformError, load_platform
from federation.clock import SystemClock
from federation.sites import Federation, Place, Policy, Site
from federation.sites import Platform as SitePlatform
from tests.contracts.platform_support import CONTENT, make_item, make_move, make_platform, stage_one
from tests.netprobe.servers import FileServer, file_server
from tests.ports import free_port


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def stage(root: Path, item: DataItem) -> Path:
    platform = make_platform("podman", root)
    path, _ = asyncio.run(stage_one(platform, "job", item, make_move(item)))
    return path


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


CHECKSUMS = [
    ("sha256", hashlib.sha256(CONTENT).hexdigest()),
    ("md5", hashlib.md5(CONTENT).hexdigest()),
    ("adler32", f"{zlib.adler32(CONTENT):08x}"),
]


@pytest.mark.parametrize("checksum", CHECKSUMS)
def test_every_kind_of_checksum_is_verified(
    tmp_path: Path, server: FileServer, checksum: tuple[str, str]
) -> None:
    assert stage(tmp_path, make_item(server.url("/good"), checksum=checksum)).read_bytes() == CONTENT


@pytest.mark.parametrize("checksum", CHECKSUMS)
def test_a_wrong_checksum_names_the_file_and_both_values_and_leaves_nothing(
    tmp_path: Path, server: FileServer, checksum: tuple[str, str]
) -> None:
    algorithm, right = checksum
    wrong = "0" * len(right)
    with pytest.raises(PlatformError) as caught:
        stage(tmp_path, make_item(server.url("/good"), checksum=(algorithm, wrong)))
    for word in ("site here", "cube.fits", f"{algorithm}:{wrong}", f"{algorithm}:{right}"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == []


def test_a_wrong_size_is_an_error(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(PlatformError, match=r"cube\.fits: .*wrong size"):
        stage(tmp_path, make_item(server.url("/good"), size_bytes=5, checksum=None))
    assert files(tmp_path) == []


def test_a_missing_file_and_a_dead_server_are_errors(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(PlatformError, match="404"):
        stage(tmp_path, make_item(server.url("/missing")))
    with pytest.raises(PlatformError, match="connection refused"):
        stage(tmp_path, make_item(f"http://127.0.0.1:{free_port()}/good"))


def test_a_spoilt_file_is_brought_again(tmp_path: Path, server: FileServer) -> None:
    item = make_item(server.url("/good"))
    path = stage(tmp_path, item)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert stage(tmp_path, item) == path
    assert path.read_bytes() == CONTENT


def test_the_job_s_directory_is_closed_to_others(tmp_path: Path, server: FileServer) -> None:
    stage(tmp_path / "work", make_item(server.url("/good")))
    assert (tmp_path / "work" / "job").stat().st_mode & 0o077 == 0


def test_what_can_never_fit_is_refused_before_anything_is_asked(tmp_path: Path, server: FileServer) -> None:
    item = make_item(server.url("/good"), size_bytes=10**18)
    with pytest.raises(PlatformError, match=r"site here: 1 EB needed in .*, [\d.]+ [kMGTP]?B free"):
        stage(tmp_path, item)
    assert server.requests == []


def at(root: Path, networks: tuple[str, ...], other: tuple[str, ...] = ()) -> Platform:
    """A platform at a site that serves nothing itself, beside one that serves `other`."""
    description = SitePlatform("podman", cores=4, memory_gib=8, storage_gib=10)
    policy = Policy(allowed_networks=networks)
    site = Site("here", "Here", Place(0, 0), platform=description, policy=policy)
    there = Site("there", "There", Place(0, 0), data_hosts=other)
    return load_platform(site, Federation("test", {"here": site, "there": there}), SystemClock(), root)


@pytest.mark.parametrize("other", [(), ("127.0.0.1:*",)])
def test_what_the_site_does_not_allow_is_not_fetched(
    tmp_path: Path, server: FileServer, other: tuple[str, ...]
) -> None:
    # this machine's loopback is nobody else's storage, whatever the catalogue says of another site
    item = make_item(server.url("/good"))
    with pytest.raises(PlatformError, match=r"site here: cube\.fits: .*127\.0\.0\.1 is no public address"):
        asyncio.run(stage_one(at(tmp_path, (), other), "job", item, make_move(item)))
    assert server.requests == []
    assert files(tmp_path) == []
    # a redirect from the site's own storage leads nowhere else either
    with file_server(CONTENT) as own:
        own.redirects["/away"] = server.url("/good")
        item = make_item(own.url("/away"))
        platform = at(tmp_path, (f"127.0.0.1:{own.server_address[1]}",), other)
        with pytest.raises(PlatformError, match=r"127\.0\.0\.1 is no public address"):
            asyncio.run(stage_one(platform, "job", item, make_move(item)))
    assert server.requests == []
    assert files(tmp_path) == []


def test_what_the_site_s_policy_allows_is_fetched(tmp_path: Path, server: FileServer) -> None:
    item = make_item(server.url("/good"))
    platform = at(tmp_path, ("127.0.0.0/8",))
    path, _ = asyncio.run(stage_one(platform, "job", item, make_move(item)))
    assert path.read_bytes() == CONTENT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.lab
def test_a_small_disk_is_refused_before_anything_is_asked(small_disk: Path, server: FileServer) -> None:
    with pytest.raises(PlatformError, match=r"site here: 1\.05 MB needed in .*, \d+ kB free"):
        stage(small_disk, make_item(server.url("/good")))
    assert server.requests == []


@pytest.mark.lab
def test_a_disk_that_fills_up_on_the_way_is_an_error_and_nothing_is_left(
    small_disk: Path, server: FileServer
) -> None:
    item = make_item(server.url("/no-length"), size_bytes=None, checksum=None)
    with pytest.raises(PlatformError, match=r"site here: cube\.fits: .*no space left on the disk"):
        stage(small_disk, item)
    assert files(small_disk) == []


def test_many_files_come_by_one_mover_and_each_path_is_measured(tmp_path: Path, server: FileServer) -> None:
    platform = make_platform("podman", tmp_path)
    items = [make_item(server.url("/good"), f"file-{n}") for n in range(6)]
    moves = [make_move(item) for item in items]
    elsewhere = [replace(move, source=None) for move in moves[:2]]
    wanted = list(zip(items, [*elsewhere, *moves[2:]], strict=True))
    asyncio.run(platform.stage("job", wanted[:3], lambda size: None))
    asked = len(server.requests)
    staged = asyncio.run(platform.stage("job", wanted, lambda size: None))
    # what was there already is not moved again, nor measured
    assert len(server.requests) == asked + 3
    assert [path.read_bytes() == CONTENT for path in staged.paths.values()] == [True] * 6
    [measured] = staged.measurements
    assert (measured.source, measured.destination) == ("there", "here")
    assert measured.figures["files"] == 3
    assert measured.parameters["sizes"] == [[1, len(CONTENT)]] * 3
    assert measured.figures["predicted_seconds_p10"] < measured.figures["predicted_seconds"]
    again = asyncio.run(platform.stage("job", wanted, lambda size: None))
    assert again.measurements == ()
