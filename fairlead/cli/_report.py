"""What the reports' commands share: their time, their formats, and how what was made is told."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli import words
from fairlead.cli._common import messages, output, print_json
from federation.errors import InputError

if TYPE_CHECKING:
    from federation.sites import Federation
    from reports.document import Made, Writable

NOTHING_MEASURED = (
    "nothing was measured in that time: `fairlead probe run PLAN` and `fairlead mesh pull URL` measure, "
    "--since looks further back"
)
FORMATS = ("html", "pdf", "md", "csv", "parquet", "json")
OutOption = Annotated[
    Path, typer.Option("--out", help="The folder that it is written to; made if need be.", show_default=False)
]
SinceOption = Annotated[str, typer.Option(help='Look at what started since then: "30d", or an instant.')]
UntilOption = Annotated[
    str | None, typer.Option(help="And until before then; now if not given.", show_default=False)
]
SitesOption = Annotated[str | None, typer.Option(help="Only paths between these sites (ids, with commas).")]
FormatOption = Annotated[str, typer.Option("--format", help=f"With commas: {', '.join(FORMATS)}.")]


def times(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """The time that is looked at."""
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


def names(text: str, known: tuple[str, ...] | None, option: str) -> tuple[str, ...]:
    """Names with commas between them; each once, and one of those that are known (None: any)."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in found if known is not None and name not in known]
    if wrong or not found:
        expected = ", ".join(known) if known else "names with commas between them"
        raise InputError(f"{option}: expected {expected}, got {text!r}")
    return found


def chosen_sites(text: str | None) -> tuple[str, ...] | None:
    """What --sites asks for; None: all."""
    return None if text is None else names(text, None, "--sites")


def tell_unknown(
    chosen: tuple[str, ...] | None, paths: Iterable[tuple[str, str]], federation: Federation | None
) -> None:
    """A remark on each site of --sites that is neither in the catalogue nor on one of these paths."""
    seen = {site for path in paths for site in path}
    for site in chosen or ():
        if site not in seen and (federation is None or site not in federation.sites):
            messages().print(
                f"--sites: {site!r} is in no catalogue here, and no path to it was measured in that time"
            )


def share(option: str, text: str) -> float:
    """ "10%", "10 %" or 0.1."""
    stripped = text.strip()
    try:
        found = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise InputError(f'{option}: expected a share such as "10%", got {text!r}')
    return found


def made(*packages: str) -> Made:
    """The command as it was typed, but for what may hold a password, and the versions of what it needs."""
    import platform
    from importlib.metadata import version

    from reports.document import Made

    typed = list(words.get())
    for index, word in enumerate(typed):
        if word == "--database" and index + 1 < len(typed):
            typed[index + 1] = "URL"
        elif word.startswith("--database="):
            typed[index] = "--database=URL"
    versions = [(name, version(name)) for name in ("fairlead", *packages)]
    return Made(shlex.join(["fairlead", *typed]), (*versions, ("Python", platform.python_version())))


def formats_of(text: str) -> tuple[str, ...]:
    """What --format asks for: to be read before the work, so that a slip is told at once."""
    return names(text, FORMATS, "--format")


def written(report: Writable, out: Path, formats: tuple[str, ...], as_json: bool) -> None:
    """Write the files, and tell of them: the headline, the remarks, where they are; or the same as JSON."""
    from reports.writing import write

    paths = write(report, out, formats)
    found: Any = report.json()
    if as_json:
        tables = {"tables", "comparisons"}
        print_json(
            {name: value for name, value in found.items() if name not in tables}
            | {"files": [str(path) for path in paths]}
        )
        return
    console = output()
    console.print(found["headline"])
    for remark in found["remarks"]:
        console.print(remark)
    for path in paths:
        console.print(str(path), soft_wrap=True)
