"""A storage element of the tests: it serves what was put to it by HTTP, for Rucio to point at."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote


def registered(scope: str, name: str, content: bytes) -> dict[str, Any]:
    """The file as it is registered in Rucio."""
    return {
        "scope": scope,
        "name": name,
        "bytes": len(content),
        "adler32": f"{zlib.adler32(content):08x}",
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }


def path_of(rse: str, scope: str, name: str) -> str:
    """Where Rucio's algorithm "hash" has a file of a deterministic storage element."""
    digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
    return f"/{rse}/{scope}/{digest[:2]}/{digest[2:4]}/{name}"


class Store(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        content = self.server.files.get(unquote(self.path))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self) -> None:
        self.server.files[unquote(self.path)] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
