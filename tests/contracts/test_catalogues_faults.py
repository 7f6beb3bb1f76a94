"""What every catalogue that asks a service owes where that service fails: one line that says so, in time,
with nothing in it that is secret."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.catalogues import (
    Catalogue,
    CatalogueError,
    Resolved,
    Unpacks,
    http,
    ivoa,
    load_catalogues,
    rucio,
    s3,
)
from broker.model import DataItem, Level, Replica
from federation.sites import Federation, Place, Site
from tests.catalogues.answering import Answer, Answering, answering
from tests.contracts.fault_table import CATALOGUES, SIZE_UNKNOWN, Fails
from tests.contracts.faults import Fault
from tests.ports import free_port

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


def plain(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    _, options = folder(host, file)
    return {"location": f"http://{host}/s/a.fits"}, options


def an_object(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    resource, options = prefix(host, file)
    return {**resource, "object": "s/a.fits"}, options


def listed(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    _, options = folder(host, file)
    return {"skao": {"replicas": [{"dataurl": f"http://{host}/s/a.fits"}]}}, options


def did(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    file.write_text(SECRET)
    server = {"url": f"http://{host}", "account": "root", "auth": "userpass", "username": "ann"}
    return {"rucio": {"scope": "sky", "object": "s"}}, {"rucio": {**server, "password_file": str(file)}}


def named_did(host: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"skao": {"namespace": "sky", "objectname": "s"}}, did(host, file)[1]


RECIPES: dict[str, tuple[str, Recipe]] = {
    "http file": ("simple-data-resource", plain),
    "webdav folder": ("simple-data-resource", folder),
    "s3 object": ("S3-data-resource", an_object),
    "s3 prefix": ("S3-data-resource", prefix),
    "rucio": ("rucio-data-resource", did),
    "skao in rucio": ("skao-data-resource", named_did),
    "skao file": ("skao-data-resource", listed),
    "ivoa identifier": ("ivoa-data-resource", identifier),
}
EVERY = pytest.mark.parametrize("name", sorted(RECIPES))


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


def catalogue_of(name: str, options: dict[str, Any], online: bool = True) -> Catalogue:
    return load_catalogues(around(options), online)[RECIPES[name][0]]


def refused(name: str, host: str, file: Path) -> tuple[str, str]:
    """The kind and the text of the one reason for a NO."""
    resource, options = RECIPES[name][1](host, file)
    begun = time.monotonic()
    resolved: Resolved = catalogue_of(name, options).resolve("u", "cube", resource, "/data/0")
    assert time.monotonic() - begun < 30
    assert resolved.item is None
    [note] = [each for each in resolved.notes if each.level is Level.ERROR]
    assert note.path is not None
    assert note.path.startswith("/data/0")
    assert "\n" not in note.text
    assert SECRET not in repr(resolved)
    assert "Signature=" not in note.text
    return note.kind, note.text


# what a service answers, by fault; "expired" is told apart by the service's own words
ANSWERS: dict[Fault, list[Answer]] = {
    Fault.UNAUTHORIZED: [(401, {}, b"")],
    Fault.FORBIDDEN: [(403, {}, b"")],
    Fault.HALF: [
        (200, {"Content-Length": "5000"}, b"access_url\n"),
        (207, {"Content-Length": "5000"}, b"<multistatus xmlns='DAV:'>"),
    ],
    Fault.WRONG: [(200, {}, b"<html><body>Sign in</body></html>"), (207, {}, b"\x00\xff")],
}
BROKEN: list[Answer] = [(500, {}, b""), (503, {"Retry-After": "1"}, b"")]
EXPIRED = (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, b"")


def failing(fault: Fault) -> list[tuple[str, str]]:
    """The names of catalogues for which it is expected, with the kinds of notes that may say so."""
    found = [(name, outcomes[fault]) for name, outcomes in CATALOGUES.items()]
    return [(name, outcome.line) for name, outcome in found if isinstance(outcome, Fails)]


def test_every_catalogue_is_in_the_table_with_every_fault() -> None:
    assert set(RECIPES) == set(CATALOGUES)
    assert {kind for kind, _ in RECIPES.values()} == set(load_catalogues(around({}), True))
    assert all(set(outcomes) == set(Fault) for outcomes in CATALOGUES.values())


@pytest.mark.parametrize(
    ("name", "kinds", "answer"),
    [(*each, answer) for fault, answers in ANSWERS.items() for each in failing(fault) for answer in answers]
    + [(*each, answer) for each in failing(Fault.DOWN) for answer in BROKEN],
)
def test_what_a_service_answers_amiss_is_one_line(
    name: str, kinds: str, answer: Answer, server: Answering, tmp_path: Path
) -> None:
    server.otherwise = lambda path: answer
    assert refused(name, server.host, tmp_path / "secret")[0] in kinds
    assert server.asked


@pytest.mark.parametrize(("name", "kinds"), failing(Fault.DOWN))
def test_a_service_that_is_down_is_said(name: str, kinds: str, tmp_path: Path) -> None:
    told = refused(name, f"127.0.0.1:{free_port()}", tmp_path / "secret")
    assert told[0] in kinds
    assert "connection refused" in told[1].lower()


@pytest.mark.parametrize(("name", "kinds"), failing(Fault.SLOW))
def test_a_service_that_is_slow_is_given_up(
    name: str, kinds: str, server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (http, ivoa, rucio, s3):
        monkeypatch.setattr(module, "RESOLVE_SECONDS", 0.3)
    server.silent = True
    begun = time.monotonic()
    assert refused(name, server.host, tmp_path / "secret")[0] in kinds
    assert time.monotonic() - begun < 30


@EVERY
def test_what_has_expired_is_read_again_for_the_next_request(
    name: str, server: Answering, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    resource, options = RECIPES[name][1](server.host, file)
    catalogue = catalogue_of(name, options)
    server.otherwise = lambda path: EXPIRED
    assert catalogue.resolve("u", "cube", resource, "/data/0").item is None
    file.write_text(file.read_text().replace(SECRET, "n3w").replace("AKIA", "AKIAn3w"))
    server.asked.clear()
    again = catalogue.resolve("u", "cube", resource, "/data/0")
    assert "n3w" in repr(server.asked), again.notes


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUES if CATALOGUES[name][Fault.DOWN] is SIZE_UNKNOWN]
)
@pytest.mark.parametrize("answer", [None, *BROKEN])
def test_where_a_size_can_t_be_had_it_is_said_why(
    name: str, answer: Answer | None, server: Answering, tmp_path: Path
) -> None:
    if answer is not None:
        server.otherwise = lambda path: answer
    host = server.host if answer is not None else f"127.0.0.1:{free_port()}"
    resource, options = RECIPES[name][1](host, tmp_path / "secret")
    resolved = catalogue_of(name, options).resolve("u", "cube", resource, "/data/0")
    assert resolved.item is not None
    assert resolved.item.size_bytes is None
    [note] = resolved.notes
    assert (note.kind, note.level) == ("data-size", Level.WARN)
    assert ("answered 50" if answer is not None else "refused") in note.text
    assert SECRET not in note.text


@pytest.mark.parametrize(("name", "kinds"), failing(Fault.VANISHING))
@pytest.mark.parametrize("there", [False, True])
def test_a_service_that_vanishes_before_the_move_is_said(
    name: str, kinds: str, there: bool, server: Answering, tmp_path: Path
) -> None:
    """All of it, or what it knew."""
    host = server.host if there else f"127.0.0.1:{free_port()}"
    _, options = RECIPES[name][1](host, tmp_path / "secret")
    catalogue = catalogue_of(name, options)
    assert isinstance(catalogue, Unpacks)
    url = f"http://{host}/#sky:s" if "rucio" in name else f"http://{host}/s/"
    # as it was resolved when the service was there
    item = DataItem("u", "cube", 1, (Replica(url, "north"),), unpacked=True, endpoint=f"http://{host}")
    with pytest.raises(CatalogueError) as problem:
        catalogue.files(item, around(options)["north"], 900.0)
    assert host in str(problem.value)
    assert "\n" not in str(problem.value)
    assert SECRET not in str(problem.value)


@EVERY
def test_nothing_secret_goes_where_a_service_redirects_to(
    name: str, server: Answering, tmp_path: Path
) -> None:
    with answering() as other:
        server.otherwise = lambda path: (307, {"Location": other.url("/x")}, b"")
        refused(name, server.host, tmp_path / "secret")
        assert server.asked
        for _, path, headers in other.asked:
            assert "Signature" not in path
            assert "Authorization" not in headers


@EVERY
def test_what_is_secret_and_can_t_be_read_is_said(name: str, server: Answering, tmp_path: Path) -> None:
    resource, options = RECIPES[name][1](server.host, tmp_path / "secret")
    (tmp_path / "secret").unlink()
    catalogue = catalogue_of(name, options)
    resolved = catalogue.resolve("u", "cube", resource, "/data/0")
    assert resolved.item is None
    assert [note.kind for note in resolved.notes] == ["catalogue-failed"]
    assert server.asked == []


@EVERY
def test_where_nothing_may_be_fetched_nothing_is(name: str, server: Answering, tmp_path: Path) -> None:
    resource, options = RECIPES[name][1](server.host, tmp_path / "secret")
    resolved = catalogue_of(name, options, False).resolve("u", "cube", resource, "/data/0")
    assert resolved.item is not None
    assert server.asked == []
