"""A server on loopback that answers as it is told, whatever the method."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator

Answer = tuple[int, dict[str, str], bytes]


class Answering(http.server.ThreadingHTTPServer):
    """`answers` are (status, headers, body) by path with its query, or by path alone; `otherwise` makes those
    of other paths, which are 404. `statuses` of a method go before. `silent`: nothing is answered until the
    end. `asked` are (method, path, headers).
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.otherwise: Callable[[str], Answer] = lambda path: (404, {}, b"")
        self.statuses: dict[str, int] = {}
        self.silent = False
        self.ended = threading.Event()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.on_request: Callable[[], None] = lambda: None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def seen(self, header: str) -> list[str | None]:
        return [headers.get(header) for _, _, headers in self.asked]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answering

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        server = self.server
        server.asked.append((self.command, self.path, dict(self.headers)))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.on_request()
        if server.silent:
            server.ended.wait(60)
            self.close_connection = True
            return
        plain = self.path.partition("?")[0]
        found = server.answers.get(self.path) or server.answers.get(plain) or server.otherwise(plain)
        status, headers, body = found
        if self.command in server.statuses:
            status, body = server.statuses[self.command], b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    do_GET = do_HEAD = do_PROPFIND = do_POST = _answer  # noqa: N815


@contextlib.contextmanager
def answering() -> Iterator[Answering]:
    server = Answering()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
