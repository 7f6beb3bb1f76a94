"""Opening what the API looks at: a database or a file of measurements, a catalogue, and a time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from fairlead.cli._probe import known_federation
from federation.catalogue import load_federation
from federation.clock import Clock, ManualClock, SystemClock
from federation.database import connect, upgrade
from federation.errors import InputError
from federation.settings import load_settings
from federation.sites import Federation, Site
from federation.units import parse_instant, parse_size_bytes
from netprobe.archive import Archive
from netprobe.exchange import FORMATS, read
from netprobe.measurement import Kind

if TYPE_CHECKING:
    from fairlead.api.network import Fairlead

Instant = datetime | str
Names = str | list[str] | tuple[str, ...]
# sites that an error lists
MOST_NAMED = 12


def open(
    measurements: str | os.PathLike[str] | None = None,
    *,
    catalogue: str | os.PathLike[str] | None = None,
    at: Instant | None = None,
) -> Fairlead:
    """What has been measured and what the sites say, ready to be asked.

    `measurements` is a database (a URL, or the path of a SQLite file that is there), or a file that `fairlead
    archive export` wrote (.parquet, .csv), of which a copy is read that goes with `close()`. None: the
    database that the settings name, as for every command. `catalogue` is the federation's TOML file; None: as
    set (FAIRLEAD_CATALOGUE), else that of the lab that is up.

    `at` looks at it as if it were that instant ("2026-01-12", a datetime; UTC where nothing else is said):
    later measurements are not seen, and "now" is then.

    Raises InputError, or OutsideError where the database or the file can't be read. Close it with `close()`,
    or use it in a `with` statement.
    """
    from fairlead.api.network import Fairlead

    try:
        import pandas  # noqa: F401
    except ImportError:
        raise InputError("the Python API needs pandas: install fairlead[reports]") from None
    clock: Clock = SystemClock()
    if at is not None:
        clock = ManualClock(instant("at", at, clock.now()))
    sites = None if catalogue is None else load_federation(Path(catalogue))
    engine, copy = _database(measurements)
    return Fairlead(Opened(engine, sites, clock, at is not None, copy))


@dataclass
class Opened:
    """What is looked at. `sites`: those of the catalogue that was given. `replayed`: the clock stands, and
    what is later is hidden. `copy`: the folder that goes when this is closed."""

    engine: Engine
    sites: Federation | None
    clock: Clock
    replayed: bool
    copy: TemporaryDirectory[str] | None

    def close(self) -> None:
        self.engine.dispose()
        if self.copy is not None:
            self.copy.cleanup()

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @cached_property
    def archive(self) -> Archive:
        return Archive(self.engine)

    @cached_property
    def known_federation(self) -> Federation | None:
        """The sites; None where nobody says where they are."""
        return self.sites or known_federation(None)

    @property
    def federation(self) -> Federation:
        """The sites. Raises InputError where nobody says where they are."""
        found = self.known_federation
        if found is None:
            raise InputError("no sites are known: expected fairlead.open(..., catalogue=FILE)")
        return found

    def site(self, argument: str, name: str) -> Site:
        """The site with this id. Raises InputError that names those there are."""
        sites = self.federation.sites
        if name not in sites:
            raise InputError(f"{argument}: expected one of {', '.join(sites)}, got {name!r}")
        return sites[name]

    def measured(self, argument: str, wanted: Iterable[str]) -> None:
        """Raises InputError for a name that neither catalogue nor archive has: a slip of the pen is no
        path without measurements."""
        federation = self.known_federation
        known = {*federation.sites} if federation else set()
        if not {*wanted} <= known:
            known |= {end for kind in Kind for path in self.archive.paths(kind) for end in path}
        for name in wanted:
            if name not in known:
                more = ", ..." if len(known) > MOST_NAMED else ""
                some = ", ".join(sorted(known)[:MOST_NAMED]) + more or "none: nothing was measured"
                raise InputError(f"{argument}: expected one of {some}, got {name!r}")

    def span(self, since: Instant | None, until: Instant | None) -> tuple[datetime, datetime]:
        """From `since` (None: whatever there is) until before `until` (None, and at most: now)."""
        now = self.now
        end = now if until is None else min(instant("until", until, now, ago=True), now)
        begin = datetime(1970, 1, 1, tzinfo=UTC) if since is None else instant("since", since, end, ago=True)
        if begin >= end:
            raise InputError(f"since: expected a time before {end:%Y-%m-%d %H:%M} UTC, got {since!r}")
        return begin, end


def instant(argument: str, value: Instant, now: datetime, ago: bool = False) -> datetime:
    """A time as a person gives it, in UTC. Raises InputError that names the argument."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    try:
        return parse_instant(value, now, ago)
    except InputError as error:
        raise InputError(f"{argument}: {error}") from None


def bytes_of(argument: str, size: str | float) -> float:
    """A size as a person gives it, in bytes. Raises InputError that names the argument."""
    try:
        if isinstance(size, str):
            return float(parse_size_bytes(size))
    except InputError as error:
        raise InputError(f"{argument}: {error}") from None
    if not 0 <= size < math.inf:
        raise InputError(f'{argument}: expected bytes, or text such as "10 GB", got {size!r}')
    return float(size)


def names(argument: str, value: Names | None) -> list[str] | None:
    """One name or several; None: all."""
    if value is None:
        return None
    found = [value] if isinstance(value, str) else list(value)
    if not found:
        raise InputError(f"{argument}: expected one or several, got an empty list; None stands for all")
    return found


def _database(
    measurements: str | os.PathLike[str] | None,
) -> tuple[Engine, TemporaryDirectory[str] | None]:
    if measurements is None:
        return _whole(load_settings(None, os.environ).database_url), None
    text = os.fspath(measurements)
    if "://" in text:
        return _whole(text), None
    path = Path(text)
    if not path.is_file():
        raise InputError(f"{path}: no such file: expected a SQLite database, or {' or '.join(FORMATS)}")
    if path.suffix.lower() not in FORMATS:
        return _whole(f"sqlite:///{path}"), None
    # not in memory: a large comparison reads it from several processes
    copy = TemporaryDirectory(prefix="fairlead-")
    try:
        engine = _whole(f"sqlite:///{copy.name}/measurements.db")
        for _ in Archive(engine).ingest(read(path)):
            pass
    except BaseException:
        copy.cleanup()
        raise
    return engine, copy


def _whole(url: str) -> Engine:
    """With the tables of all wings."""
    engine = connect(url)
    upgrade(engine)
    return engine
