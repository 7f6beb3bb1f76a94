"""The service's own OpenAPI document: the contract's paths, with the models that are read and written."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from broker.contract.codec import JSON, YAML
from broker.contract.offerset import ExecutionRequest, OfferSetResponse
from broker.contract.options import EnumValueUpdate
from broker.contract.session import ScheduledSession

_MODELS: tuple[type[BaseModel], ...] = (ExecutionRequest, OfferSetResponse, ScheduledSession, EnumValueUpdate)
_REF = "#/components/schemas/"
_ERROR = {
    "type": "object",
    "description": "What went wrong, where in the body (JSON Pointer); `errors`: if it is more than one.",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "path": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"error": {"type": "string"}, "path": {"type": "string"}},
            },
        },
        "phase": {"type": "string", "description": "409 on a session: the phase that it is in."},
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "409 on a session: the phases that it may be updated to.",
        },
    },
}
_IDENTITY = {
    "type": "object",
    "required": ["uuid", "username"],
    "properties": {"uuid": {"type": "string", "format": "uuid"}, "username": {"type": "string"}},
}
_NEW_IDENTITY = {
    "type": "object",
    "required": ["username", "password"],
    "properties": {"username": {"type": "string"}, "password": {"type": "string", "format": "password"}},
}
_WORDS = {
    400: "The body can't be understood: what is wrong, and where.",
    401: "No credentials, or wrong ones.",
    403: "Somebody else's.",
    404: "There is no such thing.",
    406: "No media type that can be written is acceptable.",
    409: "Not as things are now.",
    413: "The body is too large.",
    415: "A media type that is not read.",
}


def describe() -> dict[str, Any]:
    """The document, made anew."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template=_REF + "{model}", title="Fairlead"
    )
    schemas = schemas.get("$defs", {})
    extra = {"Error": _ERROR, "Identity": _IDENTITY, "NewIdentity": _NEW_IDENTITY}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fairlead, an IVOA ExecutionBroker",
            "version": _version(),
            "description": "Where and when can this container run on this data, and what does that cost?",
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas | extra,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _paths() -> dict[str, Any]:
    see_offers = {
        "303": _answer("The answer, YES or NO, and where it can be read again.", "OfferSetResponse")
    }
    see_session = {"303": _answer("The session, and where it can be read again.", "ScheduledSession")}
    refused = {"400": _answer("A FAILED session with the reasons, or an error.", "ScheduledSession", "Error")}
    session = {"200": _answer("The session.", "ScheduledSession")}
    return {
        "/requests": {
            "post": _operation("ExecutionRequest", "Ask for offers.", see_offers, "ExecutionRequest"),
        },
        "/direct": {
            "post": _operation(
                "DirectExecution", "Run at the best place at once.", see_session | refused, "ExecutionRequest"
            ),
        },
        "/offersets/{uuid}": {
            "get": _operation(
                "OfferSetSelect",
                "Read an offer set.",
                {"200": _answer("The offer set.", "OfferSetResponse")},
                named=True,
            )
        },
        "/sessions/{uuid}": {
            "get": _operation("SessionSelect", "Read a session.", session, named=True),
            "post": _operation(
                "SessionUpdate",
                "Accept or reject an offer, or cancel a session.",
                session,
                "EnumValueUpdate",
                named=True,
                errors=(403, 409),
            ),
        },
        "/admin/identities": {
            "post": _operation(
                "CreateIdentity",
                "Make a user (administrator only).",
                {"201": _answer("The user.", "Identity")},
                "NewIdentity",
                errors=(403, 409),
            )
        },
        "/health": {
            "get": {
                "operationId": "Health",
                "summary": "Whether the service can do its work.",
                "responses": {"200": {"description": "It can."}, "503": {"description": "It can't."}},
            }
        },
    }


def _operation(
    name: str,
    summary: str,
    answers: dict[str, Any],
    body: str | None = None,
    named: bool = False,
    errors: tuple[int, ...] = (),
) -> dict[str, Any]:
    """`named`: the path holds a uuid. What has a body needs credentials."""
    statuses = [406, *errors, *((400, 401, 413, 415) if body else (401,)), *((404,) if named else ())]
    found: dict[str, Any] = {"operationId": name, "summary": summary}
    if named:
        schema = {"type": "string", "format": "uuid"}
        found["parameters"] = [{"name": "uuid", "in": "path", "required": True, "schema": schema}]
    if body:
        found["requestBody"] = {"required": True, "content": _content(body)}
    # credentials are optional for reading: an owner sees more
    found["security"] = [{"basic": []}] if body else [{}, {"basic": []}]
    found["responses"] = {
        str(status): _answer(_WORDS[status], "Error") for status in sorted(statuses)
    } | answers
    if "303" in answers:
        found["responses"]["303"]["headers"] = {
            "Location": {"required": True, "schema": {"type": "string", "format": "uri"}}
        }
    return found


def _answer(description: str, *schemas: str) -> dict[str, Any]:
    return {"description": description, "content": _content(*schemas)}


def _content(*schemas: str) -> dict[str, Any]:
    refs = [{"$ref": _REF + schema} for schema in schemas]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {codec.media_types[0]: {"schema": schema} for codec in (JSON, YAML)}


def _version() -> str:
    try:
        return version("fairlead")
    except PackageNotFoundError:
        return "0"
