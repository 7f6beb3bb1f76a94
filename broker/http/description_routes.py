"""Where the service's own OpenAPI document can be read."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import JSON, YAML, Codec
from broker.http.description import describe
from broker.http.description_choices import as_choices
from broker.http.front import Front, Handler, add_route
from broker.http.media import Refused


def add_description_routes(router: APIRouter, front: Front) -> None:
    """The document as JSON and as YAML: its name says which, not the Accept header."""

    def reader(codec: Codec) -> Handler:
        async def read_description(request: Request) -> Response:
            document = describe(front.base(request), front.gate.issuer)
            kinds = request.query_params.get("kinds", "allOf")
            if kinds not in ("allOf", "oneOf"):
                raise Refused(400, f"kinds: expected allOf or oneOf, got {kinds[:40]!r}", parameter="kinds")
            if kinds == "oneOf":
                document = as_choices(document)
            return Response(codec.write(document), media_type=codec.media_types[0])

        return read_description

    add_route(router, "GET", "/openapi.json", reader(JSON))
    add_route(router, "GET", "/openapi.yaml", reader(YAML))
