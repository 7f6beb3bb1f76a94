"""`fairlead demo`: the whole story in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli._common import JsonOption, messages, output, print_json


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave lab and broker up at the end.")] = False,
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated", help="Tell it on the simulated federation, also where the lab would work."
        ),
    ] = False,
    directory: Annotated[
        Path, typer.Option("--output", help="Directory for the heat map, the archive and the broker's log.")
    ] = Path("demo-output"),
    plan: Annotated[
        Path | None, typer.Option(help="What to measure on the lab.", show_default="examples/lab-plan.toml")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story: a federation, its measurements, ranked offers, a container that ran.

    Needs root, network namespaces and podman for the real thing; where they are missing it says so in one
    line and tells the same story on the built-in simulated federation. Exit status 1: the container's output
    was wrong.

    \b
    Example:
      fairlead demo --keep
    """
    from fairlead.demo import PLAN, tell, why_not_here
    from fairlead.telling import Telling

    console = messages() if as_json else output()
    reason = None if simulated else why_not_here()
    if reason is not None:
        console.print(f"no lab on this machine: {reason}: the same story on simulated sites")
    telling = Telling(console, directory, plan or PLAN, simulated or reason is not None, keep)
    outcome = tell(telling)
    if as_json:
        print_json(outcome)
    raise typer.Exit(0 if outcome["right"] else 1)
