"""`fairlead mesh expected`: what a pSConfig template asks for, and how much of it the archive has."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import DatabaseOption, JsonOption, messages, output, print_json
from fairlead.cli.mesh_access import CaFileOption, InsecureOption, PasswordFileOption, UserOption, reach
from federation.errors import InputError

if TYPE_CHECKING:
    from netprobe.coverage import Coverage
    from netprobe.meshes.psconfig import Expected

app = typer.Typer()

NOT_COVERED = 1


@app.command(
    epilog="Example: fairlead mesh expected mesh.json --since 7d. Exit status: 0 done, 1 nothing is expected "
    "or (with --since) not all of it is there, 2 wrong usage or no template, 3 a server didn't answer."
)
def expected(
    template: Annotated[str, typer.Argument(help="A pSConfig template: a file, or an http(s) address.")],
    since: Annotated[
        str | None, typer.Option(help='Show what the archive has of it, from so long ago ("7d") until now.')
    ] = None,
    ca_file: CaFileOption = None,
    insecure: InsecureOption = False,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="The federation's sites (TOML), with --since.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tests that a pSConfig template asks for; with --since, what was measured of them.

    What is wrong in the template is told on standard error, each with its place; the rest is listed.
    """
    from federation.units import parse_duration
    from netprobe.meshes.psconfig import expected as enumerate_tests
    from netprobe.meshes.psconfig_document import load

    period = None if since is None else parse_duration(since)
    found = load(template, reach(template, ca_file, insecure, user, password_file))
    tests = enumerate_tests(found)
    for problem in found.problems:
        messages().print(f"{template}: {problem}", soft_wrap=True)
    if period is None:
        if as_json:
            document = [{**asdict(one), "protocol": one.protocol} for one in tests]
            print_json({"tests": document, "problems": found.problems})
        else:
            _show_tests(tests)
    else:
        from fairlead.cli._probe import known_federation, opened_database
        from federation.clock import SystemClock
        from netprobe.coverage import State, coverage

        if not period:
            raise InputError(f"--since: expected some time, got {since!r}")
        now = SystemClock().now()
        covered = coverage(opened_database(database), tests, now - period, now, known_federation(catalogue))
        if as_json:
            print_json({**asdict(covered), "problems": found.problems})
        else:
            _show_coverage(covered)
        if covered.count(State.OK) < len(covered.cells):
            raise typer.Exit(NOT_COVERED)
    if not tests:
        messages().print("the template asks for no test")
        raise typer.Exit(NOT_COVERED)


def _show_tests(tests: list[Expected]) -> None:
    from rich.table import Table

    from federation.units import format_count, format_seconds

    tasks: dict[str, list[Expected]] = defaultdict(list)
    for one in tests:
        tasks[one.task].append(one)
    console = output()
    for task, members in tasks.items():
        first = members[0]
        every = "once" if first.repeat_seconds is None else f"every {format_seconds(first.repeat_seconds)}"
        how, many = _how(first.protocol, first.ip_version), format_count(len(members), "test")
        title = f"{task}: {first.test}, {how}{every}, {many}"
        table = Table(title=title, title_justify="left")
        for heading in ("from", "to", "run by"):
            table.add_column(heading, overflow="fold")
        for one in members:
            by = {one.source: "the source", one.destination: "the destination"}
            table.add_row(one.source, one.destination or "", by.get(one.scheduled_by, one.scheduled_by))
        console.print(table)


def _show_coverage(covered: Coverage) -> None:
    from rich.table import Table

    from federation.units import format_age
    from netprobe.coverage import State

    table = Table()
    for heading in ("test", "from", "to"):
        table.add_column(heading, overflow="fold")
    for heading in ("expected", "succeeded", "failed", "newest", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for cell in covered.cells:
        age = (
            "-" if cell.newest is None else f"{format_age((covered.until - cell.newest).total_seconds())} ago"
        )
        counts = (str(number) for number in (cell.expected, cell.succeeded, cell.failed))
        test = f"{cell.test}, {_how(cell.protocol, cell.ip_version)}".rstrip(", ")
        table.add_row(test, cell.source, cell.destination, *counts, age, cell.state.value)
    console = output()
    console.print(table)
    counts_of: dict[str, Any] = {state.value: covered.count(state) for state in State}
    counted = ", ".join(f"{number} {state}" for state, number in counts_of.items())
    console.print(f"{len(covered.cells)} cells: {counted}")
    if covered.not_kept:
        kept = ", ".join(f"{number} {test}" for test, number in covered.not_kept.items())
        console.print(f"of types that are not kept here: {kept}")


def _how(protocol: str | None, version: int | None) -> str:
    words = [(protocol or "").upper(), "" if version is None else f"IPv{version}"]
    return "".join(f"{word}, " for word in words if word)
