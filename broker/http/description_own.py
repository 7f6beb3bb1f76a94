"""The schemas of documents that the contract doesn't have."""

from __future__ import annotations

from typing import Any

from broker.http.description_schemas import ref

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_UUID = {"type": "string", "format": "uuid"}
_URL = {"type": "string", "format": "uri"}


def _object(
    title: str, description: str, required: tuple[str, ...], properties: dict[str, tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    return {
        "title": title,
        "description": description,
        "type": "object",
        "required": list(required),
        "properties": {name: {"description": text, **schema} for name, (text, schema) in properties.items()},
    }


def _list(of: str) -> dict[str, Any]:
    return {"type": "array", "items": ref(of)}


_SHAPES = (
    _object(
        "ErrorResponse",
        "What went wrong. Which of the other members there are depends on what it was.",
        ("error",),
        {
            "error": ("What, where, and what was expected: one line for a person.", _TEXT),
            "path": ("Where in the body: a JSON Pointer.", _TEXT),
            "errors": ("All of them, where there are several.", _list("ErrorDetail")),
            "parameter": ("The parameter of the query that is wrong.", _TEXT),
            "phase": ("409 on a session: the phase that it is in.", _TEXT),
            "allowed": (
                "409 on a session: the phases that it may be updated to.",
                {"type": "array", "items": _TEXT},
            ),
            "username": ("409 on a new user: the name that is taken.", _TEXT),
            "uuid": ("409 on a new user: whose it is.", _UUID),
        },
    ),
    _object(
        "ErrorDetail",
        "One of several errors.",
        ("error",),
        {"error": ("What, and what was expected.", _TEXT), "path": ("Where: a JSON Pointer.", _TEXT)},
    ),
    _object(
        "NewIdentity",
        "A user to be made.",
        ("username", "password"),
        {
            "username": ("The name to log in with.", _TEXT),
            "password": ("The password.", {"type": "string", "format": "password"}),
        },
    ),
    _object(
        "Identity",
        "A user.",
        ("uuid", "username"),
        {"uuid": ("Who it is, whatever the name.", _UUID), "username": ("The name to log in with.", _TEXT)},
    ),
    _object(
        "Health",
        "How the service is.",
        ("status", "database", "supervisor"),
        {
            "status": ("ok or failing.", _TEXT),
            "database": ("ok or failing.", _TEXT),
            "supervisor": ("ok or failing; or: not in this process.", _TEXT),
        },
    ),
    _object(
        "OfferSetPage",
        "Offer sets, newest first.",
        (),
        {
            "offersets": ("The offer sets.", _list("OfferSetResponse")),
            "next": ("Where the next page is; absent on the last.", _URL),
        },
    ),
    _object(
        "SessionPage",
        "Sessions, newest first.",
        (),
        {
            "sessions": ("The sessions.", _list("AbstractExecutionSession")),
            "next": ("Where the next page is; absent on the last.", _URL),
        },
    ),
    _object(
        "SessionLogs",
        "How a container ran. Before it has started there is no more than the phase.",
        ("session", "phase"),
        {
            "session": ("The session's uuid.", _UUID),
            "phase": ("The session's phase.", ref("SimpleExecutionSessionPhase")),
            "exit_code": ("How it ended.", {"type": "integer", "format": "int32"}),
            "started": ("When it started.", _TIME),
            "ended": ("When it ended.", _TIME),
            "stdout": ("The last part of its standard output.", _TEXT),
            "stderr": ("The last part of its standard error.", _TEXT),
        },
    ),
    _object(
        "SessionStorage",
        "The files in the storages of a session.",
        ("session",),
        {
            "session": ("The session's uuid.", _UUID),
            "until": ("When they are removed.", _TIME),
            "storage": ("The storages.", _list("StoredStorage")),
        },
    ),
    _object(
        "StoredStorage",
        "The files in one storage.",
        ("name",),
        {"name": ("The storage's name.", _TEXT), "files": ("The files.", _list("StoredFile"))},
    ),
    _object(
        "StoredFile",
        "A file that a session has written.",
        ("path", "size", "modified", "url"),
        {
            "path": ("Its path in the storage.", _TEXT),
            "size": ("How large it is, in bytes.", {"type": "integer", "format": "int64"}),
            "modified": ("When it was last written to.", _TIME),
            "url": ("Where it is fetched.", _URL),
        },
    ),
    {"title": "OpenApiDocument", "description": "This document.", "type": "object"},
)

OWN_SCHEMAS: dict[str, Any] = {shape["title"]: shape for shape in _SHAPES}
