"""`fairlead report accuracy`: forecasts, and what came true."""

from __future__ import annotations

from typing import Annotated

import typer

from fairlead.cli import _report
from fairlead.cli._common import DatabaseOption, JsonOption
from fairlead.cli._database import at as database_at

app = typer.Typer()


@app.command(
    epilog="Example: fairlead report accuracy --since 30d --format html,pdf --out report. "
    "Exit status: 0 done, whatever it says; 2 wrong usage or input."
)
def accuracy(
    out: _report.OutOption,
    since: _report.SinceOption = "30d",
    until: _report.UntilOption = None,
    sites: _report.SitesOption = None,
    formats: _report.FormatOption = "html",
    backtest: Annotated[
        bool,
        typer.Option(help="Forecast throughput tests again by what was known before each; some seconds."),
    ] = True,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold every real transfer against what was forecast before it: how far off, and how often inside."""
    from fairlead.cli._common import steps
    from fairlead.cli._probe import known_federation
    from federation.clock import SystemClock
    from reports.laid_out import LaidOut
    from reports.promises import backtest as again
    from reports.promises import transfers
    from reports.promises.accuracy import report

    now = SystemClock().now()
    begin, end = _report.times(since, until, now)
    chosen, form = _report.chosen_sites(sites), _report.formats_of(formats)
    with database_at(database) as engine, steps("reading", 2.0) as progress:
        found = transfers.read(engine, begin, end, chosen, now if until is None else None)
        progress.update(1.0, f"{len(found.found):,} transfers")
        replayed = again.read(engine, begin, end, chosen) if backtest else ()
        progress.update(2.0, f"{len(replayed):,} throughput tests")
    if chosen:
        paths = ((one.source, one.destination) for one in found.found)
        _report.tell_unknown(chosen, paths, known_federation(None))
    document = report(found, replayed, begin, end, _report.made("numpy", "scipy", "matplotlib"))
    _report.written(LaidOut(document), out, form, as_json)
