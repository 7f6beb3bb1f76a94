"""A small HTTP server on loopback with one file: it counts what is asked, and misbehaves if told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Misbehaviour = Callable[["Handler", "Served"], bool]


@dataclass
class Served:
    """The file, and what was asked. `misbehave` may answer in the server's place: it then returns True."""

    content: bytes
    url: str = ""
    # (path, Range, Authorization) of each GET
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    sent_bytes: int = 0
    connections: int = 0
    etag: str | None = '"one"'
    misbehave: Misbehaviour = lambda handler, served: False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    # headers and body are two writes
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.served.connections += 1

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        served = self.server.served
        served.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if served.misbehave(self, served):
            return
        size = len(served.content)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        changed = self.headers.get("If-Range") not in (None, served.etag)
        if part is None or changed:
            self.send(200, served.content)
        elif int(part[1]) >= size:
            self.send(416, b"", **{"Content-Range": f"bytes */{size}"})
        else:
            first, last = int(part[1]), min(int(part[2]), size - 1)
            found = served.content[first : last + 1]
            self.send(206, found, **{"Content-Range": f"bytes {first}-{last}/{size}"})

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        etag = self.server.served.etag
        if etag is not None:
            self.send_header("ETag", etag)
        for name, value in ({"Content-Length": str(len(body)), "Accept-Ranges": "bytes"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.server.served.sent_bytes += len(body)
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    served: Served

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks may leave before the end."""


@contextmanager
def serving(content: bytes, misbehave: Misbehaviour | None = None) -> Iterator[Served]:
    with _Server(("127.0.0.1", 0), Handler) as server:
        server.served = served = Served(content, f"http://127.0.0.1:{server.server_port}/cube.fits")
        if misbehave is not None:
            served.misbehave = misbehave
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
