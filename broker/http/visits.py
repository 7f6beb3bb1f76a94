"""What goes around every request: its id, time for its body, its line in the log, its entry in the audit log.

Plain ASGI, so that streamed answers stay streams.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.audit import LOGIN_FAILED, OF_THE_API, AuditLog, Entry
from broker.http.media import Refused
from broker.records import Owner
from federation.clock import Clock

# for the whole body of a request: 1 MiB at 140 kbit/s
BODY_SECONDS = 60.0
# of all headers together: more than the longest token needs
HEADERS_LIMIT = 32_768  # bytes
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_access = logging.getLogger("fairlead.access")


@dataclass
class Visit:
    """One request, as far as it has got."""

    id: str
    address: str | None
    # who asks, once that is known
    owner: Owner | None = None
    # whether the request says who asks, and the user name that it says
    credentials: bool = False
    username: str | None = None
    # whether it was taken from the caller's bucket
    counted: bool = False
    # whether somebody reads what is another's, by being operator or administrator
    foreign: bool = False
    target: str | None = None
    # what the audit log calls it, where it came by another way than the API's paths
    action: str | None = None
    # whether it is something for the audit log, though its method changes nothing
    noted: bool = False
    # more headers for the answer
    headers: dict[str, str] = field(default_factory=dict)


def visit_of(request: HTTPConnection) -> Visit:
    """The visit that a request belongs to."""
    state = request.scope.setdefault("state", {})
    if "visit" not in state:
        state["visit"] = Visit(uuid.uuid4().hex, request.client.host if request.client else None)
    found: Visit = state["visit"]
    return found


def reads(request: Request, viewer: Owner | None, owner: str) -> None:
    """Note that the viewer is shown what belongs to `owner`, whole."""
    if viewer is not None and viewer.sees_all and viewer.id != owner:
        visit_of(request).foreign = True


class Visits:
    """The middleware. `failed` words the answer where the application fails, or is not asked."""

    def __init__(
        self,
        app: ASGIApp,
        audit: AuditLog,
        clock: Clock,
        failed: Callable[[Request, Exception], Response],
    ) -> None:
        self._app, self._audit, self._clock, self._failed = app, audit, clock, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        visit = visit_of(request)
        given = request.headers.get("x-request-id", "")
        if _SANE_ID.fullmatch(given):
            visit.id = given
        request_id.set(visit.id)
        begun, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = visit.id
                for name, value in visit.headers.items():
                    headers.setdefault(name, value)
                self._note(scope, visit, status, headers)
            await send(message)

        async def body() -> Message:
            return await patient_receive() if not status else await receive()

        patient_receive = _patient(receive, BODY_SECONDS)
        try:
            size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
            if size > HEADERS_LIMIT:
                raise Refused(431, f"the headers are larger than {HEADERS_LIMIT} bytes together")
            await self._app(scope, body, answer)
        except Refused as error:
            # ours: the application answers its own
            await self._failed(request, error)(scope, receive, answer)
        except Exception as error:
            if not status:
                await self._failed(request, error)(scope, receive, answer)
            raise
        finally:
            _access.info(
                "%s %s %s %.0f ms %s",
                scope["method"],
                # as it came: what it stands for may be another line of the log
                quote(scope["path"]),
                status or "no answer",
                1000 * (time.monotonic() - begun),
                visit.owner.username if visit.owner else visit.address or "-",
            )

    def _note(self, scope: Scope, visit: Visit, status: int, headers: MutableHeaders) -> None:
        """The entry in the audit log, where this is something for it."""
        method, owner = str(scope["method"]), visit.owner
        path = str(getattr(scope.get("route"), "path", quote(scope["path"])))
        if visit.credentials and owner is None and status in (401, 403):
            action = LOGIN_FAILED
        elif (method in _CHANGES and status != 429) or visit.foreign or visit.noted:
            # of HEAD, what GET would be
            key = ("GET" if method == "HEAD" else method, path)
            action = visit.action or OF_THE_API.get(key, f"{method} {path}")
        else:
            return
        place = headers.get("location", "").rsplit("/", 1)[-1] if method == "POST" else ""
        target = visit.target or scope.get("path_params", {}).get("uuid") or place or None
        self._audit.record(
            Entry(
                self._clock.now(),
                action,
                status,
                visit.id,
                owner.id if owner else None,
                owner.username if owner else visit.username,
                target,
                visit.address,
            )
        )


def _patient(receive: Receive, seconds: float) -> Receive:
    """Waits that long for the whole body, and no longer. Raises Refused (408)."""
    deadline: float | None = None
    complete = False

    async def receive_in_time() -> Message:
        nonlocal deadline, complete
        if complete:
            return await receive()
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Refused(
                408, f"the body did not come within {seconds:g} s", {"Connection": "close"}
            ) from None
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_in_time
