"""`fairlead report space`: the use of the clouds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli import _report
from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption
from fairlead.cli._space import CloudOption, ProjectOption
from federation.errors import FairleadError, InputError

if TYPE_CHECKING:
    from fairlead.cli._space import Asked
    from reports.space_use.model import Reading
    from reservations.credits import Account

app = typer.Typer()


@app.command(
    epilog="Example: fairlead report space --since 30d --ahead 14d --format html,pdf --out report. "
    "Exit status: 0 done, 2 wrong usage or input, 3 no cloud could be asked."
)
def space(
    out: _report.OutOption,
    since: Annotated[str, typer.Option(help='Look back so far: "30d", or an instant.')] = "30d",
    ahead: Annotated[str, typer.Option(help="And so far ahead.")] = "14d",
    until: Annotated[str | None, typer.Option(help="Take this instant for now.", show_default=False)] = None,
    sites: Annotated[str | None, typer.Option(help="Only these sites (ids, with commas).")] = None,
    formats: _report.FormatOption = "html",
    project: ProjectOption = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how much of the clouds there is, was taken and is booked, by whom, and how long one waits.

    The past is as our own record has it, which `fairlead serve` and the `space` commands keep, and as far as
    the clouds themselves remember it.
    """
    from fairlead.cli._common import steps
    from reports.laid_out import LaidOut
    from reports.space_use.page import report

    chosen = _report.formats_of(formats)
    reading = _reading(since, ahead, until, sites, project, catalogue, cloud, database)
    with steps("drawing", 1.0):
        document = report(reading, _report.made("numpy", "pandas", "matplotlib"))
    _report.written(LaidOut(document), out, chosen, as_json)


def _reading(
    since: str,
    ahead: str,
    until: str | None,
    sites: str | None,
    project: str | None,
    catalogue: Path | None,
    cloud: str | None,
    database: str | None,
) -> Reading:
    from fairlead.cli._common import steps
    from fairlead.cli._database import at as database_at
    from fairlead.cli._space import asked
    from federation.clock import SystemClock
    from federation.units import parse_duration
    from reports.space_use.reading import read
    from reservations.history.record import record_purses

    begin, now = _report.times(since, until, SystemClock().now())
    try:
        end = now + parse_duration(ahead)
    except (InputError, OverflowError) as error:
        raise InputError(f"--ahead: {error}") from None
    if end <= now:
        raise InputError(f"--ahead: expected more than nothing, got {ahead!r}")
    clouds = asked(catalogue, cloud, database, None if until is None else now)
    wanted = list(clouds.federation.sites)
    if sites is not None:
        wanted = list(_report.names(sites, tuple(wanted), "--sites"))
    with database_at(database) as engine, steps("reading", 1.0) as progress:
        known = clouds.snapshots.known(wanted, end)
        if not known:
            raise InputError("nothing says when these sites have space: expected a table [[sites.ID.space]]")
        progress.update(0.5, "the past")
        accounts, remarks = _accounts(clouds, wanted, project)
        if until is None:
            for site, purses in accounts.items():
                record_purses(engine, site, purses, now)
        found = read(known, clouds.sources, engine, clouds.federation, (begin, now, end), accounts, remarks)
        progress.update(1.0, f"{len(found.clouds)} clouds")
    return found


def _accounts(
    clouds: Asked, sites: Sequence[str], project: str | None
) -> tuple[dict[str, Sequence[Account]], list[str]]:
    """The purses by site, and why those of others can't be told."""
    from federation.clock import ManualClock
    from reservations.credits import load_credits

    found: dict[str, Sequence[Account]] = {}
    problems = []
    for site in clouds.federation:
        if site.id not in sites:
            continue
        try:
            source = load_credits(site, ManualClock(clouds.now))
            if source is not None:
                found[site.id] = source.accounts(project)
        except FairleadError as error:
            problems.append(f"the credits of {site.id} are not known: {error}")
    return found, problems
