"""Small requests whose answers are told, not kept: what is in a folder, what a store or a service says.

They are sent where the mover runs, for often nobody else reaches the server, and by the same rules: addresses
that are allowed, redirects with care, tokens to their own server alone. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from netprobe.addresses import Allowed
from netprobe.mover_http import BrokenError, Connections, MoverError, RefusedError, answer, shown

# requests under way at a time, to all servers together
WORKERS = 8
MOST_BYTES = 4 * 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK_BYTES = 65536


@dataclass(frozen=True)
class Request:
    """`most_bytes` of the answer's body are read; `follow` False: a redirect is an answer like any other."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str | None = None
    most_bytes: int = MOST_BYTES
    follow: bool = True


@dataclass(frozen=True)
class Asked:
    """Requests, and tokens by server (see `mover_http.Connections`)."""

    requests: tuple[Request, ...]
    bearers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Answer:
    """The answer to the request of this `number`, with header names in small letters.

    `whole` False: the body was longer, or it broke off. Without an answer `status` is None, `error` says why
    in one line, and `reason` is as in `mover_http.RefusedError`.
    """

    number: int
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    whole: bool = False
    error: str | None = None
    reason: str | None = None


def ask_all(
    asked: Asked, allowed: Allowed | None, stall_seconds: float, answered: Callable[[Answer], None]
) -> None:
    """Send all requests, WORKERS at a time; `answered` gets each answer as it comes, in this thread."""
    waiting = deque(enumerate(asked.requests))
    answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()

    def work() -> None:
        with Connections(allowed, asked.bearers) as connections:
            while True:
                try:
                    number, request = waiting.popleft()
                except IndexError:
                    return
                try:
                    answers.put(_answer(number, request, stall_seconds, connections))
                except BaseException as problem:
                    answers.put(problem)
                    return

    for _ in range(min(WORKERS, len(asked.requests))):
        # nobody waits for one that hangs when a signal ends the mover
        threading.Thread(target=work, daemon=True).start()
    for _ in asked.requests:
        found = answers.get()
        if isinstance(found, BaseException):
            raise found
        answered(found)


def _answer(number: int, request: Request, stall_seconds: float, connections: Connections) -> Answer:
    def taken(status: int) -> bool:
        return status not in _REDIRECTS or not request.follow

    body = None if request.body is None else request.body.encode()
    how = request.method, request.url, request.headers, stall_seconds, connections, body, taken
    try:
        with answer(*how) as resource:
            content, whole = _read(resource.response, request.most_bytes)
            headers = {name.lower(): value for name, value in resource.response.getheaders()}
            return Answer(number, resource.response.status, headers, content.decode(errors="replace"), whole)
    except RefusedError as problem:
        return Answer(number, error=str(problem), reason=problem.reason)
    except MoverError as problem:
        return Answer(number, error=str(problem))
    except BrokenError as problem:
        return Answer(number, error=f"{shown(request.url)}: {problem}")


def _read(response: http.client.HTTPResponse, most_bytes: int) -> tuple[bytes, bool]:
    """The body, and whether that is all of it."""
    content = bytearray()
    # of a HEAD: nothing comes, whatever is announced
    expected = response.length
    try:
        while block := response.read(min(_BLOCK_BYTES, most_bytes + 1 - len(content))):
            content += block
            if len(content) > most_bytes:
                return bytes(content[:most_bytes]), False
    except (OSError, http.client.HTTPException):
        return bytes(content), False
    return bytes(content), expected is None or len(content) == expected


def document(asked: Asked) -> str:
    """As JSON; `read` reads it."""
    return json.dumps(asdict(asked))


def read(text: str) -> Asked:
    """Raises MoverError for what `document` didn't write."""
    try:
        found = json.loads(text)
        return Asked(tuple(Request(**each) for each in found["requests"]), dict(found["bearers"]))
    except (KeyError, TypeError, ValueError) as problem:
        # not what it is: it may hold tokens
        raise MoverError("expected requests as JSON on standard input") from problem


def read_answer(said: Mapping[str, Any]) -> Answer:
    """An answer of the mover's, from JSON."""
    return Answer(**said)
