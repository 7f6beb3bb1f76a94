"""Data of the SKA data lake whose replicas the request doesn't list: Rucio does."""

from __future__ import annotations

from typing import Any

import pytest

from broker.catalogues import CatalogueError, Resolved, Unpacks, load_catalogues
from broker.model import Level
from tests.contracts.catalogue_support import replica, told
from tests.rucio.conftest import World
from tests.rucio.storage import content


@pytest.fixture(scope="module")
def names(world: World) -> list[str]:
    return world.dataset("lake", A1=range(3), B=range(3))


def resolve(world: World, **skao: Any) -> Resolved:
    catalogue = load_catalogues(world.federation, True)["skao-data-resource"]
    return catalogue.resolve("u-1", "cube", {"skao": {"namespace": "sky", **skao}}, "/data/0")


def test_a_dataset_is_found_and_its_files_are_brought(world: World, names: list[str]) -> None:
    found = resolve(world, objectname="lake", objecttype="DATASET").item
    assert found is not None
    assert (found.files, found.namespace) == (3, "sky")
    assert found.size_bytes == sum(len(content(name)) for name in names)
    catalogue = load_catalogues(world.federation, True)["skao-data-resource"]
    assert isinstance(catalogue, Unpacks)
    assert {file.path for file in catalogue.files(found, world.federation["a"], 0.0)} == set(names)


def test_another_size_than_rucio_s_is_a_warning(world: World, names: list[str]) -> None:
    found = resolve(world, objectname=names[0], datasize=17)
    assert found.item is not None
    assert found.item.size_bytes == len(content(names[0]))
    assert told(found, Level.WARN)[0][0] == "/data/0/skao/datasize"


def test_replicas_of_the_request_count_before_rucio(world: World, names: list[str]) -> None:
    listed = [replica("http://127.0.0.1:9/cube.fits", "B")]
    found = resolve(world, objectname="lake", datasize=5, replicas=listed).item
    assert found is not None
    assert (found.unpacked, [one.url for one in found.replicas]) == (False, ["http://127.0.0.1:9/cube.fits"])


def test_what_is_not_there_is_a_no_with_its_path(world: World, names: list[str]) -> None:
    for skao, path in (
        ({"objectname": "no-such"}, "/data/0/skao"),
        ({"objectname": "lake", "objecttype": "SHELF"}, "/data/0/skao/objecttype"),
        ({"objectname": "lake", "datasize": -1}, "/data/0/skao/datasize"),
    ):
        found = resolve(world, **skao)
        assert found.item is None
        assert [where for where, _ in told(found, Level.ERROR)] == [path]


def test_an_item_that_rucio_did_not_resolve_has_no_files(world: World, names: list[str]) -> None:
    catalogue = load_catalogues(world.federation, True)["skao-data-resource"]
    listed = resolve(world, objectname="lake", datasize=5, replicas=[replica("http://127.0.0.1:9/a", "B")])
    assert isinstance(catalogue, Unpacks)
    assert listed.item is not None
    with pytest.raises(CatalogueError):
        catalogue.files(listed.item, world.federation["a"], 0.0)
