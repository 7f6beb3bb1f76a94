"""From records to documents on the wire, for the eyes of whoever asks.

Strangers (anybody who isn't the owner or the administrator) see neither environment, command and entrypoint,
nor notes about them, nor what is private in a session's history, nor the secrets that a data URL may carry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from broker.contract import kinds
from broker.contract.common import Metadata, Schedule, StartDurationInstant, StartDurationInterval
from broker.contract.costs import AbstractItem, MinMaxFloat
from broker.contract.message_kinds import message_uri
from broker.contract.messages import MessageItem
from broker.contract.offerset import OfferSetResponse
from broker.contract.options import EnumValueOption
from broker.contract.session import ScheduledSession
from broker.contract.times import format_duration, format_instant
from broker.contract.wire import prune, to_wire
from broker.contract.write_components import (
    compute_document,
    data_documents,
    executable_document,
    storage_documents,
)
from broker.model import Figure, Level, Note, Phase, Placement
from broker.records import OfferSetRecord, Owner, SessionRecord
from broker.sessions.phases import Actor, allowed

# scheme://, user and password, the rest up to the query, the query
_URL_SECRETS = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#@]*@)?([^\s?#]*)(?:\?[^\s#]*)?")
_SECRET_PATHS = ("/executable/environment", "/executable/command", "/executable/entrypoint")


def sees_all(owner: str, viewer: Owner | None) -> bool:
    """Whether `viewer` (None: nobody in particular) may see everything of what `owner` (an id) has."""
    return viewer is not None and (viewer.sees_all or viewer.id == owner)


def offerset_document(record: OfferSetRecord, base: str, viewer: Owner | None) -> dict[str, Any]:
    """The OfferSetResponse. `base` is the service's public URL without a slash at its end."""
    full = sees_all(record.owner, viewer)
    notes = [note for note in record.notes if full or not _secret(note)]
    response = OfferSetResponse(
        kind=kinds.OFFERSET,
        meta=Metadata(
            uuid=record.uuid,
            name=record.name or next((_executable_name(session) for session in record.sessions), None),
            url=f"{base}/offersets/{record.uuid}",
            created=format_instant(record.created),
            modified=format_instant(record.modified),
            messages=[_message(note, record.created, full, base) for note in notes],
        ),
        result="YES" if record.yes else "NO",
    )
    document = to_wire(response)
    if record.yes:
        document["offers"] = [session_document(session, base, viewer) for session in record.sessions]
    return document


def session_document(record: SessionRecord, base: str, viewer: Owner | None) -> dict[str, Any]:
    """The ScheduledExecutionSession. `base` is the service's public URL without a slash at its end."""
    full = sees_all(record.owner, viewer)
    url = f"{base}/sessions/{record.uuid}"
    placement = record.placement
    session = ScheduledSession(
        kind=kinds.SCHEDULED_SESSION,
        meta=Metadata(
            uuid=record.uuid,
            name=record.name or _executable_name(record),
            url=url,
            created=format_instant(record.created),
            modified=format_instant(record.modified),
            messages=_messages(record, full, base),
            options=_options(record.phase),
        ),
        phase=record.phase,
        expires=format_instant(record.expires) if record.expires and record.phase is Phase.OFFERED else None,
        costs=figures(placement.costs, kinds.MINMAX_COST) if placement else None,
        metrics=figures(placement.metrics, kinds.MINMAX_METRIC) if placement else None,
        schedule=schedule(placement) if placement else None,
    )
    document = to_wire(session)
    if record.request is not None:
        parts = {
            "executable": executable_document(record, url, full),
            "compute": compute_document(record, url),
            "storage": storage_documents(record, url),
            "data": data_documents(record, url),
        }
        document |= prune(parts if full else parts | {"data": _scrubbed(parts["data"])})
    return document


def _message(note: Note, time: datetime, full: bool, base: str) -> MessageItem:
    """A note as a message; where it points to in the request is the value `path`."""
    values = dict(note.values)
    if not full:
        values = _scrubbed(values)
    if note.path is not None:
        values.setdefault("path", note.path)
    return MessageItem(
        kind=message_uri(base, note.kind),
        time=format_instant(time),
        level=note.level.value,
        template=note.template,
        values=values,
        message=note.template.format_map(_Values(values)),
    )


def figures(items: Sequence[Figure], kind: str) -> list[MinMaxFloat | AbstractItem]:
    """Costs or metrics; a bound that isn't finite is left out, for JSON has no word for it."""
    return [
        MinMaxFloat(
            kind=kind,
            type=item.type,
            description=item.description or None,
            min=item.minimum if math.isfinite(item.minimum) else None,
            max=item.maximum if math.isfinite(item.maximum) else None,
        )
        for item in items
    ]


def schedule(placement: Placement) -> Schedule:
    """Preparation, then the starts that are held (an offer may be accepted late), for the whole duration."""
    end = placement.start + placement.start_within + placement.duration
    return Schedule(
        preparing=StartDurationInstant(
            start=format_instant(placement.prepare_start),
            duration=format_duration(timedelta(seconds=math.ceil(placement.prepare_seconds))),
        ),
        available=StartDurationInterval(
            start=f"{format_instant(placement.start)}/{format_duration(placement.start_within)}",
            duration=format_duration(placement.duration),
        ),
        releasing=StartDurationInstant(start=format_instant(end), duration="PT0S"),
    )


class _Values(dict[str, str]):
    """What a note lacks of what its template asks for is shown as missing: better than no answer."""

    def __missing__(self, name: str) -> str:
        return f"(no {name})"


def _messages(record: SessionRecord, full: bool, base: str) -> list[MessageItem]:
    offered = list(record.placement.notes) if record.placement else []
    if record.placement and not any("site" in note.values for note in offered):
        site = {"site": record.placement.site_id}
        offered.insert(0, Note("site", "this session is for the site {site}", site, Level.INFO))
    found = [_message(note, record.created, full, base) for note in offered if full or not _secret(note)]
    for timed in record.notes:
        if full or not (timed.private or _secret(timed.note)):
            found.append(_message(timed.note, timed.time, full, base))
    return found


def _options(phase: Phase) -> list[Any]:
    """What a client may change: the phases that it can ask for, and nothing once the session has ended."""
    phases = [value.value for value in allowed(phase, Actor.CLIENT)]
    if not phases:
        return []
    return [EnumValueOption(kind="uri:enum-value-option", path="/phase", values=phases)]


def _executable_name(record: SessionRecord) -> str | None:
    return record.request.executable.name if record.request else None


def _secret(note: Note) -> bool:
    return note.path is not None and note.path.startswith(_SECRET_PATHS)


def _scrubbed(value: Any) -> Any:
    """`value` with user names, passwords and queries (signatures, tokens) taken out of every URL in it."""
    if isinstance(value, Mapping):
        return {name: _scrubbed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_scrubbed(member) for member in value]
    return _URL_SECRETS.sub(r"\1\2", value) if isinstance(value, str) else value
