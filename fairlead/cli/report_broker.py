"""`fairlead report broker`: what was promised, and what came true."""

from __future__ import annotations

from typing import Annotated

import typer

from fairlead.cli import _report
from fairlead.cli._common import DatabaseOption, JsonOption
from fairlead.cli._database import at as database_at

app = typer.Typer()


@app.command(
    epilog="Example: fairlead report broker --since 30d --format html,pdf --out report. "
    "Exit status: 0 done, whatever it says; 2 wrong usage or input."
)
def broker(
    out: _report.OutOption,
    since: _report.SinceOption = "30d",
    until: _report.UntilOption = None,
    sites: Annotated[
        str | None, typer.Option(help="Only what these sites promised or refused (ids, with commas).")
    ] = None,
    formats: _report.FormatOption = "html",
    owners: Annotated[bool, typer.Option("--owners", help="Say who asked for how much, too.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold what the broker promised against what came true: answers, starts, preparations, use, by site."""
    from fairlead.cli._common import steps
    from federation.clock import SystemClock
    from reports.laid_out import LaidOut
    from reports.promises.broker import report
    from reports.promises.sessions import read

    begin, end = _report.times(since, until, SystemClock().now())
    chosen, form = _report.chosen_sites(sites), _report.formats_of(formats)
    with database_at(database) as engine, steps("reading", 1.0) as progress:
        record = read(engine, begin, end, chosen)
        progress.update(1.0, f"{len(record.asked):,} requests")
    document = report(record, begin, end, _report.made("numpy", "scipy", "matplotlib"), owners=owners)
    _report.written(LaidOut(document), out, form, as_json)
