"""From records to documents on the wire, for the eyes of whoever asks.

Strangers (anybody who isn't the owner, an operator or the administrator) see neither environment, command and
entrypoint, nor notes about them, nor what is private in a session's history, nor how it is reached, nor the
secrets that a URL may carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.contract import kinds
from broker.contract.common import Metadata
from broker.contract.offerset import OfferSetResponse
from broker.contract.options import EnumValueOption
from broker.contract.session import ScheduledSession
from broker.contract.times import format_instant
from broker.contract.wire import prune, to_wire
from broker.contract.write_components import (
    compute_document,
    data_document,
    executable_document,
    storage_document,
    volume_document,
)
from broker.contract.write_connectors import connectors
from broker.contract.write_figures import figures, schedule
from broker.contract.write_messages import (
    View,
    message,
    scrubbed,
    secret,
    sees_all,
    session_messages,
    session_view,
    view,
)
from broker.model import Phase
from broker.phases import Actor, allowed
from broker.records import OfferSetRecord, Owner, SessionRecord

__all__ = ["component_document", "offerset_document", "sees_all", "session_document"]


def offerset_document(record: OfferSetRecord, base: str, viewer: Owner | None) -> dict[str, Any]:
    """The OfferSetResponse. `base` is the service's public URL without a slash at its end."""
    seen = view(record.owner, base, viewer)
    notes = [note for note in record.notes if seen.full or not secret(note)]
    response = OfferSetResponse(
        kind=kinds.OFFERSET,
        meta=Metadata(
            uuid=record.uuid,
            name=record.name or next((_executable_name(session) for session in record.sessions), None),
            url=f"{base}/offersets/{record.uuid}",
            created=format_instant(record.created),
            modified=format_instant(record.modified),
            messages=[message(note, record.created, seen) for note in notes],
        ),
        result="YES" if record.yes else "NO",
    )
    document = to_wire(response)
    if record.yes:
        document["offers"] = [session_document(session, base, viewer) for session in record.sessions]
    return document


def session_document(record: SessionRecord, base: str, viewer: Owner | None) -> dict[str, Any]:
    """The ScheduledExecutionSession. `base` is the service's public URL without a slash at its end."""
    seen = session_view(record, base, viewer)
    placement = record.placement
    session = ScheduledSession(
        kind=kinds.SCHEDULED_SESSION,
        meta=Metadata(
            uuid=record.uuid,
            name=record.name or _executable_name(record),
            url=f"{base}/sessions/{record.uuid}",
            created=format_instant(record.created),
            modified=format_instant(record.modified),
            messages=session_messages(record, seen),
            options=_options(record, viewer),
        ),
        phase=record.phase,
        expires=format_instant(record.expires) if record.expires and record.phase is Phase.OFFERED else None,
        costs=figures(placement.costs, kinds.MINMAX_COST) if placement else None,
        metrics=figures(placement.metrics, kinds.MINMAX_METRIC) if placement else None,
        schedule=schedule(placement) if placement else None,
        connectors=connectors(record, seen),
    )
    document = to_wire(session)
    if record.request is not None:
        document |= {
            "executable": executable_document(record, seen),
            "compute": compute_document(record, seen),
            "storage": [
                storage_document(record, index, seen) for index in range(len(record.request.storage))
            ],
            "data": [data_document(record, index, seen) for index in range(len(record.request.data))],
        }
    return _shown(document, seen)


def component_document(
    record: SessionRecord, family: str, key: str, base: str, viewer: Owner | None
) -> dict[str, Any] | None:
    """One part of a session: `family` is a name in its URL, `key` that of SessionRecord.component_uuid.

    None where the session has no such part.
    """
    request = record.request
    if request is None:
        return None
    seen = session_view(record, base, viewer)
    if (family, key) == ("executables", "executable"):
        return _shown(executable_document(record, seen), seen)
    if (family, key) == ("compute", "compute"):
        return _shown(compute_document(record, seen), seen)
    members: dict[str, tuple[list[str], Callable[[SessionRecord, int, View], dict[str, Any]]]] = {
        "storage": ([item.uuid for item in request.storage], storage_document),
        "data": ([item.uuid for item in request.data], data_document),
        "volumes": ([f"volume:{mount.path}" for mount in request.mounts], volume_document),
    }
    keys, write = members.get(family, ([], storage_document))
    return _shown(write(record, keys.index(key), seen), seen) if key in keys else None


def _shown(document: dict[str, Any], seen: View) -> dict[str, Any]:
    """Without nulls and empties; for strangers also without what URLs may hide."""
    found: dict[str, Any] = prune(document if seen.full else scrubbed(document))
    return found


def _options(record: SessionRecord, viewer: Owner | None) -> list[Any]:
    """What `viewer` may change: the phases that it can ask for, and nothing once the session has ended."""
    phases = allowed(record.phase, Actor.CLIENT)
    if viewer is None or not (viewer.admin or viewer.id == record.owner):
        # an operator may stop what others run, and no more
        phases = [phase for phase in phases if phase is Phase.CANCELLED and viewer and viewer.sees_all]
    if not phases:
        return []
    values = [phase.value for phase in phases]
    return [EnumValueOption(kind="uri:enum-value-option", path="/phase", values=values)]


def _executable_name(record: SessionRecord) -> str | None:
    return record.request.executable.name if record.request else None
