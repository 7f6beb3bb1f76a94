"""`fairlead report`: what was measured, judged, for people to read."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption, output, print_json
from fairlead.cli._database import at as database_at
from federation.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from netprobe.meshes.psconfig import Expected
    from reports.compare.model import Report

app = typer.Typer(no_args_is_help=True, help="Reports on what was measured.")
FORMATS = ("html", "pdf", "md", "csv", "parquet", "json")
DISAGREED = 1


@app.callback()
def _group() -> None:
    pass


@app.command(
    epilog="Example: fairlead report compare --since 30d --mesh mesh.json --format html,pdf --out report. "
    "Exit status: 0 nothing disagrees, 1 some paths do or nothing could be compared, 2 wrong usage or input."
)
def compare(
    out: Annotated[
        Path,
        typer.Option("--out", help="The folder that it is written to; made if need be.", show_default=False),
    ],
    since: Annotated[
        str, typer.Option(help='Look at what started since then: "30d", or an instant.')
    ] = "30d",
    until: Annotated[
        str | None, typer.Option(help="And until before then; now if not given.", show_default=False)
    ] = None,
    sites: Annotated[
        str | None, typer.Option(help="Only paths between these sites (ids, with commas).")
    ] = None,
    kinds: Annotated[str, typer.Option(help="What to compare.")] = "throughput,latency,loss",
    margin: Annotated[str, typer.Option(help="Rates and times that differ by no more agree.")] = "10%",
    loss_margin: Annotated[str, typer.Option(help="And shares of lost packets.")] = "0.1%",
    formats: Annotated[str, typer.Option("--format", help=f"With commas: {', '.join(FORMATS)}.")] = "html",
    mesh: Annotated[
        list[str] | None, typer.Option("--mesh", help="A pSConfig template: what the mesh was to measure.")
    ] = None,
    plan: Annotated[
        list[Path] | None, typer.Option("--plan", help="A plan: what the scripts were to measure.")
    ] = None,
    evidence: Annotated[int, typer.Option(min=0, help="Draw the evidence of so many paths.")] = 40,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say path by path whether our scripted tests and the perfSONAR mesh agree, how surely, and why if not.

    Scripted are the tests of `fairlead probe`; the mesh's are those that `fairlead mesh pull` took and those
    that a pScheduler ran.
    """
    quantities, wanted_formats = _quantities(kinds), _names(formats, FORMATS, "--format")
    shares = _share("--margin", margin), _share("--loss-margin", loss_margin)
    report = _made(since, until, sites, quantities, shares, mesh or [], plan or [], catalogue, database)
    written = _write(report, out, wanted_formats, evidence)
    _say(report, written, as_json)
    from reports.compare.model import Outcome

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
) -> Report:
    from fairlead.cli._common import messages, steps
    from fairlead.cli._probe import known_federation
    from federation.clock import SystemClock
    from netprobe.measurement import Kind
    from netprobe.plan import load_plan
    from reports.compare.expected import wanted
    from reports.compare.mesh import KIND_OF, compare_mesh
    from reports.compare.reading import read

    now = SystemClock().now()
    begin, end = _times(since, until, now)
    federation = known_federation(catalogue)
    expected = [one for template in templates for one in _expected(template)]
    loaded = [load_plan(path) for path in plans]
    if loaded and federation is None:
        raise InputError("--plan: its sites are not known: expected --catalogue FILE or FAIRLEAD_CATALOGUE")
    chosen = None if sites is None else _names(sites, None, "--sites")
    compared = {KIND_OF[quantity] for quantity in quantities}
    with database_at(database) as engine:
        want = wanted(engine, expected, loaded, begin, end, federation, compared, chosen)
        with steps("reading", 1.0) as progress:
            # what explains a rate is in the others: round trips, loss, routes
            kinds = (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH)
            reading = read(engine, kinds, begin, end, chosen, now if until is None else None)
            progress.update(1.0, f"{reading.rows:,} measurements")
    for remark in [] if reading.rows else ["nothing was measured in that time"]:
        messages().print(remark)
    with steps("comparing", 1.0) as progress:
        return compare_mesh(
            reading, want, quantities, *shares, federation, _command(), _versions(), progress.update
        )


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


def _times(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    from federation.units import parse_instant

    try:
        end = now if until is None else parse_instant(until, now, ago=True)
    except InputError as error:
        raise InputError(f"--until: {error}") from None
    try:
        begin = parse_instant(since, end, ago=True)
    except InputError as error:
        raise InputError(f"--since: {error}") from None
    if begin >= end:
        raise InputError(f"--since: expected a time before --until, got {since!r}")
    return begin, end


def _quantities(text: str) -> tuple[Any, ...]:
    from reports.compare.ways import Quantity

    return tuple(Quantity(name) for name in _names(text, tuple(Quantity), "--kinds"))


def _names(text: str, known: tuple[str, ...] | None, option: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in names if known is not None and name not in known]
    if wrong or not names:
        expected = ", ".join(known) if known else "names with commas between them"
        raise InputError(f"{option}: expected {expected}, got {text!r}")
    return names


def _share(option: str, text: str) -> float:
    """ "10%", "10 %" or 0.1."""
    stripped = text.strip()
    try:
        found = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise InputError(f'{option}: expected a share such as "10%", got {text!r}')
    return found


def _write(report: Report, out: Path, formats: tuple[str, ...], evidence: int) -> list[Path]:
    from federation.errors import OutsideError
    from federation.files import write_whole
    from reports.compare import page, tables

    makers = {
        "html": lambda: page.html(report, evidence),
        "pdf": lambda: page.pdf(report, evidence),
        "md": lambda: tables.markdown(report),
        "csv": lambda: tables.csv(report),
        "parquet": lambda: tables.parquet(report),
        "json": lambda: tables.as_json(report),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutsideError(f"{out}: the folder can't be made: {error.strerror}") from error
    written = []
    for name in formats:
        path = out / f"compare.{name}"
        try:
            data = makers[name]()
        except (ImportError, OSError) as error:
            if name not in ("pdf", "parquet"):
                raise
            raise OutsideError(f"--format {name}: what it needs is not installed: {error}") from error
        write_whole(path, data)
        written.append(path)
    return written


def _say(report: Report, written: list[Path], as_json: bool) -> None:
    from reports.compare.ranking import counts, headline

    if as_json:
        print_json(
            {
                "headline": headline(report),
                "verdicts": {outcome.value: number for outcome, number in counts(report).items()},
                "remarks": report.remarks,
                "files": [str(path) for path in written],
            }
        )
        return
    console = output()
    console.print(headline(report))
    for remark in report.remarks:
        console.print(remark)
    for path in written:
        console.print(str(path), soft_wrap=True)


def _command() -> str:
    """As it was typed, but for what may hold a password."""
    words = list(sys.argv[1:])
    for index, word in enumerate(words):
        if word == "--database" and index + 1 < len(words):
            words[index + 1] = "URL"
        elif word.startswith("--database="):
            words[index] = "--database=URL"
    return shlex.join(["fairlead", *words])


def _versions() -> tuple[tuple[str, str], ...]:
    import platform
    from importlib.metadata import version

    packages = ("fairlead", "numpy", "scipy")
    return (*((name, version(name)) for name in packages), ("Python", platform.python_version()))
