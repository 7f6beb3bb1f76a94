"""A Rucio that is down, slow, forgetful or confused: one line for the client, in time, and nothing secret."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.catalogues import CatalogueError, Resolved, rucio, rucio_http
from broker.catalogues.rucio import RucioCatalogue
from broker.catalogues.rucio_client import Rucio
from broker.catalogues.rucio_options import rucio_servers
from broker.catalogues.rucio_tokens import RucioError
from broker.model import DataItem, Level
from federation.clock import ManualClock
from federation.errors import InputError
from federation.sites import Federation
from tests.contracts.catalogue_support import told
from tests.ports import free_port
from tests.rucio.conftest import World
from tests.rucio.proxy import Proxy, proxy
from tests.rucio.server import PASSWORD

NAME = "faulty"


@pytest.fixture(scope="module")
def names(world: World) -> list[str]:
    return world.dataset(NAME, A1=range(6), B=range(3))


@pytest.fixture
def between(world: World, names: list[str]) -> Iterator[Proxy]:
    with proxy(world.rucio.url) as server:
        yield server


def federation(world: World, **options: Any) -> Federation:
    return Federation("test", world.federation.sites, {"rucio": {**world.rucio.options, **options}})


def catalogue(world: World, url: str, **options: Any) -> RucioCatalogue:
    return RucioCatalogue(federation(world, url=url, **options), True)


def ask(asked: RucioCatalogue) -> Resolved:
    return asked.resolve("u-1", "cube", {"rucio": {"scope": "sky", "object": NAME}}, "/data/0")


def refusal(resolved: Resolved) -> str:
    assert resolved.item is None
    [(path, text)] = told(resolved, Level.ERROR)
    assert path == "/data/0/rucio"
    return text


def item(asked: RucioCatalogue) -> DataItem:
    resolved = ask(asked)
    assert resolved.item is not None, resolved.notes
    return resolved.item


FAULTS = [401, 403, 429, 500, 503, "silent", "trickle", "cut", "page", "number", "away"]


# a sign-in that is cut is complete: the token is in its head
@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (part, fault)
        for part in ("/auth/", "/dids/", "/datasets", "/rses/")
        for fault in FAULTS
        if (part, fault) != ("/auth/", "cut")
    ],
)
def test_a_fault_is_one_line_and_soon(
    world: World, between: Proxy, part: str, fault: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault in ("silent", "trickle"):
        monkeypatch.setattr(rucio, "RESOLVE_SECONDS", 0.4)
    between.faults[part] = fault
    text = refusal(ask(catalogue(world, between.url)))
    assert not between.outwaited
    assert "\n" not in text
    assert "127.0.0.1" in text
    for secret in [PASSWORD, *filter(None, between.tokens)]:
        assert secret not in text


@pytest.mark.parametrize("part", ["/dids/", "/files", "/replicas/list"])
@pytest.mark.parametrize("fault", [*FAULTS, "rows"])
def test_and_so_is_one_when_it_is_moved(
    world: World, between: Proxy, part: str, fault: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = catalogue(world, between.url)
    found = item(asked)
    if fault in ("silent", "trickle"):
        monkeypatch.setattr(rucio, "FILES_SECONDS", 0.4)
    between.faults[part] = fault
    with pytest.raises(CatalogueError) as error:
        asked.files(found, world.federation["a"])
    assert not between.outwaited
    assert "\n" not in str(error.value)
    for secret in [PASSWORD, *filter(None, between.tokens)]:
        assert secret not in str(error.value)


def test_nobody_there_is_said_at_once(world: World, names: list[str]) -> None:
    text = refusal(ask(catalogue(world, f"http://127.0.0.1:{free_port()}")))
    assert "Connection refused" in text


def test_what_vanishes_between_two_questions_is_told(world: World, between: Proxy) -> None:
    between.faults["/datasets"] = 404
    assert "is not in Rucio" in refusal(ask(catalogue(world, between.url)))


def test_a_storage_element_that_vanishes_is_not_used(world: World, between: Proxy) -> None:
    between.faults["/rses/A1"] = 404
    text = refusal(ask(catalogue(world, between.url)))
    assert "3 of the 6 files" in text


def test_more_than_we_read_is_not_read(world: World, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rucio_http, "ANSWER_LIMIT", 100)
    assert "more than we read" in refusal(ask(catalogue(world, between.url)))


# tokens


def signed_in(between: Proxy) -> int:
    return sum("/auth/" in path for _, path in between.asked)


def test_one_token_does_for_all_questions(world: World, between: Proxy) -> None:
    asked = catalogue(world, between.url)
    item(asked)
    asked.files(item(asked), world.federation["a"])
    assert signed_in(between) == 1


def test_a_token_that_is_refused_is_renewed_once_for_all_threads(world: World, between: Proxy) -> None:
    asked = catalogue(world, between.url)
    item(asked)
    [first] = {token for token in between.tokens if token}
    # the server forgets it
    original = between.fault

    def forgotten(path: str, token: str) -> int | str | None:
        return 401 if token == first and "/auth/" not in path else original(path, token)

    between.fault = forgotten  # type: ignore[method-assign]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: ask(asked).item, range(16)))
    assert all(found)
    assert signed_in(between) == 2


def test_a_token_is_renewed_before_it_ends(world: World, between: Proxy) -> None:
    clock = ManualClock(datetime.now(UTC))
    [server] = rucio_servers(federation(world, url=between.url))
    asked = Rucio(server, clock)
    until = time.monotonic() + 60
    asked.did("sky", NAME, until)
    clock.advance(50 * 60)
    asked.did("sky", NAME, until)
    assert signed_in(between) == 1
    clock.advance(9 * 60)
    asked.did("sky", NAME, until)
    assert signed_in(between) == 2


def test_a_token_from_a_file_is_read_again_when_it_is_refused(
    world: World, between: Proxy, tmp_path: Path
) -> None:
    def token() -> str:
        made = Rucio(rucio_servers(federation(world, url=between.url))[0])
        made.did("sky", NAME, time.monotonic() + 60)
        return between.tokens[-1]

    file, options = tmp_path / "token", {"auth": "oidc", "token_file": str(tmp_path / "token")}
    file.write_text("too-old")
    asked = catalogue(world, between.url, **options)
    assert f"doesn't take the token in {file}" in refusal(ask(asked))
    file.write_text(token())
    assert ask(asked).item is not None
    file.unlink()
    assert f"can't be read from {file}" in refusal(ask(asked))


def test_a_wrong_password_is_told_without_it(world: World, tmp_path: Path, names: list[str]) -> None:
    file = tmp_path / "password"
    file.write_text("not-the-password")
    text = refusal(ask(catalogue(world, world.rucio.url, password_file=str(file))))
    assert "refuses account root by userpass with status 401" in text
    assert "not-the-password" not in text


def test_a_server_that_is_no_rucio_is_not_called_a_wrong_password(world: World, names: list[str]) -> None:
    text = refusal(ask(catalogue(world, f"{world.rucio.url}/elsewhere")))
    assert f"sign-in at {world.rucio.url}/elsewhere has nothing there: expected url (or auth_url)" in text


# options


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"url": "http://rucio.example.org"},
            r"\[catalogues.rucio\].url: expected a URL that begins with https",
        ),
        ({"url": "https://me:secret@rucio.example.org"}, "url"),
        ({"auth_url": "ftp://rucio.example.org"}, "auth_url"),
        ({"auth": "kerberos"}, "auth: expected userpass or oidc or x509, got 'kerberos'"),
        ({"auth": "oidc"}, "token_file: expected, for auth is oidc"),
        ({"auth": "x509"}, "certificate_file: expected, for auth is x509"),
        ({"auth": "x509", "certificate_file": "/a"}, "auth_url: expected a URL that begins with https"),
        ({"account": None}, "account: expected a text"),
        ({"account": "ro\not"}, "account: expected printable"),
        ({"password_file": "secrets/rucio"}, "password_file: expected a path"),
        ({"pasword": "oops"}, "unknown pasword"),
        ({"servers": [{"url": "https://other.example.org"}]}, r"\[catalogues.rucio\].servers\[0\].auth"),
    ],
)
def test_slips_are_told_when_the_broker_starts(change: dict[str, Any], words: str) -> None:
    whole = {
        "url": "http://127.0.0.1:1",
        "account": "root",
        "auth": "userpass",
        "username": "me",
        "password_file": "/run/secrets/rucio",
    }
    options = {key: value for key, value in (whole | change).items() if value is not None}
    with pytest.raises(InputError, match=words):
        RucioCatalogue(Federation("test", {}, {"rucio": options}), False)


def test_several_servers_are_told_apart_by_the_endpoint(world: World, between: Proxy) -> None:
    other = {**world.rucio.options, "url": between.url, "vo": "def"}
    asked = RucioCatalogue(federation(world, servers=[other]), True)
    assert item(asked).endpoint == world.rucio.url
    assert between.asked == []
    named = {"rucio": {"scope": "sky", "object": NAME, "endpoint": between.url}}
    found = asked.resolve("u-1", "cube", named, "/data/0").item
    assert found is not None
    assert found.endpoint == between.url
    assert len(asked.files(found, world.federation["a"])) == 6
    assert between.asked


def test_a_question_that_comes_too_late_is_not_asked(world: World) -> None:
    asked = Rucio(rucio_servers(world.federation)[0])
    with pytest.raises(RucioError, match="can't be asked"):
        asked.did("sky", NAME, time.monotonic() - 1)
