"""Real servers on loopback for the tests: iperf3, and an HTTP server that can be told to misbehave."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from federation.hosts import LocalHost
from netprobe.tools import Endpoint, Test
from tests.loopback import Asked, Handler, Said, Server, running
from tests.ports import free_port
from tests.waiting import SECONDS, until


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

    def is_listening() -> bool:
        assert process.poll() is None, "iperf3 -s ended"
        return wanted in Path("/proc/net/tcp").read_text()

    until(is_listening, "iperf3 -s listens")


def loopback_test(port: int, time_limit_seconds: float = SECONDS, **parameters: object) -> Test:
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


class FileServer(Server):
    """Serves `content` at every path, with faults by name. `requests` are (method, path, range).

    `redirects` are more of those, by path.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(_Handler)
        self.content = content
        self.requests: list[tuple[str, str, str | None]] = []
        self.redirects: dict[str, str] = {}
        self.headers: list[dict[str, str]] = []
        # what /stalled waits for
        self.released = threading.Event()
        self.reached = threading.Event()

    def url(self, path: str) -> str:
        return f"{self.origin}{path}"


class _Handler(Handler):
    server: FileServer

    def respond(self, asked: Asked) -> None:
        content, wanted, send = self.server.content, self.headers.get("Range"), self.command != "HEAD"
        self.server.requests.append((self.command, self.path, wanted))
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
            self.say(Said(302, headers={"Location": target.get(self.path, self.path + "x")}))
            return
        if self.path == "/unavailable-once" and tries == 1:
            self.send_error(503)
            return
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
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
            self.server.released.wait(300)
            return
        with contextlib.suppress(OSError):
            self.wfile.write(body)


@contextlib.contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    server = FileServer(content)
    with running(server, server.released.set):
        yield server


class KeptServer(Server):
    """Serves `files` by path over connections that stay open. `connections` counts them; `together` is how
    many answers were under way at most; `extra` headers are added to the answers of a path, `asked` is each
    request's path and headers. A connection ends after `answers` of them (None: never), without a word.

    `gate`: each answer waits for it, once it is counted.
    """

    def __init__(self, files: dict[str, bytes], answers: int | None = None) -> None:
        super().__init__(_KeptHandler)
        self.files, self.answers = files, answers
        self.extra: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections = self.under_way = self.together = 0
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.counted = threading.Semaphore(0)
        self.gate.set()

    def url(self, path: str) -> str:
        return f"{self.origin}{path}"


class _KeptHandler(Handler):
    server: KeptServer

    def setup(self) -> None:
        super().setup()
        self.answered = 0
        with self.server.lock:
            self.server.connections += 1

    def respond(self, asked: Asked) -> None:
        server = self.server
        name = self.path.partition("?")[0]
        with server.lock:
            server.asked.append((self.path, dict(self.headers)))
            server.under_way += 1
            server.together = max(server.together, server.under_way)
        server.counted.release()
        server.gate.wait(300)
        try:
            if name not in server.files:
                self.send_error(404)
                return
            self.say(Said(200, server.files[name], server.extra.get(name, {})))
        finally:
            self.answered += 1
            # without a word, as a server does whose patience is over
            self.close_connection = self.answered == server.answers
            with server.lock:
                server.under_way -= 1


@contextlib.contextmanager
def kept_server(files: dict[str, bytes], answers: int | None = None) -> Iterator[KeptServer]:
    server = KeptServer(files, answers)
    with running(server, server.gate.set):
        yield server
