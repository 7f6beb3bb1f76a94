"""What every catalogue that asks a service owes where that service fails: one line that says so, in time,
with nothing in it that is secret."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.catalogues import CatalogueError, Resolved, Unpacks, load_catalogues
from broker.model import DataItem, Level, Replica
from federation.sites import Federation, Place, Site
from tests.catalogues.answering import Answering, answering

SECRET = "s3cretw0rd"
# the data resource that is at a server, by kind, and what [catalogues] says of that server
Recipe = Callable[[str, Path], tuple[dict[str, Any], dict[str, Any]]]


def folder(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    file.write_text(SECRET)
    return {"location": f"dav://{host}/s/"}, {"http": {"tokens": [{"host": host, "file": str(file)}]}}


def prefix(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    file.write_text(f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n")
    entry = {"endpoint": f"http://{host}", "file": str(file)}
    return {"endpoint": f"http://{host}", "bucket": "sky", "object": "s/"}, {"s3": {"credentials": [entry]}}


def identifier(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    file.write_text(SECRET)
    tokens = [{"host": host, "file": str(file)}]
    resource = {"ivoa": {"ivoid": "ivo://example.org/sky?a"}}
    return resource, {"ivoa": {"registry": f"http://{host}/tap"}, "http": {"tokens": tokens}}


RECIPES: dict[str, Recipe] = {
    "simple-data-resource": folder,
    "S3-data-resource": prefix,
    "ivoa-data-resource": identifier,
}


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET not in caplog.text


def around(options: dict[str, Any]) -> Federation:
    north = Site("north", "North", Place(50, 0), data_hosts=("127.0.0.1:*",))
    return Federation("test", {"north": north}, options)


def refused(kind: str, host: str, file: Path) -> tuple[str, str]:
    """The kind and the text of the one reason for a NO."""
    resource, options = RECIPES[kind](host, file)
    begun = time.monotonic()
    resolved: Resolved = load_catalogues(around(options), True)[kind].resolve(
        "u", "cube", resource, "/data/0"
    )
    assert time.monotonic() - begun < 10
    assert resolved.item is None
    [note] = [each for each in resolved.notes if each.level is Level.ERROR]
    assert note.path is not None
    assert note.path.startswith("/data/0")
    assert "\n" not in note.text
    assert SECRET not in repr(resolved)
    assert "Signature=" not in note.text
    return note.kind, note.text


@pytest.mark.parametrize("kind", sorted(RECIPES))
@pytest.mark.parametrize(
    ("status", "headers", "body", "kinds"),
    [
        (401, {}, b"", ("data-not-public", "catalogue-failed")),
        (403, {}, b"", ("data-not-public", "catalogue-failed")),
        (500, {}, b"", ("catalogue-failed",)),
        (503, {"Retry-After": "1"}, b"", ("catalogue-failed",)),
        (200, {}, b"<html><body>Sign in</body></html>", ("catalogue-failed",)),
        (207, {}, b"\x00\xff", ("catalogue-failed",)),
        (200, {"Content-Length": "5000"}, b"access_url\n", ("catalogue-failed",)),
        (207, {"Content-Length": "5000"}, b"<multistatus xmlns='DAV:'>", ("catalogue-failed",)),
    ],
)
def test_what_a_service_answers_amiss_is_one_line(
    kind: str,
    status: int,
    headers: dict[str, str],
    body: bytes,
    kinds: tuple[str, ...],
    server: Answering,
    tmp_path: Path,
) -> None:
    server.otherwise = lambda path: (status, headers, body)
    assert refused(kind, server.host, tmp_path / "secret")[0] in kinds
    assert server.asked


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_a_service_that_is_down_is_said(kind: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        told = refused(kind, f"127.0.0.1:{unused.getsockname()[1]}", tmp_path / "secret")
    assert told[0] == "catalogue-failed"
    assert "connection refused" in told[1]


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_nothing_secret_goes_where_a_service_redirects_to(
    kind: str, server: Answering, tmp_path: Path
) -> None:
    with answering() as other:
        server.otherwise = lambda path: (307, {"Location": other.url("/x")}, b"")
        refused(kind, server.host, tmp_path / "secret")
        assert server.asked
        for _, path, headers in other.asked:
            assert "Signature" not in path
            assert "Authorization" not in headers


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_what_is_secret_and_can_t_be_read_is_said(kind: str, server: Answering, tmp_path: Path) -> None:
    resource, options = RECIPES[kind](server.host, tmp_path / "secret")
    (tmp_path / "secret").unlink()
    catalogue = load_catalogues(around(options), True)[kind]
    resolved = catalogue.resolve("u", "cube", resource, "/data/0")
    assert resolved.item is None
    assert [note.kind for note in resolved.notes] == ["catalogue-failed"]
    assert server.asked == []


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_where_nothing_may_be_fetched_nothing_is(kind: str, server: Answering, tmp_path: Path) -> None:
    resource, options = RECIPES[kind](server.host, tmp_path / "secret")
    resolved = load_catalogues(around(options), False)[kind].resolve("u", "cube", resource, "/data/0")
    assert resolved.item is not None
    assert server.asked == []


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_an_item_of_the_past_is_no_surprise(kind: str, server: Answering, tmp_path: Path) -> None:
    _, options = RECIPES[kind](server.host, tmp_path / "secret")
    catalogue = load_catalogues(around(options), True)[kind]
    if not isinstance(catalogue, Unpacks):
        return
    replica = Replica(f"http://{server.host}/s/", "north")
    item = DataItem("u", "cube", 1, (replica,), unpacked=True, endpoint=f"http://{server.host}")
    with pytest.raises(CatalogueError, match="404") as problem:
        catalogue.files(item, around(options)["north"], 900.0)
    assert SECRET not in str(problem.value)
