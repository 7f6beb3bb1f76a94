"""`fairlead archive`: what was measured, as a whole: to a file and back, and what is given up with age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import JsonOption, messages, output, print_json
from fairlead.cli._database import at as database_at
from federation.errors import InputError

if TYPE_CHECKING:
    from netprobe.archive import Archive, Holding
    from netprobe.measurement import Kind, Measurement
    from netprobe.retention import Retention

app = typer.Typer(
    no_args_is_help=True,
    help="The measurements kept: count them, write them to a file, read a file, give up what is old.",
    epilog="Example: fairlead archive info",
)
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", help="Where the measurements are, as a URL; else FAIRLEAD_DATABASE_URL."),
]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .parquet or .csv file.", show_default=False)
]


@app.command()
def info(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Count the measurements by kind, origin and archive, with the first and the last of each.

    \b
    Example:
      fairlead archive info
    """
    from netprobe.archive import Archive

    with database_at(database) as engine:
        archive = Archive(engine)
        holdings, size = archive.holdings(), archive.size_bytes()
    count = sum(holding.count for holding in holdings)
    if as_json:
        print_json(
            {
                "count": count,
                "size_bytes": size,
                "holdings": [
                    {**asdict(one), "first": one.first.isoformat(), "last": one.last.isoformat()}
                    for one in holdings
                ],
            }
        )
        return
    _show(holdings, count, size)


@app.command("export")
def export_file(
    file: FileArgument,
    kind: Annotated[str | None, typer.Option(help="Only this kind, as in `fairlead archive info`.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all measurements to a file, Parquet or CSV by its name: the whole file, or none.

    \b
    Example:
      fairlead archive export mesh.parquet
    """
    from federation.clock import SystemClock
    from federation.units import format_count
    from netprobe.archive import Archive
    from netprobe.exchange import export

    with database_at(database) as engine:
        found = Archive(engine).all(None if kind is None else _kind(kind))
        written = export(found, file, SystemClock().now())
    if as_json:
        print_json({"file": str(file), **asdict(written)})
        return
    output().print(f"{file}: {format_count(written.count, 'measurement')} written", soft_wrap=True)


@app.command("import")
def import_file(file: FileArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Read a file that `fairlead archive export` wrote. What is known already is left as it is.

    A file with a row that is no measurement is refused there; the rows before it may have been taken, and
    reading the mended file adds only what is missing.

    \b
    Example:
      fairlead archive import mesh.parquet
    """
    from federation.units import format_count
    from netprobe.archive import Archive
    from netprobe.exchange import read

    rows = added = 0
    with database_at(database) as engine:
        for batch, new in _taken(Archive(engine), file, read(file)):
            rows, added = rows + batch, added + new
    if as_json:
        print_json({"file": str(file), "rows": rows, "added": added, "known": rows - added})
        return
    said = f"{file}: {format_count(rows, 'measurement')}, {added:,} of them new"
    output().print(said, soft_wrap=True)


@app.command()
def prune(
    raw_after: Annotated[
        str | None, typer.Option(help="Drop the raw documents of what is older, as in '30 d'.")
    ] = None,
    thin_after: Annotated[
        str | None,
        typer.Option(help="Of what is older keep one a bucket, of each path and way of measuring."),
    ] = None,
    bucket: Annotated[str, typer.Option(help="How long a bucket is.")] = "1 h",
    remove_after: Annotated[str | None, typer.Option(help="Remove what is older.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be given up.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up what is old: raw documents, all but one measurement a bucket, or everything.

    Of the tests of a bucket the one with the median stays as it was measured, with the number of tests as
    `samples` among its parameters; of those that failed, the last. Nothing newer is touched.

    \b
    Example:
      fairlead archive prune --raw-after "30 d" --thin-after "90 d" --dry-run
    """
    from federation.clock import SystemClock
    from netprobe.retention import prune as give_up

    policy = _policy(raw_after, thin_after, bucket, remove_after)
    with database_at(database) as engine:
        done = give_up(engine, policy, SystemClock().now(), dry_run=dry_run)
    if as_json:
        print_json({**asdict(done), "dry_run": dry_run})
        return
    would = "would be " if dry_run else ""
    output().print(
        f"{done.raw:,} raw documents {would}dropped, {done.removed:,} measurements {would}removed, "
        f"{done.thinned:,} {would}thinned out",
        soft_wrap=True,
    )


def _taken(archive: Archive, file: Path, found: Iterator[Measurement]) -> Iterator[tuple[int, int]]:
    """The batches as they are taken in, with progress."""
    from fairlead.cli._common import steps
    from netprobe.exchange import provenance

    said = provenance(file)
    if said is None:
        yield from archive.ingest(found)
        return
    done = 0
    with steps(f"{file.name}", said.count) as progress:
        for rows, added in archive.ingest(found):
            done += rows
            progress.update(done)
            yield rows, added


def _kind(name: str) -> Kind:
    from netprobe.measurement import Kind

    try:
        return Kind(name)
    except ValueError:
        raise InputError(f"--kind: expected one of {', '.join(Kind)}, got {name!r}") from None


def _policy(
    raw_after: str | None, thin_after: str | None, bucket: str, remove_after: str | None
) -> Retention:
    from netprobe.retention import Retention

    ages = {"raw_after": raw_after, "thin_after": thin_after, "remove_after": remove_after}
    if not any(ages.values()):
        raise InputError("nothing to give up: expected --raw-after, --thin-after or --remove-after AGE")
    try:
        return Retention(
            **{name: _age(name, text) for name, text in ages.items() if text is not None},
            bucket=_age("bucket", bucket),
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def _age(name: str, text: str) -> timedelta:
    from federation.units import parse_duration

    try:
        return parse_duration(text)
    except InputError as error:
        raise InputError(f"--{name.replace('_', '-')}: {error}") from None


def _show(holdings: list[Holding], count: int, size: int) -> None:
    from rich.table import Table

    from federation.units import format_count, format_size

    if not holdings:
        messages().print("nothing was measured yet: `fairlead probe run PLAN` does")
        return
    table = Table("kind", "origin", "archive", "count", "first", "last")
    for one in holdings:
        first, last = (instant.strftime("%Y-%m-%d %H:%M") for instant in (one.first, one.last))
        table.add_row(one.kind, one.origin, one.archive or "-", f"{one.count:,}", first, last)
    output().print(table)
    output().print(f"{format_count(count, 'measurement')}, {format_size(size)} in the database")
