"""Data of the SKA data lake: sizes, checksums and replicas are the request's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from broker.catalogues import Resolved
from broker.model import Level
from tests.contracts.catalogue_support import SHA256, replica, resolve, told
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def skao(online: bool = False, **block: Any) -> Resolved:
    return resolve("skao-data-resource", {"skao": block}, online)


def test_size_checksum_and_sites_come_from_the_request() -> None:
    resolved = skao(
        datasize=7,
        checksum={"type": "SHA-256", "value": SHA256.upper()},
        replicas=[replica("http://south.example/a"), replica("http://127.0.0.1:80/a", "NORTH-DISK")],
    )
    assert resolved.item is not None
    assert resolved.item.size_bytes == 7
    assert resolved.item.checksum == ("sha256", SHA256)
    assert [(one.site_id, one.rse) for one in resolved.item.replicas] == [
        ("south", "SOUTH-DISK"),
        ("north", "NORTH-DISK"),
    ]
    assert resolved.notes == ()


def test_the_rse_names_the_site_where_the_url_does_not() -> None:
    item = skao(datasize=7, replicas=[replica("https://door.example/a", "NORTH-DISK")]).item
    assert item is not None
    assert item.replicas[0].site_id == "north"


def test_an_unknown_rse_is_a_warning_and_of_no_site() -> None:
    resolved = skao(datasize=7, replicas=[replica("https://door.example/a", "MOON-DISK")])
    assert resolved.item is not None
    assert resolved.item.replicas[0].site_id is None
    [(path, text)] = told(resolved, Level.WARN)
    assert path == "/data/0/skao/replicas/0/rsename"
    assert "MOON-DISK" in text


def test_where_rse_and_url_disagree_the_url_counts() -> None:
    resolved = skao(datasize=7, replicas=[replica("http://south.example/a", "NORTH-DISK")])
    assert resolved.item is not None
    assert resolved.item.replicas[0].site_id == "south"
    assert "NORTH-DISK" in told(resolved, Level.WARN)[0][1]


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("replicas", [[replica("root://south.example//a")], ["a"], "a"])
def test_without_a_replica_that_can_be_fetched_it_is_a_no(replicas: Any, online: bool) -> None:
    resolved = skao(online, datasize=7, objectname="a", replicas=replicas)
    assert resolved.item is None
    assert "/data/0/skao/replicas" in dict(told(resolved, Level.ERROR))


@pytest.mark.parametrize("replicas", [None, []])
def test_without_any_replica_it_is_a_no_where_things_are_really_fetched(replicas: Any) -> None:
    assert skao(datasize=7, objectname="a", replicas=replicas).item is not None
    assert skao(datasize=7, replicas=replicas).item is None
    resolved = skao(online=True, datasize=7, objectname="a", replicas=replicas)
    assert [path for path, _ in told(resolved, Level.ERROR)] == ["/data/0/skao/replicas"]


def test_the_ivoa_rows_say_where_it_is_if_no_replica_does() -> None:
    ivoa = {"ivoid": "ivo://example.org/a", "datalink": {"access_url": "http://south.example/a"}}
    resource = {"skao": {"datasize": 7, "objectname": "a"}, "ivoa": ivoa}
    item = resolve("skao-data-resource", resource, online=True).item
    assert item is not None
    assert [(one.url, one.site_id) for one in item.replicas] == [("http://south.example/a", "south")]


def test_one_replica_of_another_kind_is_left_out() -> None:
    resolved = skao(
        datasize=7, replicas=[replica("root://south.example//a"), replica("http://south.example/a")]
    )
    assert resolved.item is not None
    assert len(resolved.item.replicas) == 1
    assert told(resolved, Level.WARN)[0][0] == "/data/0/skao/replicas/0/dataurl"


def test_a_missing_size_is_asked_for_where_the_file_is(server: FileServer) -> None:
    replicas = [replica("https://door.example/a", None), replica(server.url("/good"), "NORTH-DISK")]
    resolved = skao(online=True, replicas=replicas)
    assert resolved.item is not None
    assert resolved.item.size_bytes == len(CONTENT)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"datasize": -1}, "datasize"),
        ({"datasize": True}, "datasize"),
        ({"datasize": "7"}, "datasize"),
        ({"objecttype": "DATASET"}, "objecttype"),
        ({"checksum": {"type": "sha256", "value": "ab"}}, "checksum/value"),
        ({"checksum": {"type": "md5", "value": "g" * 32}}, "checksum/value"),
        ({"checksum": {"type": "adler32"}}, "checksum/value"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(block: dict[str, Any], path: str) -> None:
    whole: dict[str, Any] = {"datasize": 7, "replicas": [replica("http://south.example/a")]}
    resolved = skao(**whole | block)
    assert resolved.item is None
    assert [where for where, _ in told(resolved, Level.ERROR)] == [f"/data/0/skao/{path}"]


def test_a_checksum_that_cannot_be_verified_is_a_warning() -> None:
    resolved = skao(
        datasize=7, checksum={"type": "crc64", "value": "1"}, replicas=[replica("http://south.example/a")]
    )
    assert resolved.item is not None
    assert resolved.item.checksum is None
    assert told(resolved, Level.WARN)[0][0] == "/data/0/skao/checksum/type"
