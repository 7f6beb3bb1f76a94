"""Data, where it is stored, and where the container finds it: defaults, references, and what is refused."""

import threading
from types import SimpleNamespace

import pytest

from broker.contract import read_resources
from broker.model import MinMax, Mount, MountMode
from tests.broker.conftest import make_document
from tests.broker.reading import Shelf, data, parse, reasons, storage


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


def test_two_storages_list_one_data():
    asked = {
        "data": [data("small", "a")],
        "storage": [storage("one", data=["a"]), storage("two", data=["a"])],
    }
    assert reasons(make_document() | asked) == {("invalid-value", "/storage/1/data/0")}


@pytest.mark.parametrize(("low", "high"), [(0, None), (-1, 4), (3, 2), (-(2**63), 2**63 - 1)])
def test_sizes_of_storage_that_nobody_has(low, high):
    ((kind, path),) = reasons(make_document() | {"storage": [storage("s", low, high)]})
    assert (kind, path) == ("invalid-value", "/storage/0/size/min")


def test_more_resources_than_anybody_needs():
    many = {"storage": [storage(f"s{number}") for number in range(1001)]}
    assert reasons(make_document() | many) == {("resource-limit", "/storage")}
    many = {"data": [data("small", f"d{number}") for number in range(1001)]}
    assert reasons(make_document() | many) == {("resource-limit", "/data")}


def test_a_size_that_no_site_has_is_for_the_sites_to_refuse():
    request, _ = parse(make_document() | {"storage": [storage("s", 2**63 - 1)]})
    assert request.storage[0].size_gib == MinMax(2**63 - 1)


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


def test_servers_are_asked_for_so_long_and_what_is_left_is_refused(monkeypatch):
    now, over = [0.0], threading.Event()
    monkeypatch.setattr(read_resources, "time", SimpleNamespace(monotonic=lambda: now[0]))
    resolve = Shelf.resolve

    def slowly(self, ours, name, resource, path):
        """The first takes all of the time, and whoever is asked beside it answers behind it."""
        if path == "/data/0":
            now[0] += read_resources.ASK_SECONDS
            over.set()
        assert over.wait(60)
        return resolve(self, ours, name, resource, path)

    monkeypatch.setattr(Shelf, "resolve", slowly)
    many = make_document() | {"data": [data("small", f"d{number}") for number in range(100)]}
    found = reasons(many)
    assert {kind for kind, _ in found} == {"data-too-slow"}
    # a few are asked at once
    assert len(found) >= 80
    assert ("data-too-slow", "/data/99") in found
    assert ("data-too-slow", "/data/0") not in found
