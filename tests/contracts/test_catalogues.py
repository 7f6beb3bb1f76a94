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
from broker.catalogues.heads import head
from broker.catalogues.urls import allowed_at
from broker.model import Level
from federation.sites import Federation, Place, Policy, Site
from lab.description import DEFAULT, load
from lab.storage import content
from netprobe.addresses import Allowed
from tests.contracts.catalogue_support import FEDERATION, replica, resolve, told
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server
from tests.waiting import SECONDS


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def simple(location: Any, online: bool = False) -> Resolved:
    return resolve("simple-data-resource", {"location": location}, online)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
URL = JSON | st.text().map("http://{}".format)
TEXT = JSON | st.text(min_size=1)


def block(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return JSON | st.fixed_dictionaries({}, optional=fields)


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "location": URL,
        "endpoint": URL,
        "template": JSON | st.text("{}$objectbuckn/", max_size=30),
        "bucket": TEXT,
        "object": TEXT,
        "rucio": block(endpoint=URL, scope=TEXT, object=TEXT, type=JSON),
        "ivoa": block(
            ivoid=JSON | st.text().map("ivo://a{}".format),
            obscore=block(access_url=URL, access_format=TEXT),
            datalink=block(access_url=URL, content_length=JSON, error_message=JSON),
        ),
        "skao": block(
            namespace=TEXT, objectname=TEXT, objecttype=JSON, datasize=JSON, checksum=JSON, replicas=JSON
        ),
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


WHOLE = {
    "location": "http://south.example/a",
    "endpoint": "http://south.example",
    "bucket": "sky",
    "object": "a",
    "rucio": {"scope": "sky", "object": "a"},
    "ivoa": {"ivoid": "ivo://example.org/sky?a", "obscore": {"access_url": "http://south.example/a"}},
    "skao": {"datasize": 5, "namespace": "sky", "replicas": [replica("http://south.example/a")]},
}
KINDS = ("S3", "ivoa", "rucio", "simple", "skao")


def test_every_kind_of_data_has_a_catalogue() -> None:
    assert sorted(load_catalogues(FEDERATION, False)) == sorted(f"{kind}-data-resource" for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_uuid_and_the_name_are_kept(kind: str) -> None:
    item = resolve(f"{kind}-data-resource", WHOLE).item
    assert item is not None
    assert (item.uuid, item.name) == ("7a1b", "cube")


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("simple", "http://south.example/a"),
        ("S3", "http://south.example/sky/a"),
        ("ivoa", "http://south.example/a"),
        ("skao", "http://south.example/a"),
    ],
)
def test_the_host_of_the_url_names_the_site(kind: str, url: str) -> None:
    item = resolve(f"{kind}-data-resource", WHOLE).item
    assert item is not None
    assert [(one.url, one.site_id) for one in item.replicas] == [(url, "south")]


def test_what_policies_name_is_kept() -> None:
    items = {kind: resolve(f"{kind}-data-resource", WHOLE).item for kind in KINDS}
    found = {kind: (item.endpoint, item.namespace, item.ivoid) for kind, item in items.items() if item}
    assert found == {
        "S3": ("http://south.example", None, None),
        "ivoa": (None, None, "ivo://example.org/sky?a"),
        "rucio": (None, "sky", None),
        "simple": (None, None, None),
        "skao": (None, "sky", "ivo://example.org/sky?a"),
    }


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
        ("cube.fits", "has no scheme"),
        ("file:///etc/passwd", "has the scheme 'file'"),
        ("ftp://south.example/a", "has the scheme 'ftp'"),
        ("http:///a", "names no host"),
        ("http://south.example:0/a", "names no host and port"),
        ("http://south.example:eighty/a", "is not a URL"),
        ("http://[::1/a", "is not a URL"),
        ("http://south.example/a b", "percent-encoded"),
        ("http://south.example/a\r\nHost: other", "percent-encoded"),
        ("http://ada:secret@south.example/a", "without them"),
        ("//ada:secret@south.example/a", "has no scheme"),
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


def at(policy: Policy | None = None, data_hosts: tuple[str, ...] = ()) -> Federation:
    """A federation of one site."""
    only = Site("only", "Only", Place(0, 0), data_hosts=data_hosts, policy=policy or Policy())
    return Federation("test", {"only": only})


def test_this_machine_s_own_servers_are_not_asked_for_a_client(server: FileServer) -> None:
    answer = head(at(), server.url("/good"), SECONDS)
    assert answer.missing
    assert answer.error is not None
    assert "127.0.0.1 is no public address" in answer.error
    assert server.requests == []


@pytest.mark.parametrize("word", ["127.0.0.0/8", "127.0.0.1", "127.0.0.1/8", "127.0.0.*:*"])
def test_a_site_s_policy_may_allow_more(server: FileServer, word: str) -> None:
    answer = head(at(Policy(allowed_networks=("10.0.0.0/8", word))), server.url("/good"), SECONDS)
    assert answer.size_bytes == len(CONTENT)


def test_a_policy_that_allows_something_else_changes_nothing(server: FileServer) -> None:
    answer = head(
        at(Policy(allowed_networks=("10.0.0.0/8", "::1", "localhost"))), server.url("/good"), SECONDS
    )
    assert answer.missing
    assert server.requests == []


def test_a_name_that_nobody_knows_is_no_data_but_for_a_site_s_own_a_passing_fault() -> None:
    # an empty label: no resolver is asked for such a name
    for policy in (Policy(), Policy(allowed_networks=("10.0.0.0/8",))):
        answer = head(at(policy), "http://a..b/a", SECONDS)
        assert answer.missing
        assert "can't be resolved: a..b" in str(answer.error)
    answer = head(at(data_hosts=("a..b",)), "http://a..b/a", SECONDS)
    assert not answer.missing
    assert "can't be resolved: a..b" in str(answer.error)


def test_a_redirect_into_what_is_not_allowed_is_refused(server: FileServer) -> None:
    with file_server(CONTENT) as other:
        server.redirects["/away"] = other.url("/good")
        resolved = resolve_at(at(data_hosts=(f"127.0.0.1:{server.server_address[1]}",)), server.url("/away"))
        assert other.requests == []
    assert resolved.item is None
    [(path, text)] = told(resolved, Level.ERROR)
    assert path == "/data/0/location"
    assert "127.0.0.1 is no public address" in text


def resolve_at(federation: Federation, url: str) -> Resolved:
    catalogue = load_catalogues(federation, True)["simple-data-resource"]
    return catalogue.resolve("7a1b", "cube", {"location": url}, "/data/0")


def test_what_may_be_fetched_at_a_site() -> None:
    policy = Policy(allowed_networks=("10.1.2.3/16", "10.9.9.9", "storage.internal"))
    here = Site("here", "Here", Place(0, 0), data_hosts=("a.example",), policy=policy)
    there = Site("there", "There", Place(0, 0), data_hosts=("b.example:*",))
    federation = Federation("test", {"here": here, "there": there})
    assert allowed_at(federation, here) == Allowed(
        ("a.example", "storage.internal"), ("b.example:*",), ("10.1.0.0/16", "10.9.9.9/32")
    )
    assert allowed_at(federation, None) == Allowed((), ("a.example", "b.example:*"), ())


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
