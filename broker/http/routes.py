"""All routes of the service, and those of the contract.

What there is, with its parameters in the query (the routes of each subject are in the module named):

| path                                        | methods   | parameters                                      |
| ------------------------------------------- | --------- | ----------------------------------------------- |
| /requests, /direct                          | POST      |                                                 |
| /offersets/{uuid}                           | GET       |                                                 |
| /sessions/{uuid}                            | GET, POST |                                                 |
| `routes_reading`                            |           |                                                 |
| /sessions                                   | GET       | owner since until name limit cursor phase* site |
| /offersets                                  | GET       | owner since until name limit cursor result      |
| /sessions/{uuid}/logs                       | GET       |                                                 |
| /sessions/{uuid}/storage                    | GET       |                                                 |
| /sessions/{uuid}/storage/{name}/{path:path} | GET       | (any media type, one range of bytes)            |
| /executables/{uuid}, /compute/{uuid},       |           |                                                 |
| /storage/{uuid}, /data/{uuid},              |           |                                                 |
| /volumes/{uuid}                             | GET       |                                                 |
| `routes_admin`                              |           |                                                 |
| /admin/identities                           | POST      |                                                 |
| `routes_users`                              |           |                                                 |
| /admin/identities                           | GET       | limit cursor                                    |
| /admin/identities/{uuid}                    | GET, PATCH, DELETE |                                        |
| /admin/audit                                | GET       | actor username action target request_id since   |
|                                             |           | until limit cursor                              |
| `routes_admin`                              |           |                                                 |
| /health                                     | GET       |                                                 |
| `routes_messages`                           |           |                                                 |
| /messages, /messages/{slug}                 | GET       | (text/html, too)                                |
| `description_routes`                        |           |                                                 |
| /openapi.json, /openapi.yaml                | GET       | (that media type)                               |

`phase` may be repeated. What answers GET answers HEAD.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import Malformed
from broker.contract.read import read_update
from broker.contract.write import offerset_document, session_document
from broker.http.description_routes import add_description_routes
from broker.http.front import Front, add_route, uuid_of
from broker.http.media import Refused, choose_writer, malformed, read_body
from broker.http.routes_admin import add_admin_routes
from broker.http.routes_data import add_data_routes
from broker.http.routes_messages import add_message_routes
from broker.http.routes_reading import add_reading_routes
from broker.http.routes_users import add_user_routes
from broker.http.visits import reads
from broker.model import Phase
from broker.phases import Actor, allowed
from broker.records import NotAllowed, Owner, SessionRecord

__all__ = ["Front", "make_router"]


def make_router(front: Front) -> APIRouter:
    """All routes of the service."""
    router = APIRouter()
    add_contract_routes(router, front)
    add_data_routes(router, front)
    add_reading_routes(router, front)
    add_admin_routes(router, front)
    add_user_routes(router, front)
    add_message_routes(router, front)
    add_description_routes(router, front)
    return router


def add_contract_routes(router: APIRouter, front: Front) -> None:
    """Requests, offer sets and sessions, as the contract has them."""

    async def make_offers(request: Request) -> Response:
        """Ask for offers: where and when can this run? YES and NO alike are a 303 with the whole answer."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        document = await read_body(request)
        base = front.base(request)

        def answer() -> Response:
            record = front.service.request(document, owner)
            location = {"Location": f"{base}/offersets/{record.uuid}"}
            return writer.response(offerset_document(record, base, owner), 303, location)

        return await front.ask(answer)

    async def run_directly(request: Request) -> Response:
        """Run at the best place at once; a request that can't be run is a 400 with a FAILED session."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        document = await read_body(request)
        base = front.base(request)

        def answer() -> Response:
            record = front.service.direct(document, owner)
            session = session_document(record, base, owner)
            if record.phase is Phase.FAILED:
                return writer.response(session, 400)
            return writer.response(session, 303, {"Location": f"{base}/sessions/{record.uuid}"})

        return await front.ask(answer)

    async def read_offerset(request: Request) -> Response:
        """An offer set, as it is now."""
        writer = choose_writer(request.headers.get("accept"))
        viewer = await front.gate.who(request)
        uuid = uuid_of(request, "offer set")
        base = front.base(request)

        def answer() -> Response:
            record = front.service.offerset(uuid)
            if record is None:
                raise Refused(404, f"there is no offer set {uuid}")
            reads(request, viewer, record.owner)
            return writer.response(offerset_document(record, base, viewer))

        return await run_in_threadpool(answer)

    async def read_session(request: Request) -> Response:
        """A session, as it is now."""
        writer = choose_writer(request.headers.get("accept"))
        viewer = await front.gate.who(request)
        uuid, base = uuid_of(request, "session"), front.base(request)

        def answer() -> Response:
            record = front.session(uuid)
            reads(request, viewer, record.owner)
            return writer.response(session_document(record, base, viewer))

        return await run_in_threadpool(answer)

    async def update_session(request: Request) -> Response:
        """Accept or reject an offer, or cancel a session: an update of its phase."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        uuid = uuid_of(request, "session")
        document = await read_body(request)
        known = await run_in_threadpool(front.session, uuid)
        if known.owner != owner.id and not owner.sees_all:
            raise Refused(403, f"session {uuid} belongs to somebody else")
        try:
            phase = read_update(document)
        except Malformed as error:
            raise _not_understood(error, known, owner) from None
        base = front.base(request)
        try:
            return await front.change(
                lambda: writer.response(
                    session_document(front.service.update_phase(uuid, phase, owner), base, owner)
                )
            )
        except NotAllowed as error:
            raise Refused(409, str(error), phase=error.phase.value, allowed=_values(error.allowed)) from None
        except PermissionError:
            raise Refused(
                403, f"session {uuid} belongs to somebody else: an operator may cancel it, and no more"
            ) from None
        except KeyError:
            # it was removed a moment ago
            raise Refused(404, f"there is no session {uuid}") from None

    add_route(router, "POST", "/requests", make_offers)
    add_route(router, "POST", "/direct", run_directly)
    add_route(router, "GET", "/offersets/{uuid}", read_offerset)
    add_route(router, "GET", "/sessions/{uuid}", read_session)
    add_route(router, "POST", "/sessions/{uuid}", update_session)


def _not_understood(error: Malformed, session: SessionRecord, owner: Owner) -> Refused:
    """400 for an update of what can't be updated, with what can."""
    refused = malformed(error)
    phases = allowed(session.phase, Actor.CLIENT)
    if session.owner != owner.id and not owner.admin:
        phases = [phase for phase in phases if phase is Phase.CANCELLED]
    can = f"/phase, by uri:enum-value-update, to {' or '.join(phases)}" if phases else "nothing"
    refused.document["error"] += f"; what can be updated now: {can}"
    return refused


def _values(phases: list[Phase]) -> list[str]:
    return [phase.value for phase in phases]
