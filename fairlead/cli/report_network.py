"""`fairlead report network`: the state of the federation's network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli import _report
from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption, messages, steps
from fairlead.cli._database import at as database_at
from federation.errors import InputError

if TYPE_CHECKING:
    from reports.document import Document

app = typer.Typer()
NOTHING_MEASURED = 1


@app.command(
    epilog="Example: fairlead report network --since 30d --format html,pdf --out report. "
    "Exit status: 0 done, 1 nothing was measured in that time, 2 wrong usage or input, 3 outside failure."
)
def network(
    out: _report.OutOption,
    since: _report.SinceOption = "30d",
    until: _report.UntilOption = None,
    sites: _report.SitesOption = None,
    sizes: Annotated[
        str, typer.Option(help="How long data of these sizes takes from site to site.")
    ] = "1TB,10TB,100TB",
    formats: _report.FormatOption = "html",
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what every path carries, what fails, what changed, and how long moving data takes.

    By all tests there are: scripted ones, the perfSONAR mesh's, or both.
    """
    from reports.laid_out import LaidOut

    chosen = _report.formats_of(formats)
    document, tests = _made(since, until, sites, _sizes(sizes), catalogue, database)
    _report.written(LaidOut(document), out, chosen, as_json)
    if not tests:
        raise typer.Exit(NOTHING_MEASURED)


def _made(
    since: str,
    until: str | None,
    sites: str | None,
    sizes: tuple[int, ...],
    catalogue: Path | None,
    database: str | None,
) -> tuple[Document, int]:
    from fairlead.cli._probe import known_federation
    from federation.clock import SystemClock
    from federation.sites import Federation
    from netprobe.archive import Archive
    from reports.compare.reading import read
    from reports.network import moving
    from reports.network.measured import KINDS, measured
    from reports.network.page import report

    now = SystemClock().now()
    begin, end = _report.times(since, until, now)
    federation = known_federation(catalogue)
    chosen = _report.chosen_sites(sites)
    with database_at(database) as engine:
        with steps("reading", 1.0) as progress:
            # and the same length of time before, to say what changed
            before = begin - (end - begin)
            reading = read(engine, KINDS, before, end, chosen, now if until is None else None)
            progress.update(1.0, f"{reading.rows:,} measurements")
        _report.tell_unknown(chosen, (path for kind in reading.kinds.values() for path in kind), federation)
        found = measured(reading, begin, federation, chosen)
        # what isn't kept of it makes room
        del reading
        history, tests = moving.known(Archive(engine), len(found.sites), end)
    if not found.tests:
        messages().print(_report.NOTHING_MEASURED)
    with steps("forecasting", 1.0) as progress:
        everywhere = federation or Federation("none", {})
        moves = moving.moves(history, tests, everywhere, found.sites, sizes, end, progress.update)
    return report(found, moves, _report.made("numpy", "scipy")), found.tests


def _sizes(text: str) -> tuple[int, ...]:
    """In bytes, the smallest first."""
    from federation.units import parse_size_bytes

    try:
        found = sorted({parse_size_bytes(size) for size in _report.names(text, None, "--sizes")})
    except InputError as error:
        raise InputError(f"--sizes: {str(error).removeprefix('--sizes: ')}") from None
    if found[0] <= 0:
        raise InputError(f"--sizes: expected more than nothing, got {text!r}")
    return tuple(found)
