"""The contract's paths, the administration of users, and the service's health."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import Malformed
from broker.contract.read import read_update
from broker.contract.write import offerset_document, session_document
from broker.http.access import Gate
from broker.http.media import Refused, choose_writer, malformed, read_body
from broker.identities import Taken
from broker.model import Phase
from broker.records import NotAllowed, OfferSetRecord, Owner, SessionRecord

Record = TypeVar("Record")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Service(Protocol):
    """What is behind the paths: `broker.service.Broker`. Calls may block, and come from several threads."""

    def request(self, document: Any, owner: Owner) -> OfferSetRecord: ...

    def direct(self, document: Any, owner: Owner) -> SessionRecord: ...

    def offerset(self, uuid: str) -> OfferSetRecord | None: ...

    def session(self, uuid: str) -> SessionRecord | None: ...

    def update_phase(self, uuid: str, phase: Phase, owner: Owner) -> SessionRecord: ...


@dataclass(frozen=True)
class Front:
    """What the routes work with. `public_url` None: the address under which the client came.

    `running` says whether the supervisor still drives sessions.
    """

    service: Service
    gate: Gate
    engine: Engine
    public_url: str | None
    running: Callable[[], bool]

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


def make_router(front: Front) -> APIRouter:
    """All routes of the service."""
    router = APIRouter()
    post, get = _adder(router, "POST"), _adder(router, "GET")

    async def make_offers(request: Request) -> Response:
        """Ask for offers: where and when can this run? YES and NO alike are a 303 with the whole answer."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        document = await read_body(request)
        record = await _ask(front.service.request, document, owner)
        base = front.base(request)
        location = {"Location": f"{base}/offersets/{record.uuid}"}
        return writer.response(offerset_document(record, base, owner), 303, location)

    async def run_directly(request: Request) -> Response:
        """Run at the best place at once; a request that can't be run is a 400 with a FAILED session."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        document = await read_body(request)
        record = await _ask(front.service.direct, document, owner)
        base = front.base(request)
        answer = session_document(record, base, owner)
        if record.phase is Phase.FAILED:
            return writer.response(answer, 400)
        return writer.response(answer, 303, {"Location": f"{base}/sessions/{record.uuid}"})

    async def read_offerset(request: Request) -> Response:
        """An offer set, as it is now."""
        writer = choose_writer(request.headers.get("accept"))
        viewer = await front.gate.who(request)
        uuid = _uuid(request, "offer set")
        record = await run_in_threadpool(front.service.offerset, uuid)
        if record is None:
            raise Refused(404, f"there is no offer set {uuid}")
        return writer.response(offerset_document(record, front.base(request), viewer))

    async def read_session(request: Request) -> Response:
        """A session, as it is now."""
        writer = choose_writer(request.headers.get("accept"))
        viewer = await front.gate.who(request)
        uuid = _uuid(request, "session")
        record = await run_in_threadpool(front.service.session, uuid)
        if record is None:
            raise Refused(404, f"there is no session {uuid}")
        return writer.response(session_document(record, front.base(request), viewer))

    async def update_session(request: Request) -> Response:
        """Accept or reject an offer, or cancel a session: an update of its phase."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        uuid = _uuid(request, "session")
        document = await read_body(request)
        known = await run_in_threadpool(front.service.session, uuid)
        if known is None:
            raise Refused(404, f"there is no session {uuid}")
        if not owner.admin and known.owner != owner.id:
            raise Refused(403, f"session {uuid} belongs to somebody else")
        try:
            phase = read_update(document)
        except Malformed as error:
            raise malformed(error) from None
        try:
            record = await run_in_threadpool(front.service.update_phase, uuid, phase, owner)
        except NotAllowed as error:
            raise Refused(409, str(error), phase=error.phase.value, allowed=_values(error.allowed)) from None
        return writer.response(session_document(record, front.base(request), owner))

    async def create_identity(request: Request) -> Response:
        """Make a user (administrator only)."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.administrator(request)
        document = await read_body(request)
        members = document if isinstance(document, dict) else {}
        username, password = members.get("username"), members.get("password")
        if not isinstance(username, str) or not isinstance(password, str):
            missing = "username" if not isinstance(username, str) else "password"
            raise Refused(400, f"{missing}: expected a text", path=f"/{missing}")
        try:
            made = await run_in_threadpool(front.gate.identities.create, username, password)
        except ValueError as error:
            raise Refused(400, str(error), path="/" + str(error).partition(":")[0]) from None
        except Taken as error:
            known: dict[str, Any] = {"uuid": error.identity.uuid} if error.identity else {}
            raise Refused(409, str(error), username=username, **known) from None
        return writer.response({"uuid": made.uuid, "username": made.username}, 201)

    async def health(request: Request) -> Response:
        """Whether the service can do its work: the database answers, and sessions are driven."""
        writer = choose_writer(request.headers.get("accept"))
        parts = {
            "database": await run_in_threadpool(_database_answers, front.engine),
            "supervisor": front.running(),
        }
        well = all(parts.values())
        document = {"status": "ok" if well else "failing"} | {
            name: "ok" if fine else "failing" for name, fine in parts.items()
        }
        return writer.response(document, 200 if well else 503)

    post("/requests", make_offers)
    post("/direct", run_directly)
    get("/offersets/{uuid}", read_offerset)
    get("/sessions/{uuid}", read_session)
    post("/sessions/{uuid}", update_session)
    post("/admin/identities", create_identity)
    get("/health", health)
    return router


Handler = Callable[[Request], Awaitable[Response]]


def _adder(router: APIRouter, method: str) -> Callable[[str, Handler], None]:
    def add(path: str, handler: Handler) -> None:
        router.add_api_route(path, handler, methods=[method], response_model=None)

    return add


async def _ask(call: Callable[[Any, Owner], Record], document: Any, owner: Owner) -> Record:
    try:
        return await run_in_threadpool(call, document, owner)
    except Malformed as error:
        raise malformed(error) from None


def _uuid(request: Request, what: str) -> str:
    given = str(request.path_params["uuid"])
    if not _UUID.fullmatch(given.lower()):
        raise Refused(404, f"{given[:80]!r} is no uuid, so that there is no {what} of that name")
    return given.lower()


def _values(phases: list[Phase]) -> list[str]:
    return [phase.value for phase in phases]


def _database_answers(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
