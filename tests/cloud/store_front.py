"""A server before the store of results: it passes on what it is asked, or fails as a test wants it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx


class Front(ThreadingHTTPServer):
    """Before the store. `before` may answer in its place: with a status and a body."""

    daemon_threads = True

    def __init__(self, store: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store, self.asked = store, list[str]()
        self.before: Callable[[str, str], tuple[int, bytes] | None] = lambda method, path: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def log_message(self, *arguments: object) -> None:
        pass

    def _pass_on(self) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path.rpartition('/')[2]}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.before(self.command, path)
        if answer is None:
            # what is signed is signed for this address
            said = httpx.request(
                self.command,
                f"{self.server.store}{self.path}",
                content=body,
                headers={"Host": self.headers["Host"]},
                trust_env=False,
            )
            answer = said.status_code, said.content
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    do_GET = do_PUT = do_DELETE = _pass_on  # noqa: N815


@contextmanager
def front(store: str) -> Iterator[Front]:
    with Front(store) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
