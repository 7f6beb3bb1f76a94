"""What may go wrong at the far end, fault by fault: each is an outcome by its name, and nothing hangs.

iperf3 servers that are killed, stopped, busy or guarded are in tests/contracts/test_tools.py and
test_tools_iperf3.py; what archives answer is in test_mesh_pull.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from federation.errors import OutsideError
from federation.hosts import LocalHost
from netprobe.meshes import Access, load_mesh
from netprobe.meshes.esmond import Esmond
from netprobe.meshes.fetching import PAGE_BYTES, Fetcher
from netprobe.meshes.maddash import grids
from netprobe.meshes.perfsonar5 import PerfSonar5
from netprobe.meshes.pscheduler import PScheduler as Node
from netprobe.meshes.psconfig_document import load
from netprobe.tools import Endpoint, Test
from netprobe.tools.iperf3 import Iperf3
from netprobe.tools.pscheduler import PScheduler
from tests.federation import raw_server as raw
from tests.netprobe.mesh_servers import mesh_server
from tests.netprobe.servers import loopback_test
from tests.ports import free_port

Act = Callable[[socket.socket], None]
SINCE = datetime(2026, 11, 22, tzinfo=UTC)


@contextlib.contextmanager
def listener(act: Act) -> Iterator[int]:
    """A port of loopback that takes connections, and does `act` with each; all stay open until the end."""
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        opened: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    opened.append(here.accept()[0])
                    with contextlib.suppress(OSError):
                        act(opened[-1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(here.getsockname()[1])
        finally:
            # wakes the thread where it waits for a connection, and where it reads
            for each in (here, *opened):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for each in opened:
                each.close()


def silent(connection: socket.socket) -> None:
    """Takes everything and says nothing."""


def hang_up(connection: socket.socket) -> None:
    connection.close()


def speak(words: bytes) -> Act:
    def act(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(words)

    return act


def drip(connection: socket.socket) -> None:
    """An answer that never ends, a byte at a time, so that no single wait is long."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[")
    for _ in range(200):
        connection.sendall(b" ")
        time.sleep(0.02)


# What listens at the port of an iperf3 server, and isn't one


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (silent, "destination there: no test with 127.0.0.1:{} within 2 s"),
        (
            hang_up,
            "destination there: the iperf3 server at 127.0.0.1:{} hung up before the test: it asks for",
        ),
        (speak(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "destination there: what listens at 127.0.0.1:{} is no"),
        # a state of the protocol that no release knows
        (
            speak(b"\x63"),
            "destination there: what listens at 127.0.0.1:{} is no iperf3 of a version that fits",
        ),
    ],
)
def test_what_listens_may_be_no_iperf3_of_ours(act: Act, said: str) -> None:
    with listener(act) as port:
        # only who waits for it needs to come to its end
        limit = 2.0 if act is silent else 600.0
        result = asyncio.run(Iperf3().run(loopback_test(port, limit, duration=1)))
    assert result.error is not None
    assert result.error.startswith(said.format(port))
    assert result.seconds < 300
    assert result.figures == {}


def test_a_name_that_is_gone_is_the_sources_failure() -> None:
    test = loopback_test(5201, duration=1)
    result = asyncio.run(
        Iperf3().run(replace(test, destination=replace(test.destination, address="nosuch.invalid")))
    )
    assert result.error == (
        "source here: the name 'nosuch.invalid' of the destination there can't be resolved"
    )


# A pScheduler node that is asked for a test


def ask(url: str, limit: float = 2.0) -> str:
    """The error of a test that the node at `url` is asked for, soon behind its time."""
    ends = [Endpoint(one, LocalHost(), "192.0.2.1") for one in ("perth", "bern")]
    result = asyncio.run(
        PScheduler(node=lambda end: url, poll_seconds=0.02).run(Test(ends[0], ends[1], {}, limit))
    )
    assert result.error is not None
    assert result.error.startswith(f"source perth: pScheduler at {url}: ")
    assert "\n" not in result.error
    assert result.seconds < limit + 60
    return result.error.removeprefix(f"source perth: pScheduler at {url}: ")


def answer(body: bytes, status: str = "200 OK", length: int | None = None) -> Act:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"

    def act(connection: socket.socket) -> None:
        speak(head.encode() + body)(connection)
        connection.close()

    return act


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (answer(b'"https://h/pscheduler/tas', length=80), "connection"),
        (answer(b'"https://h/pscheduler/tas'), "expected JSON, got"),
        (answer(b"<html>Welcome</html>"), "expected JSON, got '<html>Welcome</html>'"),
        (answer(b"17"), "expected the address of a task, got '17'"),
        (answer(b"Service Unavailable", "503 Service Unavailable"), "Service Unavailable (HTTP 503)"),
        (answer(b"Task forbidden by limits:\n x", "403 Forbidden"), "Task forbidden by limits:"),
        (speak(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "illegal status line"),
    ],
)
def test_a_node_that_is_ill(act: Act, said: str) -> None:
    with listener(act) as port:
        assert said in ask(f"http://127.0.0.1:{port}/pscheduler", 60.0)


