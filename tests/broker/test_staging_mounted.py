"""What lies in a file system that is mounted at the site is copied from there, with the same proofs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from broker.catalogues.urls import allowed_at
from broker.model import DataItem, Replica
from broker.platforms import PlatformError, Staged
from broker.platforms.staging import stage_files
from federation.clock import SystemClock
from federation.sites import Federation, Place, Site
from netprobe.cost import Item, plan_staging
from netprobe.forecast import from_outside
from tests.netprobe.servers import file_server

HERE = Site("here", "Here", Place(0, 0), data_hosts=("127.0.0.1:*",))
CONTENT = b"pixels " * 1000
SUM = ("md5", hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())


def staged(root: Path, url: str, mounted: Path) -> Staged:
    replica = Replica(url, "here", "HERE", mounted=str(mounted))
    item = DataItem("u-1", "-cube.fits", len(CONTENT), (replica,), SUM)
    wanted = Item(item.uuid, len(CONTENT), [(url, "here")])
    [move] = plan_staging([wanted], "here", lambda *_: from_outside("here")).moves
    allowed = allowed_at(Federation("test", {"here": HERE}), HERE)
    moving = stage_files(HERE, allowed, SystemClock(), root, "job", [(item, move)], lambda _: None)
    return asyncio.run(moving)


def test_it_is_copied_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    there = tmp_path / "-mounted file"
    there.write_bytes(CONTENT)
    # nothing listens there
    found = staged(tmp_path / "work", "http://127.0.0.1:9/cube.fits", there)
    [path] = found.paths.values()
    assert path.read_bytes() == CONTENT
    assert found.measurements == ()
    # the container's own: what it does to it, it does not do to the storage
    path.write_bytes(b"")
    assert there.read_bytes() == CONTENT


def test_what_is_wrong_there_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    there = tmp_path / "cube.fits"
    there.write_bytes(CONTENT[::-1])
    with pytest.raises(PlatformError, match=r"site here: -cube.fits: .* has a wrong size or checksum"):
        staged(tmp_path / "work", "http://127.0.0.1:9/cube.fits", there)
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def test_what_is_not_mounted_is_fetched(tmp_path: Path) -> None:
    with file_server(CONTENT) as server:
        found = staged(tmp_path / "work", server.url("/good"), tmp_path / "nothing")
        assert server.requests
    [path] = found.paths.values()
    assert path.read_bytes() == CONTENT
