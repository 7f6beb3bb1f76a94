"""The administration of users, and the service's health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import pointer
from broker.contract.wire import quote
from broker.http.front import Front, add_route
from broker.http.media import Refused, choose_writer, read_body
from broker.identities import Taken


def add_admin_routes(router: APIRouter, front: Front) -> None:
    """What is for administrators, and for those who watch over the service."""

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
        unknown = next((name for name in members if name not in ("username", "password")), None)
        if unknown is not None:
            text = f"{quote(unknown)}: expected username and password; a role is set by PATCH"
            raise Refused(400, text, path=pointer([unknown]))
        try:
            made = await run_in_threadpool(front.gate.identities.create, username, password)
        except ValueError as error:
            raise Refused(400, str(error), path="/" + str(error).partition(":")[0]) from None
        except Taken as error:
            known: dict[str, Any] = {"uuid": error.identity.uuid} if error.identity else {}
            raise Refused(409, str(error), username=username, **known) from None
        return writer.response({"uuid": made.uuid, "username": made.username}, 201)

    async def health(request: Request) -> Response:
        """Whether the service can do its work: the database answers, and sessions are driven.

        A process that only answers (setting `supervise`) says so: whether another one drives the sessions is
        that one's to tell.
        """
        writer = choose_writer(request.headers.get("accept"))
        database = await run_in_threadpool(_database_answers, front.engine)
        driving = None if front.running is None else front.running()
        well = database and driving is not False
        document = {
            "status": _word(well),
            "database": _word(database),
            "supervisor": "not in this process" if driving is None else _word(driving),
        }
        return writer.response(document, 200 if well else 503)

    add_route(router, "POST", "/admin/identities", create_identity)
    add_route(router, "GET", "/health", health)


def _word(well: bool) -> str:
    return "ok" if well else "failing"


def _database_answers(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
