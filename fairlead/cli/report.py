"""`fairlead report`: what was measured, judged, for people to read."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli import _report
from fairlead.cli._common import MOST_LISTED, CatalogueOption, DatabaseOption, JsonOption, number
from fairlead.cli._database import at as database_at
from federation.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from federation.sites import Federation
    from netprobe.meshes.psconfig import Expected
    from reports.compare.model import Report
    from reports.compare.observed import Reading
    from reports.document import Section

app = typer.Typer(
    no_args_is_help=True,
    help="Reports on what was measured, taken and promised, as HTML, PDF, Markdown or tables.",
    epilog="Example: fairlead report network --since 30d --format html,pdf --out report",
)
DISAGREED = 1
# What moving data takes is worked out for these sizes (bytes), and in a federation of so many sites at most.
SIZES = (10**12, 10**13, 10**14)
FORECAST_SITES = 30


@app.callback()
def _group() -> None:
    pass


@app.command(
    epilog="Example: fairlead report compare --since 30d --mesh mesh.json --format html,pdf --out report. "
    "Exit status: 0 nothing disagrees, 1 some paths do or nothing could be compared, 2 wrong usage or input."
)
def compare(
    out: _report.OutOption,
    since: _report.SinceOption = "30d",
    until: _report.UntilOption = None,
    sites: _report.SitesOption = None,
    kinds: Annotated[str, typer.Option(help="What to compare.")] = "throughput,latency,loss",
    margin: Annotated[str, typer.Option(help="Rates and times that differ by no more agree.")] = "10%",
    loss_margin: Annotated[str, typer.Option(help="And shares of lost packets.")] = "0.1%",
    formats: _report.FormatOption = "html",
    mesh: Annotated[
        list[str] | None, typer.Option("--mesh", help="A pSConfig template: what the mesh was to measure.")
    ] = None,
    plan: Annotated[
        list[Path] | None, typer.Option("--plan", help="A plan: what the scripts were to measure.")
    ] = None,
    evidence: Annotated[
        int,
        typer.Option(**number("--evidence", 0, MOST_LISTED), help="Draw the evidence of so many paths."),
    ] = 40,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say path by path whether our scripted tests and the perfSONAR mesh agree, how surely, and why if not.

    Scripted are the tests of `fairlead probe`; the mesh's are those that `fairlead mesh pull` took and those
    that a pScheduler ran.
    """
    quantities = _quantities(kinds)
    shares = _report.share("--margin", margin), _report.share("--loss-margin", loss_margin)
    chosen = _report.formats_of(formats)
    from reports.side_by_side import uncollected

    with uncollected():
        report, appendix = _made(
            since, until, sites, quantities, shares, mesh or [], plan or [], catalogue, database
        )
    from reports.compare.model import Outcome
    from reports.compare.page import Compared

    # a PDF is made of much that refers to itself, and must go while it is made
    with nullcontext() if "pdf" in chosen else uncollected():
        _report.written(Compared(report, evidence, appendix), out, chosen, as_json)
    judged = report.count(Outcome.AGREE) + report.count(Outcome.UNSETTLED)
    if report.count(Outcome.DISAGREE) or not judged:
        raise typer.Exit(DISAGREED)


def _made(
    since: str,
    until: str | None,
    sites: str | None,
    quantities: tuple[Any, ...],
    shares: tuple[float, float],
    templates: list[str],
    plans: list[Path],
    catalogue: Path | None,
    database: str | None,
) -> tuple[Report, tuple[Section, ...]]:
    from fairlead.cli._common import messages, steps
    from fairlead.cli._probe import known_federation
    from federation.clock import SystemClock
    from netprobe.measurement import Kind
    from netprobe.plan import load_plan
    from reports.compare.expected import wanted
    from reports.compare.mesh import KIND_OF, compare_mesh
    from reports.compare.reading import read
    from reports.network.measured import sites_of
    from reports.side_by_side import beside

    now = SystemClock().now()
    begin, end = _report.times(since, until, now)
    federation = known_federation(catalogue)
    expected = [one for template in templates for one in _expected(template)]
    loaded = [load_plan(path) for path in plans]
    if loaded and federation is None:
        raise InputError("--plan: its sites are not known: expected --catalogue FILE or FAIRLEAD_CATALOGUE")
    chosen = _report.chosen_sites(sites)
    compared = {KIND_OF[quantity] for quantity in quantities}
    with database_at(database) as engine:
        want = wanted(engine, expected, loaded, begin, end, federation, compared, chosen)
        with steps("reading", 1.0) as progress:
            # what explains a rate is in the others: round trips, loss, routes
            kinds = (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH)
            reading = read(engine, kinds, begin, end, chosen, now if until is None else None)
            progress.update(1.0, f"{reading.rows:,} measurements")
        _report.tell_unknown(chosen, (path for kind in reading.kinds.values() for path in kind), federation)
        if not reading.rows:
            messages().print(_report.NOTHING_MEASURED)
        forecast = len(sites_of(reading, federation, chosen)) <= FORECAST_SITES
        appended = partial(_appendix, reading, engine if forecast else None, federation, chosen)
        # forecasts ask the database, which two processes can't share
        with beside(appended, alone=forecast) as appendix, steps("comparing", 1.0) as progress:
            report = compare_mesh(
                reading,
                want,
                quantities,
                *shares,
                federation,
                _report.made("numpy", "scipy"),
                progress.update,
            )
            return report, appendix()


def _appendix(
    reading: Reading, engine: Engine | None, federation: Federation | None, sites: tuple[str, ...] | None
) -> tuple[Section, ...]:
    """The network as both sides measured it. Without `engine`, how long moving data takes is left to
    `fairlead report network`: working it out would take longer than the comparison."""
    from federation.sites import Federation
    from netprobe.archive import Archive
    from reports.network import moving
    from reports.network.measured import measured
    from reports.network.page import appendix

    network = measured(reading, reading.since, federation, sites)
    moves = moving.Moves(SIZES, 0, {})
    if engine is not None:
        history, tests = moving.known(Archive(engine), len(network.sites), reading.until)
        everywhere = federation or Federation("none", {})
        moves = moving.moves(history, tests, everywhere, network.sites, SIZES, reading.until)
    return appendix(network, moves)


def _expected(template: str) -> list[Expected]:
    from fairlead.cli._common import messages
    from fairlead.cli.mesh_access import reach
    from netprobe.meshes.psconfig import expected
    from netprobe.meshes.psconfig_document import load

    found = load(template, reach(template, None, False, None, None))
    tests = expected(found)
    for problem in found.problems:
        messages().print(f"{template}: {problem}", soft_wrap=True)
    return tests


def _quantities(text: str) -> tuple[Any, ...]:
    from reports.compare.ways import Quantity

    return tuple(Quantity(name) for name in _report.names(text, tuple(Quantity), "--kinds"))
