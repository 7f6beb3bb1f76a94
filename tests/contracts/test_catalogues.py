"""What every data catalogue owes, and what each makes of the requests that people write."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalogues import Resolved, load_catalogues
from broker.catalogues.urls import refusal, wrong_with
from broker.model import Level
from federation.sites import Federation, Place, Site
from lab.description import DEFAULT, load
from lab.storage import content
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server

FEDERATION = Federation(
    "test",
    {
        "north": Site("north", "North", Place(50, 0), rses=("NORTH-DISK",), data_hosts=("127.0.0.1:*",)),
        "south": Site("south", "South", Place(-50, 0), rses=("SOUTH-DISK",), data_hosts=("south.example",)),
    },
)
SHA256 = "ab" * 32


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def resolve(kind: str, resource: dict[str, Any], online: bool = False) -> Resolved:
    catalogue = load_catalogues(FEDERATION, online)[kind]
    return catalogue.resolve("7a1b", "cube", resource, "/data/0")


def simple(location: Any, online: bool = False) -> Resolved:
    return resolve("simple-data-resource", {"location": location}, online)


def skao(online: bool = False, **block: Any) -> Resolved:
    return resolve("skao-data-resource", {"skao": block}, online)


def replica(url: str, rse: str | None = "SOUTH-DISK") -> dict[str, Any]:
    return {"rsename": rse, "dataurl": url}


def told(resolved: Resolved, level: Level) -> list[tuple[str | None, str]]:
    return [(note.path, note.text) for note in resolved.notes if note.level is level]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("namespace", "objectname", "objecttype", "datasize", "checksum", "replicas")
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "location": JSON | st.text().map("http://{}".format),
        "skao": JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)),
    },
)


@pytest.mark.parametrize("kind", sorted(load_catalogues(FEDERATION, False)))
@given(resource=DOCUMENTS)
@settings(max_examples=150, deadline=None)
def test_no_document_makes_a_catalogue_raise(kind: str, resource: dict[str, Any]) -> None:
    resolved = resolve(kind, resource)
    for note in resolved.notes:
        assert note.path is not None
        assert note.path.startswith("/data/0")
        assert note.text
    # there is an item, or the reason why there is none, and never both
    assert (resolved.item is None) == bool(told(resolved, Level.ERROR))


@pytest.mark.parametrize("kind", sorted(load_catalogues(FEDERATION, False)))
def test_the_uuid_and_the_name_are_kept(kind: str) -> None:
    block = {"datasize": 5, "replicas": [replica("http://south.example/a")]}
    item = resolve(kind, {"location": "http://south.example/a", "skao": block}).item
    assert item is not None
    assert (item.uuid, item.name) == ("7a1b", "cube")
    assert [(one.url, one.site_id) for one in item.replicas] == [("http://south.example/a", "south")]


# plain URLs


def test_the_size_is_what_the_server_says(server: FileServer) -> None:
    resolved = simple(server.url("/good"), online=True)
    assert resolved.item is not None
    assert resolved.item.size_bytes == len(CONTENT)
    assert resolved.item.replicas[0].site_id == "north"
    assert resolved.notes == ()
    assert [method for method, _, _ in server.requests] == ["HEAD"]


def test_a_server_without_head_is_asked_for_one_byte(server: FileServer) -> None:
    resolved = simple(server.url("/no-head"), online=True)
    assert resolved.item is not None
    assert resolved.item.size_bytes == len(CONTENT)
    assert server.requests[-1] == ("GET", "/no-head", "bytes=0-0")


def test_what_the_server_does_not_have_is_a_reason(server: FileServer) -> None:
    resolved = simple(server.url("/missing"), online=True)
    assert resolved.item is None
    [(path, text)] = told(resolved, Level.ERROR)
    assert path == "/data/0/location"
    assert "404" in text


def test_a_dead_server_is_a_warning_and_the_size_unknown() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        resolved = simple(f"http://127.0.0.1:{unused.getsockname()[1]}/a", online=True)
    assert resolved.item is not None
    assert resolved.item.size_bytes is None
    [(path, text)] = told(resolved, Level.WARN)
    assert path == "/data/0/location"
    assert "connection refused" in text


def test_offline_nothing_is_asked(server: FileServer) -> None:
    resolved = simple(server.url("/good"))
    assert resolved.item is not None
    assert resolved.item.size_bytes is None
    assert told(resolved, Level.WARN)
    assert server.requests == []


def test_a_url_of_no_site_is_from_outside() -> None:
    item = simple("https://data.example.org/a").item
    assert item is not None
    assert item.replicas[0].site_id is None


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (None, "is not a URL"),
        (17, "is not a URL"),
        ("", "is not a URL"),
        ("cube.fits", "has the scheme ''"),
        ("file:///etc/passwd", "has the scheme 'file'"),
        ("ftp://south.example/a", "has the scheme 'ftp'"),
        ("http:///a", "names no host"),
        ("http://south.example:0/a", "names no host and port"),
        ("http://south.example:eighty/a", "is not a URL"),
        ("http://[::1/a", "is not a URL"),
        ("http://south.example/a b", "percent-encoded"),
        ("http://south.example/a\r\nHost: other", "percent-encoded"),
        ("http://ada:secret@south.example/a", "without them"),
    ],
)
def test_a_malformed_location_is_refused_in_words(location: Any, reason: str) -> None:
    resolved = simple(location)
    assert resolved.item is None
    [(path, text)] = told(resolved, Level.ERROR)
    assert path == "/data/0/location"
    assert reason in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "2852039166",  # the same as a number, which the resolver understands
        "0xa000001",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "[::]",
    ],
)
def test_this_machine_asks_no_private_address(address: str) -> None:
    resolved = simple(f"http://{address}/a", online=True)
    assert resolved.item is None
    assert told(resolved, Level.ERROR)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a", "http://[::1]/a", "http://93.184.216.34/a"])
def test_loopback_and_public_addresses_are_allowed(url: str) -> None:
    assert wrong_with(url) is None
    assert refusal(url) is None


# the SKA data lake


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


@pytest.mark.parametrize("replicas", [None, [], [replica("root://south.example//a")], ["a"], "a"])
def test_without_a_replica_that_can_be_fetched_it_is_a_no(replicas: Any) -> None:
    resolved = skao(datasize=7, replicas=replicas)
    assert resolved.item is None
    assert ("/data/0/skao/replicas", "cube has no replica that can be fetched") in told(resolved, Level.ERROR)


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
    resolved = skao(**{"datasize": 7, "replicas": [replica("http://south.example/a")]} | block)
    assert resolved.item is None
    assert [where for where, _ in told(resolved, Level.ERROR)] == [f"/data/0/skao/{path}"]


def test_a_checksum_that_cannot_be_verified_is_a_warning() -> None:
    resolved = skao(
        datasize=7, checksum={"type": "crc64", "value": "1"}, replicas=[replica("http://south.example/a")]
    )
    assert resolved.item is not None
    assert resolved.item.checksum is None
    assert told(resolved, Level.WARN)[0][0] == "/data/0/skao/checksum/type"


# the example


def test_the_example_s_files_are_those_of_the_lab() -> None:
    examples = Path(__file__).parents[2] / "examples"
    example = yaml.safe_load((examples / "checksum.yaml").read_text())
    assert json.loads((examples / "checksum.json").read_text()) == example
    lab = load(DEFAULT)
    files = {file.name: file for file in lab.files}
    together = set(lab.sites)
    for data in example["data"]:
        block, file = data["skao"], files[data["skao"]["objectname"]]
        hasher, size = hashlib.sha256(), 0
        for piece in content(file):
            hasher.update(piece)
            size += len(piece)
        assert (block["datasize"], block["checksum"]["value"]) == (size, hasher.hexdigest())
        assert block["replicas"] == [
            {
                "rsename": lab.sites[site].rses[0],
                "dataurl": f"http://{lab.sites[site].address}:8080/{file.name}",
            }
            for site in file.sites
        ]
        together &= set(file.sites)
    assert not together, "no site may have both: something must be moved"
