"""`fairlead lab`: a federation on this machine, to measure and to try things on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import JsonOption, messages, output, print_json
from federation.errors import InputError
from federation.units import format_bits_per_second, format_size

if TYPE_CHECKING:
    from lab.status import Status

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A federation on this machine: sites in network namespaces, joined by an emulated wide area.",
    epilog="Example: fairlead lab up && fairlead lab exec perth -- ping -c 3 10.77.3.2 && fairlead lab down",
)

NOT_UP = 1


@app.command(epilog="Example: fairlead lab up --description my-lab.toml")
def up(
    description: Annotated[
        Path | None,
        typer.Option(help="The TOML file that describes the lab; the built-in five sites if not given."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Bring the lab up; if it is up already, repair what is missing."""
    from lab import lab

    began = time.monotonic()
    status = lab.up(description)
    seconds = time.monotonic() - began
    if json:
        print_json(status.document())
        return
    messages().print(f"lab {status.name}: {len(status.lab.sites)} sites up in {seconds:.1f} s")
    typer.echo(f"catalogue: {status.catalogue}")


@app.command(epilog="Example: fairlead lab down")
def down(json: JsonOption = False) -> None:
    """Take the lab down, and remove all that belongs to it. Harmless when there is none."""
    from lab import lab

    removed = lab.down()
    if json:
        print_json({"removed": removed})
    else:
        messages().print("lab: down" if removed else "lab: was not up")


@app.command(epilog="Example: fairlead lab status --json. Exit status 1: not up, or damaged.")
def status(json: JsonOption = False) -> None:
    """Show the lab's sites, paths and files, and what is missing."""
    from lab import lab

    found = lab.status()
    if json:
        print_json({"up": False} if found is None else found.document())
    elif found is None:
        typer.echo("lab: not up; `fairlead lab up` brings it up")
    else:
        _show(found)
    if found is None or found.problems:
        raise typer.Exit(NOT_UP)


@app.command(epilog="Example: fairlead lab reload (after an edit of lab.toml in the lab's state directory)")
def reload(
    description: Annotated[
        Path | None, typer.Option(help="A TOML file that replaces the running lab's own description.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Let the running lab's paths follow its changed description."""
    from lab import lab

    changed = lab.reload(description)
    if json:
        print_json({"paths": len(changed.paths)})
    else:
        messages().print(f"lab: {len(changed.paths)} paths read again")


@app.command(
    name="exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: fairlead lab exec perth -- ping -c 3 10.77.3.2. The exit status is the command's.",
)
def execute(
    site: Annotated[str, typer.Argument(help="A site of the lab, or `router`.", metavar="SITE")],
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.", metavar="CMD...")],
) -> None:
    """Run a command at one of the lab's sites."""
    import shutil

    from lab import lab

    if command[0] == "--":
        command = command[1:]
    if not command:
        raise InputError("expected a command after the site")
    argv = lab.host(site).argv(command)
    if shutil.which(command[0]) is None:
        raise InputError(f"no command {command[0]!r} on PATH")
    os.execvp(argv[0], argv)


def _show(status: Status) -> None:
    from rich.table import Table

    console = output()
    for problem in status.problems:
        typer.echo(f"problem: {problem}")
    typer.echo(
        f"lab {status.name}: {'damaged' if status.problems else 'up'}, MTU {status.lab.mtu}, "
        f"TCP {status.congestion_control or 'unknown'}, state in {status.state_dir}"
    )
    sites = Table("site", "namespace", "address", "files")
    for site in status.lab.sites.values():
        names = [str(file["name"]) for file in status.files if site.id in file["sites"]]
        sites.add_row(site.id, site.host(status.name).namespace, site.address, ", ".join(names))
    console.print(sites)
    paths = Table("from", "to", "delay", "jitter", "loss", "rate", "queue")
    for path in status.lab.paths:
        paths.add_row(
            path.source,
            path.destination,
            f"{path.delay_seconds * 1e3:g} ms",
            f"{path.jitter_seconds * 1e3:g} ms",
            f"{path.loss * 100:g} %",
            format_bits_per_second(path.bits_per_second),
            f"{path.queue_seconds * 1e3:.0f} ms",
        )
    console.print(paths)
    files = Table("file", "size", "sha256")
    for file in status.files:
        files.add_row(str(file["name"]), format_size(int(file["size_bytes"])), str(file["sha256"]))
    console.print(files)
