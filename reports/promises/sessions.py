"""What the broker was asked, what it promised, and what came of it, as its database has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Row, Select, Text, cast, func, select

from broker.model import Phase
from broker.offers.credit import CREDITS
from broker.offers.price import MONETARY
from broker.tables import cloud_leases, forgotten, identities, offersets, sessions
from reservations.enforcement.tables import MICRO, bookings, charges

# kinds of notes that sum up a NO, beside its reasons
_SUMMARIES = frozenset({"no-site", "nearest-change"})
OFFERED = frozenset({Phase.OFFERED, Phase.EXPIRED, Phase.REJECTED})
_PART = 1000


@dataclass(frozen=True)
class Asked:
    """A request, or a direct execution. `refusals` are (site, kind of note) of a NO, each once; "" stands for
    the request itself."""

    uuid: str
    owner: str
    created: datetime
    direct: bool
    yes: bool
    refusals: tuple[tuple[str, str], ...] = ()
    # how long the answer took; None where that wasn't kept yet
    answer_seconds: float | None = None


@dataclass(frozen=True)
class Promise:
    """An offer, and the session that came of it where it was accepted. Money and credits are what was
    promised, if all of the time is used; `charged` what the credits' ledger has of its lease.

    `promised_start` is that of the offer, also where the session was moved since. `rank` counts from 1.
    `problem` is (kind, text) of what made it fail. `lease` is where its reservation stands, None: needs none.
    """

    uuid: str
    offerset: str
    owner: str
    rank: int
    phase: Phase
    created: datetime
    site: str
    cores: int
    memory_gib: int
    duration: timedelta
    promised_start: datetime
    start_within: timedelta
    prepare_seconds: float
    move_bytes: int = 0
    money: float = 0.0
    credits: float | None = None
    direct: bool = False
    ended: datetime | None = None
    preparing: datetime | None = None
    prepared: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    problem: tuple[str, str] | None = None
    moves: int = 0
    lease: str | None = None
    lease_made: bool = False
    charged: float | None = None
    elsewhere: bool = False

    @property
    def accepted(self) -> bool:
        return self.phase not in OFFERED


@dataclass(frozen=True)
class Record:
    """Oldest first. `complete_since`: of what was created until then, some was removed; None: nothing was.
    `names` of owners, by their ids."""

    asked: tuple[Asked, ...]
    promises: tuple[Promise, ...]
    complete_since: datetime | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Staging:
    moves: tuple[_Move, ...]


@dataclass(frozen=True)
class _Move:
    destination: str
    size_bytes: int
    source: str | None = None


@dataclass(frozen=True)
class _Cost:
    type: str
    maximum: float


@dataclass(frozen=True)
class _Placement:
    site_id: str
    cores: int
    memory_gib: int
    prepare_seconds: float
    start: datetime
    duration: timedelta
    staging: _Staging
    costs: tuple[_Cost, ...]
    start_within: timedelta = timedelta(0)
    reference: str | None = None


@dataclass(frozen=True)
class _Note:
    kind: str
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    level: str = "ERROR"

    @property
    def text(self) -> str:
        return self.template.format_map(dict(self.values))


@dataclass(frozen=True)
class _Timed:
    time: datetime
    note: _Note


@dataclass(frozen=True)
class _Progress:
    phases: Mapping[str, datetime] = field(default_factory=dict)
    prepared: datetime | None = None
    begun: datetime | None = None


@dataclass(frozen=True)
class _Outcome:
    started: datetime
    ended: datetime | None = None


# only what is looked at is read of the documents: the rest may be long
_placement = TypeAdapter(_Placement).validate_json
_notes = TypeAdapter(tuple[_Note, ...]).validate_json
_timed = TypeAdapter(tuple[_Timed, ...]).validate_json
_progress = TypeAdapter(_Progress).validate_json
_outcome = TypeAdapter(_Outcome).validate_json


def read(engine: Engine, since: datetime, until: datetime, sites: Collection[str] | None = None) -> Record:
    """What was asked from `since` until before `until`, and what is known by now to have come of it; offers
    and refusals of these sites only (None: all). Blocks: seconds for ten thousand sessions."""
    with engine.connect() as connection:
        complete = connection.execute(select(func.max(forgotten.c.created))).scalar()
        within = (offersets.c.created >= since, offersets.c.created < until)
        asked = [_asked(row, sites) for row in _rows(connection, select(*_ASKED).where(*within))]
        joined = sessions.join(offersets, sessions.c.offerset == offersets.c.uuid).outerjoin(
            cloud_leases, cloud_leases.c.session == sessions.c.uuid
        )
        rows = _rows(connection, select(*_PROMISED).select_from(joined).where(*within))
        found = [(row, _placement(row.placement)) for row in rows if row.placement is not None]
        chosen = [one for one in found if sites is None or one[1].site_id in sites]
        charged = _charged(connection, [row.lease for row, _ in chosen if row.lease is not None])
        promises = [_promise(row, placement, charged) for row, placement in chosen]
        names = {row.uuid: row.username for row in connection.execute(select(identities))}
    return Record(
        tuple(sorted(asked, key=lambda one: (one.created, one.uuid))),
        tuple(sorted(promises, key=lambda one: (one.created, one.offerset, one.rank))),
        complete,
        names,
    )


_ASKED = (
    *(offersets.c[name] for name in ("uuid", "owner", "created", "direct", "yes", "answer_seconds")),
    cast(offersets.c.notes, Text).label("notes"),
)
_PROMISED = (
    *(sessions.c[name] for name in ("uuid", "offerset", "owner", "position", "phase", "created", "ended")),
    *(cast(sessions.c[name], Text).label(name) for name in ("placement", "notes", "progress", "outcome")),
    offersets.c.direct,
    cloud_leases.c.state,
    cloud_leases.c.moves,
    cloud_leases.c.lease["id"].as_string().label("lease"),
)


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    return iter(connection.execution_options(yield_per=_PART).execute(query))


def _asked(row: Row[Any], sites: Collection[str] | None) -> Asked:
    reasons = () if row.yes else _notes(row.notes)
    found = {
        (note.values.get("site", ""), note.kind)
        for note in reasons
        if note.level == "ERROR" and note.kind not in _SUMMARIES
    }
    of_sites = {one for one in found if sites is None or not one[0] or one[0] in sites}
    refusals = tuple(sorted(of_sites))
    return Asked(row.uuid, row.owner, row.created, row.direct, row.yes, refusals, row.answer_seconds)


def _promise(row: Row[Any], placement: _Placement, charged: Mapping[str, float]) -> Promise:
    phase = Phase(row.phase)
    # most offers are not accepted, and nothing came of them
    lived = phase not in OFFERED
    notes, progress = (_timed(row.notes), _progress(row.progress)) if lived else ((), _Progress())
    outcome = None if row.outcome in (None, "null") else _outcome(row.outcome)
    moved = [timed for timed in notes if timed.note.kind == "rebooked"]
    # it moves from where it was promised first
    first = moved[0].note.values.get("old") if moved else None
    begins = [timed.time for timed in notes if timed.note.kind == "started"]
    moves = [one for one in placement.staging.moves if one.source != one.destination]
    return Promise(
        uuid=row.uuid,
        offerset=row.offerset,
        owner=row.owner,
        rank=row.position + 1,
        phase=phase,
        created=row.created,
        site=placement.site_id,
        cores=placement.cores,
        memory_gib=placement.memory_gib,
        duration=placement.duration,
        promised_start=placement.start if first is None else datetime.fromisoformat(first),
        start_within=placement.start_within,
        prepare_seconds=placement.prepare_seconds,
        move_bytes=sum(one.size_bytes for one in moves),
        money=_cost(placement, MONETARY) or 0.0,
        credits=_cost(placement, CREDITS),
        direct=row.direct,
        ended=row.ended,
        preparing=progress.phases.get(Phase.PREPARING.value),
        # another broker tells of its phases alone
        prepared=progress.prepared or progress.phases.get(Phase.AVAILABLE.value),
        # a container that was lost is started again: what was promised is the first start
        started=min(begins) if begins else (outcome.started if outcome else None),
        finished=outcome.ended if outcome else None,
        problem=_problem(phase, notes),
        moves=len(moved),
        lease=row.state,
        lease_made=row.lease is not None,
        charged=charged.get(row.lease) if row.lease is not None else None,
        elsewhere=placement.reference is not None,
    )


def _problem(phase: Phase, notes: Sequence[_Timed]) -> tuple[str, str] | None:
    """What made it fail, as the first of its errors has it."""
    if phase is not Phase.FAILED:
        return None
    found = [timed.note for timed in notes if timed.note.level == "ERROR"]
    return (found[0].kind, found[0].text) if found else ("unknown", "")


def _cost(placement: _Placement, type_: str) -> float | None:
    return next((cost.maximum for cost in placement.costs if cost.type == type_), None)


def _charged(connection: Connection, leases: Iterable[str]) -> dict[str, float]:
    """What our own ledger of credits took for each lease: of the purse that pays most, as it was promised."""
    found: dict[str, float] = defaultdict(float)
    ids = sorted(set(leases))
    for start in range(0, len(ids), _PART):
        query = select(bookings.c.lease, charges.c.amount).join(charges, charges.c.booking == bookings.c.id)
        for lease, amount in connection.execute(
            query.where(bookings.c.lease.in_(ids[start : start + _PART]))
        ):
            found[lease] = max(found[lease], amount / MICRO)
    return dict(found)
