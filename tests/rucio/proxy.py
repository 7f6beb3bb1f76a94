"""Between the broker and Rucio: answers are passed on, or spoilt."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.loopback import Asked, Handler, Said, Server, running


class Proxy(Server):
    """Passes everything on to `rucio`. A path that contains a key of `faults` gets that fault: a status, or
    one of "silent", "trickle", "cut", "page", "number", "rows", "away". `once` are statuses for one answer.

    `asked` are (method, path); `tokens` those that it was shown; `seconds`: what Rucio itself took.
    `outwaited`: somebody has waited for a minute, to the end of what is silent or trickles.
    """

    def __init__(self, rucio: str) -> None:
        super().__init__(_Handler)
        self.rucio = httpx.Client(base_url=rucio, trust_env=False, timeout=60)
        self.faults: dict[str, int | str] = {}
        self.once: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.seconds = 0.0
        self.outwaited = False
        self.released = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return self.origin

    def fault(self, path: str, token: str) -> int | str | None:
        """What becomes of a request that shows this token."""
        with self.lock:
            for part in list(self.once):
                if part in path:
                    return self.once.pop(part)
        return next((fault for part, fault in self.faults.items() if part in path), None)


class _Handler(Handler):
    server: Proxy

    def respond(self, asked: Asked) -> None:
        server, token = self.server, self.headers.get("X-Rucio-Auth-Token", "")
        with server.lock:
            server.asked.append((self.command, self.path))
            server.tokens.append(token)
        fault = server.fault(self.path, token)
        if isinstance(fault, int):
            # an honest server wouldn't, but some log and repeat what they were sent
            said = f'{{"ExceptionClass": "Wrong", "ExceptionMessage": "sent: {token}"}}'
            self.say(Said(fault, said.encode()))
            return
        if fault == "silent":
            server.outwaited |= not server.released.wait(60)
            self.close_connection = True
            return
        if fault == "away":
            self.say(Said(302, headers={"Location": "http://127.0.0.1:9/elsewhere"}))
            return
        keep = ("x-rucio-", "content-type")
        headers = {name: value for name, value in self.headers.items() if name.lower().startswith(keep)}
        started = time.perf_counter()
        answer = server.rucio.request(self.command, self.path, content=asked.body, headers=headers)
        with server.lock:
            server.seconds += time.perf_counter() - started
        tokens = {name: value for name, value in answer.headers.items() if name.startswith("x-rucio-")}
        match fault:
            case "trickle":
                self.say(Said(headers={"Content-Length": "1200"}))
                with contextlib.suppress(OSError):  # whoever asked has left
                    for _ in range(1200):
                        self.wfile.write(b" ")
                        if server.released.wait(0.05):
                            return
                    server.outwaited = True
            case "cut":
                half = answer.content[: len(answer.content) // 2]
                self.say(Said(200, half, {**tokens, "Content-Length": str(len(answer.content) + 1)}))
            case "page":
                self.say(Said(200, b"<html><body>sign in, please</body></html>"))
            case "number":
                self.say(Said(200, b"17"))
            case "rows":
                # whole lines, but not all of them
                lines = answer.content.splitlines(keepends=True)
                self.say(Said(200, b"".join(lines[: len(lines) // 2])))
            case _:
                self.say(Said(answer.status_code, answer.content, tokens))


@contextmanager
def proxy(rucio: str) -> Iterator[Proxy]:
    server = Proxy(rucio)
    with server.rucio, running(server, server.released.set):
        yield server
