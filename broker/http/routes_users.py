"""Users and the audit log, for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker import audit
from broker.contract.times import format_instant
from broker.contract.wire import prune
from broker.http.front import Front, add_route, uuid_of
from broker.http.lists import page_document, read_query
from broker.http.media import Refused, choose_writer, read_body
from broker.identities import Change, ForeignIdentity, Identity
from broker.records import Role
from broker.sessions.listing import Cursor

T = TypeVar("T")
_CHANGEABLE: Mapping[str, tuple[type, str]] = {
    "role": (str, f"one of {', '.join(Role)}"),
    "disabled": (bool, "true or false"),
    "password": (str, "a text"),
}


def add_user_routes(router: APIRouter, front: Front) -> None:
    """What administrators see of users, change of them, and see of what was done."""

    async def list_identities(request: Request) -> Response:
        """Everybody whom this broker knows, the newest first (administrator only)."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.administrator(request)
        query = read_query(request, common=("limit", "cursor"))
        limit = query.limit()
        found = await run_in_threadpool(front.gate.identities.page, query.cursor(), limit + 1)
        last = Cursor(found[limit - 1].created, found[limit - 1].uuid) if len(found) > limit else None
        following = query.next_url(f"{front.base(request)}/admin/identities", last) if last else None
        items = [identity_document(each) for each in found[:limit]]
        document, headers = page_document("identities", items, following)
        return writer.response(document, headers=headers)

    async def read_identity(request: Request) -> Response:
        """One of them (administrator only)."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.administrator(request)
        uuid = uuid_of(request, "identity")
        return writer.response(identity_document(_known(await _get(uuid), uuid)))

    async def change_identity(request: Request) -> Response:
        """Change role, password, or whether they may come in at all (administrator only)."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.administrator(request)
        uuid = uuid_of(request, "identity")
        change = _read_change(await read_body(request))
        try:
            changed = await run_in_threadpool(front.gate.identities.change, uuid, change)
        except ValueError as error:
            raise Refused(400, str(error), path="/password") from None
        except ForeignIdentity as error:
            raise Refused(409, str(error), uuid=uuid) from None
        return writer.response(identity_document(_known(changed, uuid)))

    async def remove_identity(request: Request) -> Response:
        """Forget them, and answer who that was; what they own stays (administrator only)."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.administrator(request)
        uuid = uuid_of(request, "identity")
        removed = await run_in_threadpool(front.gate.identities.remove, uuid)
        return writer.response(identity_document(_known(removed, uuid)))

    async def list_audit(request: Request) -> Response:
        """Who did what, the newest first (administrator only)."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.administrator(request)
        texts = ("actor", "username", "action", "target", "request_id")
        query = read_query(request, *texts, common=("since", "until", "limit", "cursor"))
        filters = audit.Filters(
            **{name: query.one(name) for name in texts},
            since=query.instant("since"),
            until=query.instant("until"),
        )
        cursor, limit = query.cursor(), query.limit()
        if cursor is not None and not cursor.uuid.isdecimal():
            raise Refused(400, "cursor: expected that of a link to the next page", parameter="cursor")
        # what was done a moment ago is in it
        await run_in_threadpool(front.audit.flush)
        before = None if cursor is None else int(cursor.uuid)
        found = await run_in_threadpool(audit.read, front.engine, filters, before, limit + 1)
        following = None
        if len(found) > limit:
            number, entry = found[limit - 1]
            following = query.next_url(f"{front.base(request)}/admin/audit", Cursor(entry.time, str(number)))
        items = [audit.document(number, entry) for number, entry in found[:limit]]
        document, headers = page_document("entries", items, following)
        return writer.response(document, headers=headers)

    async def _get(uuid: str) -> Identity | None:
        return await run_in_threadpool(front.gate.identities.get, uuid)

    add_route(router, "GET", "/admin/identities", list_identities)
    add_route(router, "GET", "/admin/identities/{uuid}", read_identity)
    add_route(router, "PATCH", "/admin/identities/{uuid}", change_identity)
    add_route(router, "DELETE", "/admin/identities/{uuid}", remove_identity)
    add_route(router, "GET", "/admin/audit", list_audit)


def identity_document(identity: Identity) -> dict[str, Any]:
    """How an identity is shown. `issuer` and `subject` only of those who come with tokens."""
    foreign = not identity.local
    document = {
        "uuid": identity.uuid,
        "username": identity.username,
        "issuer": identity.issuer if foreign else None,
        "subject": identity.subject if foreign else None,
        "role": identity.role.value,
        "disabled": identity.disabled,
        "created": format_instant(identity.created),
    }
    pruned: dict[str, Any] = prune(document)
    return pruned


def _read_change(document: Any) -> Change:
    """Raises Refused (400) for what can't be changed, and for values that can't be."""
    if not isinstance(document, dict) or not document:
        raise Refused(400, f"expected an object with {', '.join(_CHANGEABLE)}", path="")
    for name, value in document.items():
        if name not in _CHANGEABLE:
            known = ", ".join(_CHANGEABLE)
            raise Refused(400, f"{name[:40]}: can't be changed; expected {known}", path=f"/{name[:40]}")
        kind, expected = _CHANGEABLE[name]
        if not isinstance(value, kind) or (name == "role" and value not in list(Role)):
            raise Refused(400, f"{name}: expected {expected}", path=f"/{name}")
    role = document.get("role")
    return Change(None if role is None else Role(role), document.get("disabled"), document.get("password"))


def _known(found: T | None, uuid: str) -> T:
    if found is None:
        raise Refused(404, f"there is no identity {uuid}")
    return found
