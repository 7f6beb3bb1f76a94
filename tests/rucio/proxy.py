"""Between the broker and Rucio: answers are passed on, or spoilt."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


class Proxy(http.server.ThreadingHTTPServer):
    """Passes everything on to `rucio`. A path that contains a key of `faults` gets that fault: a status, or
    one of "silent", "trickle", "cut", "page", "number", "rows", "away". `once` are statuses for one answer.

    `asked` are (method, path); `tokens` those that it was shown; `seconds`: what Rucio itself took.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, rucio: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rucio = httpx.Client(base_url=rucio, trust_env=False, timeout=60)
        self.faults: dict[str, int | str] = {}
        self.once: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.seconds = 0.0
        self.released = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, path: str) -> int | str | None:
        with self.lock:
            for part in list(self.once):
                if part in path:
                    return self.once.pop(part)
        return next((fault for part, fault in self.faults.items() if part in path), None)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        server, length = self.server, int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        with server.lock:
            server.asked.append((self.command, self.path))
            server.tokens.append(self.headers.get("X-Rucio-Auth-Token", ""))
        fault = server.fault(self.path)
        if isinstance(fault, int):
            # an honest server wouldn't, but some log and repeat what they were sent
            said = f'{{"ExceptionClass": "Wrong", "ExceptionMessage": "sent: {server.tokens[-1]}"}}'
            self._answer(fault, said.encode())
            return
        if fault == "silent":
            server.released.wait(60)
            self.close_connection = True
            return
        if fault == "away":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        keep = ("x-rucio-", "content-type")
        headers = {name: value for name, value in self.headers.items() if name.lower().startswith(keep)}
        started = time.perf_counter()
        answer = server.rucio.request(self.command, self.path, content=body, headers=headers)
        with server.lock:
            server.seconds += time.perf_counter() - started
        tokens = {name: value for name, value in answer.headers.items() if name.startswith("x-rucio-")}
        match fault:
            case "trickle":
                self._start(200, 10**6, {})
                while not server.released.wait(0.05):
                    self.wfile.write(b" ")
                self.close_connection = True
            case "cut":
                self._start(200, len(answer.content) + 1, tokens)
                self.wfile.write(answer.content[: len(answer.content) // 2])
                self.close_connection = True
            case "page":
                self._answer(200, b"<html><body>sign in, please</body></html>")
            case "number":
                self._answer(200, b"17")
            case "rows":
                # whole lines, but not all of them
                lines = answer.content.splitlines(keepends=True)
                self._answer(200, b"".join(lines[: len(lines) // 2]))
            case _:
                self._answer(answer.status_code, answer.content, tokens)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._start(status, len(body), headers or {})
        self.wfile.write(body)

    def _start(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def proxy(rucio: str) -> Iterator[Proxy]:
    with Proxy(rucio) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
            server.rucio.close()
