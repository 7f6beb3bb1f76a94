"""Where the service's own OpenAPI document can be read."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import JSON, YAML, Codec
from broker.http.description import describe
from broker.http.front import Front, Handler, add_route


def add_description_routes(router: APIRouter, front: Front) -> None:
    """The document as JSON and as YAML: its name says which, not the Accept header."""

    def reader(codec: Codec) -> Handler:
        async def read_description(request: Request) -> Response:
            document = describe(front.base(request), front.gate.issuer)
            return Response(codec.write(document), media_type=codec.media_types[0])

        return read_description

    add_route(router, "GET", "/openapi.json", reader(JSON))
    add_route(router, "GET", "/openapi.yaml", reader(YAML))
