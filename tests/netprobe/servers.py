"""Real servers on loopback for the tests: iperf3, and an HTTP server that can be told to misbehave."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from federation.hosts import LocalHost
from netprobe.tools import Endpoint, Test


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def iperf3_server(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """An iperf3 server that listens when the block begins."""
    port = free_port()
    command = ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_listening(process, port)
        yield process, port
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    # asking by a connection would make the server busy for a moment: ask the kernel
    wanted = f":{port:04X} 00000000:0000 0A"
    for _ in range(500):
        with open("/proc/net/tcp") as table:  # noqa: PTH123
            if wanted in table.read():
                return
        assert process.poll() is None, "iperf3 -s ended"
        time.sleep(0.01)
    raise AssertionError("iperf3 -s doesn't listen")


def loopback_test(port: int, time_limit_seconds: float = 10.0, **parameters: object) -> Test:
    """A test from the site "here" to the site "there", both on loopback."""
    here = Endpoint("here", LocalHost(), "127.0.0.1")
    return Test(here, Endpoint("there", LocalHost(), "127.0.0.1", port), parameters, time_limit_seconds)


def children() -> set[int]:
    """The processes that this one has started and that still are."""
    found = set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        with contextlib.suppress(OSError, IndexError):
            if name.isdigit():
                with open(f"/proc/{name}/stat") as status:  # noqa: PTH123
                    fields = status.read().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    found.add(int(name))
    return found


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `content` at every path, with faults by name. `requests` are (method, path, range).

    `redirects` are more of those, by path.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.requests: list[tuple[str, str, str | None]] = []
        self.redirects: dict[str, str] = {}
        self.headers: list[dict[str, str]] = []
        # what /stalled waits for
        self.released = threading.Event()
        self.reached = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, send: bool) -> None:
        content, asked = self.server.content, self.headers.get("Range")
        self.server.requests.append((self.command, self.path, asked))
        self.server.headers.append(dict(self.headers))
        tries = sum(path == self.path for _, path, _ in self.server.requests)
        self.close_connection = True
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/private":
            self.send_error(403)
            return
        if self.path == "/no-head" and not send:
            self.send_error(405)
            return
        target = {"/moved": "/good", "/to-file": "file:///etc/hostname"} | self.server.redirects
        if self.path in target or self.path.startswith("/loop"):
            self.send_response(302)
            self.send_header("Location", target.get(self.path, self.path + "x"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/unavailable-once" and tries == 1:
            self.send_error(503)
            return
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
        begin = 0
        end = len(content)
        if part and self.path != "/no-ranges":
            begin = int(part[1])
            end = int(part[2]) + 1 if part[2] else end
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.path != "/no-length":
            self.send_header("Content-Length", str(end - begin))
        self.send_header("ETag", '"one"')
        self.send_header("Connection", "close")
        self.end_headers()
        if not send:
            return
        body = content[begin:end]
        if self.path in ("/breaks-once", "/no-ranges") and tries == 1:
            body = body[: len(body) // 2]
        if self.path == "/short":
            body = body[: len(body) // 4]
        if self.path == "/stalled":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.reached.set()
            self.server.released.wait(30)
            return
        with contextlib.suppress(OSError):
            self.wfile.write(body)


@contextlib.contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    server = FileServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class KeptServer(http.server.ThreadingHTTPServer):
    """Serves `files` by path over connections that stay open. `connections` counts them; `together` is how
    many answers were under way at most; `extra` headers are added to the answers of a path, `asked` is each
    request's path and headers. A connection ends after `answers` of them (None: never), without a word.

    `gate`: each answer waits for it, once it is counted.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, files: dict[str, bytes], answers: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _KeptHandler)
        self.files, self.answers = files, answers
        self.extra: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections = self.under_way = self.together = 0
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.counted = threading.Semaphore(0)
        self.gate.set()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _KeptHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KeptServer

    def log_message(self, *arguments: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.answered = 0
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        server = self.server
        name = self.path.partition("?")[0]
        with server.lock:
            server.asked.append((self.path, dict(self.headers)))
            server.under_way += 1
            server.together = max(server.together, server.under_way)
        server.counted.release()
        server.gate.wait(30)
        try:
            if name not in server.files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.files[name])))
            for key, value in server.extra.get(name, {}).items():
                self.send_header(key, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(server.files[name])
        finally:
            self.answered += 1
            # without a word, as a server does whose patience is over
            self.close_connection = self.answered == server.answers
            with server.lock:
                server.under_way -= 1


@contextlib.contextmanager
def kept_server(files: dict[str, bytes], answers: int | None = None) -> Iterator[KeptServer]:
    server = KeptServer(files, answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
