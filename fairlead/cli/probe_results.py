"""`fairlead probe matrix`, `forecast` and `distances`: what was measured, and what it lets one expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import (
    CatalogueOption,
    DatabaseOption,
    JsonOption,
    messages,
    number,
    output,
    print_json,
)
from federation.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from netprobe.distances import Distance
    from netprobe.forecast import Forecast
    from netprobe.quantiles import Quantiles
    from reports.matrix import Cell, Matrix

app = typer.Typer()

NOTHING_MEASURED = 1
MOST_FILES = 10**9


@app.command(
    epilog="Example: fairlead probe matrix --png mesh.png. "
    "Exit status: 0 done, 1 nothing was measured yet, 2 wrong usage, 3 the picture can't be written."
)
def matrix(
    png: Annotated[Path | None, typer.Option(help="Draw the mesh as a heat map into this file.")] = None,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what every site sends to every other: throughput and round trip."""
    from fairlead.cli._probe import measured_federation, opened_archive
    from federation.clock import SystemClock
    from reports.matrix import State
    from reports.matrix import matrix as tabulate

    federation = measured_federation(catalogue)
    now = SystemClock().now()
    found = tabulate(opened_archive(database).history(), federation, now)
    if png is not None:
        from reports.heatmap import draw

        draw(found, png, now)
        messages().print(f"heat map: {png}")
    if as_json:
        # through pandas: a figure that isn't there becomes null
        frame = found.frame()
        print_json(frame.astype(object).where(frame.notna(), None).to_dict(orient="records"))
    else:
        show(found, output())
    cells = [*found.throughput.values(), *found.round_trip.values()]
    if all(cell.state in (State.SELF, State.MISSING) for cell in cells):
        messages().print("nothing was measured yet: `fairlead probe run PLAN` does")
        raise typer.Exit(NOTHING_MEASURED)


