"""All pages as routes of the application that has the API."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from broker.http.front import Front
from broker.http.media import Refused, prefers_html
from broker.service import Broker
from federation.clock import Clock
from federation.settings import Settings
from federation.sites import Federation
from netprobe.archive import Archive
from reports.pages.desk import Desk, find_viewer, refusal, see_other
from reports.pages.federation import add_federation
from reports.pages.made import add_made
from reports.pages.offers import add_offers
from reports.pages.path import add_path
from reports.pages.provider import provider_of
from reports.pages.provider_sign_in import add_provider_sign_in
from reports.pages.sessions import add_sessions
from reports.pages.sign_in import add_sign_in
from reports.pages.signed_in import SignedIn
from reports.pages.space import add_space
from reports.pages.templates import STATIC, static, static_version
from reservations.snapshots import Snapshots
from reservations.sources import load_sources

_ROOMS = (
    add_sign_in,
    add_provider_sign_in,
    add_federation,
    add_path,
    add_space,
    add_offers,
    add_sessions,
    add_made,
)
_READING, _CHANGING = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_YEAR = int(timedelta(days=365).total_seconds())


def add_pages(app: FastAPI, settings: Settings, federation: Federation, clock: Clock) -> Desk:
    """Put the pages beside the API of `broker.app.create_app`. Raises InputError for sources of space that
    nobody knows."""
    front: Front = app.state.front
    assert isinstance(front.service, Broker)
    sources = load_sources(federation, clock)
    desk = Desk(
        front=front,
        federation=federation,
        archive=Archive(front.engine),
        forecaster=front.service.forecaster,
        sources=sources,
        snapshots=Snapshots(sources, clock, None),
        clock=clock,
        signed_in=SignedIn(front.engine, clock),
        reports=settings.reports_directory,
        provider=provider_of(settings),
    )
    router = APIRouter()
    _add_static(router, desk)
    for add in _ROOMS:
        add(router, desk)
    _add_rest(router, desk)
    app.include_router(router)
    app.state.routes = [*app.state.routes, *router.routes]
    return desk


def _add_static(router: APIRouter, desk: Desk) -> None:
    async def read(request: Request) -> Response:
        name = str(request.path_params["name"])
        if name not in STATIC:
            return refusal(desk, request, Refused(404, f"there is nothing at {request.url.path[:100]}"))
        # under the address with the right version it never changes
        current = request.query_params.get("v") == static_version(name)
        headers = {
            "Cache-Control": f"public, max-age={_YEAR}, immutable" if current else "no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(static(name), headers=headers, media_type=STATIC[name])

    router.add_api_route("/pages/static/{name}", read, methods=["GET", "HEAD"], response_model=None)


def _add_rest(router: APIRouter, desk: Desk) -> None:
    async def front_door(request: Request) -> Response:
        """Browsers find the pages; there is no document here for others."""
        if request.method not in _READING or not prefers_html(request.headers.get("accept")):
            raise Refused(404, f"there is nothing at {request.url.path[:100]}")
        return see_other(f"{desk.root(request)}/pages")

    async def nothing(request: Request) -> Response:
        if not request.path_params["rest"]:
            # /pages/, as people type it
            return see_other(f"{desk.root(request)}/pages")
        try:
            # who is signed in finds their way back
            await find_viewer(desk, request)
        except Refused as error:
            return refusal(desk, request, error)
        return refusal(desk, request, Refused(404, f"there is nothing at {request.url.path[:100]}"))

    # any method: without pages there is nothing here for any of them
    router.add_api_route("/", front_door, methods=[*_READING, *_CHANGING], response_model=None)
    router.add_api_route("/pages/{rest:path}", nothing, methods=["GET", "HEAD"], response_model=None)
