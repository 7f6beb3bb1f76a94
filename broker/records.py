"""What the broker remembers: offer sets and sessions, as the store hands them out and the wire shows them.

The seam between `broker.http` (which renders records) and `broker.service` (which makes them). All methods of
`broker.service.Broker` but `run` are plain synchronous calls that may block and may be called from several
threads at once; the HTTP layer calls them from worker threads.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from broker.model import Connector, Note, Outcome, Phase, Placement, Request


class Role(StrEnum):
    """What somebody may do with what is not theirs: nothing, read and cancel it, or everything."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True)
class Owner:
    """Who asks. `id` is the identity's uuid, or "admin" for the administrator, who has no row."""

    id: str
    username: str
    role: Role = Role.USER

    @property
    def admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def sees_all(self) -> bool:
        """Whether everybody's sessions are shown whole, and may be cancelled."""
        return self.role is not Role.USER


@dataclass(frozen=True)
class TimedNote:
    """A note of a session's life. `private` ones (what another broker said) are for those who see all."""

    time: datetime
    note: Note
    private: bool = False


@dataclass(frozen=True)
class SessionRecord:
    """One session: an offer until it is accepted.

    `document` is the client's request as it came (JSON names): names, descriptions and the details of data
    resources are rendered from it. `request.data[i]` belongs to `document["data"][i]`, `request.storage[i]`
    to `document["storage"][i]`, `request.mounts[i]` to `document["compute"]["volumes"][i]`; what the broker
    added by default comes behind. `request` and `placement` are None for a refused direct execution only.
    """

    uuid: str
    offerset_uuid: str | None
    owner: str  # Owner.id
    phase: Phase
    created: datetime
    modified: datetime
    expires: datetime | None  # only of use while OFFERED
    request: Request | None
    placement: Placement | None
    document: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[TimedNote, ...] = ()
    name: str | None = None
    # how to reach what the container publishes; known once it has started
    connectors: tuple[Connector, ...] = ()
    # what is known of the container's run so far; None before it has started
    outcome: Outcome | None = None
    ended: datetime | None = None
    # until when what it wrote into its storage can be fetched; None: it can't
    results_until: datetime | None = None
    # the storages and data items that are in place at the site, by uuid
    staged: frozenset[str] = frozenset()

    def component_uuid(self, key: str) -> str:
        """The uuid of a part of this session: `key` is "executable", "compute" or its item's uuid.

        Derived, so that it is the same at every reading and need not be stored.
        """
        return str(uuid.uuid5(uuid.UUID(self.uuid), key))


@dataclass(frozen=True)
class OfferSetRecord:
    """The answer to a request: `sessions` best first where `yes`, and why (not) in `notes`."""

    uuid: str
    owner: str  # Owner.id
    created: datetime
    modified: datetime
    yes: bool
    notes: tuple[Note, ...]
    sessions: tuple[SessionRecord, ...] = ()
    name: str | None = None


class NotAllowed(Exception):  # noqa: N818 - the caller's mistake, not ours
    """A change of phase that the session's present phase doesn't allow; `allowed` are those that it does."""

    def __init__(self, phase: Phase, asked: Phase, allowed: list[Phase]) -> None:
        self.phase = phase
        self.asked = asked
        self.allowed = allowed
        names = ", ".join(allowed) or "nothing"
        super().__init__(f"a session in phase {phase} can't become {asked}; allowed: {names}")
