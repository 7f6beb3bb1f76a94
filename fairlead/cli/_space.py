"""What the space commands share: which clouds and purses are asked, and how answers are shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli import opened
from fairlead.cli._common import output
from federation.errors import InputError, OutsideError

if TYPE_CHECKING:
    from federation.sites import Federation
    from reservations.calendar import Calendar
    from reservations.credits import Account
    from reservations.snapshots import Keep, Known, Snapshots
    from reservations.sources import Placed

CloudOption = Annotated[
    str | None,
    typer.Option("--cloud", help="Ask this cloud of clouds.yaml alone, without a catalogue."),
]
SiteOption = Annotated[
    list[str] | None,
    typer.Option("--site", metavar="ID", help="Only this site; may be given again. All, if not given."),
]
ForOption = Annotated[str, typer.Option("--for", help='For how long: "3d", "90 min".', show_default=False)]
LengthOption = Annotated[str | None, typer.Option("--for", help='For how long: "3d", "90 min".')]
ProjectOption = Annotated[str | None, typer.Option(help="Whose credits: the project's id.")]
AfterOption = Annotated[str, typer.Option(help='Not before: "2026-12-01 08:00" (UTC), or "2d" from now.')]
BeforeOption = Annotated[str, typer.Option(help="Not to start after: likewise.")]


@dataclass(frozen=True)
class Asked:
    """The clouds that are asked, and the time."""

    federation: Federation
    sources: Sequence[Placed]
    snapshots: Snapshots
    now: datetime

    def known(self, sites: Sequence[str] | None, until: datetime) -> list[Known]:
        """What is known of the named sites; raises InputError for one that isn't there, or has no source, and
        where nothing is known of any because none can be asked as it is set; else OutsideError for that."""
        for site in sites or ():
            if site not in self.federation.sites:
                known = ", ".join(self.federation.sites)
                raise InputError(f"no site is called {site!r}: expected one of {known}")
        found = self.snapshots.known(list(sites or self.federation.sites), until)
        if not found:
            raise InputError("nothing says when these sites have space: expected a table [[sites.ID.space]]")
        if not any(one.calendars for one in found):
            problems = [problem for one in found for problem in one.problems]
            if problems and all(problem.in_settings for problem in problems):
                # what is wrong with how a cloud is named is so for all that is asked there: it is said once
                raise InputError("; ".join(one.problems[0].text for one in found if one.problems))
            raise OutsideError("; ".join(remark for one in found for remark in one.remarks) or "no calendars")
        return found


def asked(
    catalogue: Path | None, cloud: str | None, database: str | None = None, now: datetime | None = None
) -> Asked:
    """The sites of the catalogue, or the one cloud, with what was last known of them.

    How much is taken is recorded in the database at that URL, or as set. With `now` they are asked as if it
    were then, and nothing is kept of what they say.
    """
    from federation.clock import ManualClock, SystemClock
    from federation.settings import data_directory
    from reservations.snapshots import Snapshots
    from reservations.sources import load_sources

    federation = space_federation(catalogue, cloud)
    if now is not None:
        stopped = ManualClock(now)
        sources = load_sources(federation, stopped)
        return Asked(federation, sources, Snapshots(sources, stopped, None), now)
    clock = SystemClock()
    directory = data_directory(os.environ) / "space"
    sources = load_sources(federation, clock)
    snapshots = Snapshots(sources, clock, directory, keep=_keeping(database))
    return Asked(federation, sources, snapshots, clock.now())


def _keeping(database: str | None) -> Keep:
    """Records how much is taken. What that needs takes longer to import than most answers take: that is done
    where a source was asked for the first time in an hour."""
    made: list[Keep] = []
    turn, everything = Lock(), opened.get()

    def keep(calendars: Sequence[Calendar], now: datetime) -> None:
        with turn:
            if not made:
                from fairlead.cli._database import at
                from reservations.history.record import keeping

                made.append(keeping(lambda: everything.enter_context(at(database))))
        made[0](calendars, now)

    return keep


def space_federation(catalogue: Path | None, cloud: str | None) -> Federation:
    """The catalogue's sites; with `cloud`, or where only OS_CLOUD or OS_AUTH_URL is set, that cloud as the
    one site. Raises InputError where nothing is set."""
    from fairlead.cli._probe import known_federation
    from federation.sites import Federation, Place, Site, Space

    found = known_federation(catalogue) if cloud is None else None
    if found is not None:
        return found
    name = cloud or os.environ.get("OS_CLOUD") or ("openstack" if os.environ.get("OS_AUTH_URL") else None)
    if name is None:
        raise InputError(
            "no cloud to ask: expected --catalogue FILE, FAIRLEAD_CATALOGUE, --cloud NAME or OS_CLOUD"
        )
    options = {"cloud": cloud} if cloud is not None else {}
    spaces = (Space("blazar", options), Space("nova", options))
    site = Site(id=name, name=name, place=Place(0.0, 0.0), space=spaces)
    return Federation(name, {name: site})


def accounts(clouds: Asked, sites: Sequence[str] | None, project: str | None) -> list[Account]:
    """The purses of these sites. Raises OutsideError where their source can't be asked."""
    from federation.clock import SystemClock
    from reservations.credits import load_credits

    found: list[Account] = []
    for site in clouds.federation:
        if not sites or site.id in sites:
            source = load_credits(site, SystemClock())
            found += [] if source is None else source.accounts(project)
    return found


def table(*titles: str) -> Any:
    """A table as all space commands show it."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        made.add_column(title, overflow="fold")
    return made


def tell(told: Sequence[str]) -> None:
    """What must be known of an answer, under it."""
    if told:
        output().print()
    for remark in told:
        output().print(f"note: {remark}")
