"""HTTP servers on loopback for the tests: one that answers as a function says, and what all others share."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request. `target`: the path with its query, as it was sent."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    def json(self) -> Any:
        """None where there is no body."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Said:
    """An answer. A Content-Length among the headers promises what isn't sent: then the connection ends."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def said_json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Said:
    body = json.dumps(document).encode()
    return Said(status, body, {"Content-Type": "application/json", **(headers or {})})


Answer = Callable[[Asked], Said]


class Server(ThreadingHTTPServer):
    """On a port of its own of 127.0.0.1. Connections that clients keep open end with it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    @property
    def port(self) -> int:
        return self.server_port

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def open_connections(self) -> int:
        """How many are open."""
        with self._open_lock:
            return len(self._open)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """`respond` is what its requests come to, whatever the method."""

    protocol_version = "HTTP/1.1"
    # headers and body are two writes
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def respond(self, asked: Asked) -> None:
        raise NotImplementedError

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.respond(Asked(self.command, self.path, self.headers, body))

    # the names that http.server looks for
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PROPFIND = _respond  # noqa: N815

    def say(self, said: Said) -> None:
        self.send_response(said.status)
        length = {} if said.status == 204 else {"Content-Length": str(len(said.body))}
        for name, value in {**length, **said.headers}.items():
            self.send_header(name, value)
        if "Content-Length" in said.headers:
            self.close_connection = True
        # who asked may have left
        with contextlib.suppress(OSError):
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)


AnyServer = TypeVar("AnyServer", bound=ThreadingHTTPServer)


@contextmanager
def running(server: AnyServer, release: Callable[[], object] = lambda: None) -> Iterator[AnyServer]:
    """`server` serves from a thread until the end of the block. `release` lets go before that who waits in an
    answer."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            release()
            server.shutdown()
            thread.join()


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that answers every request by `answer`, which may be called from several threads at once."""

    class Answers(Handler):
        def respond(self, asked: Asked) -> None:
            self.say(answer(asked))

    with running(Server(Answers, tls)) as server:
        yield server
