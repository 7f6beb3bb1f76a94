"""Offer sets and sessions in the database.

Every function takes the connection of the caller's transaction; `write` ones need one that was opened with
`federation.database.write`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, insert, select, update

from broker.model import Connector, Note, Outcome, Phase, Placement, Request
from broker.phases import ENDED, Actor, check
from broker.records import OfferSetRecord, SessionRecord, TimedNote
from broker.sessions import codec, ledger
from broker.tables import offersets, sessions

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """What the supervisor has done for a session, as far as it must outlive the process."""

    # where each data item and storage lies at the site, by uuid
    paths: Mapping[str, str] = field(default_factory=dict)
    # when it was begun, and must be over (ISO 8601); set before it starts
    begun: str | None = None
    end: str | None = None
    # whether it ended badly; set when it has ended
    failed: bool = False
    # when it came into each phase since it was accepted, and when its preparation was first done (ISO 8601)
    phases: Mapping[str, str] = field(default_factory=dict)
    prepared: str | None = None
    # of each data item that its own system is to bring: since when, and until when it is to lie there at
    # most (ISO 8601); set before it is asked to
    bringing: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def known(found: T | None) -> T:
    """For what this transaction has just written. Raises KeyError where there is nothing."""
    if found is None:
        raise KeyError("no such session")
    return found


def insert_offerset(
    connection: Connection,
    record: OfferSetRecord,
    direct: bool,
    document: Any,
    request: Request | None,
    answer_seconds: float,
) -> None:
    """Store a set without its sessions, and how long its answer took."""
    connection.execute(
        insert(offersets).values(
            uuid=record.uuid,
            owner=record.owner,
            name=record.name,
            direct=direct,
            yes=record.yes,
            created=record.created,
            modified=record.modified,
            document=document,
            request=codec.dump_request(request),
            notes=codec.dump_notes(record.notes),
            answer_seconds=answer_seconds,
        )
    )


def insert_sessions(connection: Connection, made: Sequence[SessionRecord], offerset: str) -> None:
    """Store new sessions of one set, the best first."""
    rows = [
        {
            "uuid": record.uuid,
            "offerset": offerset,
            "position": position,
            "owner": record.owner,
            "phase": record.phase.value,
            "created": record.created,
            "modified": record.modified,
            "expires": record.expires,
            "placement": codec.dump_placement(record.placement),
            "notes": codec.dump_timed_notes(record.notes),
            "progress": asdict(Progress()),
            "occupies_platform": record.phase is Phase.ACCEPTED,
            "ended": record.created if record.phase in ENDED else None,
        }
        for position, record in enumerate(made)
    ]
    if rows:
        connection.execute(insert(sessions), rows)


def read_offerset(connection: Connection, uuid: str) -> OfferSetRecord | None:
    """The set with its sessions, best first; None where there is none (or a direct execution's)."""
    return next(iter(read_offersets(connection, [uuid])), None)


def read_offersets(connection: Connection, uuids: Collection[str]) -> list[OfferSetRecord]:
    """Those of these sets that there are, in no order; as `read_offerset`."""
    query = select(offersets).where(offersets.c.uuid.in_(uuids), offersets.c.direct.is_(False))
    rows = connection.execute(query).all()
    members: dict[str, list[SessionRecord]] = {row.uuid: [] for row in rows}
    found = _query().where(sessions.c.offerset.in_(list(members))).order_by(sessions.c.position)
    for session in connection.execute(found):
        members[session.offerset].append(_record(session))
    return [
        OfferSetRecord(
            uuid=row.uuid,
            owner=row.owner,
            created=row.created,
            modified=row.modified,
            yes=row.yes,
            notes=codec.load_notes(row.notes),
            sessions=tuple(members[row.uuid]),
            name=row.name,
        )
        for row in rows
    ]


def read_sessions(connection: Connection, uuids: Collection[str]) -> list[SessionRecord]:
    """Those of these sessions that there are, in no order."""
    return [_record(row) for row in connection.execute(_query().where(sessions.c.uuid.in_(uuids)))]


def read_session(connection: Connection, uuid: str) -> SessionRecord | None:
    row = connection.execute(_query().where(sessions.c.uuid == uuid)).one_or_none()
    return None if row is None else _record(row)


def read_progress(connection: Connection, uuid: str) -> Progress:
    document = connection.execute(select(sessions.c.progress).where(sessions.c.uuid == uuid)).scalar_one()
    return Progress(**document)


def write_progress(connection: Connection, uuid: str, progress: Progress) -> None:
    connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(progress=asdict(progress)))


def lock_offerset_of(connection: Connection, session: str) -> SessionRecord | None:
    """The session, when nobody else can change it or its siblings before this transaction ends."""
    member = select(sessions.c.offerset).where(sessions.c.uuid == session)
    locked = select(offersets.c.uuid).where(offersets.c.uuid.in_(member)).with_for_update()
    if connection.execute(locked).one_or_none() is None:
        return None
    return read_session(connection, session)


