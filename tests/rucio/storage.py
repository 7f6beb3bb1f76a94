"""Storages of the tests, with real bytes: each file's are made from its name."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote


def content(name: str) -> bytes:
    """A few hundred bytes to a few kB, different for each name."""
    seed = hashlib.sha256(name.encode()).digest()
    return seed * (8 + seed[0])


def described(scope: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The files as they are registered in Rucio."""
    return [
        {
            "scope": scope,
            "name": name,
            "bytes": len(content(name)),
            "adler32": f"{zlib.adler32(content(name)):08x}",
            "md5": hashlib.md5(content(name), usedforsecurity=False).hexdigest(),
        }
        for name in names
    ]


class Storage(http.server.ThreadingHTTPServer):
    """Serves /RSE/SCOPE/xx/yy/NAME. `asked` are the names that were fetched; `vanished` are gone."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.vanished: set[str] = set()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Storage

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        name = unquote(self.path).split("/", 5)[5]
        self.server.asked.append(name)
        if name in self.server.vanished:
            self.send_error(404)
            return
        body = content(name)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def storage() -> Iterator[Storage]:
    with Storage() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
