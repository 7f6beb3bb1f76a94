"""A session as it goes on: its phases, what is said of it, what it printed and wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.write import sees_all, session_document
from broker.http.files import file_response
from broker.http.front import uuid_of
from broker.http.media import Refused
from broker.http.visits import reads, visit_of
from broker.model import Phase
from broker.phases import ENDED
from broker.platforms import PlatformError, StoredFile
from broker.records import NotAllowed, SessionRecord
from reports.pages.desk import Desk, Viewer, add_figures, add_form, add_page, page, read_form, see_other
from reports.pages.offers import may_change

# what a session goes through where nothing goes wrong
USUAL = (
    Phase.OFFERED,
    Phase.ACCEPTED,
    Phase.WAITING,
    Phase.PREPARING,
    Phase.AVAILABLE,
    Phase.RUNNING,
    Phase.RELEASING,
    Phase.COMPLETED,
)
# files that the page lists
LISTED = 200


def steps(phase: Phase) -> list[tuple[str, str]]:
    """(phase, "done", "now" or "ahead") on the usual way; where it ended otherwise, that alone."""
    if phase not in USUAL:
        return [(phase.value, "now")]
    here = USUAL.index(phase)
    return [
        (each.value, "done" if number < here else "now" if number == here else "ahead")
        for number, each in enumerate(USUAL)
    ]


def add_sessions(router: APIRouter, desk: Desk) -> None:
    async def show(request: Request, viewer: Viewer) -> Response:
        """The session as it is now; a script asks again while it goes on."""
        uuid = uuid_of(request, "session")
        session = await run_in_threadpool(desk.front.session, uuid)
        reads(request, viewer.owner, session.owner)
        visit_of(request).action = "session.read"
        full = sees_all(session.owner, viewer.owner)
        stored: Mapping[str, Sequence[StoredFile]] = {}
        away = ""
        if full:
            try:
                stored = await desk.front.service.stored(session)
            except PlatformError as error:
                away = f"the site's storage can't be read now: {error}"

        def answer() -> Response:
            document = session_document(session, desk.front.base(request), viewer.owner)
            files = [(name, file) for name, some in stored.items() for file in some]
            return page(
                desk,
                request,
                viewer,
                "session.html",
                title=f"Session {document['meta'].get('name', uuid)}",
                session=session,
                steps=steps(session.phase),
                over=session.phase in ENDED,
                changes=[phase.value for phase in may_change(session, viewer)],
                messages=document["meta"].get("messages", []),
                connectors=document.get("connectors", []),
                full=full,
                files=files[:LISTED],
                more_files=max(len(files) - LISTED, 0),
                away=away,
                figures=f"/pages/data/sessions/{uuid}",
            )

        return await run_in_threadpool(answer)

    async def figures(request: Request, viewer: Viewer) -> Any:
        """The session as the API has it."""
        uuid, base = uuid_of(request, "session"), desk.front.base(request)

        def document() -> Any:
            session = desk.front.session(uuid)
            reads(request, viewer.owner, session.owner)
            visit_of(request).action = "session.read"
            return session_document(session, base, viewer.owner)

        return await run_in_threadpool(document)

    async def update(request: Request, viewer: Viewer) -> Response:
        """Accept, reject or cancel."""
        uuid = uuid_of(request, "session")
        visit_of(request).action = "session.update"
        known = await run_in_threadpool(desk.front.session, uuid)
        wanted = (await read_form(request)).get("phase", "")
        if known.owner != viewer.owner.id and not viewer.owner.sees_all:
            raise Refused(403, f"session {uuid} belongs to somebody else")
        if wanted not in (Phase.ACCEPTED, Phase.REJECTED, Phase.CANCELLED):
            raise Refused(400, "phase: expected ACCEPTED, REJECTED or CANCELLED")

        def change() -> Response:
            session = desk.front.service.update_phase(uuid, Phase(wanted), viewer.owner)
            return see_other(_after(desk.root(request), session))

        try:
            return await desk.front.change(change)
        except NotAllowed as error:
            raise Refused(409, str(error)) from None
        except PermissionError:
            raise Refused(403, f"session {uuid}: an operator may cancel it, and no more") from None
        except KeyError:
            raise Refused(404, f"there is no session {uuid}") from None

    async def read_file(request: Request, viewer: Viewer) -> Response:
        """One file that the session has written; it is saved, never shown."""
        session = await run_in_threadpool(desk.front.session, uuid_of(request, "session"))
        if not sees_all(session.owner, viewer.owner):
            raise Refused(403, f"session {session.uuid} belongs to somebody else")
        reads(request, viewer.owner, session.owner)
        visit_of(request).action = "session.file"
        name, path = str(request.path_params["name"]), str(request.path_params["path"])
        try:
            file = await desk.front.service.stored_file(session, name, path)
        except PlatformError as error:
            raise Refused(503, f"the site's storage can't be read now: {error}") from None
        if file is None:
            raise Refused(404, f"there is no file {path[:200]!r} in a storage {name[:80]!r} (any more)")
        return file_response(request, file, PurePosixPath(path).name)

    add_page(router, desk, "/pages/sessions/{uuid}", show)
    add_form(router, desk, "/pages/sessions/{uuid}", update)
    add_figures(router, desk, "/pages/data/sessions/{uuid}", figures)
    add_page(router, desk, "/pages/sessions/{uuid}/storage/{name}/{path:path}", read_file)


def _after(root: str, session: SessionRecord) -> str:
    """Where one goes on: what was rejected leads back to the other offers."""
    if session.phase is Phase.REJECTED and session.offerset_uuid:
        return f"{root}/pages/offers/{session.offerset_uuid}"
    return f"{root}/pages/sessions/{session.uuid}"
