"""A question ends in time and within bounds, whatever the server does."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import http_asking
from federation.http_asking import Answer, UnansweredError, UnreadableError
from tests.federation.raw_server import DROPS, LATE, Play, answer, dripping, raw_server

LONG_SECONDS = 60.0


def asked(play: Play, seconds: float = LONG_SECONDS, most: int = 10**6, last: int | None = None) -> Answer:
    with raw_server(play) as host, http_asking.client(False) as http:
        until = time.monotonic() + seconds
        return http_asking.ask(http, "GET", f"http://{host}/x", until=until, most_bytes=most, last_bytes=last)


def asked_async(play: Play, most: int = 10**6) -> bytes:
    async def ask(host: str) -> bytes:
        headers = {"Accept-Encoding": "gzip"}
        async with (
            httpx.AsyncClient(trust_env=False, headers=headers, timeout=LONG_SECONDS) as client,
            client.stream("GET", f"http://{host}/x") as response,
        ):
            return await http_asking.whole_async(response, most)

    with raw_server(play) as host:
        return asyncio.run(ask(host))


DRIPPING = {
    "headers": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", b"X: y\r\n", b"\r\n"),
    "other answers first": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", LATE),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DROPS, b"x", b""),
}


@pytest.mark.parametrize("how", DRIPPING)
def test_what_drips_is_waited_for_until_the_end_alone(how: str) -> None:
    with pytest.raises(UnansweredError, match=r"time|too long"):
        asked(dripping(*DRIPPING[how]), seconds=0.5)


def test_what_comes_too_late_is_not_asked() -> None:
    with http_asking.client(False) as http, pytest.raises(UnansweredError, match="in time"):
        http_asking.ask(http, "GET", "http://127.0.0.1:9/", until=time.monotonic() - 1, most_bytes=10)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/" + "a" * 70_000, "http://[::1", "http://a\x01b/"])
def test_what_is_no_url_is_a_few_words(url: str) -> None:
    with http_asking.client(False) as http, pytest.raises(UnansweredError) as raised:
        http_asking.ask(http, "GET", url, until=time.monotonic() + 5, most_bytes=10)
    assert len(str(raised.value)) <= http_asking.LONGEST_WORDS


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200_000), st.booleans())
def test_what_is_packed_is_what_was_packed(body: bytes, packed: bool) -> None:
    play = answer(gzip.compress(body), "Content-Encoding: gzip") if packed else answer(body)
    assert asked(play).body == asked_async(play) == body


def test_of_a_bomb_no_more_is_unpacked_than_is_read() -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    with pytest.raises(UnreadableError, match="more than we read"):
        asked(answer(bomb, "Content-Encoding: gzip"), most=1024)
    with pytest.raises(UnreadableError, match="more than we read"):
        asked_async(answer(bomb, "Content-Encoding: gzip"), most=1024)


@pytest.mark.parametrize(
    ("body", "coding", "words"),
    [
        # httpx would unpack one within the other: a few bytes become as many as one likes
        (gzip.compress(gzip.compress(b"x")), "gzip, gzip", "what is packed as wasn't asked for"),
        (b"x", "br", "what is packed as wasn't asked for"),
        (b"x" * 99, "gzip", "what is no gzip"),
        (gzip.compress(b"x" * 99)[:-4], "gzip", "what breaks off"),
    ],
    ids=["twice", "otherwise", "not at all", "half"],
)
def test_what_is_packed_otherwise_is_named(body: bytes, coding: str, words: str) -> None:
    with pytest.raises(UnreadableError, match=words):
        asked(answer(body, f"Content-Encoding: {coding}"))
    with pytest.raises(UnreadableError, match=words):
        asked_async(answer(body, f"Content-Encoding: {coding}"))


def test_a_flood_of_headers_is_named() -> None:
    flood = [f"X-{number}: {'y' * 1000}" for number in range(300)]
    with pytest.raises(UnansweredError) as raised:
        asked(answer(b"", *flood))
    assert len(str(raised.value)) <= http_asking.LONGEST_WORDS


def test_the_end_of_a_long_answer_can_be_had_alone() -> None:
    body = b"".join(b"%d\n" % number for number in range(100_000))
    assert asked(answer(body), most=1000, last=100).body == body[-100:]


def test_an_answer_that_breaks_off_is_none() -> None:
    with pytest.raises(UnansweredError):
        asked(answer(b"half", length=8))


class Forgetful:
    """Answers what is asked first on a connection, and closes it at the second question."""

    def __init__(self) -> None:
        self.connections = 0

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        answer(b"here")(connection)
        connection.recv(65536)


def test_what_is_harmless_is_asked_again_where_a_kept_connection_has_been_closed() -> None:
    server = Forgetful()
    with raw_server(server) as host, http_asking.client(True) as http:
        for _ in range(3):
            until = time.monotonic() + LONG_SECONDS
            found = http_asking.ask(http, "GET", f"http://{host}/", until=until, most_bytes=100)
            assert found.body == b"here"
    assert server.connections == 3


def test_an_order_is_not_given_twice() -> None:
    server = Forgetful()
    with raw_server(server) as host, http_asking.client(True) as http:
        until = time.monotonic() + LONG_SECONDS
        http_asking.ask(http, "POST", f"http://{host}/", until=until, most_bytes=100)
        with pytest.raises(UnansweredError):
            http_asking.ask(http, "POST", f"http://{host}/", until=until, most_bytes=100)
    assert server.connections == 1


def test_who_hangs_up_on_a_new_connection_is_not_asked_again() -> None:
    came: list[None] = []
    with pytest.raises(UnansweredError):
        asked(lambda _: came.append(None))
    assert len(came) == 1
