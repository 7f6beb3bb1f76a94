"""`fairlead mesh pull`: what others have measured, from their archives and nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from fairlead.cli._common import DatabaseOption, JsonOption, messages, output, print_json, steps
from fairlead.cli.mesh_access import CaFileOption, InsecureOption, PasswordFileOption, UserOption, access_to
from federation.errors import InputError, OutsideError

if TYPE_CHECKING:
    from datetime import timedelta

    from netprobe.meshes.pull import Pulled

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Meshes that others measure: pull their results, and see what is expected of them.",
    epilog="Example: fairlead mesh pull https://archive.example.org/ --since 7d",
)

# the kind of what lies under such a path, where nothing is said
_PATHS = {"esmond": "esmond", "pscheduler": "pscheduler"}
_DEFAULT_KIND = "perfsonar5"


@app.command(
    epilog="Example: fairlead mesh pull https://archive.example.org/ --since 7d. "
    "Exit status: 0 all was read, 2 wrong usage, 3 the mesh failed (what came before is kept), 130 stopped."
)
def pull(
    url: Annotated[str, typer.Argument(help="The archive or node, such as https://archive.example.org/.")],
    kind: Annotated[
        str | None,
        typer.Option(
            help="perfsonar5, pscheduler or esmond; by the address if not given.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help='How far back ("7d"). If not given: from the last seen, the first time 7 days.',
            show_default=False,
        ),
    ] = None,
    ca_file: CaFileOption = None,
    insecure: InsecureOption = False,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="The federation's sites (TOML), whose hosts are known.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what an archive or a node has measured since the last pull; nothing is taken twice.

    A failed test is taken with its error. What can be no measurement is refused by name and counted.
    """
    from fairlead.cli._probe import known_federation, opened_database
    from federation.clock import SystemClock
    from netprobe.archive import Archive
    from netprobe.meshes import load_mesh
    from netprobe.meshes.pull import PullState
    from netprobe.meshes.pull import pull as pull_mesh

    back = None if since is None else _age(since)
    access = access_to(url, ca_file, insecure, user, password_file)
    mesh = load_mesh(kind or _kind_of(url))
    federation = known_federation(catalogue)
    engine = opened_database(database)
    clock = SystemClock()
    latest: Pulled | None = None
    try:
        with steps(f"{mesh.kind} {access.archive}", 1.0) as progress:

            def on_page(pulled: Pulled) -> None:
                nonlocal latest
                latest = pulled
                progress.update(pulled.share or 0.0, _sentence(pulled))

            start = None if back is None else clock.now() - back
            latest = pull_mesh(
                mesh, access, Archive(engine), PullState(engine), clock, federation, start, on_page
            )
    except (KeyboardInterrupt, SystemExit):
        if latest is not None:
            latest.stopped = "interrupted; what was taken is kept"
            _tell(latest, as_json)
        raise
    finally:
        engine.dispose()
    _tell(latest, as_json)
    if latest.stopped is not None:
        raise OutsideError(f"{latest.stopped}; what came before is kept, the next pull goes on there")


def _kind_of(url: str) -> str:
    parts = urlsplit(url).path.lower().split("/")
    return next((kind for part, kind in _PATHS.items() if part in parts), _DEFAULT_KIND)


def _age(text: str) -> timedelta:
    from federation.units import parse_duration

    try:
        return parse_duration(text)
    except InputError as error:
        raise InputError(f"--since: {error}") from None


def _sentence(pulled: Pulled) -> str:
    refused = pulled.refused.total()
    return f"{pulled.taken:,} taken, {pulled.repeated:,} repeated, {refused:,} refused"


def _tell(pulled: Pulled, as_json: bool) -> None:
    if as_json:
        print_json(_document(pulled))
        return
    console = output()
    console.print(f"{pulled.archive}: {_sentence(pulled)}, since {pulled.since:%Y-%m-%d %H:%M} UTC")
    for reason, number in pulled.refused.most_common():
        example = next(iter(pulled.examples.get(reason, [])), None)
        shown = "" if example is None else f", as {example}"
        console.print(f"refused {number:,}: {reason}{shown}", soft_wrap=True)
    if pulled.stopped is not None:
        messages().print("not all was read")


def _document(pulled: Pulled) -> dict[str, Any]:
    return {
        "archive": pulled.archive,
        "since": pulled.since.isoformat(),
        "through": None if pulled.through is None else pulled.through.isoformat(),
        "pages": pulled.pages,
        "taken": pulled.taken,
        "repeated": pulled.repeated,
        "refused": dict(pulled.refused),
        "examples": pulled.examples,
        "stopped": pulled.stopped,
    }
