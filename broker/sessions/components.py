"""The parts of sessions by their own uuids: what `GET /compute/{uuid}` and its like look up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from broker.model import Request
from broker.records import SessionRecord
from broker.sessions import store
from broker.tables import components

# as they are named in the parts' URLs
FAMILIES = ("executables", "compute", "storage", "data", "volumes")


def keys(request: Request) -> list[tuple[str, str]]:
    """(family, key) of each part of a session of `request`; see SessionRecord.component_uuid."""
    return [
        ("executables", "executable"),
        ("compute", "compute"),
        *(("storage", item.uuid) for item in request.storage),
        *(("data", item.uuid) for item in request.data),
        *(("volumes", f"volume:{mount.path}") for mount in request.mounts),
    ]


def insert_components(connection: Connection, made: Sequence[SessionRecord]) -> None:
    """Let the parts of new sessions be found."""
    rows = [
        {"uuid": session.component_uuid(key), "session": session.uuid, "family": family, "key": key}
        for session in made
        if session.request is not None
        for family, key in keys(session.request)
    ]
    if rows:
        connection.execute(insert(components), rows)


def read_component(connection: Connection, family: str, uuid: str) -> tuple[SessionRecord, str] | None:
    """The session that has this part, and the part's key in it; None where there is no such part."""
    query = select(components.c.session, components.c.key)
    row = connection.execute(
        query.where(components.c.uuid == uuid, components.c.family == family)
    ).one_or_none()
    if row is None:
        return None
    session = store.read_session(connection, row.session)
    return None if session is None else (session, row.key)
