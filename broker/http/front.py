"""What the routes share: the service behind them, its public address, the threads that they keep busy.

Answers are made in threads, documents included: to write a long one takes time that others would wait for.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import Response

from broker.audit import AuditLog
from broker.contract.codec import Malformed
from broker.http.access import Gate
from broker.http.media import Refused, malformed
from broker.inspect.looking import Inspection
from broker.model import Phase
from broker.platforms import StoredFile
from broker.records import OfferSetRecord, Owner, SessionRecord
from broker.sessions.listing import Cursor, Filters, Page

Handler = Callable[[Request], Awaitable[Response]]
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
# Requests that are being answered at a time. Each may wait for catalogues, so none of them may take a thread
# of those that only read; and more of them would not be faster, for they take turns in the ledger.
ASKING = 24
# changes of phase at a time: they, too, wait for the ledger
CHANGING = 8


class Service(Protocol):
    """What is behind the paths: `broker.service.Broker`, which see. Plain calls may block, and come from
    several threads."""

    def request(self, document: Any, owner: Owner) -> OfferSetRecord: ...

    def direct(self, document: Any, owner: Owner) -> SessionRecord: ...

    def offerset(self, uuid: str) -> OfferSetRecord | None: ...

    def session(self, uuid: str) -> SessionRecord | None: ...

    def component(self, family: str, uuid: str) -> tuple[SessionRecord, str] | None: ...

    def sessions(self, filters: Filters, after: Cursor | None, limit: int) -> Page[SessionRecord]: ...

    def offersets(self, filters: Filters, after: Cursor | None, limit: int) -> Page[OfferSetRecord]: ...

    def owners_called(self, name: str) -> list[str]: ...

    def update_phase(self, uuid: str, phase: Phase, owner: Owner) -> SessionRecord: ...

    def inspect(self, url: str) -> Inspection: ...

    async def stored(self, session: SessionRecord) -> Mapping[str, Sequence[StoredFile]]: ...

    async def stored_file(self, session: SessionRecord, name: str, path: str) -> BinaryIO | None: ...


@dataclass(frozen=True)
class Front:
    """What the routes work with. `public_url` None: the address under which the client came.

    `running` says whether the supervisor still drives sessions; None where this process has none.
    """

    service: Service
    gate: Gate
    audit: AuditLog
    engine: Engine
    public_url: str | None
    running: Callable[[], bool] | None
    _asking: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(ASKING))
    _changing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHANGING))

    def base(self, request: Request) -> str:
        """The service's URL, without a slash at its end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        try:
            url = str(request.base_url)
            if urlsplit(url).hostname:
                return url.rstrip("/")
        except ValueError:
            pass  # a Host header that is none: the socket's own address serves as well
        host, port = request.scope.get("server") or ("localhost", None)
        return f"http://{host}:{port}" if port else f"http://{host}"

    def session(self, uuid: str) -> SessionRecord:
        """The session as it is now; blocks. Raises Refused (404)."""
        found = self.service.session(uuid)
        if found is None:
            raise Refused(404, f"there is no session {uuid}")
        return found

    async def ask(self, answer: Callable[[], Response]) -> Response:
        """The answer to a request or direct execution, made in a thread.

        Raises Refused (400) where the document is malformed.
        """
        try:
            return await to_thread.run_sync(answer, limiter=self._asking)
        except Malformed as error:
            raise malformed(error) from None

    async def change(self, answer: Callable[[], Response]) -> Response:
        """An answer that changes what is promised, made in a thread."""
        return await to_thread.run_sync(answer, limiter=self._changing)


def add_route(router: APIRouter, method: str, path: str, handler: Handler) -> None:
    """What can be read can be asked about with HEAD, too; the server leaves out the body."""
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    router.add_api_route(path, handler, methods=methods, response_model=None)


def uuid_of(request: Request, what: str) -> str:
    """The uuid in the path, in small letters. Raises Refused (404) where it is none."""
    given = str(request.path_params["uuid"])
    if not _UUID.fullmatch(given.lower()):
        raise Refused(404, f"{given[:80]!r} is no uuid, so that there is no {what} of that name")
    return given.lower()
