"""Folders and files of a real WebDAV server, with and without a token, and what servers may answer amiss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from broker.catalogues import CatalogueError
from broker.catalogues.http_tokens import Tokens
from broker.catalogues.webdav import TooManyError, files_below
from federation.errors import InputError
from federation.hosts import LocalHost
from federation.sites import Federation
from netprobe.mover_ask import Answer, Request
from netprobe.mover_file import File
from netprobe.tools.transfer import fetch, fetch_all
from tests.catalogues.answering import answering
from tests.catalogues.serving import brought, error, federation, files, over_ssh, resolve, served, staged
from tests.federation.sshd import seen_by_everybody, ssh_server

KIND = "simple-data-resource"
# made when the tests are collected, which on a busy machine is long before they run
TOKEN = jwt.encode({"exp": datetime.now(UTC) + timedelta(days=1)}, "k" * 32)
TREE = {"a.fits": b"a" * 1000, "deep/b 1.fits": b"b" * 20, "deep/er/ü+%41.txt": b"c", "empty": b""}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dav")
    for name, content in TREE.items():
        path = root / "survey" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "nothing").mkdir()
    return root


@pytest.fixture(scope="module")
def open_server(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("dav_server.py", tmp_path_factory.mktemp("log") / "open", str(tree)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "closed"


@pytest.fixture(scope="module")
def closed_server(tree: Path, log: Path) -> Iterator[str]:
    with served("dav_server.py", log, str(tree), TOKEN) as port:
        yield f"127.0.0.1:{port}"


def with_token(directory: Path, host: str, token: str = TOKEN) -> Federation:
    file = directory / "token"
    file.write_text(f"{token}\n")
    return federation({"http": {"tokens": [{"host": host, "file": str(file)}]}})


@pytest.mark.parametrize("location", ["http://{}/survey/", "dav://{}/survey", "DAV://{}/survey/"])
def test_a_folder_is_all_files_below_it(open_server: str, location: str) -> None:
    around = federation()
    resolved = resolve(around, KIND, {"location": location.format(open_server)})
    item = resolved.item
    assert item is not None
    assert resolved.notes == ()
    assert (item.files, item.size_bytes, item.unpacked) == (4, 1021, True)
    assert [(one.url, one.site_id) for one in item.replicas] == [(f"http://{open_server}/survey/", "north")]
    found = files(around, KIND, resolved)
    assert {each.path: each.size_bytes for each in found} == {name: len(body) for name, body in TREE.items()}


def test_each_file_s_url_can_be_fetched(open_server: str, tmp_path: Path) -> None:
    around = federation()
    resolved = resolve(around, KIND, {"location": f"http://{open_server}/survey/"})
    for number, each in enumerate(files(around, KIND, resolved)):
        asyncio.run(fetch(LocalHost(), each.replicas[0].url, tmp_path / str(number), each.size_bytes))
        assert (tmp_path / str(number)).read_bytes() == TREE[each.path]


def test_a_file_by_dav_is_one_file(open_server: str) -> None:
    item = resolve(federation(), KIND, {"location": f"dav://{open_server}/survey/a.fits"}).item
    assert item is not None
    assert (item.size_bytes, item.files, item.unpacked) == (1000, 1, False)
    assert item.replicas[0].url == f"http://{open_server}/survey/a.fits"


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/nothing/", "data-not-found", "a folder without any file"),
        ("/none/", "data-not-found", "404"),
    ],
)
def test_what_is_not_there_is_said(open_server: str, path: str, kind: str, said: str) -> None:
    found = error(resolve(federation(), KIND, {"location": f"dav://{open_server}{path}"}))
    assert found[0] == kind
    assert said in found[1]


# tokens


@pytest.mark.parametrize("path", ["/survey/", "/survey/a.fits"])
def test_a_server_that_asks_is_shown_its_token(closed_server: str, tmp_path: Path, path: str) -> None:
    around = with_token(tmp_path, closed_server)
    resolved = resolve(around, KIND, {"location": f"dav://{closed_server}{path}"})
    # what is kept has no token
    assert TOKEN not in repr(resolved)
    assert resolved.item is not None
    where, moved = staged(around, tmp_path / "site", resolved.item)
    found = [where] if where.is_file() else [each for each in where.rglob("*") if each.is_file()]
    wanted = TREE.values() if path.endswith("/") else [TREE["a.fits"]]
    assert sorted(each.read_bytes() for each in found) == sorted(wanted)
    # nor has what the archive keeps of it
    assert TOKEN not in repr(moved)


def test_over_ssh_its_token_is_shown_from_there(closed_server: str, tmp_path: Path) -> None:
    tokens = with_token(tmp_path, closed_server).catalogues
    with ssh_server(tmp_path) as server:
        around = over_ssh(server, tmp_path / "site", dict(tokens))
        # each level is a connection of its own
        item = resolve(around, KIND, {"location": f"dav://{closed_server}/survey/deep/er/"}).item
        assert item is not None
        assert (item.files, item.unpacked) == (1, True)
        found, moved = brought(around, tmp_path / "site", item)
    assert list(found.values()) == [TREE["deep/er/ü+%41.txt"]]
    assert TOKEN not in moved


def test_without_a_token_it_is_refused_in_words(closed_server: str) -> None:
    kind, text = error(resolve(federation(), KIND, {"location": f"http://{closed_server}/survey/a.fits"}))
    assert kind == "data-not-public"
    assert "401 Unauthorized; this broker has no token for it" in text


ENDED = jwt.encode({"exp": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)}, "k" * 32)


@pytest.mark.parametrize(
    ("token", "said"),
    [(ENDED, "this broker's token for it ended at 2026-01-02 03:04 UTC"), ("other", "it doesn't take this")],
)
@pytest.mark.parametrize("location", ["dav://{}/survey/", "http://{}/survey/a.fits"])
def test_a_token_that_is_not_taken_is_said_and_not_shown(
    closed_server: str, tmp_path: Path, token: str, said: str, location: str
) -> None:
    around = with_token(tmp_path, closed_server, token)
    kind, text = error(resolve(around, KIND, {"location": location.format(closed_server)}))
    assert kind == "data-not-public"
    assert said in text
    assert token not in text


@pytest.mark.parametrize("content", ["", "two words", "line\nline", "\xff"])
@pytest.mark.parametrize("location", ["dav://{}/survey/", "http://{}/survey/a.fits"])
def test_a_file_without_a_token_is_said(
    closed_server: str, tmp_path: Path, content: str, location: str
) -> None:
    around = with_token(tmp_path, closed_server, content)
    kind, text = error(resolve(around, KIND, {"location": location.format(closed_server)}))
    assert kind == "catalogue-failed"
    assert text.endswith(f"this broker's token for {closed_server} can't be read")


def test_a_renewed_token_is_read_again(closed_server: str, tmp_path: Path) -> None:
    around = with_token(tmp_path, closed_server)
    resolved = resolve(around, KIND, {"location": f"dav://{closed_server}/survey/"})
    (tmp_path / "token").unlink()
    with pytest.raises(CatalogueError, match=r"this broker's token for \S+ can't be read"):
        files(around, KIND, resolved)


def test_the_token_goes_to_no_other_server(tmp_path: Path) -> None:
    with answering() as other, answering() as first:
        around = with_token(tmp_path, first.host)
        first.answers["/a"] = (302, {"Location": other.url("/b")}, b"")
        other.answers["/b"] = (200, {}, b"x")
        item = resolve(around, KIND, {"location": first.url("/a")}).item
        assert item is not None
        assert first.seen("Authorization") == [f"Bearer {TOKEN}"]
        assert other.seen("Authorization") == [None]
        first.asked.clear()
        resolve(around, KIND, {"location": other.url("/b")})
        assert other.seen("Authorization") == [None, None]


def test_a_file_is_moved_with_the_token_and_its_mover_shows_it_nobody(tmp_path: Path) -> None:
    # a server of the test's own gets its token on the command line
    token = token_hex()
    with answering() as server:
        server.answers["/a"] = (200, {}, b"x")
        seen: list[str] = []
        server.on_request = lambda: seen.append(seen_by_everybody())
        bearers = {f"http://{server.host}": token}
        wanted = [File(server.url("/a"), str(tmp_path / "a"))]
        asyncio.run(fetch_all(LocalHost(), wanted, bearers=bearers))
        assert server.seen("Authorization") == [f"Bearer {token}"]
    assert ["netprobe.mover" in each for each in seen] == [True]
    assert not any(token in each or server.url("/a") in each for each in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([{"host": "a.example"}], r"\[catalogues.http\].tokens\[0\].file: expected"),
        ([{"host": "a.example", "file": "token"}], "file: expected a path"),
        ([{"host": "https://a.example", "file": "/t"}], "host: expected the server's name"),
        ([{"host": "a.example/dav", "file": "/t"}], "host: expected the server's name"),
        ([{"host": "a.example:no", "file": "/t"}], "host: expected the server's name"),
        ([{"host": "u@a.example", "file": "/t"}], "host: expected the server's name"),
        ([{"host": "a.example", "file": "/t"}, {"host": "a.example:443", "file": "/t"}], "each server once"),
        ([{"host": "a.example", "file": "/t", "token": "x"}], "unknown token"),
        ("secret", "tokens: expected a list of tables"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(tokens: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        resolve(federation({"http": {"tokens": tokens}}), KIND, {})


def test_a_token_is_for_https_unless_the_server_is_this_machine(tmp_path: Path) -> None:
    tokens = Tokens(with_token(tmp_path, "a.example"))
    wanted = {"https://a.example/x": True, "https://A.example:443/x": True, "http://a.example/x": False}
    wanted |= {"https://a.example:8443/": False, "https://b.a.example/": False, "ivo://a.example": False}
    assert {url: bool(tokens.bearers([url])) for url in wanted} == wanted
    assert Tokens(with_token(tmp_path, "127.0.0.1:80")).get("http://127.0.0.1/x") == TOKEN


# what servers may answer amiss


def multistatus(*entries: str) -> bytes:
    return f'<d:multistatus xmlns:d="DAV:">{"".join(entries)}</d:multistatus>'.encode()


def entry(href: str, folder: bool = False, size: str = "1") -> str:
    kind = "<d:collection/>" if folder else ""
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop><d:resourcetype>{kind}</d:resourcetype>"
        f"<d:getcontentlength>{size}</d:getcontentlength></d:prop><d:status>HTTP/1.1 200 OK</d:status>"
        "</d:propstat></d:response>"
    )


ROOT = entry("/s/", folder=True)
BOMB = b'<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><multistatus xmlns="DAV:">&b;</multistatus>'
OUTSIDE = (
    b'<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/hostname">]><multistatus xmlns="DAV:">&a;</multistatus>'
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (207, BOMB, "catalogue-failed", "no XML of WebDAV"),
        (207, OUTSIDE, "catalogue-failed", "no XML of WebDAV"),
        (207, b"<html></html>", "catalogue-failed", "no XML of WebDAV"),
        (207, multistatus(ROOT)[:-9], "catalogue-failed", "no XML of WebDAV"),
        (207, b"\xff\xfe", "catalogue-failed", "no XML of WebDAV"),
        (207, multistatus(ROOT, entry("/s/../etc")), "catalogue-failed", "lists what is not in it"),
        (207, multistatus(ROOT, entry("/s/a%2fb")), "catalogue-failed", "lists what is not in it"),
        (207, multistatus(ROOT, entry("/s/%2e%2e")), "catalogue-failed", "lists what is not in it"),
        (207, multistatus(ROOT, entry("/other/a")), "catalogue-failed", "lists what is not in it"),
        (207, multistatus(ROOT, entry("/s/d/a")), "catalogue-failed", "lists what is not in it"),
        (500, b"", "catalogue-failed", "500"),
        (403, b"", "data-not-public", "403"),
        (405, b"", "data-not-found", "405"),
        (200, b"<html></html>", "catalogue-failed", "200"),
    ],
)
def test_an_answer_that_is_no_listing_is_said(status: int, body: bytes, kind: str, said: str) -> None:
    with answering() as server:
        server.answers["/s/"] = (status, {"Content-Type": "application/xml"}, body)
        found = error(resolve(federation(), KIND, {"location": f"dav://{server.host}/s/"}))
    assert found[0] == kind
    assert said in found[1]


def test_half_an_answer_is_said() -> None:
    with answering() as server:
        server.answers["/s/"] = (207, {"Content-Length": "100000"}, multistatus(ROOT))
        kind, text = error(resolve(federation(), KIND, {"location": f"dav://{server.host}/s/"}))
    assert kind == "catalogue-failed"
    assert "broke off" in text


def test_a_folder_that_vanishes_meanwhile_is_said() -> None:
    with answering() as server:
        server.answers["/s/"] = (207, {}, multistatus(ROOT, entry("/s/d/", folder=True)))
        kind, text = error(resolve(federation(), KIND, {"location": f"dav://{server.host}/s/"}))
    assert kind == "data-not-found"
    assert "/s/d/: the server answered 404 to PROPFIND" in text


def test_folders_without_end_are_too_much() -> None:
    def ask(requests: Sequence[Request]) -> list[Answer]:
        paths = [urlsplit(each.url).path for each in requests]
        bodies = [multistatus(entry(path, True), entry(f"{path}d/", True)).decode() for path in paths]
        return [Answer(number, 207, {}, body, True) for number, body in enumerate(bodies)]

    with pytest.raises(TooManyError, match="folders in folders"):
        files_below("http://127.0.0.1/s/", ask)


def test_more_files_than_are_brought_are_too_much() -> None:
    many = [entry(f"/s/{number}") for number in range(10_001)]
    with answering() as server:
        server.answers["/s/"] = (207, {}, multistatus(ROOT, *many))
        kind, text = error(resolve(federation(), KIND, {"location": f"dav://{server.host}/s/"}))
    assert kind == "resource-limit"
    assert "at most 10000 files" in text


def test_a_size_that_is_not_said_is_a_warning() -> None:
    with answering() as server:
        server.answers["/s/"] = (207, {}, multistatus(ROOT, entry("/s/a"), entry("/s/b", size="")))
        resolved = resolve(federation(), KIND, {"location": f"dav://{server.host}/s/"})
    assert resolved.item is not None
    assert (resolved.item.size_bytes, resolved.item.files) == (None, 2)
    assert [note.kind for note in resolved.notes] == ["data-size"]


def test_a_page_with_a_slash_is_a_page() -> None:
    with answering() as server:
        server.answers["/s/"] = (200, {}, b"page")
        server.statuses["PROPFIND"] = 501
        item = resolve(federation(), KIND, {"location": server.url("/s/")}).item
    assert item is not None
    assert (item.size_bytes, item.files, item.unpacked) == (4, 1, False)


def test_a_server_that_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.catalogues.http.RESOLVE_SECONDS", 1.0)
    with answering() as server:
        server.silent = True
        begun = time.monotonic()
        kind, text = error(resolve(federation(), KIND, {"location": f"dav://{server.host}/s/"}))
        assert time.monotonic() - begun < 30
    assert kind == "catalogue-failed"
    assert text


def test_no_address_is_asked_that_is_not_allowed() -> None:
    with answering() as server:
        around = Federation("test", {})
        kind, text = error(resolve(around, KIND, {"location": f"dav://{server.host}/s/"}))
        assert server.asked == []
    assert kind == "data-not-found"
    assert "no public address" in text