def test_a_node_that_hangs_up() -> None:
    with listener(hang_up) as port:
        # by then it may have read what was sent, or not
        said = ask(f"http://127.0.0.1:{port}/pscheduler", 60.0)
    assert any(word in said for word in ("disconnected", "reset", "the connection broke"))


@pytest.mark.parametrize("act", [silent, drip])
def test_a_node_that_hangs_is_given_up_at_our_own_limit(act: Act) -> None:
    with listener(act) as port:
        assert ask(f"http://127.0.0.1:{port}/pscheduler", 0.6) == "it didn't take the test within 0.6 s"


def test_a_node_whose_name_is_gone() -> None:
    said = ask("http://nosuch.invalid/pscheduler", 60.0)
    assert "nosuch.invalid" in said
    assert "not known" in said or "resolution" in said


# Archives, dashboards and templates that are read


READERS: dict[str, Callable[[str], Any]] = {
    "perfsonar5": lambda url: list(PerfSonar5(sleep=no_wait).pages(Access(url), SINCE, None)),
    "esmond": lambda url: list(Esmond(sleep=no_wait).pages(Access(url), SINCE, None)),
    "pscheduler": lambda url: list(Node(sleep=no_wait).pages(Access(url), SINCE, None)),
    "maddash": lambda url: list(grids(Access(url), no_wait)),
}


def no_wait(_seconds: float) -> None:
    """Nobody waits in a test."""


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ((503, b"down"), "busy (HTTP 503), after 4 tries"),
        ("half-json", "half a page"),
        ((200, b"<html>"), "expected JSON, got <html>"),
        (
            (400, b"<!doctype html>\n<html><title>Not\n here</title>"),
            "got HTTP 400 (a page called 'Not here')",
        ),
        ((200, b'{"hits": 3, "grids": "x", "tasks": null}'), "JSON of another shape"),
        ((200, b"null"), "JSON of another shape"),
        ((500, b"Traceback (most recent call last)"), "expected a document, got HTTP 500"),
    ],
)
def test_every_reader_names_what_its_server_does_wrong(kind: str, lie: Any, said: str) -> None:
    with mesh_server() as server:
        server.forever = (200, b'{"a": [') if lie == "half-json" else lie
        with pytest.raises(OutsideError) as told:
            READERS[kind](server.url)
    assert said in str(told.value)
    assert server.url in str(told.value)


@pytest.mark.parametrize("kind", READERS)
def test_a_server_whose_name_is_gone_or_that_is_not_there(kind: str) -> None:
    for url in ("http://nosuch.invalid", f"http://127.0.0.1:{free_port()}"):
        with pytest.raises(OutsideError) as told:
            READERS[kind](url)
        assert "can't be reached" in str(told.value)
        assert "after 4 tries" in str(told.value)


@pytest.mark.parametrize(
    ("act", "seconds", "said"),
    # on a busy machine what drips may begin too late
    [(silent, 0.2, "no answer in time"), (drip, 0.8, "wasn't whole within 0.8 s|no answer in time")],
)
def test_no_page_is_waited_for_longer_than_its_time(act: Act, seconds: float, said: str) -> None:
    with (
        listener(act) as port,
        Fetcher(Access(f"http://127.0.0.1:{port}"), no_wait, seconds) as fetcher,
        pytest.raises(OutsideError) as told,
    ):
        fetcher.json(f"http://127.0.0.1:{port}/")
    assert re.search(said, str(told.value))
    assert "after 4 tries" in str(told.value)


PACKED = "Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("play", "seconds", "said"),
    [
        (raw.dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", b"\r\n"), 0.3, "no answer in time, after 4 tries"),
        (raw.answer(gzip.compress(bytes(2 * PAGE_BYTES)), PACKED), 60.0, "a page of more than 64 MiB"),
        (raw.answer(b"{}", PACKED), 60.0, "half a page (what is no gzip, though it says so), after 4 tries"),
    ],
    ids=["headers that drip", "a bomb", "not packed"],
)
def test_a_page_is_bounded_whatever_is_sent(play: raw.Play, seconds: float, said: str) -> None:
    with (
        raw.raw_server(play) as host,
        Fetcher(Access(f"http://{host}"), no_wait, seconds) as fetcher,
        pytest.raises(OutsideError) as told,
    ):
        fetcher.json(f"http://{host}/")
    assert said in str(told.value)


def test_a_page_that_is_packed_is_read() -> None:
    with (
        raw.raw_server(raw.answer(gzip.compress(b'{"a": 1}'), PACKED)) as host,
        Fetcher(Access(host)) as fetcher,
    ):
        assert fetcher.json(f"http://{host}/") == {"a": 1}


def test_a_template_that_its_server_does_not_give() -> None:
    with mesh_server() as server:
        server.forever = (404, b"Not here")
        with pytest.raises(OutsideError, match="got HTTP 404 Not here"):
            load(f"{server.url}/mesh.json")


def test_every_kind_of_mesh_is_read_here() -> None:
    for kind in READERS:
        if kind != "maddash":
            assert load_mesh(kind).kind == kind
