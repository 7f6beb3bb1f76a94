"""The mover goes nowhere that it may not: redirects, names that change, credentials, downgrades."""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.hosts import LocalHost
from netprobe import addresses, mover, mover_file, mover_http
from netprobe.addresses import Allowed
from netprobe.mover_file import Done, File
from netprobe.mover_http import Connections, MoverError, RefusedError, shown
from netprobe.tools import transfer
from tests.netprobe.servers import FileServer, file_server

CONTENT = b"content" * 1000


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as running:
        yield running


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Where this process connects to; a test that would leave this machine fails before a packet does."""
    made: list[tuple[Any, ...]] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        assert address[0] in ("127.0.0.1", "::1"), f"a connection to {address}"
        made.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    return made


Lookup = Callable[[str], list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Lookup]:
    """Names that are looked up in this table; what it lacks must be a literal address."""
    known: dict[str, Lookup] = {}

    def resolver(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        if host not in known:
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in known[host](host)]

    monkeypatch.setattr(mover_http, "targets", functools.partial(addresses.targets, resolver=resolver))
    return known


def own(*servers: FileServer) -> Allowed:
    return Allowed(hosts=tuple(f"127.0.0.1:{server.server_address[1]}" for server in servers))


def fetch(url: str, allowed: Allowed, directory: Path, attempts: int = 1, size: int | None = None) -> Done:
    with Connections(allowed) as connections:
        file = File(url, str(directory / "file"), size)
        return mover_file.fetch(file, connections, attempts=attempts)


def get(url: str, allowed: Allowed, directory: Path) -> bytes:
    fetch(url, allowed, directory)
    return (directory / "file").read_bytes()


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9.254.0xa9.0376/",
    "http://0251.254.169.254/",
    "http://10.0.0.1/",
    "http://10.1/",
    "http://192.168.0.1:8080/",
    "http://127.0.0.1:1/",
    "http://2130706433:1/",
    "http://0:1/",
    "http://[::1]:1/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a00:1::]/",
    "http://private.example/",
    "//private.example/",
    "http://mixed.example/",
]


@pytest.mark.parametrize("target", FORBIDDEN)
def test_a_redirect_is_checked_before_anything_is_sent(
    server: FileServer,
    names: dict[str, Lookup],
    connections: list[tuple[Any, ...]],
    tmp_path: Path,
    target: str,
) -> None:
    names["private.example"] = lambda host: ["10.0.0.1"]
    names["mixed.example"] = lambda host: ["93.184.216.34", "10.0.0.1"]
    server.redirects["/away"] = target
    with pytest.raises(RefusedError, match="is no public address"):
        mover_http.head(server.url("/away"), 60, own(server))
    with pytest.raises(RefusedError, match="is no public address"):
        get(server.url("/away"), own(server), tmp_path)
    assert set(connections) == {server.server_address}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [target for target in FORBIDDEN if target.startswith("http")])
def test_so_is_the_url_itself(
    names: dict[str, Lookup], connections: list[tuple[Any, ...]], target: str
) -> None:
    names["private.example"] = lambda host: ["10.0.0.1"]
    names["mixed.example"] = lambda host: ["93.184.216.34", "10.0.0.1"]
    with pytest.raises(RefusedError):
        mover_http.head(target, 60, Allowed())
    assert connections == []


def test_every_step_of_several_is_checked(server: FileServer, tmp_path: Path) -> None:
    with file_server(CONTENT) as second, file_server(CONTENT) as third:
        server.redirects["/away"] = second.url("/further")
        second.redirects["/further"] = third.url("/good")
        assert get(server.url("/away"), own(server, second, third), tmp_path) == CONTENT
        third.requests.clear()
        with pytest.raises(RefusedError):
            get(server.url("/away"), own(server, second), tmp_path)
        assert third.requests == []


def test_the_connection_goes_to_the_address_that_was_checked(
    server: FileServer, names: dict[str, Lookup], connections: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    asked: list[str] = []

    def changing(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    names["changing.example"] = changing
    port = server.server_address[1]
    allowed = Allowed(networks=("127.0.0.0/8",))
    assert get(f"http://changing.example:{port}/good", allowed, tmp_path) == CONTENT
    # looked up once, connected to what was found then, and called by its name
    assert asked == ["changing.example"]
    assert connections == [server.server_address]
    assert server.headers[0]["Host"] == f"changing.example:{port}"
    # the next time it is another address: refused
    with pytest.raises(RefusedError, match=r"changing\.example \(169\.254\.169\.254\)"):
        get(f"http://changing.example:{port}/good", allowed, tmp_path)
    assert connections == [server.server_address]


def test_a_name_that_changes_between_two_tries_is_checked_again(
    server: FileServer, names: dict[str, Lookup], tmp_path: Path
) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    names["changing.example"] = lambda host: next(answers)
    url = f"http://changing.example:{server.server_address[1]}/breaks-once"
    with pytest.raises(RefusedError):
        fetch(url, Allowed(networks=("127.0.0.0/8",)), tmp_path, attempts=5)
    assert list(tmp_path.iterdir()) == []


def test_the_next_address_is_tried_where_one_does_not_answer(
    server: FileServer, names: dict[str, Lookup], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET6) as unused:
        unused.bind(("::1", 0))

        def both(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
            dead = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", unused.getsockname())
            return [dead, (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.server_address)]

        allowed = Allowed(hosts=("both.example",))
        found = addresses.targets("both.example", 80, allowed, both)
        connection = mover_http._Connection("both.example", 80, found, None)
        connection.connect()
        assert connection.sock.getpeername() == server.server_address
        connection.close()


def test_redirects_are_bounded(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(MoverError, match="redirected more than 5 times"):
        get(server.url("/loop"), own(server), tmp_path)
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://ada:s3cret@127.0.0.1/", "a URL with a user name is not taken"),
        ("ftp://127.0.0.1/?s3cret", "which is not followed"),
        ("http://[::1/?s3cret", "redirected to what is no URL"),
        ("", "redirected to itself"),
    ],
)
def test_redirects_that_are_not_followed(server: FileServer, tmp_path: Path, target: str, said: str) -> None:
    server.redirects["/away"] = target
    with pytest.raises(MoverError, match=said) as caught:
        get(server.url("/away"), own(server), tmp_path)
    assert "s3cret" not in str(caught.value)
    assert len(server.requests) == 1


def test_no_credential_goes_to_another_host_nor_into_a_message(server: FileServer, tmp_path: Path) -> None:
    with file_server(CONTENT) as other:
        server.redirects["/away?signature=s3cret"] = other.url("/good")
        allowed = own(server, other)
        done = fetch(server.url("/away?signature=s3cret#f"), allowed, tmp_path)
        assert done.url == server.url("/away")
        assert other.requests == [("GET", "/good", None)]
        assert set(other.headers[0]) <= {"Host", "Accept-Encoding", "User-Agent"}
    for path in ("/missing", "/good"):
        with pytest.raises(MoverError) as caught:
            fetch(server.url(path + "?s3cret"), own(server), tmp_path, size=3)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a:b@c.example:80/d?e#f", "http://c.example:80/d"),
        ("https://c.example/x//y@z?e", "https://c.example/x//y@z"),
        ("http://a@b@c.example", "http://c.example"),
        ("cube.fits?x", "cube.fits"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url: str, said: str) -> None:
    assert shown(url) == said


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server with a certificate for localhost, which this process trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-days", "2"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with file_server(CONTENT) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        yield running


def test_the_certificate_must_be_that_of_the_name(
    secure: FileServer, names: dict[str, Lookup], tmp_path: Path
) -> None:
    names["localhost"] = names["other.example"] = lambda host: ["127.0.0.1"]
    allowed = Allowed(hosts=("localhost", "other.example"))
    port = secure.server_address[1]
    assert get(f"https://localhost:{port}/good", allowed, tmp_path) == CONTENT
    with pytest.raises(MoverError, match="TLS"):
        get(f"https://other.example:{port}/good", allowed, tmp_path)


def test_a_redirect_from_https_to_http_is_not_followed(
    secure: FileServer, server: FileServer, names: dict[str, Lookup], tmp_path: Path
) -> None:
    names["localhost"] = lambda host: ["127.0.0.1"]
    secure.redirects["/away"] = server.url("/good?s3cret")
    allowed = Allowed(hosts=("localhost", "127.0.0.1"))
    with pytest.raises(MoverError, match=r"redirected to .*/good, which is not followed"):
        get(f"https://localhost:{secure.server_address[1]}/away", allowed, tmp_path)
    assert server.requests == []


def test_the_child_is_told_what_it_may_fetch(server: FileServer, tmp_path: Path) -> None:
    """As the broker starts it: the child refuses, and says so in a way that is told from other failures."""
    url = server.url("/good")
    for work in (
        transfer.head(LocalHost(), url, allowed=Allowed()),
        transfer.fetch(LocalHost(), url, tmp_path / "file", allowed=Allowed()),
    ):
        with pytest.raises(transfer.TransferError, match=r"127\.0\.0\.1 is no public address") as caught:
            asyncio.run(work)
        assert caught.value.reason == "forbidden"
    assert server.requests == []
    moved = asyncio.run(transfer.fetch(LocalHost(), url, tmp_path / "file", allowed=own(server)))
    assert moved.size_bytes == len(CONTENT)


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"hosts": [], "peers": [], "networks": ["x"]})])
def test_a_permission_that_can_not_be_read_is_wrong_usage(text: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        mover.main(["head", "http://127.0.0.1:1/", "--allow", text])
    assert caught.value.code == 2
    assert "expected hosts, peers and networks" in capsys.readouterr().err
