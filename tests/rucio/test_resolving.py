"""What a real Rucio knows becomes an item with its size and its sites, in a few questions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import pytest

from broker.catalogues import CatalogueError, Resolved, Unpacks, load_catalogues
from broker.model import DataItem, Level
from tests.contracts.catalogue_support import told
from tests.rucio.conftest import World
from tests.rucio.storage import content


def resolve(world: World, name: str, kind: str | None = None, **more: Any) -> Resolved:
    catalogue = load_catalogues(world.federation, True)["rucio-data-resource"]
    rucio = {"scope": "sky", "object": name, "type": kind, **more}
    return catalogue.resolve("u-1", "cube", {"rucio": rucio}, "/data/0")


def item(world: World, name: str, **more: Any) -> DataItem:
    found = resolve(world, name, **more)
    assert found.item is not None, found.notes
    return found.item


def files(world: World, of: DataItem, site: str = "a") -> Any:
    catalogue = load_catalogues(world.federation, True)["rucio-data-resource"]
    assert isinstance(catalogue, Unpacks)
    return catalogue.files(of, world.federation[site], 0.0)


def sites(found: DataItem) -> list[str]:
    return sorted(str(each.site_id) for each in found.replicas)


def by_sites(found: DataItem) -> dict[tuple[str, ...], tuple[int, int]]:
    """Files and bytes of each part, by the sites that have it."""
    return {
        tuple(sorted(str(one.site_id) for one in each.replicas)): (each.files, each.size_bytes)
        for each in found.parts
    }


def total(names: list[str]) -> int:
    return sum(len(content(name)) for name in names)


def where(found: Resolved) -> str:
    [text] = [text for _, text in told(found, Level.INFO) if " in Rucio " in text]
    return text


def test_a_dataset_has_a_replica_for_each_site_that_has_all_of_it(world: World) -> None:
    names = world.dataset("whole", A1=range(12), B=range(12), C=range(5))
    found = resolve(world, "whole", "DATASET")
    assert found.item is not None
    assert (found.item.size_bytes, found.item.files, found.item.unpacked) == (total(names), 12, True)
    assert sites(found.item) == ["a", "b", "c"]
    # what C has may come from there, too
    assert by_sites(found.item) == {("a", "b", "c"): (5, total(names[:5])), ("a", "b"): (7, total(names[5:]))}
    assert (found.item.namespace, found.item.endpoint) == ("sky", world.rucio.url)
    assert "all at A1 (a), all at B (b), 5 files at C (c)" in where(found)
    assert not told(found, Level.WARN)


def test_each_file_comes_with_its_urls_and_checksum(world: World) -> None:
    names = world.dataset("moved", A1=range(4), B=range(2, 4))
    found = {file.path: file for file in files(world, item(world, "moved"))}
    assert sorted(found) == sorted(names)
    for name, file in found.items():
        assert file.size_bytes == len(content(name))
        assert file.checksum == ("md5", hashlib.md5(content(name), usedforsecurity=False).hexdigest())
        for replica in file.replicas:
            with urlopen(replica.url) as answer:
                assert answer.read() == content(name)
    assert [each.site_id for each in found[names[0]].replicas] == ["a"]
    assert sorted(str(each.rse) for each in found[names[3]].replicas) == ["A1", "B"]


def test_the_attribute_site_names_the_site_where_the_federation_does_not(world: World) -> None:
    world.dataset("by-attribute", C=range(2))
    assert sites(item(world, "by-attribute")) == ["c"]


def test_two_storages_of_one_site_may_have_it_all_together(world: World) -> None:
    world.dataset("split-at-a", A1=range(6), A2=range(4, 10), B=range(3))
    found = item(world, "split-at-a")
    assert {key: files for key, (files, _) in by_sites(found).items()} == {("a",): 7, ("a", "b"): 3}
    assert not told(resolve(world, "split-at-a"), Level.WARN)
    assert "no site has all" not in str(resolve(world, "split-at-a").notes)
    world.dataset("whole-at-a", A1=range(6), A2=range(4, 10))
    assert (sites(item(world, "whole-at-a")), item(world, "whole-at-a").parts) == (["a"], ())


def test_parts_beside_whole_copies_are_known_file_by_file(world: World) -> None:
    names = world.dataset("mixed", A1=range(10), B=range(6), C=range(4, 9))
    assert by_sites(item(world, "mixed")) == {
        ("a", "b"): (4, total(names[:4])),
        ("a", "b", "c"): (2, total(names[4:6])),
        ("a", "c"): (3, total(names[6:9])),
        ("a",): (1, total(names[9:])),
    }


def test_where_no_site_has_all_of_it_it_comes_in_parts(world: World) -> None:
    names = world.dataset("parts", A1=range(8), B=range(6, 10))
    found = resolve(world, "parts")
    assert found.item is not None
    parts = {tuple(sorted(str(one.site_id) for one in each.replicas)): each for each in found.item.parts}
    assert {sites: each.files for sites, each in parts.items()} == {("a",): 6, ("a", "b"): 2, ("b",): 2}
    assert parts["b",].size_bytes == total(names[8:])
    assert sum(each.size_bytes for each in found.item.parts) == found.item.size_bytes == total(names)
    assert "it comes in 3 parts, from a, b" in " ".join(text for _, text in told(found, Level.INFO))
    assert len(files(world, found.item)) == 10


def test_a_container_is_all_of_its_datasets(world: World) -> None:
    one = world.dataset("in-1", A1=range(3), B=range(3))
    two = world.dataset("in-2", A1=range(4))
    world.admin.collection("CONTAINER", "sky", "inner-1", ["in-1"])
    world.admin.collection("CONTAINER", "sky", "inner-2", ["in-2"])
    world.admin.collection("CONTAINER", "sky", "outer", ["inner-1", "inner-2"])
    found = item(world, "outer", kind="CONTAINER")
    assert (found.files, found.size_bytes, sites(found)) == (7, total(one + two), ["a", "b"])
    assert {key: files for key, (files, _) in by_sites(found).items()} == {("a", "b"): 3, ("a",): 4}
    assert {file.path for file in files(world, found)} == {*one, *two}


def test_a_file_of_two_datasets_is_moved_once(world: World) -> None:
    names = world.dataset("twice", A1=range(3))
    world.admin.collection("DATASET", "sky", "once-more", names[:2])
    world.admin.collection("CONTAINER", "sky", "both", ["twice", "once-more"])
    assert len(files(world, item(world, "both"))) == 3


def test_a_file_is_itself(world: World) -> None:
    [name, _] = world.dataset("single", A1=range(2), B=range(1))
    found = item(world, name, kind="FILE")
    assert (found.files, found.size_bytes, sites(found)) == (1, len(content(name)), ["a", "b"])
    [file] = files(world, found)
    assert (file.path, file.size_bytes) == ("", len(content(name)))


def test_another_type_than_rucio_knows_is_a_warning(world: World) -> None:
    world.dataset("typed", A1=range(2))
    found = resolve(world, "typed", "FILE")
    assert found.item is not None
    assert told(found, Level.WARN)[0][0] == "/data/0/rucio/type"


# what can't be had


def test_what_rucio_does_not_know_is_a_no(world: World) -> None:
    for name in ("nothing", "a/../b", "..", "a b?c#d"):
        found = resolve(world, name)
        assert found.item is None
        [(path, text)] = told(found, Level.ERROR)
        assert path == "/data/0/rucio"
        assert "is not in Rucio" in text


def test_a_dataset_without_files_is_a_no(world: World) -> None:
    world.admin.collection("DATASET", "sky", "empty", [])
    found = resolve(world, "empty")
    assert found.item is None
    assert "without any file" in told(found, Level.ERROR)[0][1]


def test_missing_files_are_counted_and_one_is_named(world: World) -> None:
    names = world.dataset("damaged", A1=range(6))
    for name in names[:2]:
        world.admin.lost("A1", "sky", name)
    found = resolve(world, "damaged")
    assert found.item is None
    [(_, text)] = told(found, Level.ERROR)
    assert "2 of the 6 files of cube can be fetched from nowhere now" in text
    assert names[0] in text or names[1] in text


def test_files_that_vanish_after_the_offer_are_told_when_it_is_moved(world: World) -> None:
    names = world.dataset("vanishing", A1=range(3))
    found = item(world, "vanishing")
    world.admin.lost("A1", "sky", names[1])
    with pytest.raises(CatalogueError, match=f"1 of the 3 files of sky:vanishing .* {names[1]} among them"):
        files(world, found)


def test_tape_counts_where_no_disk_has_it_and_is_told(world: World) -> None:
    world.dataset("taped", A1=range(4), TAPE=range(6))
    found = resolve(world, "taped")
    assert found.item is not None
    assert {each.files: [one.rse for one in each.replicas] for each in found.item.parts} == {
        4: ["A1"],
        2: ["TAPE"],
    }
    [(_, text)] = told(found, Level.WARN)
    assert "2 files of cube are on tape alone, at TAPE (c)" in text
    world.dataset("taped-too", A1=range(4), TAPE=range(4))
    assert sites(item(world, "taped-too")) == ["a"]
    assert {one.rse for file in files(world, item(world, "taped-too")) for one in file.replicas} == {"A1"}


def test_what_root_alone_serves_is_left_out_with_a_word(world: World) -> None:
    world.dataset("rooted", B=range(3), ROOT=range(3))
    found = resolve(world, "rooted")
    assert "all at ROOT (b), by root alone" in where(found)
    world.dataset("all-rooted", ROOT=range(3))
    refused = resolve(world, "all-rooted")
    assert refused.item is None
    assert "3 of the 3 files" in told(refused, Level.ERROR)[0][1]
    assert "by root alone" in where(refused)


def test_a_storage_that_is_switched_off_is_not_used(world: World) -> None:
    world.dataset("dark", OFF=range(2), B=range(2))
    world.dataset("darker", OFF=range(2))
    world.admin.readable("OFF", False)
    try:
        found = resolve(world, "dark")
        assert found.item is not None
        assert sites(found.item) == ["b"]
        assert "all at OFF (a), which can't be read now" in where(found)
        assert {one.rse for file in files(world, found.item) for one in file.replicas} == {"B"}
        assert resolve(world, "darker").item is None
    finally:
        world.admin.readable("OFF", True)


def test_another_endpoint_than_ours_is_not_asked(world: World) -> None:
    world.dataset("elsewhere", A1=range(1))
    found = resolve(world, "elsewhere", endpoint="https://rucio.example.org")
    assert found.item is None
    assert told(found, Level.ERROR)[0][0] == "/data/0/rucio/endpoint"
    assert item(world, "elsewhere", endpoint=f"{world.rucio.url}/").endpoint == world.rucio.url


def test_an_item_is_found_again_after_a_restart_under_its_own_name(world: World) -> None:
    names = world.dataset("of-the/night sky".replace(" ", "_"), A1=range(2))
    found = replace(item(world, "of-the/night_sky"), name="called by the client")
    assert {file.path for file in files(world, found)} == set(names)
