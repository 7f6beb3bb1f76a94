"""The simulated Skaha's HTTP: an ASGI app, and faults that a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.skaha.simulator import Refused, Simulator

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
BASE = "/skaha/v1"
# however long a client waits
LONGEST_SECONDS = 60.0
AVAILABILITY = """<?xml version="1.0" encoding="UTF-8"?>
<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">
  <vosi:available>true</vosi:available>
  <vosi:note>skaha service is available.</vosi:note>
</vosi:availability>
"""


How = str | threading.Event | tuple[int, str, bytes]


@dataclass(frozen=True)
class Fault:
    """What becomes of the requests whose method and path begin so.

    `how`: "slow" (done, but not answered while the client waits), "cut" (a body
    without its end, then the connection breaks), "lost" (the same before the body: nobody hears what came of
    the request), an event (done, and answered when that is set), or an answer (status, content type, body).
    """

    on: str
    how: How
    times: int = 1_000_000


@dataclass
class App:
    """`requests`: method, path with query, headers and body of each, for tests to look at.

    `certificate`: whether the connection has shown a client certificate, which the server then asks for.
    """

    simulator: Simulator
    certificate: bool = False
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def begin_anew(self, simulator: Simulator) -> None:
        """For the next test."""
        self.simulator, self.requests, self.faults = simulator, [], []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        method, path = scope["method"], scope["path"]
        whole = f"{path}?{query}" if query else path
        self.requests.append((method, whole, headers, body))
        fault = self._fault(f"{method} {whole.removeprefix(BASE)}")
        if isinstance(fault, tuple):
            status, kind, answer = fault
        else:
            status, kind, answer = self._answer(method, path, query, headers, body)
        if fault == "slow":
            await self._client_gone(receive)
            return
        if isinstance(fault, threading.Event):
            await asyncio.to_thread(fault.wait, LONGEST_SECONDS)
        broken = fault in ("cut", "lost")
        if fault == "lost":
            answer = b""
        length = len(answer) + 100 if broken else len(answer)
        sent = [(b"content-type", kind.encode()), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": answer, "more_body": broken})
        if broken:
            raise ConnectionAbortedError("on purpose")

    async def _client_gone(self, receive: Receive) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                while (await receive())["type"] != "http.disconnect":
                    pass

    def _fault(self, asked: str) -> How | None:
        for position, fault in enumerate(self.faults):
            if asked.startswith(fault.on):
                left = fault.times - 1
                self.faults[position : position + 1] = [Fault(fault.on, fault.how, left)] if left else []
                return fault.how
        return None

    def _answer(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        if path == "/skaha/availability":  # VOSI, without version and without credentials
            return 200, "text/xml", AVAILABILITY.encode()
        try:
            user = self._user(headers)
            form = body.decode() if "form-urlencoded" in headers.get("content-type", "") else ""
            given = parse_qs(query, keep_blank_values=True)
            for name, values in parse_qs(form, keep_blank_values=True).items():
                given.setdefault(name, []).extend(values)
            registry = headers.get("x-skaha-registry-auth")
            return self._route(user, method, path.removeprefix(BASE), given, registry)
        except Refused as refused:
            return refused.status, "text/plain", refused.text.encode()

    def _user(self, headers: dict[str, str]) -> str:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        user = "ann" if self.certificate else self.simulator.tokens.get(token)
        if user is None:
            raise Refused(401, "Unauthorized")  # SkahaAction.initRequest
        if user in self.simulator.outsiders:
            raise Refused(403, "Not authorized to use the skaha system")
        return user

    def _route(
        self, user: str, method: str, path: str, given: dict[str, list[str]], registry: str | None
    ) -> tuple[int, str, bytes]:
        simulator = self.simulator
        first = {name: values[0] for name, values in given.items()}
        parts = path.strip("/").split("/")
        if method == "GET" and parts == ["image"]:
            return _json(simulator.image_list(first.get("type")))
        if method == "GET" and parts == ["context"]:
            return _json(simulator.context())
        if method == "GET" and parts == ["repository"]:
            return _json(simulator.hosts)
        if parts == ["session"]:
            if method == "POST":
                session_id = simulator.create(user, given, registry)
                return 200, "text/plain", f"{session_id}\n".encode()
            view = first.get("view")
            if view == "stats":
                return _json(simulator.stats())
            found = simulator.list_sessions(user, first.get("type"), first.get("status"), view == "all")
            return _json(found)
        if parts[0] == "session" and len(parts) == 2:
            return self._session(user, method, parts[1], first)
        raise Refused(404, "Not found")

    def _session(
        self, user: str, method: str, session_id: str, first: dict[str, str]
    ) -> tuple[int, str, bytes]:
        simulator = self.simulator
        if method == "DELETE":
            simulator.delete(user, session_id)
            return 200, "text/plain", b""
        if method == "POST":
            if first.get("action", "").lower() != "renew":
                raise Refused(400, "unrecognized action")
            simulator.renew(user, session_id)
            return 200, "text/plain", b""
        if first.get("view") == "logs":
            return 200, "text/plain", simulator.logs(user, session_id)
        if first.get("view") == "events":
            return 200, "text/plain", simulator.event_text(user, session_id).encode()
        return _json(simulator.get_session(user, session_id))


def _json(document: Any) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(document, indent=2).encode()
