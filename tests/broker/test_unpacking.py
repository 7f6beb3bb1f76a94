"""Folders: their catalogue is asked just before they are moved, and each file lies where it lay in there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.catalogues import CatalogueError, File, Resolved
from broker.model import DataItem, Replica
from broker.platforms import PlatformError
from broker.sessions.staging import stage
from broker.sessions.unpacking import Unpacker
from federation.clock import SystemClock
from federation.sites import Place, Policy, Site
from netprobe.cost import Item, Staging, plan_staging
from netprobe.forecast import Forecast, from_outside
from tests.contracts.platform_support import CONTENT, make_platform
from tests.netprobe.servers import FileServer, file_server

HERE = Site("here", "Here", Place(0, 0), data_hosts=("127.0.0.1:*",))
SUM = ("sha256", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


class Shelf:
    """A catalogue of one folder."""

    kinds: Sequence[str] = ("shelf-data-resource",)

    def __init__(self, *files: File) -> None:
        self.found, self.asked = files, 0

    def resolve(self, uuid: str, name: str, resource: Any, path: str) -> Resolved:
        raise NotImplementedError

    def files(self, item: DataItem, site: Site, seconds: float) -> Sequence[File]:
        self.asked += 1
        if not self.found:
            raise CatalogueError("the shelf is locked")
        return self.found


def forecast(source: str, destination: str) -> Forecast:
    return from_outside(destination)


def folder(files: int) -> DataItem:
    where = (Replica("shelf://survey", "here"),)
    return DataItem(
        "u-1", "survey", files * len(CONTENT), where, kind=Shelf.kinds[0], files=files, unpacked=True
    )


def planned(item: DataItem) -> Staging:
    replicas = [(one.url, one.site_id) for one in item.replicas]
    return plan_staging([Item(item.uuid, item.size_bytes or 0, replicas, item.files)], "here", forecast)


def staged(root: Path, item: DataItem, shelf: Shelf, site: Site = HERE) -> tuple[dict[str, Path], list[str]]:
    unpacker = Unpacker({Shelf.kinds[0]: shelf}, forecast)
    where, moved = asyncio.run(
        stage(
            SystemClock(),
            make_platform("podman", root),
            "job",
            [item],
            planned(item),
            lambda one, move: unpacker.files(one, move, site),
            lambda size: None,
        )
    )
    return dict(where), [note.text for _, note in moved]


def test_a_folder_is_one_directory_with_its_files_in_it(tmp_path: Path, server: FileServer) -> None:
    names = ("a.fits", "deep/b.fits", "../../c.fits")
    shelf = Shelf(*(File(name, len(CONTENT), (Replica(server.url("/good"), "here"),), SUM) for name in names))
    where, notes = staged(tmp_path, folder(3), shelf)
    directory = where["u-1"]
    assert directory.name == "survey"
    found = {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}
    assert {Path("a.fits"), Path("deep/b.fits")} < found
    # what would lead out of it lies in it, too
    assert len(found) == 3
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3
    assert len(notes) == 1
    assert "survey (3 files)" in notes[0]
    assert "the forecast was" in notes[0]


def test_again_it_moves_nothing_and_says_the_same(tmp_path: Path, server: FileServer) -> None:
    shelf = Shelf(File("a.fits", len(CONTENT), (Replica(server.url("/good"), "here"),), SUM))
    first, _ = staged(tmp_path, folder(1), shelf)
    asked = len(server.requests)
    again, notes = staged(tmp_path, folder(1), shelf)
    assert (again, notes, len(server.requests)) == (first, [], asked)
    assert shelf.asked == 2


def test_a_signed_url_is_one_file_under_its_own_name(tmp_path: Path, server: FileServer) -> None:
    shelf = Shelf(File("", len(CONTENT), (Replica(server.url("/good?signature=secret"), "here"),)))
    where, notes = staged(tmp_path, folder(1), shelf)
    assert where["u-1"].read_bytes() == CONTENT
    assert not any("secret" in note for note in notes)


def test_what_the_catalogue_can_t_say_is_told_with_the_data_s_name(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="survey: the shelf is locked"):
        staged(tmp_path, folder(1), Shelf())


def test_a_file_that_the_site_may_not_fetch_is_told(tmp_path: Path, server: FileServer) -> None:
    shelf = Shelf(File("a.fits", 1, (Replica(server.url("/good"), "here"),)))
    site = replace(HERE, policy=Policy(denied_data=("127.0.0.1",)))
    with pytest.raises(PlatformError, match=r"a\.fits: nothing that here may fetch from holds it"):
        staged(tmp_path, folder(1), shelf, site)


def test_a_folder_costs_what_its_files_cost() -> None:
    whole, many = planned(replace(folder(1))), planned(replace(folder(1), files=100))
    assert many.groups[0].files == 100
    assert many.seconds.p50 > whole.seconds.p50
