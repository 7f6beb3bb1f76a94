"""Notes as messages on the wire, as far as whoever asks may read them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from broker.contract.message_kinds import message_uri
from broker.contract.messages import MessageItem
from broker.contract.times import format_instant
from broker.model import Level, Note
from broker.records import Owner, SessionRecord

# scheme://, user and password, the rest up to the query, the query
_URL_SECRETS = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#@]*@)?([^\s?#]*)(?:\?[^\s#]*)?")
# the part of the request that a note is about
_PART = re.compile(r"/(?:executable|compute/volumes/\d+|compute|storage/\d+|data/\d+)(?=/|$)", re.ASCII)
_SECRET_PATHS = (
    "/executable/environment",
    "/executable/command",
    "/executable/entrypoint",
    "/executable/network",
)


@dataclass(frozen=True)
class View:
    """Who looks, and from where. `base` is the service's public URL without a slash at its end.

    `full`: the owner, an operator or the administrator, who see everything. `about`: what is to be said of
    each part of a session, by the part's place in the request (a JSON Pointer).
    """

    base: str
    full: bool
    about: Mapping[str, Sequence[MessageItem]] = field(default_factory=dict)


def view(owner: str, base: str, viewer: Owner | None) -> View:
    """How `viewer` (None: nobody in particular) sees what `owner` (an id) has."""
    return View(base, sees_all(owner, viewer))


def session_view(record: SessionRecord, base: str, viewer: Owner | None) -> View:
    """How `viewer` sees a session."""
    seen = view(record.owner, base, viewer)
    about: dict[str, list[MessageItem]] = {}
    for note, time in _notes(record, seen):
        part = _PART.match(note.path or "")
        if part is not None:
            about.setdefault(part[0], []).append(message(note, time, seen))
    return replace(seen, about=about)


def sees_all(owner: str, viewer: Owner | None) -> bool:
    """Whether `viewer` (None: nobody in particular) may see everything of what `owner` (an id) has."""
    return viewer is not None and (viewer.sees_all or viewer.id == owner)


def message(note: Note, time: datetime, seen: View) -> MessageItem:
    """A note as a message; where it points to in the request is the value `path`."""
    values = dict(note.values) if seen.full else scrubbed(dict(note.values))
    if note.path is not None:
        values.setdefault("path", note.path)
    return MessageItem(
        kind=message_uri(seen.base, note.kind),
        time=format_instant(time),
        level=note.level.value,
        template=note.template,
        values=values,
        message=note.template.format_map(_Values(values)),
    )


def session_messages(record: SessionRecord, seen: View) -> list[MessageItem]:
    """Everything that is to be said of a session: why it is offered, then what has happened since."""
    return [message(note, time, seen) for note, time in _notes(record, seen)]


def secret(note: Note) -> bool:
    """Whether it tells of what strangers don't see."""
    return note.path is not None and note.path.startswith(_SECRET_PATHS)


def scrubbed(value: Any) -> Any:
    """`value` with user names, passwords and queries (signatures, tokens) taken out of every URL in it."""
    if isinstance(value, Mapping):
        return {name: scrubbed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [scrubbed(member) for member in value]
    return _URL_SECRETS.sub(r"\1\2", value) if isinstance(value, str) else value


def _notes(record: SessionRecord, seen: View) -> Iterator[tuple[Note, datetime]]:
    offered = list(record.placement.notes) if record.placement else []
    if record.placement and not any("site" in note.values for note in offered):
        site = {"site": record.placement.site_id}
        offered.insert(0, Note("site", "this session is for the site {site}", site, Level.INFO))
    for note in offered:
        if seen.full or not secret(note):
            yield note, record.created
    for timed in record.notes:
        if seen.full or not (timed.private or secret(timed.note)):
            yield timed.note, timed.time


class _Values(dict[str, str]):
    """What a note lacks of what its template asks for is shown as missing: better than no answer."""

    def __missing__(self, name: str) -> str:
        return f"(no {name})"
