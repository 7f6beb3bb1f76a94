"""A registry that does what a test says: tokens, redirects and every kind of fault, on loopback."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from broker.images.documents import OCI_MANIFEST
from tests.broker.images.real import Made, make_image, make_layer

IMAGE = make_image(make_layer({"x": b"of a fake registry"}))
TOKEN = "bearer-token-of-the-test"
# for so long, or until the test ends, nothing is answered, or only a byte at a time
SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Said:
    """`length`: what Content-Length claims, where it isn't the length of `body`."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    # sent a byte at a time
    drips: bool = False


Answering = Callable[[str, dict[str, str]], Said | None]


class FakeRegistry(http.server.ThreadingHTTPServer):
    """`answer(path, headers)` says what is answered; None: nothing, until the test ends. `asked` is what was
    asked for, (path, Authorization)."""

    daemon_threads = True

    def __init__(self, answer: Answering, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.answer = answer
        self.asked: list[tuple[str, str | None]] = []
        self.ended = threading.Event()

    @property
    def host(self) -> str:
        return f"{self.server_address[0]}:{self.server_address[1]}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FakeRegistry

    def handle(self) -> None:
        if isinstance(self.connection, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                super().handle()
        # TLS, which isn't spoken here
        elif self.connection.recv(1, socket.MSG_PEEK) != b"\x16":
            super().handle()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers.get("authorization")))
        said = self.server.answer(self.path, headers)
        if said is None:
            self.server.ended.wait(SILENT_SECONDS)
            return
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        length = len(said.body) if said.length is None else said.length
        self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(OSError):
            if said.drips:
                until = time.monotonic() + SILENT_SECONDS
                while not self.server.ended.wait(0.05) and time.monotonic() < until:
                    self.wfile.write(b" ")
            else:
                self.wfile.write(said.body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def fake_registry(
    answer: Answering, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[FakeRegistry]:
    with FakeRegistry(answer, address) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def serving(image: Made = IMAGE) -> Answering:
    """A registry that has `image`, by whatever name."""

    def answer(path: str, headers: dict[str, str]) -> Said:
        if "/manifests/" in path:
            return Said(body=image.manifest.content, headers={"Content-Type": OCI_MANIFEST})
        return Said(body=image.config.content)

    return answer


def asking_for_a_token(
    realm: Callable[[], str], behind: Answering, needs_login: str | None = None
) -> Answering:
    """`behind` for those with a token of `realm`, which is under /token here; `needs_login`: the header by
    which it is given."""

    def answer(path: str, headers: dict[str, str]) -> Said | None:
        sent = headers.get("authorization")
        if path.startswith("/token"):
            if needs_login is not None and sent != needs_login:
                return Said(401, b'{"errors":[{"message":"who are you?"}]}')
            return Said(body=json.dumps({"token": TOKEN}).encode())
        if sent != f"Bearer {TOKEN}":
            challenge = f'Bearer realm="{realm()}",service="the-registry",scope="repository:a/tool:pull"'
            return Said(401, b"", {"WWW-Authenticate": challenge})
        return behind(path, headers)

    return answer