@app.command(
    epilog="Example: fairlead probe forecast perth manchester --size 25GB --files 400. "
    "Exit status: 0 done, 2 wrong usage or an unknown site, 3 the database can't be reached "
    "or the picture can't be written."
)
def forecast(
    source: Annotated[str, typer.Argument(help="The site that sends (its id).")],
    destination: Annotated[str, typer.Argument(help="The site that receives (its id).")],
    size: Annotated[str, typer.Option(help="How much to move, all files together.")] = "1 GB",
    files: Annotated[int, typer.Option(**number("--files", 1, MOST_FILES), help="In how many files.")] = 1,
    png: Annotated[
        Path | None, typer.Option(help="Draw the path's history and the forecast into this file.")
    ] = None,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how long moving data from one site to another will take, how sure that is, and why."""
    from fairlead.cli._probe import measured_federation, opened_archive
    from federation.clock import SystemClock
    from federation.units import format_seconds, format_size
    from netprobe.cost import seconds_for
    from netprobe.forecast import Forecaster

    size_bytes = _size(size)
    federation = measured_federation(catalogue)
    for site in (source, destination):
        if site not in federation.sites:
            known = ", ".join(federation.sites)
            raise InputError(f"no site is called {site!r} in {federation.name!r}: expected one of {known}")
    archive = opened_archive(database)
    path = Forecaster(archive, federation, SystemClock()).path(source, destination)
    seconds = seconds_for(path, size_bytes, files)
    if png is not None:
        from netprobe.measurement import Kind
        from reports.path_history import draw_path

        tests = archive.history().path(Kind.THROUGHPUT, source, destination)
        ends = (federation[source].name, federation[destination].name)
        draw_path(tests, path, ends, png, SystemClock().now())
        messages().print(f"history: {png}")
    if as_json:
        changed = path.changed.isoformat() if path.changed else None
        document = {**asdict(path), "changed": changed, "size_bytes": size_bytes, "files": files}
        document["seconds"] = asdict(seconds)
        print_json(document)
        return
    what = f"{format_size(size_bytes)} in {files} file{'' if files == 1 else 's'}"
    names = f"{federation[source].name} to {federation[destination].name}"
    low, middle, high = (format_seconds(value) for value in (seconds.p10, seconds.p50, seconds.p90))
    output().print(f"{names}, {what}: {middle} ({low} to {high}, in 8 cases of 10)")
    _show_forecast(path, seconds)


class DistanceFormat(StrEnum):
    """How distances are written."""

    TABLE = "table"
    RUCIO = "rucio"
    FTS = "fts"
    JSON = "json"


@app.command(
    epilog="Example: fairlead probe distances --format rucio > distances.json. "
    "Exit status: 0 done, 2 wrong usage, 3 the database or Rucio can't be reached."
)
def distances(
    form: Annotated[
        DistanceFormat,
        typer.Option("--format", help="rucio: distances between RSEs; fts: links between storages."),
    ] = DistanceFormat.TABLE,
    size: Annotated[str, typer.Option(help="What the reference transfer moves, in one file.")] = "10 GB",
    rucio: Annotated[bool, typer.Option("--rucio", help="Write them to Rucio, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
) -> None:
    """Say how far every site is from every other: a reference transfer's forecast seconds, as integers."""
    from fairlead.cli._probe import measured_federation, opened_archive
    from federation.clock import SystemClock
    from netprobe.distances import distances as work_out
    from netprobe.distances import for_fts, for_rucio
    from netprobe.forecast import Forecaster

    size_bytes = _size(size)
    if size_bytes <= 0:
        raise InputError(f"--size {size}: expected more than nothing")
    federation = measured_federation(catalogue)
    found = work_out(federation, Forecaster(opened_archive(database), federation, SystemClock()), size_bytes)
    if rucio:
        from fairlead.cli._rucio import write_distances

        write_distances(found, federation, yes, as_json=form is DistanceFormat.JSON)
        return
    match form:
        case DistanceFormat.TABLE:
            _show_distances(found, list(federation.sites))
        case DistanceFormat.JSON:
            print_json(
                [
                    {
                        "source": one.source,
                        "destination": one.destination,
                        "distance": one.distance,
                        "seconds": asdict(one.seconds),
                        "evidence": one.forecast.rung.value,
                        "tests": one.forecast.tests,
                    }
                    for one in found
                ]
            )
        case _:
            written = for_rucio if form is DistanceFormat.RUCIO else for_fts
            documents = written(found, federation)
            print_json(documents)
            if not documents:
                needed = "rses" if form is DistanceFormat.RUCIO else "data_hosts"
                messages().print(f"no two sites of the catalogue have `{needed}`: nothing to write")


def _size(text: str) -> int:
    from federation.units import parse_size_bytes

    try:
        return parse_size_bytes(text)
    except InputError as error:
        raise InputError(f"--size: {error}") from None


def _show_distances(found: list[Distance], sites: list[str]) -> None:
    from rich.table import Table

    by_ends = {(one.source, one.destination): one for one in found}
    table = Table(title="Distance in seconds, rows to columns; ? where not measured", title_justify="left")
    table.add_column("")
    for site in sites:
        table.add_column(site, justify="right")
    for source in sites:
        cells = []
        for destination in sites:
            one = by_ends.get((source, destination))
            mark = "" if one is None or one.forecast.rung.value == "measured" else " ?"
            cells.append("" if one is None else f"{one.distance}{mark}")
        table.add_row(source, *cells)
    output().print(table)


def _show_forecast(path: Forecast, seconds: Quantiles) -> None:
    from rich.table import Table

    from federation.units import format_bits_per_second, format_seconds

    table = Table()
    for heading in ("", "10 %", "50 %", "90 %"):
        table.add_column(heading, justify="left" if not heading else "right")
    # tests that were held down say little of transfers: then both are shown
    rates = {"throughput": path.bits_per_second}
    if path.freed is not None:
        rates = {"throughput of tests": path.bits_per_second, "of transfers": path.freed}
    for name, rate in rates.items():
        table.add_row(name, *(format_bits_per_second(value) for value in (rate.p10, rate.p50, rate.p90)))
    factor = path.correction
    table.add_row("correction", *(f"x{value:.2f}" for value in (factor.p10, factor.p50, factor.p90)))
    table.add_row("time", *(format_seconds(value) for value in (seconds.p10, seconds.p50, seconds.p90)))
    console = output()
    console.print(table)
    console.print(f"evidence: {path.rung.value}. {path.explanation}")


def show(found: Matrix, console: Console) -> None:
    """The mesh as two tables, and below them why the newest test of a path failed, where it did."""
    from rich.table import Table

    from federation.units import format_bits_per_second, format_seconds

    sites = list(found.federation.sites)
    kinds = (
        ("Throughput of one TCP stream", found.throughput, format_bits_per_second),
        ("Round trip", found.round_trip, format_seconds),
    )
    for title, cells, words in kinds:
        table = Table(title=f"{title}, from (rows) to (columns)", title_justify="left")
        table.add_column("")
        for site in sites:
            table.add_column(site, justify="right")
        for source in sites:
            row = (_text(cells[source, destination], words) for destination in sites)
            table.add_row(source, *row)
        console.print(table)
    for cell in found.throughput.values():
        if cell.error is not None:
            line = f"{cell.source} to {cell.destination}: newest test failed: {cell.error}"
            console.print(line)


def _text(cell: Cell, words: Callable[[float], str]) -> str:
    from reports.matrix import State

    if cell.value is not None:
        return words(cell.value)
    return {State.SELF: "", State.FAILED: "failed"}.get(cell.state, "-")
