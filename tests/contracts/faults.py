"""One vocabulary of faults, and what makes them: a front before a service, and a front before a command.

Both pass everything on to the real thing until `begin`; what the real thing did is never undone by a fault.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit


class Fault(StrEnum):
    DOWN = "down"  # nobody is there
    SLOW = "slow"  # it is done, but no answer comes as long as one is waited for
    UNAUTHORIZED = "401"  # whoever asks is not believed
    FORBIDDEN = "403"  # whoever asks may not
    EXPIRED = "expired token"  # what was shown until now doesn't count any more; something new would
    HALF = "half answer"  # it is done, and the answer breaks off in its middle
    WRONG = "wrong type"  # an answer in time that is of another kind: a page to sign in at
    VANISHING = (
        "vanishing in the middle"  # it goes while the session runs, and comes back after that was given up
    )
    KILLED = "killed broker"  # the broker is killed when a start was done, but not answered yet


PAGE = b"<html><body>Sign in</body></html>"
# however long one is waited for
LONGEST_SECONDS = 30.0


class Front(Protocol):
    def begin(self, fault: Fault, from_start: bool = False) -> None:
        """From now on, or from the first request on that starts something."""
        ...

    def end(self) -> None: ...

    def kill(self, process: int) -> None:
        """Kill that process as soon as a start was done, before it is answered: once."""
        ...


# before a service


class HttpFront:
    """A proxy before the HTTP service at `upstream`; `starts` says which requests start something there.

    `sent` are the credentials that it was shown.
    """

    def __init__(self, upstream: str, starts: Callable[[str, str, bytes], bool]) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self.upstream, self.path, self.starts = (parts.hostname, parts.port or 80), parts.path, starts
        self.fault: Fault | None = None
        self.from_start = False
        self.sent: set[str] = set()
        self.old: frozenset[str] = frozenset()
        self.over = threading.Event()
        self._victim = 0
        self._keeper = socket.socket()
        # keeps the number for us while nobody listens
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self._listening: tuple[_Server, threading.Thread] | None = None
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._keeper.getsockname()[1]}{self.path}"

    def begin(self, fault: Fault, from_start: bool = False) -> None:
        self.over.clear()
        self.from_start = from_start
        self.fault, self.old = fault, frozenset(self.sent)
        if fault is Fault.DOWN:
            self._deafen()

    def end(self) -> None:
        self.fault = None
        self.over.set()
        self._listen()

    def kill(self, process: int) -> None:
        self._victim = process

    def close(self) -> None:
        self.end()
        self._deafen()
        self._keeper.close()

    def started(self) -> bool:
        """Whether somebody was killed for it."""
        victim, self._victim = self._victim, 0
        if victim:
            os.kill(victim, signal.SIGKILL)
        return bool(victim)

    def _listen(self) -> None:
        if self._listening is None:
            server = _Server(("127.0.0.1", self._keeper.getsockname()[1]), self)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            self._listening = server, thread

    def _deafen(self) -> None:
        if self._listening is not None:
            server, thread = self._listening
            self._listening = None
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], front: HttpFront) -> None:
        self.front = front
        super().__init__(address, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # else an answer waits for its second half
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *arguments: object) -> None:
        pass

    def _pass_on(self) -> None:
        front = self.server.front
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shown = next((self.headers[name] for name in SHOWN if self.headers[name]), "")
        fault = front.fault
        if fault is Fault.EXPIRED and shown not in front.old:
            fault = None
        front.sent.add(shown)
        if front.from_start and not front.starts(self.command, self.path, body):
            fault = None
        elif front.from_start:
            front.from_start = False
        # an honest server wouldn't, but some repeat what they were sent
        said = json.dumps({"error": f"refused: {shown}"}).encode()
        match fault:
            case Fault.DOWN:
                self._break()
            case Fault.UNAUTHORIZED | Fault.EXPIRED:
                self._answer(401, {"Content-Type": "application/json"}, said)
            case Fault.FORBIDDEN:
                self._answer(403, {"Content-Type": "application/json"}, said)
            case Fault.WRONG:
                self._answer(200, {"Content-Type": "text/html"}, PAGE)
            case _:
                self._done(front, fault, body)

    def _done(self, front: HttpFront, fault: Fault | None, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        there = http.client.HTTPConnection(*front.upstream, timeout=60)
        try:
            there.request(self.command, self.path, body or None, headers)
            answer = there.getresponse()
            content = answer.read()
        finally:
            there.close()
        told = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
        if front.starts(self.command, self.path, body) and front.started():
            self._break()
        elif fault is Fault.SLOW:
            front.over.wait(LONGEST_SECONDS)
            self._break()
        elif fault is Fault.HALF:
            self._answer(answer.status, told, content[: len(content) // 2], max(len(content), 1))
            self.close_connection = True
        else:
            self._answer(answer.status, told, content)

    def _break(self) -> None:
        # a reset, not an end
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _answer(
        self, status: int, headers: Mapping[str, str], body: bytes, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PROPFIND = _pass_on  # noqa: N815


# where credentials are shown
SHOWN = ("Authorization", "X-Auth-Token", "X-SLURM-USER-TOKEN")
# what is between two hops alone
HOP = frozenset({"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"})


@contextlib.contextmanager
def proxied(upstream: str, starts: Callable[[str, str, bytes], bool]) -> Iterator[HttpFront]:
    front = HttpFront(upstream, starts)
    try:
        yield front
    finally:
        front.close()


# before a command

SCRIPT = """#!/bin/sh
if [ -e {directory}/later ]; then
    case "{name} $*" in {starts}) mv {directory}/later {directory}/fault ;; esac
