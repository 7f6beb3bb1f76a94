"""Pull a mesh into the archive: page by page, only what is new, with counts of what came of each document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from federation.clock import Clock
from federation.database import write
from federation.errors import OutsideError
from federation.sites import Federation
from netprobe.measurement import Measurement
from netprobe.meshes import Access, Found, Mesh, Page, Refusal
from netprobe.tables import mesh_pulls

# Runs reach an archive late: their nodes try again for a while when it doesn't answer. What is read twice is
# known by its id and taken once.
OVERLAP = timedelta(hours=1)
FIRST_TIME = timedelta(days=7)
# How far ahead of ours another's clock may be. What is dated later is refused by name: it would be the newest
# of its path until then. The pulls at that time take it, if it is still there.
AHEAD = timedelta(minutes=10)
FUTURE = "dated in the future"
# of each reason, for who wants to know which documents they were
_EXAMPLES = 3


class Archive(Protocol):
    """Where rows go; `netprobe.archive.Archive` is the real one."""

    def add(self, found: Iterable[Measurement]) -> int: ...


@dataclass
class Pulled:
    """What came of a pull so far. Every document is in exactly one of `taken`, `repeated` and `refused`."""

    archive: str
    since: datetime
    pages: int = 0
    taken: int = 0
    # known already: from an earlier pull, or given twice
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    through: datetime | None = None
    # how much of the whole, 0 to 1, where the mesh tells
    share: float | None = None
    # why it ended early, None where all was read; what had come by then is kept
    stopped: str | None = None


class PullState:
    """How far each mesh has been read. Each call is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def through(self, kind: str, archive: str) -> datetime | None:
        """Whatever started before this has been seen; None where nothing was ever pulled."""
        known = (mesh_pulls.c.kind == kind) & (mesh_pulls.c.archive == archive)
        with self._engine.connect() as connection:
            return connection.execute(select(mesh_pulls.c.through).where(known)).scalar()

    def advance(self, kind: str, archive: str, through: datetime) -> None:
        """Note it; never backwards, so that two pulls at once do no harm."""
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(mesh_pulls).values(kind=kind, archive=archive, through=through)
        statement = statement.on_conflict_do_update(
            index_elements=["kind", "archive"],
            set_={"through": statement.excluded.through},
            where=mesh_pulls.c.through < statement.excluded.through,
        )
        with write(self._engine) as connection:
            connection.execute(statement)


def pull(
    mesh: Mesh,
    access: Access,
    archive: Archive,
    state: PullState,
    clock: Clock,
    federation: Federation | None = None,
    since: datetime | None = None,
    on_page: Callable[[Pulled], None] = lambda pulled: None,
) -> Pulled:
    """Take what is new since the last pull, or all since `since`; the first time, that of the last 7 days.

    Each page is kept before the next is asked for. What ends it early (a page that can't be had) is told in
    `stopped`; the next pull goes on where this one ended. `on_page` is called after every page. Whatever it
    raises, and KeyboardInterrupt, leaves with all pages kept that it was told of. Raises InputError.
    """
    seen = state.through(mesh.kind, access.archive)
    begun = clock.now()
    start = since or (begun - FIRST_TIME if seen is None else seen - OVERLAP)
    pulled = Pulled(access.archive, start)
    # reading on from after the last seen would leave a gap that no later pull fills
    connected = seen is None or start <= seen
    try:
        for page in mesh.pages(access, start, federation):
            _take(page, archive, pulled, begun + AHEAD)
            if page.through is not None:
                # a node whose clock is ahead must not hide what comes after
                pulled.through = min(page.through, begun)
                if connected:
                    state.advance(mesh.kind, access.archive, pulled.through)
            on_page(pulled)
    except OutsideError as error:
        pulled.stopped = str(error)
    return pulled


def _take(page: Page, archive: Archive, pulled: Pulled, latest: datetime) -> None:
    found = [_dated(one, latest) for one in page.found]
    rows = [one for one in found if isinstance(one, Measurement)]
    added = archive.add(rows)
    pulled.pages += 1
    pulled.taken += added
    pulled.repeated += len(rows) - added
    pulled.share = page.share
    for one in found:
        if isinstance(one, Refusal):
            pulled.refused[one.reason] += 1
            examples = pulled.examples.setdefault(one.reason, [])
            if one.detail and len(examples) < _EXAMPLES:
                examples.append(one.detail)


def _dated(one: Found, latest: datetime) -> Found:
    if isinstance(one, Refusal) or one.started <= latest:
        return one
    path = f"{one.source} to {one.destination}"
    return Refusal(FUTURE, f"{one.tool} from {path} at {one.started:%Y-%m-%d %H:%M} UTC")


def counts(pulled: Pulled) -> Mapping[str, int]:
    """The documents by what came of them."""
    refused = {f"refused: {reason}": number for reason, number in sorted(pulled.refused.items())}
    return {"taken": pulled.taken, "repeated": pulled.repeated, **refused}
