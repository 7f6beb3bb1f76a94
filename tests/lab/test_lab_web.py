"""A site's storage over HTTP, on the loopback interface."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import web

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    (tmp_path / "sky.fits").write_bytes(CONTENT)
    (tmp_path / "empty.dat").touch()
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "folder").mkdir()
    with web.serve("127.0.0.1", 0, tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        try:
            yield client
        finally:
            client.close()
            server.shutdown()
            thread.join()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = client.getresponse()
    return answer, answer.read()


def test_head_gives_the_size_and_no_body(connection: http.client.HTTPConnection) -> None:
    answer, body = ask(connection, "HEAD", "/sky.fits")
    assert (answer.status, body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    # a body would now stand in the way of the next answer on the same connection
    answer, body = ask(connection, "GET", "/sky.fits")
    assert (answer.status, body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/fits"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10000, 10240),
        ("bytes=-7", 10233, 10240),
        ("bytes=10239-99999", 10239, 10240),
        ("bytes=0-0", 0, 1),
    ],
)
def test_a_range_is_what_was_asked_for(
    connection: http.client.HTTPConnection, asked: str, start: int, stop: int
) -> None:
    answer, body = ask(connection, "GET", "/sky.fits", Range=asked)
    assert (answer.status, body) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/10240"


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(connection: http.client.HTTPConnection, asked: str) -> None:
    answer, _ = ask(connection, "GET", "/sky.fits", Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */10240"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=0-1,4-5", "lines=1-2"])
def test_other_ranges_get_the_whole_file(connection: http.client.HTTPConnection, asked: str) -> None:
    answer, body = ask(connection, "GET", "/sky.fits", Range=asked)
    assert (answer.status, body) == (200, CONTENT)


def test_a_range_of_an_older_version_gets_the_whole_file(connection: http.client.HTTPConnection) -> None:
    tag = ask(connection, "HEAD", "/sky.fits")[0].headers["ETag"]
    assert ask(connection, "GET", "/sky.fits", Range="bytes=0-3", If_Range=tag)[0].status == 206
    assert ask(connection, "GET", "/sky.fits", Range="bytes=0-3", If_Range='"older"')[1] == CONTENT


def test_an_empty_file(connection: http.client.HTTPConnection) -> None:
    answer, body = ask(connection, "GET", "/empty.dat")
    assert (answer.status, body) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/none", "/", "/folder", "/.hidden", "/../sky.fits", "/%2e%2e%2fsky.fits", "/a%00b"]
)
def test_what_is_no_file_of_the_site_is_not_found(connection: http.client.HTTPConnection, path: str) -> None:
    assert ask(connection, "GET", path)[0].status == 404
    assert ask(connection, "GET", "/sky.fits")[1] == CONTENT
