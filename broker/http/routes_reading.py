"""Lists, parts of sessions, and what sessions leave behind: logs and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.times import format_instant
from broker.contract.wire import prune
from broker.contract.write import component_document, offerset_document, sees_all, session_document
from broker.http.files import file_response
from broker.http.front import Front, add_route, uuid_of
from broker.http.lists import EVERYBODY, Query, page_document, read_query
from broker.http.media import Refused, choose_writer
from broker.http.visits import reads
from broker.platforms import PlatformError, StoredFile
from broker.records import Owner, SessionRecord
from broker.sessions.components import FAMILIES
from broker.sessions.listing import Filters


def add_reading_routes(router: APIRouter, front: Front) -> None:
    """What is only read, beside the contract's own."""

    async def list_sessions(request: Request) -> Response:
        """One's own sessions, newest first."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        query = read_query(request, "phase", "site")
        filters = Filters(
            await _owners(query, owner),
            query.instant("since"),
            query.instant("until"),
            query.one("name"),
            phases=query.phases(),
            site=query.one("site"),
        )
        base, after, limit = front.base(request), query.cursor(), query.limit()

        def answer() -> Response:
            page = front.service.sessions(filters, after, limit)
            following = query.next_url(f"{base}/sessions", page.next) if page.next else None
            for each in page.items:
                reads(request, owner, each.owner)
            items = [session_document(session, base, owner) for session in page.items]
            document, headers = page_document("sessions", items, following)
            return writer.response(document, headers=headers)

        return await run_in_threadpool(answer)

    async def list_offersets(request: Request) -> Response:
        """One's own offer sets, newest first."""
        writer = choose_writer(request.headers.get("accept"))
        owner = await front.gate.somebody(request)
        query = read_query(request, "result")
        filters = Filters(
            await _owners(query, owner),
            query.instant("since"),
            query.instant("until"),
            query.one("name"),
            yes=query.result(),
        )
        base, after, limit = front.base(request), query.cursor(), query.limit()

        def answer() -> Response:
            page = front.service.offersets(filters, after, limit)
            following = query.next_url(f"{base}/offersets", page.next) if page.next else None
            for each in page.items:
                reads(request, owner, each.owner)
            items = [offerset_document(each, base, owner) for each in page.items]
            document, headers = page_document("offersets", items, following)
            return writer.response(document, headers=headers)

        return await run_in_threadpool(answer)

    async def read_logs(request: Request) -> Response:
        """What the container printed last, when it ran, and how it ended."""
        writer = choose_writer(request.headers.get("accept"))
        session = await _own_session(request)
        return await run_in_threadpool(lambda: writer.response(logs_document(session)))

    async def read_storage(request: Request) -> Response:
        """The files in the session's storages, with where each is fetched."""
        writer = choose_writer(request.headers.get("accept"))
        session = await _own_session(request)
        try:
            stored = await front.service.stored(session)
        except PlatformError as error:
            raise Refused(503, f"the site's storage can't be read now: {error}") from None
        url = f"{front.base(request)}/sessions/{session.uuid}/storage"
        document: dict[str, Any] = {
            "session": session.uuid,
            "until": format_instant(session.results_until) if session.results_until else None,
            "storage": [
                {"name": name, "files": [_file(url, name, file) for file in files]}
                for name, files in stored.items()
            ],
        }
        return await run_in_threadpool(lambda: writer.response(prune(document)))

    async def read_file(request: Request) -> Response:
        """One file that the session has written."""
        session = await _own_session(request)
        name, path = str(request.path_params["name"]), str(request.path_params["path"])
        try:
            file = await front.service.stored_file(session, name, path)
        except PlatformError as error:
            raise Refused(503, f"the site's storage can't be read now: {error}") from None
        if file is None:
            raise Refused(404, f"there is no file {path[:200]!r} in a storage {name[:80]!r} (any more)")
        return file_response(request, file, PurePosixPath(path).name)

    async def _own_session(request: Request) -> SessionRecord:
        """The session in the path, for those who see all of it."""
        viewer = await front.gate.somebody(request)
        session = await run_in_threadpool(front.session, uuid_of(request, "session"))
        if not sees_all(session.owner, viewer):
            raise Refused(403, f"session {session.uuid} belongs to somebody else")
        reads(request, viewer, session.owner)
        return session

    async def _owners(query: Query, viewer: Owner) -> Sequence[str] | None:
        """Whose things are listed; None: everybody's. Raises Refused (403)."""
        wanted = query.one("owner")
        if wanted is None or wanted in (viewer.id, viewer.username):
            return (viewer.id,)
        if not viewer.sees_all:
            raise Refused(403, "owner: only operators see what others have", parameter="owner")
        if wanted == EVERYBODY:
            return None
        return await run_in_threadpool(front.service.owners_called, wanted)

    def component_reader(family: str) -> Any:
        async def read_component(request: Request) -> Response:
            """A part of a session alone."""
            writer = choose_writer(request.headers.get("accept"))
            viewer = await front.gate.who(request)
            uuid = uuid_of(request, "part of a session")
            base = front.base(request)

            def answer() -> Response:
                found = front.service.component(family, uuid)
                part = component_document(found[0], family, found[1], base, viewer) if found else None
                if found is None or part is None:
                    raise Refused(404, f"there is nothing called {uuid} among the {family}")
                reads(request, viewer, found[0].owner)
                return writer.response(part)

            return await run_in_threadpool(answer)

        return read_component

    add_route(router, "GET", "/sessions", list_sessions)
    add_route(router, "GET", "/offersets", list_offersets)
    add_route(router, "GET", "/sessions/{uuid}/logs", read_logs)
    add_route(router, "GET", "/sessions/{uuid}/storage", read_storage)
    add_route(router, "GET", "/sessions/{uuid}/storage/{name}/{path:path}", read_file)
    for family in FAMILIES:
        add_route(router, "GET", f"/{family}/{{uuid}}", component_reader(family))


def logs_document(session: SessionRecord) -> dict[str, Any]:
    """What is known of the container's run. Before it has started: the phase, and no output."""
    outcome = session.outcome
    document = {
        "session": session.uuid,
        "phase": session.phase.value,
        "exit_code": outcome.exit_code if outcome else None,
        "started": format_instant(outcome.started) if outcome else None,
        "ended": format_instant(outcome.ended) if outcome and outcome.ended else None,
        "stdout": outcome.stdout if outcome else "",
        "stderr": outcome.stderr if outcome else "",
    }
    pruned: dict[str, Any] = prune(document)
    return pruned


def _file(url: str, name: str, file: StoredFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size": file.size_bytes,
        "modified": format_instant(file.modified),
        "url": f"{url}/{quote(name, safe='')}/{quote(file.path)}",
    }