fi
fault=$(cat {directory}/fault 2>/dev/null)
case $fault in
{words}
slow) {real} "$@" > /dev/null 2>&1; exec sleep {seconds} ;;
'half answer')
    whole=$(mktemp)
    {real} "$@" > "$whole" 2> /dev/null
    head -c $(($(wc -c < "$whole") / 2)) "$whole"
    rm "$whole"
    kill -KILL $$ ;;
'wrong type') echo '{page}'; exit 0 ;;
esac
if [ -e {directory}/victim ]; then
    case "{name} $*" in {starts})
        {real} "$@" > /dev/null 2>&1
        kill -KILL "$(cat {directory}/victim)"
        rm {directory}/victim
        exit 1 ;;
    esac
fi
exec {real} "$@"
"""


class CommandFront:
    """Wrappers of `commands` in `directory`, which is to be first in PATH.

    `words` are what the real command says of a fault on standard error, and its exit status; `starts` is a
    pattern of the shell's for a command's name and arguments that starts something.
    """

    def __init__(
        self, directory: Path, commands: Sequence[str], words: Mapping[Fault, tuple[str, int]], starts: str
    ) -> None:
        self.directory = directory
        programs = directory / "bin"
        programs.mkdir(parents=True)
        for command in commands:
            found = shutil.which(command)
            assert found is not None
            cases = "\n".join(
                f"{shlex.quote(fault)}) echo {shlex.quote(said.format(name=command))} >&2; exit {status} ;;"
                for fault, (said, status) in words.items()
            )
            places = {"directory": shlex.quote(str(directory)), "name": command, "real": found}
            more = {"words": cases, "starts": starts, "page": PAGE.decode(), "seconds": LONGEST_SECONDS}
            (programs / command).write_text(SCRIPT.format(**places, **more))
            (programs / command).chmod(0o755)
        self.path = str(programs)

    def begin(self, fault: Fault, from_start: bool = False) -> None:
        (self.directory / ("later" if from_start else "fault")).write_text(fault)

    def end(self) -> None:
        # in this order: what comes later comes no more
        for name in ("later", "fault"):
            (self.directory / name).unlink(missing_ok=True)

    def kill(self, process: int) -> None:
        (self.directory / "victim").write_text(str(process))