def change_phase(
    connection: Connection,
    session: SessionRecord,
    phase: Phase,
    actor: Actor,
    now: datetime,
    notes: Sequence[TimedNote] = (),
) -> bool:
    """Change the phase of a session that this transaction has locked, and add notes. When is written down.

    Returns False where there was nothing to change (then no notes are added); raises NotAllowed.
    """
    if not check(session.phase, phase, actor):
        return False
    values: dict[str, Any] = {"phase": phase.value, "modified": now}
    if phase in ENDED:
        values["ended"] = now
    if phase is Phase.ACCEPTED:
        values["occupies_platform"] = True
    if notes:
        values["notes"] = codec.dump_timed_notes((*session.notes, *notes))
    progress = read_progress(connection, session.uuid)
    values["progress"] = asdict(replace(progress, phases={**progress.phases, phase.value: now.isoformat()}))
    connection.execute(update(sessions).where(sessions.c.uuid == session.uuid).values(**values))
    return True


def add_notes(
    connection: Connection, session: SessionRecord, notes: Sequence[TimedNote], now: datetime
) -> None:
    """Add notes to a session that this transaction has locked."""
    values = {"notes": codec.dump_timed_notes((*session.notes, *notes)), "modified": now}
    connection.execute(update(sessions).where(sessions.c.uuid == session.uuid).values(**values))


def reject_siblings(connection: Connection, session: SessionRecord, now: datetime) -> None:
    """Reject the other offers of the set and give back what they held."""
    member = select(sessions.c.offerset).where(sessions.c.uuid == session.uuid).scalar_subquery()
    query = select(sessions.c.uuid).where(
        sessions.c.offerset == member,
        sessions.c.uuid != session.uuid,
        sessions.c.phase == Phase.OFFERED.value,
    )
    siblings = list(connection.execute(query).scalars())
    _end(connection, siblings, Phase.REJECTED, now)
    ledger.free(connection, siblings)


def overdue(connection: Connection, now: datetime) -> list[str]:
    """The offers whose time is over and whose phase doesn't say so yet."""
    query = select(sessions.c.uuid).where(sessions.c.phase == Phase.OFFERED.value, sessions.c.expires <= now)
    return list(connection.execute(query).scalars())


def expire(connection: Connection, now: datetime, among: Collection[str], patient: bool = True) -> None:
    """Of these sessions, expire the offers whose time is over, and give back what they held.

    Not `patient`: those that somebody is just changing are left alone.
    """
    if not among:
        return
    query = select(sessions.c.uuid).where(
        sessions.c.uuid.in_(among), sessions.c.phase == Phase.OFFERED.value, sessions.c.expires <= now
    )
    # in one order everywhere, so that two who expire the same offers don't wait for each other
    locked = query.order_by(sessions.c.uuid).with_for_update(skip_locked=not patient)
    due = list(connection.execute(locked).scalars())
    _end(connection, due, Phase.EXPIRED, now)
    ledger.free(connection, due)


def keeps_results(connection: Connection, uuid: str, until: datetime) -> None:
    """Note that the platform holds nothing but what the session wrote, and that until then."""
    connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(results_until=until))


def left_platform(connection: Connection, uuid: str) -> None:
    """Note that the platform holds nothing for the session any more, and give back what was booked."""
    connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(occupies_platform=False))
    ledger.free(connection, [uuid])


def write_placement(connection: Connection, uuid: str, placement: Placement) -> None:
    values = {"placement": codec.dump_placement(placement)}
    connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(**values))


def write_outcome(connection: Connection, uuid: str, outcome: Outcome) -> None:
    values = {"outcome": codec.dump_outcome(outcome)}
    connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(**values))


def write_connectors(connection: Connection, uuid: str, connectors: Sequence[Connector]) -> None:
    values = {"connectors": codec.dump_connectors(tuple(connectors)) if connectors else None}
    connection.execute(update(sessions).where(sessions.c.uuid == uuid).values(**values))


def _end(connection: Connection, uuids: Sequence[str], phase: Phase, now: datetime) -> None:
    if uuids:
        query = update(sessions).where(sessions.c.uuid.in_(uuids))
        connection.execute(query.values(phase=phase.value, modified=now, ended=now))


def _query() -> Select[Any]:
    columns = (offersets.c.document, offersets.c.request, offersets.c.direct, offersets.c.name)
    return select(sessions, *columns).join(offersets, sessions.c.offerset == offersets.c.uuid)


def _record(row: Row[Any]) -> SessionRecord:
    placement: Placement | None = codec.load_placement(row.placement)
    return SessionRecord(
        uuid=row.uuid,
        offerset_uuid=None if row.direct else row.offerset,
        owner=row.owner,
        phase=Phase(row.phase),
        created=row.created,
        modified=row.modified,
        expires=row.expires,
        request=codec.load_request(row.request),
        placement=placement,
        document=row.document,
        notes=codec.load_timed_notes(row.notes),
        name=row.name,
        connectors=codec.load_connectors(row.connectors),
        outcome=codec.load_outcome(row.outcome),
        ended=row.ended,
        # what was kept is gone when the platform holds nothing any more
        results_until=row.results_until if row.occupies_platform else None,
        staged=frozenset(row.progress.get("paths", ())),
    )


def timed(notes: Sequence[Note], now: datetime) -> tuple[TimedNote, ...]:
    return tuple(TimedNote(now, note) for note in notes)
