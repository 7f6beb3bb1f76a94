"""Clients that take their time, or send too much: what a server on a socket does with them."""

import contextlib
import socket
import threading
import time

import httpx
import pytest
import uvicorn

from broker.http import patience, visits
from broker.http.patience import PatientProtocol
from tests.broker.serving import serving

SECONDS = 1.0
# a server that hangs up does so by then, however busy the machine: its own limits are SECONDS
HANGS_UP_SECONDS = 60.0


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where a broker listens that has more patience than any client needs here."""
    with pytest.MonkeyPatch.context() as patch, serving(tmp_path_factory.mktemp("broker")) as client:
        patch.setattr(patience, "HEADERS_SECONDS", 2 * HANGS_UP_SECONDS)
        patch.setattr(visits, "BODY_SECONDS", 2 * HANGS_UP_SECONDS)
        config = uvicorn.Config(
            client.app, http=PatientProtocol, lifespan="off", log_level="error", access_log=False
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield listening.getsockname()
            finally:
                server.should_exit = True
                thread.join(60)
                assert not thread.is_alive(), "the server doesn't end"


@contextlib.contextmanager
def impatient(module, name):
    """Within the block, the server waits but SECONDS for that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, SECONDS)
        yield


def connect(address):
    return socket.create_connection(address, timeout=2 * HANGS_UP_SECONDS)


def talk(connection, *pieces, pause=SECONDS / 8):
    """What comes back, and after how long the server hung up."""
    start = time.monotonic()
    received = b""
    with connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            time.sleep(pause)
            if time.monotonic() - start > HANGS_UP_SECONDS:
                break
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                received += piece
    return received, time.monotonic() - start


def endless(*first):
    yield from first
    for number in range(1000):
        yield b"X-More-%d: x\r\n" % number


def is_well(address):
    url = f"http://{address[0]}:{address[1]}/health"
    return httpx.get(url, trust_env=False, timeout=60).status_code == 200


HEAD = b"POST /requests HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRhOmFkYSdzIG93bg==\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [b"GET /heal"],
        endless(b"GET /health HTTP/1.1\r\nHost: x\r\n"),
    ],
    ids=["nothing", "half a line", "headers without end"],
)
def test_headers_that_do_not_end_are_not_waited_for(address, pieces):
    with impatient(patience, "HEADERS_SECONDS"):
        received, seconds = talk(connect(address), *pieces)
    assert received == b""
    assert seconds < HANGS_UP_SECONDS
    assert is_well(address)


def test_nor_are_those_of_a_second_request(address):
    connection = connect(address)
    connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n") and (piece := connection.recv(65_536)):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200 OK")
    with impatient(patience, "HEADERS_SECONDS"):
        received, seconds = talk(connection, *endless(b"GET /health HTTP/1.1\r\nHost: x\r\n"))
    assert received == b""
    assert seconds < HANGS_UP_SECONDS


def test_a_body_that_does_not_end_is_408(address):
    pieces = [HEAD + b"Content-Length: 100000\r\n\r\n", *([b" "] * 1000)]
    with impatient(visits, "BODY_SECONDS"):
        received, seconds = talk(connect(address), *pieces)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 1 s" in received
    assert seconds < HANGS_UP_SECONDS
    assert is_well(address)


@pytest.mark.parametrize(
    "headers",
    [b"X-Large: " + b"x" * 200_000 + b"\r\n", b"X-Many: x\r\n" * 20_000],
    ids=["one that is huge", "very many"],
)
def test_headers_that_are_too_much_are_400(address, headers):
    received, _ = talk(connect(address), HEAD + headers + b"\r\n", pause=0)
    assert received == b"" or received.startswith(b"HTTP/1.1 400 ")
    assert is_well(address)


def test_who_is_slow_but_gets_there_is_answered(address):
    body = b"{}              "
    pieces = [HEAD, b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body), body[:5], body[5:]]
    received, _ = talk(connect(address), *pieces)
    assert received.startswith(b"HTTP/1.1 303 ")
