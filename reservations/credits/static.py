"""Purses that the operator wrote down, in the options of [sites.ID.credits] or in a file of their own.

[sites.perth.credits]
source = "static"
[sites.perth.credits.options]
project = "radio"                    # whose purses these are unless a caller says
file = "/etc/fairlead/purses.toml"   # instead of the tables below: [[purses]], without a prefix

[[sites.perth.credits.options.purses]]
project = "radio"                    # left out: everybody's
name = "2026Q4"                      # required
unit = "core-hours"                  # required
granted = 10000                      # required
spent = 2500                         # (0)
per_hour = { VCPU = 1.0, PGPU = 20 } # required: the price of one unit of each class for an hour
start = 2026-10-01T00:00:00Z         # bookings are made within [start, end) (any time)
end = 2027-01-01T00:00:00Z
whole_units = true                   # a price is rounded up to whole units (false)
refuses_unnamed = true               # what has no price is refused, and not free (false)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Credits, Site
from federation.toml_lines import read_toml
from reservations.credits import Account, named_project
from reservations.tables import Table


@dataclass(frozen=True)
class StaticCredits:
    """The purses of the options or of their file, which is read anew each time."""

    ABOUT = About(
        does="Purses that the operator wrote down.",
        cannot="Nothing is subtracted by itself.",
    )

    site: Site
    credits: Credits
    clock: Clock

    def __post_init__(self) -> None:
        # what is wrong is said when the catalogue is loaded, not when somebody asks
        self._read()

    def accounts(self, project: str | None = None) -> Sequence[Account]:
        default, known = self._read()
        if all(owner is None for owner, _ in known):
            return [account for _, account in known]
        wanted = named_project(project, default, f"[sites.{self.site.id}.credits.options]")
        return [account for owner, account in known if owner in (None, wanted)]

    def _read(self) -> tuple[str | None, list[tuple[str | None, Account]]]:
        options = Table(self.credits.options, f"[sites.{self.site.id}.credits.options]")
        project, file = options.text("project", None), options.path("file", None)
        if file is None:
            tables = options
        elif "purses" in options:
            raise InputError(f"{options.where}: expected either file or purses, got both")
        else:
            tables = Table(read_toml(file, "the file of purses")[1], str(file))
        purses = tables.tables("purses")
        tables.end()
        options.end()
        now = self.clock.now()
        return project, [_purse(table, now) for table in purses]


def _purse(table: Table, now: datetime) -> tuple[str | None, Account]:
    project, name, unit = table.text("project", None), table.text("name"), table.text("unit")
    granted, spent = table.number("granted"), table.number("spent", 0.0)
    start, end = table.instant("start", None), table.instant("end", None)
    account = Account(
        name=name,
        unit=unit,
        left=max(granted - spent, 0.0),
        granted=granted,
        per_hour=table.prices("per_hour"),
        known_at=now,
        start=start,
        end=end,
        whole_units=table.truth("whole_units", False),
        refuses_unnamed=table.truth("refuses_unnamed", False),
    )
    table.end()
    if start is not None and end is not None and end <= start:
        raise InputError(f"{table.where}.end: expected an instant after the start {start.isoformat()}")
    return project, account
