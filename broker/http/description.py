"""The service's own OpenAPI document: the paths, who may ask, and all that is answered."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from broker.http.description_operations import (
    OPERATIONS,
    PATH_PARAMETERS,
    QUERY_PARAMETERS,
    Access,
    Answer,
    Operation,
)
from broker.http.description_own import OWN_SCHEMAS
from broker.http.description_schemas import model_schemas, ref
from broker.http.media import CODECS

_ERRORS = {
    400: "The request can't be understood: what is wrong, and where.",
    401: "No credentials, or wrong ones.",
    403: "Not for the caller.",
    404: "There is no such thing.",
    406: "No media type that can be written is acceptable.",
    408: "The body came too slowly.",
    409: "Not as things are now.",
    413: "The body is too large.",
    415: "A media type that is not read.",
    416: "A range behind the end of the file.",
    429: "Too many requests, or failed logins: come again later.",
    500: "A fault of the service: its log says more, under the id of the request.",
    503: "It can't be told now.",
}
_TAGS = {
    "Lists": "Sessions and offer sets, page by page.",
    "Results": "What sessions leave behind: logs and files.",
    "Parts of sessions": "Executables, compute, storage, data and volumes by their own addresses.",
    "Administration": "Users, and what was done.",
    "Service": "The service itself.",
}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Location": ("The address of what was made.", {"type": "string", "format": "uri"}),
    "Link": ("The next page, where there is one: rel=next.", {"type": "string"}),
    "ETag": ("Changes with the file.", {"type": "string"}),
    "Accept-Ranges": ("bytes", {"type": "string"}),
    "Content-Range": ("Which bytes these are.", {"type": "string"}),
    "WWW-Authenticate": ("How to say who asks.", {"type": "string"}),
    "X-Request-Id": (
        "The id of the request in the service's log, and the client's own where it gave one.",
        {"type": "string"},
    ),
    "RateLimit": ("How many requests are left, and the seconds until all are again.", {"type": "string"}),
    "RateLimit-Policy": ("How many requests one caller may make, in how many seconds.", {"type": "string"}),
    "Retry-After": ("In how many seconds.", {"type": "integer", "format": "int32"}),
}
_REQUIRED_HEADERS = {"Location", "ETag", "Content-Range", "WWW-Authenticate", "Retry-After", "X-Request-Id"}


def describe(base: str = "/", issuer: str | None = None) -> dict[str, Any]:
    """The document, made anew. `base` is the service's URL, `issuer` that of the tokens that it takes."""
    schemes: dict[str, Any] = {
        "basic": {"type": "http", "scheme": "basic", "description": "A user name and a password."}
    }
    if issuer is not None:
        schemes["bearer"] = {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": f"A token of {issuer}.",
        }
        schemes["openIdConnect"] = {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{issuer.rstrip('/')}/.well-known/openid-configuration",
            "description": "The same tokens, and where to get them.",
        }
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, list(schemes))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fairlead, an IVOA ExecutionBroker",
            "version": _version(),
            "summary": "Where and when can this container run on this data, and what does that cost?",
            "description": "The IVOA ExecutionBroker web service, version 1.0, and what Fairlead adds.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base, "description": "This service."}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": model_schemas() | OWN_SCHEMAS, "securitySchemes": schemes},
    }


def _operation(operation: Operation, schemes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        **({"tags": [operation.tag]} if operation.tag else {}),
        "summary": operation.summary,
        "description": operation.summary,
    }
    parameters = [
        {"name": name, "in": "path", "required": True, **_described(PATH_PARAMETERS[name])}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    parameters += [
        {"name": name, "in": "query", **_described(QUERY_PARAMETERS[name])} for name in operation.query
    ]
    if parameters:
        found["parameters"] = parameters
    if operation.body:
        found["requestBody"] = {
            "required": True,
            "description": "What is asked for.",
            "content": _content((operation.body,), operation.examples),
        }
    anonymous: list[dict[str, Any]] = [] if operation.access is Access.REQUIRED else [{}]
    named = [] if operation.access is Access.OPEN else schemes
    found["security"] = anonymous + [{scheme: []} for scheme in named]
    found["responses"] = _responses(operation)
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    """Success, and everything that goes wrong: what every operation of this sort may answer, and its own."""
    statuses = {406, 500, *operation.errors}
    if operation.body:
        statuses |= {400, 408, 413, 415}
    if operation.access is not Access.OPEN:
        # 403 and 503: for a token that does not suffice, and one whose issuer can't be asked
        statuses |= {401, 403, 429, 503}
    if "{" in operation.path:
        statuses.add(404)
    headers = {401: ("WWW-Authenticate",), 429: ("Retry-After",)}
    answers = {
        status: Answer(status, _ERRORS[status], ("ErrorResponse",), headers=headers.get(status, ()))
        for status in statuses
    } | {answer.status: answer for answer in operation.answers}
    more = (
        ("X-Request-Id",)
        if operation.access is Access.OPEN
        else ("X-Request-Id", "RateLimit", "RateLimit-Policy")
    )
    return {str(status): _answer(answers[status], more) for status in sorted(answers)}


def _answer(answer: Answer, more: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.description}
    names = (*(("Location",) if answer.location else ()), *answer.headers, *more)
    found["headers"] = {
        name: {"required": name in _REQUIRED_HEADERS, **_described(_HEADERS[name])} for name in names
    }
    if answer.media_types and not answer.schemas:
        found["content"] = {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in answer.media_types
        }
    elif answer.media_types:
        found["content"] = {kind: {"schema": _schema(answer.schemas)} for kind in answer.media_types}
    else:
        found["content"] = _content(answer.schemas)
    if answer.pages:
        found["content"]["text/html"] = {"schema": {"type": "string"}}
    return found


def _content(schemas: tuple[str, ...], examples: dict[str, Any] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": _schema(schemas)}
    if examples:
        body["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {codec.media_types[0]: body for codec in CODECS}


def _schema(schemas: tuple[str, ...]) -> dict[str, Any]:
    refs = [ref(schema) for schema in schemas]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _described(described: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    description, schema = described
    return {"description": description, "schema": schema}


def _version() -> str:
    try:
        return version("fairlead")
    except PackageNotFoundError:
        return "0"
