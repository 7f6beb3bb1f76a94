"""Data, where it is stored, and where the container finds it: defaults, references, and what is refused."""

import pytest

from broker.model import MinMax, Mount, MountMode
from tests.broker.conftest import make_document
from tests.broker.reading import data, parse, reasons, storage, volume, with_volumes


def test_data_gets_storage_and_a_place_to_read_it():
    request, _ = parse(make_document() | {"data": [data("large", "sky map.fits"), data("small")]})
    first, second = request.data
    assert [item.name for item in request.storage] == ["Storage for sky map.fits", "Storage for small"]
    assert [item.size_gib for item in request.storage] == [MinMax(5, 5), MinMax(1, 1)]
    assert [first.storage, second.storage] == [item.uuid for item in request.storage]
    assert request.mounts == (
        Mount("/data/sky_map.fits", MountMode.READONLY, first.uuid),
        Mount("/data/small", MountMode.READONLY, second.uuid),
    )


def test_storage_is_named_by_the_data_or_names_the_data():
    asked = {
        "data": [data("small", "a", storage="disk"), data("large", "b")],
        "storage": [storage("disk", 1, 10, data=["b"])],
    }
    request, _ = parse(make_document() | asked)
    (disk,) = request.storage
    assert [item.storage for item in request.data] == [disk.uuid, disk.uuid]
    # what was left open grows to what the data needs: 5 GiB and 10 bytes
    assert disk.size_gib == MinMax(6, 10)


def test_storage_that_cannot_hold_its_data():
    asked = {"data": [data("large", "a", storage="disk")], "storage": [storage("disk", 1, 4)]}
    assert reasons(make_document() | asked) == {("resource-limit", "/storage/0/size/max")}


def test_data_in_two_storages():
    asked = {
        "data": [data("small", "a", storage="one")],
        "storage": [storage("one"), storage("two", data=["a", "nobody"])],
    }
    assert reasons(make_document() | asked) == {
        ("invalid-value", "/data/0/storage"),
        ("resource-not-found", "/storage/1/data/1"),
    }


def test_volumes_by_name_and_by_uuid():
    uuid = "c3b06fb6-fe73-4b06-88a7-a09e015306cd"
    named = data("small", "a") | {"meta": {"name": "a", "uuid": uuid}}
    document = with_volumes(
        volume(uuid, "/in/a", mode="READWRITE"), volume("scratch", "/scratch/"), volume("b")
    ) | {"data": [named, data("small", "b")], "storage": [storage("scratch", 2)]}
    request, _ = parse(document)
    assert request.data[0].uuid == uuid
    assert request.mounts == (
        Mount("/in/a", MountMode.READWRITE, uuid),
        Mount("/scratch", MountMode.READONLY, request.storage[0].uuid),
        Mount("/data/b", MountMode.READONLY, request.data[1].uuid),
    )


@pytest.mark.parametrize("path", ["", "/", "in", "/in/../etc", "/a:b", "/a,b", "//a", "/a\nb", "/.", "/a/.."])
def test_places_where_nothing_can_be_mounted(path):
    document = with_volumes(volume("a", path)) | {"data": [data("small", "a")]}
    assert reasons(document) == {("invalid-value", "/compute/volumes/0/path")}


def test_two_mounts_at_one_place():
    document = with_volumes(volume("a", "/in"), volume("b", "/in/")) | {
        "data": [data("small", "a"), data("small", "b")]
    }
    assert reasons(document) == {("duplicate-resource", "/compute/volumes/1/path")}


def test_one_name_for_data_and_storage_is_ambiguous_in_a_volume():
    document = with_volumes(volume("a", "/in")) | {"data": [data("small", "a")], "storage": [storage("a")]}
    assert reasons(document) == {("resource-not-found", "/compute/volumes/0/resource")}
    # but not otherwise
    assert parse(make_document() | {"data": [data("small", "a")], "storage": [storage("a")]})[0]


def test_two_data_of_one_name_and_two_of_one_uuid():
    assert reasons(make_document() | {"data": [data("small", "a"), data("small", "a")]}) == {
        ("duplicate-resource", "/data/1/meta/name")
    }
    twin = data("small") | {"meta": {"uuid": "c3b06fb6-fe73-4b06-88a7-a09e015306cd"}}
    assert reasons(make_document() | {"data": [twin, twin]}) == {("duplicate-resource", "/data/1/meta/uuid")}


def test_unnamed_data_of_one_address_are_told_apart():
    request, _ = parse(make_document() | {"data": [data("small"), data("small")]})
    assert len({item.uuid for item in request.data}) == 2
    assert [mount.path for mount in request.mounts] == ["/data/small", "/data/small-2"]
