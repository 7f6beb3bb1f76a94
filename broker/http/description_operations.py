"""What can be asked of the service: one entry for each method of each path."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from broker.http.description_examples import REQUEST, UPDATE
from broker.http.lists import DEFAULT_LIMIT, MOST
from broker.model import Phase


class Access(Enum):
    """Who may ask: anybody; anybody, and an owner sees more; who has credentials."""

    OPEN = "open"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True)
class Answer:
    """`schemas`: any of these is the body's. `media_types` empty: those of all documents.

    `location`: with the address of what was made. `pages`: as a page for browsers, too.
    """

    status: int
    description: str
    schemas: tuple[str, ...] = ()
    location: bool = False
    headers: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    pages: bool = False


@dataclass(frozen=True)
class Operation:
    """`errors`: statuses with an ErrorResponse, beside those that all operations of its sort may answer.

    `tag` None: the contract's own. Generators make a class of every tag, and the contract has none, so that a
    program written with a client of the published document works with one of ours.
    """

    method: str
    path: str
    name: str
    tag: str | None
    summary: str
    answers: tuple[Answer, ...]
    access: Access
    body: str | None = None
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    examples: dict[str, Any] = field(default_factory=dict)


_SESSION = Answer(200, "The session.", ("AbstractExecutionSession",))
_OFFERS = Answer(200, "The offer set.", ("OfferSetResponse",))
_FILE = ("application/octet-stream",)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "post",
        "/requests",
        "ExecutionRequest",
        None,
        "Ask for offers: where and when can this run, and what does it cost?",
        (
            Answer(
                303, "The answer, YES or NO, and where it can be read again.", ("OfferSetResponse",), True
            ),
            Answer(200, "What a client sees that follows the redirection.", ("OfferSetResponse",)),
        ),
        Access.REQUIRED,
        body="ExecutionRequest",
        examples={"a container, and data that it reads": REQUEST},
    ),
    Operation(
        "post",
        "/direct",
        "DirectExecution",
        None,
        "Run at the best place at once, without choosing among offers.",
        (
            Answer(303, "The session, and where it can be read again.", ("AbstractExecutionSession",), True),
            Answer(200, "What a client sees that follows the redirection.", ("AbstractExecutionSession",)),
            Answer(
                400,
                "It can't be run: a FAILED session with the reasons. It can't be understood: an error.",
                ("AbstractExecutionSession", "ErrorResponse"),
            ),
        ),
        Access.REQUIRED,
        body="ExecutionRequest",
        examples={"a container, and data that it reads": REQUEST},
    ),
    Operation(
        "get",
        "/offersets",
        "OfferSetList",
        "Lists",
        "List one's own offer sets, newest first.",
        (Answer(200, "A page of offer sets.", ("OfferSetPage",), headers=("Link",)),),
        Access.REQUIRED,
        errors=(400, 403),
        query=("result", "owner", "since", "until", "name", "limit", "cursor"),
    ),
    Operation(
        "get",
        "/offersets/{uuid}",
        "OfferSetSelect",
        None,
        "Read an offer set.",
        (_OFFERS,),
        Access.OPTIONAL,
    ),
    Operation(
        "get",
        "/sessions",
        "SessionList",
        "Lists",
        "List one's own sessions, newest first.",
        (Answer(200, "A page of sessions.", ("SessionPage",), headers=("Link",)),),
        Access.REQUIRED,
        errors=(400, 403),
        query=("phase", "site", "owner", "since", "until", "name", "limit", "cursor"),
    ),
    Operation(
        "get",
        "/sessions/{uuid}",
        "SessionSelect",
        None,
        "Read a session. Its owner sees all of it.",
        (_SESSION,),
        Access.OPTIONAL,
    ),
    Operation(
        "post",
        "/sessions/{uuid}",
        "SessionUpdate",
        None,
        "Accept or reject an offer, or cancel a session.",
        (_SESSION,),
        Access.REQUIRED,
        body="AbstractUpdate",
        errors=(403, 409),
        examples={"accept": UPDATE, "cancel": {**UPDATE, "value": Phase.CANCELLED.value}},
    ),
    Operation(
        "get",
        "/sessions/{uuid}/logs",
        "SessionLogs",
        "Results",
        "Read what the container printed last, when it ran, and how it ended.",
        (Answer(200, "The logs.", ("SessionLogs",)),),
        Access.REQUIRED,
        errors=(403,),
    ),
    Operation(
        "get",
        "/sessions/{uuid}/storage",
        "SessionStorage",
        "Results",
        "List the files in the session's storages.",
        (Answer(200, "The files of each storage.", ("SessionStorage",)),),
        Access.REQUIRED,
        errors=(403, 503),
    ),
    Operation(
        "get",
        "/sessions/{uuid}/storage/{name}/{path}",
        "SessionFile",
        "Results",
        "Fetch a file, or one range of its bytes. `path` may have slashes.",
        (
            Answer(200, "The file.", headers=("ETag", "Accept-Ranges"), media_types=_FILE),
            Answer(206, "The range.", headers=("ETag", "Content-Range"), media_types=_FILE),
        ),
        Access.REQUIRED,
        errors=(403, 416, 503),
    ),
    *(
        Operation(
            "get",
            f"/{family}/{{uuid}}",
            f"{name}Select",
            "Parts of sessions",
            f"Read {what} of a session alone.",
            (Answer(200, f"{what.capitalize()}.", (schema,)),),
            Access.OPTIONAL,
        )
        for family, name, what, schema in (
            ("executables", "Executable", "the executable", "AbstractExecutable"),
            ("compute", "Compute", "the compute resource", "AbstractComputeResource"),
            ("storage", "Storage", "a storage resource", "AbstractStorageResource"),
            ("data", "Data", "a data resource", "AbstractDataResource"),
            ("volumes", "Volume", "a volume mount", "AbstractVolumeMount"),
        )
    ),
    Operation(
        "get",
        "/data/inspect",
        "DataInspect",
        "Service",
        "Look into a FITS file without downloading it: the headers of all HDUs, sizes, memory.",
        (Answer(200, "What is in it.", ("DataInspection",)),),
        Access.REQUIRED,
        errors=(400, 409, 503),
        query=("url", "headers"),
    ),
    Operation(
        "post",
        "/admin/identities",
        "IdentityCreate",
        "Administration",
        "Make a user.",
        (
            Answer(201, "The user.", ("Identity",)),
            Answer(409, "The name is taken.", ("ErrorResponse",)),
        ),
        Access.REQUIRED,
        body="IdentityRequest",
        errors=(403,),
        examples={"a user": {"username": "ada", "password": "a long enough secret"}},
    ),
    Operation(
        "get",
        "/admin/identities",
        "IdentityList",
        "Administration",
        "List everybody whom this broker knows, the newest first.",
        (Answer(200, "A page.", ("IdentityPage",), headers=("Link",)),),
        Access.REQUIRED,
        errors=(400, 403),
        query=("limit", "cursor"),
    ),
    Operation(
        "get",
        "/admin/identities/{uuid}",
        "IdentitySelect",
        "Administration",
        "Read who somebody is.",
        (Answer(200, "The identity.", ("Identity",)),),
        Access.REQUIRED,
        errors=(403,),
    ),
    Operation(
        "patch",
        "/admin/identities/{uuid}",
        "IdentityUpdate",
        "Administration",
        "Change role, password, or whether somebody may come in at all.",
        (Answer(200, "The identity as it is now.", ("Identity",)),),
        Access.REQUIRED,
        body="IdentityChange",
        errors=(403, 409),
        examples={"an operator": {"role": "operator"}, "locked out": {"disabled": True}},
    ),
    Operation(
        "delete",
        "/admin/identities/{uuid}",
        "IdentityDelete",
        "Administration",
        "Forget somebody. What they own stays.",
        (Answer(200, "Who that was.", ("Identity",)),),
        Access.REQUIRED,
        errors=(403,),
    ),
    Operation(
        "get",
        "/admin/audit",
        "AuditList",
        "Administration",
        "List who did what, the newest first.",
        (Answer(200, "A page.", ("AuditPage",), headers=("Link",)),),
        Access.REQUIRED,
        errors=(400, 403),
        query=(
            "actor",
            "username",
            "action",
            "target",
            "request_id",
            "since",
            "until",
            "limit",
            "cursor",
        ),
    ),
    Operation(
        "get",
        "/health",
        "Health",
        "Service",
        "Tell whether the service can do its work.",
        (Answer(200, "It can.", ("Health",)), Answer(503, "It can't.", ("Health",))),
        Access.OPEN,
    ),
    Operation(
        "get",
        "/messages",
        "MessageKindList",
        "Service",
        "List the kinds of messages, and what to do about each. Browsers get a page.",
        (Answer(200, "All kinds.", ("MessageKindList",), pages=True),),
        Access.OPEN,
    ),
    Operation(
        "get",
        "/messages/{slug}",
        "MessageKindSelect",
        "Service",
        "Read what one kind of message means, and what to do about it. Browsers get a page.",
        (Answer(200, "The kind.", ("MessageKind",), pages=True),),
        Access.OPEN,
    ),
    Operation(
        "get",
        "/openapi.json",
        "OpenApiJson",
        "Service",
        "Read this document as JSON.",
        (Answer(200, "This document.", ("OpenApiDocument",), media_types=("application/json",)),),
        Access.OPEN,
        errors=(400,),
        query=("kinds",),
    ),
    Operation(
        "get",
        "/openapi.yaml",
        "OpenApiYaml",
        "Service",
        "Read this document as YAML.",
        (Answer(200, "This document.", ("OpenApiDocument",), media_types=("application/yaml",)),),
        Access.OPEN,
        errors=(400,),
        query=("kinds",),
    ),
)

_TEXT = {"type": "string"}
PATH_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "uuid": ("The uuid, as `meta.uuid` and `meta.url` have it.", {"type": "string", "format": "uuid"}),
    "name": ("The name of the storage resource.", _TEXT),
    "path": ("The path of the file in the storage, which may have slashes.", _TEXT),
    "slug": ("The last part of a message's kind.", _TEXT),
}
_MOMENT = {"type": "string", "format": "date-time"}
QUERY_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "owner": ("The owner's id or user name; `*`: everybody. Others than one's own: operators only.", _TEXT),
    "since": ("Made then or later.", _MOMENT),
    "until": ("Made before.", _MOMENT),
    "name": ("The name that the client gave.", _TEXT),
    "site": ("The id of the site.", _TEXT),
    "actor": ("The uuid of who did it; `admin`: the administrator of the settings.", _TEXT),
    "username": ("The user name of who did it, or tried to log in.", _TEXT),
    "action": ("What was done, such as `session.update`.", _TEXT),
    "target": ("The uuid of what it was done to.", _TEXT),
    "request_id": ("The request's id, as the answer's `X-Request-Id` has it.", _TEXT),
    "limit": (
        "The most that one page holds.",
        {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
    ),
    "cursor": ("Where the page starts: only as the link to the next page has it.", _TEXT),
    "result": ("With offers, or without.", {"type": "string", "enum": ["YES", "NO"]}),
    "url": ("The address of the file; http, https, dav or davs.", {"type": "string", "format": "uri"}),
    "headers": ("Whether to answer with all cards.", {"type": "boolean", "default": False}),
    "kinds": (
        "How kinds stand under their bases: `oneOf` for generators that know no inheritance.",
        {"type": "string", "enum": ["allOf", "oneOf"], "default": "allOf"},
    ),
    "phase": (
        "The phase; may be repeated.",
        {"type": "array", "items": {"$ref": "#/components/schemas/SimpleExecutionSessionPhase"}},
    ),
}
