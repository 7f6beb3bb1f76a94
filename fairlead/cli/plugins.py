"""`fairlead plugins`: what this installation can talk to, and what is missing for it."""

from __future__ import annotations

from typing import Annotated

import typer

from fairlead.cli._common import JsonOption, output, print_json


def plugins(
    package: Annotated[
        str | None, typer.Option("--package", help="Only those of this package.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List tools, meshes, capacity sources, credits, platforms and catalogues: what each does and can't do.

    \b
    Example:
      fairlead plugins
      fairlead plugins --json
    """
    from dataclasses import asdict

    from fairlead.plugins import GROUPS, find_plugins
    from federation.errors import InputError

    found = find_plugins(package)
    if package is not None and not found:
        raise InputError(f"--package: no plugin is of a package called {package!r}")
    if as_json:
        print_json([asdict(each) | {"usable": not each.missing} for each in found])
        return
    from rich.table import Table

    table = Table(title=f"{len(found)} plugins", title_justify="left", show_lines=True)
    for heading in ("what", "name", "does", "can't", "from", "missing here"):
        table.add_column(heading)
    for each in found:
        does, cannot = (each.about.does, each.about.cannot) if each.about else ("-", "-")
        missing = "; ".join(each.missing) or "-"
        table.add_row(GROUPS[each.group], each.name, does, cannot, f"{each.package} {each.version}", missing)
    output().print(table)
