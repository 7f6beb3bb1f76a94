"""The schemas of documents that the contract doesn't have."""

from __future__ import annotations

from typing import Any

from broker.http.description_schemas import ref
from broker.records import Role

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_UUID = {"type": "string", "format": "uuid"}
_URL = {"type": "string", "format": "uri"}
_ROLE = {"type": "string", "enum": [role.value for role in Role]}


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
        "IdentityRequest",
        "A user to be made.",
        ("username", "password"),
        {
            "username": ("The name to log in with.", _TEXT),
            "password": ("The password.", {"type": "string", "format": "password"}),
        },
    ),
    _object(
        "Identity",
        "A user, or somebody who comes with tokens.",
        ("uuid", "username"),
        {
            "uuid": ("Who it is, whatever the name.", _UUID),
            "username": ("The name to log in with; of somebody with tokens, what to call them.", _TEXT),
            "issuer": ("The issuer of their tokens.", _URL),
            "subject": ("Who they are for that issuer.", _TEXT),
            "role": ("What they may do; of somebody with tokens, what the last one said.", _ROLE),
            "disabled": ("Whether they are kept out.", {"type": "boolean"}),
            "created": ("When they were made, or came first.", _TIME),
        },
    ),
    _object(
        "IdentityChange",
        "What to change; the rest stays. Role and password only of those who log in with a password.",
        (),
        {
            "role": ("What they may do.", _ROLE),
            "disabled": ("Whether they are kept out.", {"type": "boolean"}),
            "password": ("A new password.", {"type": "string", "format": "password"}),
        },
    ),
    _object(
        "IdentityPage",
        "Identities, the newest first.",
        (),
        {
            "identities": ("The identities.", _list("Identity")),
            "next": ("Where the next page is; absent on the last.", _URL),
        },
    ),
    _object(
        "AuditEntry",
        "Who did what, and how it ended.",
        ("id", "time", "action", "status"),
        {
            "id": ("Rises with time.", {"type": "integer", "format": "int64"}),
            "time": ("When it was answered.", _TIME),
            "action": ("What was done, such as `session.update`; `login.fail`.", _TEXT),
            "status": ("The answer's HTTP status.", {"type": "integer", "format": "int32"}),
            "request_id": ("The request's id.", _TEXT),
            "actor": ("The uuid of who did it; `admin`: the administrator of the settings.", _TEXT),
            "username": ("Their user name; of a failed login, the one that was tried.", _TEXT),
            "target": ("The uuid of what it was done to.", _TEXT),
            "address": ("Where the request came from.", _TEXT),
        },
    ),
    _object(
        "AuditPage",
        "What was done, the newest first.",
        (),
        {
            "entries": ("The entries.", _list("AuditEntry")),
            "next": ("Where the next page is; absent on the last.", _URL),
        },
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
    _object(
        "MessageKind",
        "A kind of message.",
        ("kind", "topic", "title", "meaning", "remedy"),
        {
            "kind": ("The kind, as messages have it.", _URL),
            "topic": ("What it is about.", _TEXT),
            "title": ("What to call it.", _TEXT),
            "meaning": ("What it means.", _TEXT),
            "remedy": ("What to do about it.", _TEXT),
        },
    ),
    _object(
        "MessageKindList",
        "The kinds of messages.",
        ("messages",),
        {"messages": ("The kinds.", _list("MessageKind"))},
    ),
    {"title": "OpenApiDocument", "description": "This document.", "type": "object"},
)

OWN_SCHEMAS: dict[str, Any] = {shape["title"]: shape for shape in _SHAPES}
