"""The schemas of documents that the contract doesn't have."""

from __future__ import annotations

from typing import Any

from broker.http.description_schemas import ref
from broker.records import Role

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_UUID = {"type": "string", "format": "uuid"}
_URL = {"type": "string", "format": "uri"}
_LONG = {"type": "integer", "format": "int64"}
_LONGS = {"type": "array", "items": _LONG}
_TEXTS = {"type": "array", "items": _TEXT}
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
        "DataInspection",
        "What is in a FITS file.",
        ("url", "hdus", "memory_bytes", "suggested_memory_bytes", "complete", "requests", "read_bytes"),
        {
            "url": ("Where it is, without a query.", _URL),
            "site": ("The site where it was read; absent: at the broker.", _TEXT),
            "size_bytes": ("How large the file is.", _LONG),
            "hdus": ("Its HDUs, as far as they were reached.", _list("DataHdu")),
            "memory_bytes": ("What holding all data takes.", _LONG),
            "suggested_memory_bytes": ("What to ask for to work on them.", _LONG),
            "advice": ("The same as a sentence.", _TEXT),
            "complete": ("Whether all HDUs were reached.", {"type": "boolean"}),
            "faults": ("What is wrong with it, or why not.", _TEXTS),
            "requests": ("How many requests it took.", {"type": "integer", "format": "int32"}),
            "read_bytes": ("How many bytes of the file were read.", _LONG),
        },
    ),
    _object(
        "DataHdu",
        "One header and data unit of a FITS file.",
        ("number", "kind", "bitpix", "header_offset", "header_bytes", "data_bytes", "memory_bytes"),
        {
            "number": ("Its place in the file, from 0.", {"type": "integer", "format": "int32"}),
            "kind": (
                "image, compressed image, table, ascii table, random groups, empty, or else its XTENSION.",
                _TEXT,
            ),
            "name": ("EXTNAME.", _TEXT),
            "version": ("EXTVER.", _LONG),
            "bitpix": ("BITPIX; of a compressed image, that of the image in it.", _LONG),
            "shape": ("The lengths of its axes, the last one first; a table's rows.", _LONGS),
            "data_type": ("What the numbers are once they are scaled, such as float32.", _TEXT),
            "unit": ("BUNIT.", _TEXT),
            "header_offset": ("Where the header begins in the file.", _LONG),
            "header_bytes": ("How long it is.", _LONG),
            "data_bytes": ("How long the data are in the file.", _LONG),
            "memory_bytes": ("What the data take in memory.", _LONG),
            "columns": ("The columns of a table.", _list("DataColumn")),
            "axes": ("What the axes are (CTYPE), in the order of the shape.", _TEXTS),
            "footprint": ("The corners of an image on the sky.", _list("SkyPosition")),
            "header": ("All cards before END.", _TEXTS),
        },
    ),
    _object(
        "DataColumn",
        "A column of a table.",
        (),
        {
            "name": ("TTYPE.", _TEXT),
            "format": ("TFORM.", _TEXT),
            "unit": ("TUNIT.", _TEXT),
        },
    ),
    _object(
        "SkyPosition",
        "A place on the sky, in degrees of the header's own coordinates: as `axes` has them.",
        ("longitude", "latitude"),
        {
            "longitude": ("Right ascension, or longitude.", {"type": "number", "format": "double"}),
            "latitude": ("Declination, or latitude.", {"type": "number", "format": "double"}),
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
