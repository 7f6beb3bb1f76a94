"""Data before anything runs on them: what is in a FITS file, without downloading it."""

from __future__ import annotations

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.http.front import Front, add_route
from broker.http.media import Refused, choose_writer
from broker.inspect.document import inspection_document
from broker.inspect.looking import NoFitsError, OfflineError
from federation.errors import InputError, OutsideError

# files that are looked at at a time: each may take a process and half a minute
INSPECTING = 4


def add_data_routes(router: APIRouter, front: Front) -> None:
    """These come before those of a session's parts, one of which would take "inspect" for a uuid."""
    limiter = CapacityLimiter(INSPECTING)

    async def inspect(request: Request) -> Response:
        """What is in the FITS file at a URL."""
        writer = choose_writer(request.headers.get("accept"))
        await front.gate.somebody(request)
        url = request.query_params.get("url")
        if not url:
            raise Refused(400, "url: expected the address of a FITS file", parameter="url")
        headers = request.query_params.get("headers", "false")
        if headers not in ("true", "false"):
            raise Refused(400, f"headers: expected true or false, got {headers[:40]!r}", parameter="headers")
        try:
            found = await to_thread.run_sync(front.service.inspect, url, limiter=limiter)
            return writer.response(inspection_document(found, headers == "true"))
        except (InputError, NoFitsError) as error:
            raise Refused(400, str(error), parameter="url") from None
        except OfflineError as error:
            raise Refused(409, str(error)) from None
        except OutsideError as error:
            raise Refused(503, str(error)) from None

    add_route(router, "GET", "/data/inspect", inspect)
