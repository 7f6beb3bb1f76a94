"""Lists of sessions and offer sets: filtered, newest first, a page at a time.

A page goes on from the place (created, uuid) where the one before it ended. So nothing is shown twice and
nothing left out, whatever is added or removed between two pages, and no page is dearer than the first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, select, tuple_

from broker.model import Phase
from broker.records import OfferSetRecord, SessionRecord
from broker.sessions import store
from broker.tables import identities, offersets, sessions

T = TypeVar("T")


@dataclass(frozen=True)
class Filters:
    """What is listed; None: whatever it is. Times are of creation, `since` included and `until` not."""

    owners: Collection[str] | None = None  # Owner.id
    since: datetime | None = None
    until: datetime | None = None
    name: str | None = None
    # of sessions only
    phases: Collection[Phase] | None = None
    site: str | None = None
    # of offer sets only
    yes: bool | None = None


@dataclass(frozen=True)
class Cursor:
    """The last item of a page: the next page begins behind it."""

    created: datetime
    uuid: str


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items; `next` is where the next page goes on, None where there is none."""

    items: tuple[T, ...]
    next: Cursor | None


def list_sessions(
    connection: Connection, filters: Filters, after: Cursor | None, limit: int
) -> Page[SessionRecord]:
    """Accepted, refused and ended ones, and offers, too: they are sessions in phase OFFERED."""
    query = session_query(filters, after, limit)
    found = [Cursor(row.created, row.uuid) for row in connection.execute(query)]
    uuids = [each.uuid for each in found[:limit]]
    known = {session.uuid: session for session in store.read_sessions(connection, uuids)}
    return Page(tuple(known[uuid] for uuid in uuids if uuid in known), _next(found, limit))


def list_offersets(
    connection: Connection, filters: Filters, after: Cursor | None, limit: int
) -> Page[OfferSetRecord]:
    """With their sessions. What was made for a direct execution is none."""
    query = offerset_query(filters, after, limit)
    found = [Cursor(row.created, row.uuid) for row in connection.execute(query)]
    uuids = [each.uuid for each in found[:limit]]
    known = {each.uuid: each for each in store.read_offersets(connection, uuids)}
    return Page(tuple(known[uuid] for uuid in uuids if uuid in known), _next(found, limit))


def owners_called(connection: Connection, name: str) -> list[str]:
    """The ids of those who go by `name`: an id itself, or a user's name (several issuers may have one)."""
    query = select(identities.c.uuid).where(identities.c.username == name)
    return [name, *connection.execute(query).scalars()]


def session_query(filters: Filters, after: Cursor | None, limit: int) -> Select[tuple[datetime, str]]:
    """Where to find one page, and one more: that tells whether there is a next page."""
    query = _page(sessions, filters, after, limit)
    if filters.phases is not None:
        query = query.where(sessions.c.phase.in_([phase.value for phase in filters.phases]))
    if filters.site is not None:
        query = query.where(sessions.c.placement["site_id"].as_string() == filters.site)
    if filters.name is not None:
        query = query.join(offersets, sessions.c.offerset == offersets.c.uuid).where(_named(filters.name))
    return query


def offerset_query(filters: Filters, after: Cursor | None, limit: int) -> Select[tuple[datetime, str]]:
    """As `session_query`."""
    query = _page(offersets, filters, after, limit).where(offersets.c.direct.is_(False))
    if filters.yes is not None:
        query = query.where(offersets.c.yes.is_(filters.yes))
    return query if filters.name is None else query.where(_named(filters.name))


def _page(
    table: FromClause, filters: Filters, after: Cursor | None, limit: int
) -> Select[tuple[datetime, str]]:
    created, uuid = table.c.created, table.c.uuid
    query = select(created, uuid).order_by(created.desc(), uuid.desc()).limit(limit + 1)
    if filters.owners is not None:
        query = query.where(table.c.owner.in_(filters.owners))
    if filters.since is not None:
        query = query.where(created >= filters.since)
    if filters.until is not None:
        query = query.where(created < filters.until)
    if after is not None:
        # the first half says nothing new, but it is what an index can use
        query = query.where(created <= after.created).where(
            tuple_(created, uuid) < tuple_(after.created, after.uuid)
        )
    return query


def _named(name: str) -> ColumnElement[bool]:
    """As it is shown: by the client's name for its request, else by the executable's."""
    shown: ColumnElement[str] = func.coalesce(
        offersets.c.name, offersets.c.request["executable"]["name"].as_string()
    )
    return shown == name


def _next(found: list[Cursor], limit: int) -> Cursor | None:
    return found[limit - 1] if len(found) > limit else None
