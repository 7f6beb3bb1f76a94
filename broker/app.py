"""The broker as a web application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.audit import AuditLog
from broker.http.access import make_gate
from broker.http.media import DEFAULT, Refused, Writer, choose_writer
from broker.http.routes import Front, make_router
from broker.http.visits import Visits
from broker.service import Broker
from federation.clock import Clock
from federation.settings import Settings
from federation.sites import Federation

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings, federation: Federation, engine: Engine, clock: Clock, online: bool
) -> FastAPI:
    """The service on a database that is already migrated; its lifespan drives the sessions, unless the
    settings say that others do.

    `online` False: no catalogue is asked for data. Raises InputError for a platform that nobody knows.
    """
    broker = Broker(settings, federation, engine, clock, online)
    supervisor: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.supervise:
            supervisor[:] = [asyncio.create_task(broker.run(), name="supervisor")]
            supervisor[0].add_done_callback(_report)
        try:
            # a second Ctrl-C has the server drop us instead of waiting: we end as after the first
            with suppress(asyncio.CancelledError):
                yield
        finally:
            for task in supervisor:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
            await asyncio.to_thread(front.audit.stop)

    front = Front(
        service=broker,
        gate=make_gate(settings, engine, clock),
        audit=AuditLog(engine, clock, timedelta(seconds=settings.audit_retention_seconds)),
        engine=engine,
        public_url=settings.public_url,
        running=(lambda: bool(supervisor) and not supervisor[0].done()) if settings.supervise else None,
    )
    return make_app(front, clock, lifespan)


def make_app(front: Front, clock: Clock, lifespan: object = None) -> FastAPI:
    """The application around `front`: routes, description, and errors that are always a document."""
    app = FastAPI(
        title="Fairlead",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,  # type: ignore[arg-type]
        redirect_slashes=False,
    )
    router = make_router(front)
    app.include_router(router)
    app.state.routes, app.state.audit, app.state.front = router.routes, front.audit, front
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Visits, audit=front.audit, clock=clock, failed=_unexpected)
    return app


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("the supervisor ended: no session is driven any more", exc_info=task.exception())


def _writer(request: Request) -> Writer:
    """What the client would read; JSON where it would read nothing that can be written."""
    try:
        return choose_writer(request.headers.get("accept"))
    except Refused:
        return DEFAULT


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _writer(request).response(error.document, error.status, error.headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {
        404: f"there is nothing at {request.url.path[:100]}",
        405: f"{request.method} is not possible here",
    }
    document = {"error": words.get(error.status_code, str(error.detail))}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return _writer(request).response(document, error.status_code, headers)


def _methods(request: Request) -> list[str]:
    """What can be done at the request's path: the framework tells the methods of one route only."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if isinstance(route, Route) and route.path_regex.match(request.scope["path"]):
            found |= route.methods or set()
    return sorted(found)


def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: it is logged (by the server, with its traceback), and the client hears no details."""
    if isinstance(error, Refused):
        return _refused(request, error)
    document = {"error": "the broker failed to answer this; its log says why"}
    return _writer(request).response(document, 500)
