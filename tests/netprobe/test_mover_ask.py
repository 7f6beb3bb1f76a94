"""Small requests that the mover sends: what comes back, what is refused, and what nobody else is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from federation.hosts import LocalHost
from netprobe.addresses import Allowed
from netprobe.mover_ask import Answer, Asked, Request
from netprobe.tools.transfer import TransferError, ask, head
from tests.catalogues.answering import Answering, answering

HERE = Allowed(hosts=("127.0.0.1:*",))


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as running:
        yield running


def asked(*requests: Request, bearers: dict[str, str] | None = None, allowed: Allowed = HERE) -> list[Answer]:
    return list(asyncio.run(ask(LocalHost(), Asked(requests, bearers or {}), 60.0, allowed)))


def test_answers_come_in_the_order_of_the_requests(server: Answering) -> None:
    for number in range(20):
        server.answers[f"/{number}"] = (200 + number % 2, {"X-Number": str(number)}, f"ü{number}".encode())
    found = asked(*(Request(server.url(f"/{number}")) for number in range(20)))
    assert [each.body for each in found] == [f"ü{number}" for number in range(20)]
    assert [each.headers["x-number"] for each in found] == [str(number) for number in range(20)]
    assert {each.whole for each in found} == {True}
    assert {each.status for each in found} == {200, 201}


def test_method_headers_and_body_arrive(server: Answering) -> None:
    server.answers["/a"] = (207, {}, b"")
    [found] = asked(Request(server.url("/a"), "PROPFIND", {"Depth": "1"}, "<x/>"))
    assert found.status == 207
    [(method, _, headers)] = server.asked
    assert (method, headers["Depth"], headers["Content-Length"]) == ("PROPFIND", "1", "4")


@pytest.mark.parametrize(
    ("headers", "most", "whole", "body"),
    [
        ({}, 10, True, "0123456789"),
        ({}, 9, False, "012345678"),
        ({"Content-Length": "99"}, 50, False, "0123456789"),
    ],
)
def test_more_than_is_wanted_and_less_than_is_announced_is_not_whole(
    server: Answering, headers: dict[str, str], most: int, whole: bool, body: str
) -> None:
    server.answers["/a"] = (200, headers, b"0123456789")
    [found] = asked(Request(server.url("/a"), most_bytes=most))
    assert (found.whole, found.body) == (whole, body)


def test_an_error_is_an_answer_and_a_redirect_is_followed_or_not(server: Answering) -> None:
    server.answers["/a"] = (302, {"Location": server.url("/none")}, b"")
    followed, kept = asked(Request(server.url("/a")), Request(server.url("/a"), follow=False))
    assert (followed.status, kept.status) == (404, 302)


def test_an_address_that_is_not_allowed_is_not_asked(server: Answering) -> None:
    [found] = asked(Request(server.url("/a?s3cret")), allowed=Allowed())
    assert (found.status, found.reason) == (None, "forbidden")
    assert "s3cret" not in str(found.error)
    assert server.asked == []


def test_a_token_goes_to_its_own_server_alone(server: Answering) -> None:
    with answering() as other:
        server.answers["/a"] = (302, {"Location": other.url("/b")}, b"")
        other.answers["/b"] = (200, {}, b"b")
        [found] = asked(Request(server.url("/a")), bearers={f"http://{server.host}": "s3cret"})
        assert found.body == "b"
        assert server.seen("Authorization") == ["Bearer s3cret"]
        assert other.seen("Authorization") == [None]
        size = asyncio.run(
            head(LocalHost(), server.url("/a"), 20.0, HERE, {f"http://{server.host}": "s3cret"})
        )
        assert size["size_bytes"] == 1
        assert server.seen("Authorization") == ["Bearer s3cret"] * 2
        assert other.seen("Authorization") == [None] * 2


def test_silence_is_a_failure_of_all(server: Answering) -> None:
    server.silent = True
    with pytest.raises(TransferError, match=r"not done within 0\.5 s|no answer"):
        asyncio.run(ask(LocalHost(), Asked((Request(server.url("/a")),)), 0.5, HERE))


AMISS = ["", "s3cret", '{"requests": [{"s3cret": 1}], "files": [{"s3cret": 1}], "bearers": {}}', "[1]"]


@pytest.mark.parametrize("command", [["ask"], ["head", "-"], ["fetch-all", "-"]])
@pytest.mark.parametrize("given", AMISS)
def test_what_it_is_given_amiss_it_does_not_repeat(command: list[str], given: str) -> None:
    end = subprocess.run(
        [sys.executable, "-m", "netprobe.mover", *command],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[str, Any] = json.loads(end.stdout)
    assert end.returncode == 3
    assert "s3cret" not in end.stdout + end.stderr
    assert said["event"] == "error"
