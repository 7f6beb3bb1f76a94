"""Where the container finds its data and storage, and the places where nothing can be mounted."""

import pytest

from broker.model import Mount, MountMode
from tests.broker.reading import data, parse, reasons, storage, volume, with_volumes

UUID = "c3b06fb6-fe73-4b06-88a7-a09e015306cd"


def paths(document):
    return {mount.path for mount in parse(document)[0].mounts}


def test_volumes_by_name_and_by_uuid():
    named = data("small", "a") | {"meta": {"name": "a", "uuid": UUID}}
    document = with_volumes(
        volume(UUID, "/in/a", mode="READWRITE"), volume("scratch", "/scratch/"), volume("b")
    ) | {"data": [named, data("small", "b")], "storage": [storage("scratch", 2)]}
    request, _ = parse(document)
    assert request.data[0].uuid == UUID
    assert request.mounts == (
        Mount("/in/a", MountMode.READWRITE, UUID),
        Mount("/scratch", MountMode.READONLY, request.storage[0].uuid),
        Mount("/data/b", MountMode.READONLY, request.data[1].uuid),
    )


@pytest.mark.parametrize("spelt", [UUID.upper(), UUID.replace("-", ""), "{" + UUID + "}", "urn:uuid:" + UUID])
def test_a_uuid_may_be_spelt_in_any_way(spelt):
    named = data("small") | {"meta": {"uuid": spelt}}
    request, _ = parse(with_volumes(volume(UUID, "/in")) | {"data": [named]})
    assert request.data[0].uuid == UUID
    assert request.mounts == (Mount("/in", MountMode.READONLY, UUID),)
    request, _ = parse(with_volumes(volume(spelt, "/in")) | {"data": [named | {"meta": {"uuid": UUID}}]})
    assert request.mounts == (Mount("/in", MountMode.READONLY, UUID),)


def test_data_and_storage_of_one_uuid_are_two_things():
    meta = {"meta": {"uuid": UUID}}
    document = with_volumes() | {"data": [data("small") | meta], "storage": [storage("s") | meta]}
    request, _ = parse(document)
    assert request.data[0].uuid != request.storage[0].uuid
    assert reasons(
        with_volumes(volume(UUID, "/in")) | {key: document[key] for key in ("data", "storage")}
    ) == {("resource-not-found", "/compute/volumes/0/resource")}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "in",
        "/in/../etc",
        "/a:b",
        "/a,b",
        "//a",
        "/a\nb",
        "/.",
        "/a/..",
        "/proc",
        "/sys/x",
        "/dev/shm",
    ],
)
def test_places_where_nothing_can_be_mounted(path):
    document = with_volumes(volume("a", path)) | {"data": [data("small", "a")]}
    assert reasons(document) == {("invalid-value", "/compute/volumes/0/path")}


def test_a_path_longer_than_linux_takes_and_more_volumes_than_anybody_needs():
    long = with_volumes(volume("a", "/a" * 2048)) | {"data": [data("small", "a")]}
    assert reasons(long) == {("invalid-value", "/compute/volumes/0/path")}
    many = with_volumes(*(volume("a", f"/{number}") for number in range(1001))) | {
        "data": [data("small", "a")]
    }
    assert reasons(many) == {("resource-limit", "/compute/volumes")}


def test_a_reason_points_to_the_request_and_quotes_the_path_beside_it():
    _, notes = parse(with_volumes(volume("a", "/a:b")) | {"data": [data("small", "a")]})
    [note] = [note for note in notes if note.kind == "invalid-value"]
    assert "path" not in note.values
    assert "'/a:b'" in note.text


def test_two_mounts_at_one_place():
    document = with_volumes(volume("a", "/in"), volume("b", "/in/")) | {
        "data": [data("small", "a"), data("small", "b")]
    }
    assert reasons(document) == {("duplicate-resource", "/compute/volumes/1/path")}


def test_a_mount_inside_data_is_impossible():
    document = with_volumes(volume("a", "/in"), volume("b", "/in/deep/b")) | {
        "data": [data("small", "a"), data("small", "b")]
    }
    assert reasons(document) == {("duplicate-resource", "/compute/volumes/1/path")}


def test_data_at_data_leaves_no_place_for_the_others():
    document = with_volumes(volume("a", "/data")) | {"data": [data("small", "a"), data("small", "b")]}
    assert reasons(document) == {("duplicate-resource", "/compute/volumes/0/path")}


def test_a_mount_inside_storage_is_fine():
    document = with_volumes(volume("s", "/out", mode="READWRITE"), volume("a", "/out/in/a")) | {
        "data": [data("small", "a")],
        "storage": [storage("s", 2)],
    }
    assert paths(document) == {"/out", "/out/in/a"}


def test_storage_shows_its_data_by_itself():
    asked = {"data": [data("small", "a", storage="s"), data("small", "b")], "storage": [storage("s", 2)]}
    # a storage at /data shows a at /data/a already; b has its usual place
    assert paths(with_volumes(volume("s", "/data")) | asked) == {"/data", "/data/b"}
    assert paths(with_volumes(volume("s", "/mnt")) | asked) == {"/mnt", "/data/a", "/data/b"}


@pytest.mark.parametrize("path", ["/mnt/a", "/mnt/a/b"])
def test_nothing_may_hide_the_data_that_a_storage_shows(path):
    document = with_volumes(volume("s", "/mnt"), volume("t", path)) | {
        "data": [data("small", "a", storage="s")],
        "storage": [storage("s", 2), storage("t", 2)],
    }
    assert reasons(document) == {("duplicate-resource", "/compute/volumes/1/path")}


def test_one_name_for_data_and_storage_is_ambiguous_in_a_volume():
    document = with_volumes(volume("a", "/in")) | {"data": [data("small", "a")], "storage": [storage("a")]}
    assert reasons(document) == {("resource-not-found", "/compute/volumes/0/resource")}
    # but not otherwise
    assert parse(with_volumes() | {"data": [data("small", "a")], "storage": [storage("a")]})[0]


def test_what_is_mounted_twice_is_at_both_places():
    document = with_volumes(volume("a", "/x"), volume("a", "/y")) | {"data": [data("small", "a")]}
    assert paths(document) == {"/x", "/y"}
