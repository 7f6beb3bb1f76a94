"""`fairlead mesh grids`: what a MaDDash dashboard says of the cells of its grids."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import JsonOption, messages, output, print_json
from fairlead.cli.mesh_access import CaFileOption, InsecureOption, PasswordFileOption, UserOption, access_to

if TYPE_CHECKING:
    from netprobe.meshes.maddash import Grid

app = typer.Typer()

NOT_OK = 1


@app.command(
    epilog="Example: fairlead mesh grids https://dashboard.example.org/maddash. Exit status: 0 all is ok, "
    "1 some check is not, 2 wrong usage, 3 the dashboard didn't answer."
)
def grids(
    url: Annotated[str, typer.Argument(help="The dashboard, such as https://dashboard.example.org/maddash.")],
    ca_file: CaFileOption = None,
    insecure: InsecureOption = False,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the states of a MaDDash dashboard's checks, grid by grid, and list those that are not ok."""
    from netprobe.meshes.maddash import State
    from netprobe.meshes.maddash import grids as read_grids

    found = list(read_grids(access_to(url, ca_file, insecure, user, password_file)))
    for problem in (problem for grid in found for problem in grid.problems):
        messages().print(problem, soft_wrap=True)
    if as_json:
        print_json([asdict(grid) for grid in found])
    else:
        _show(found)
    if any(check.state is not State.OK for grid in found for check in grid.checks):
        raise typer.Exit(NOT_OK)


def _show(found: list[Grid]) -> None:
    from rich.table import Table

    from netprobe.meshes.maddash import State

    console = output()
    for grid in found:
        counts = Counter(check.label for check in grid.checks)
        counted = ", ".join(f"{number} {label}" for label, number in counts.most_common())
        console.print(f"{grid.name}: {counted or 'no checks'}")
        wrong = [check for check in grid.checks if check.state is not State.OK]
        if not wrong:
            continue
        table = Table()
        for heading in ("from", "to", "check", "state", "message"):
            table.add_column(heading, overflow="fold")
        for check in wrong:
            table.add_row(check.source, check.destination, check.name, check.label, check.message)
        console.print(table)
