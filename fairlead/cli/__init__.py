"""The `fairlead` command: each group of commands has its own file, and only the one asked for is imported."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Annotated, Any, NoReturn

import typer

from fairlead.cli._common import plain
from federation.errors import FairleadError, one_line

# What `fairlead --help` lists, in this order: name -> the modules that make it up, each with an `app`
# (a group of commands) or a function called like the command. The first is the group; the others add to it.
COMMANDS: dict[str, tuple[str, ...]] = {
    "demo": ("fairlead.cli.demo",),
    "lab": ("fairlead.cli.lab",),
    "probe": (
        "fairlead.cli.probe",
        "fairlead.cli.probe_watch",
        "fairlead.cli.probe_results",
        "fairlead.cli.probe_host",
    ),
    "mesh": ("fairlead.cli.mesh", "fairlead.cli.mesh_expected", "fairlead.cli.mesh_grids"),
    "archive": ("fairlead.cli.archive",),
    "report": (
        "fairlead.cli.report",
        "fairlead.cli.report_network",
        "fairlead.cli.report_accuracy",
        "fairlead.cli.report_broker",
        "fairlead.cli.report_space",
    ),
    "space": (
        "fairlead.cli.space",
        "fairlead.cli.space_calendar",
        "fairlead.cli.space_leases",
        "fairlead.cli.space_explain",
        "fairlead.cli.space_afford",
    ),
    "data": ("fairlead.cli.data", "fairlead.cli.data_inspect"),
    "serve": ("fairlead.cli.serve",),
    "run": ("fairlead.cli.run",),
    "sessions": ("fairlead.cli.sessions",),
    "logs": ("fairlead.cli.sessions",),
    "fetch": ("fairlead.cli.sessions",),
    "cancel": ("fairlead.cli.sessions",),
    "credits": ("fairlead.cli.credits",),
    "site": ("fairlead.cli.site", "fairlead.cli.site_nesting"),
    "plugins": ("fairlead.cli.plugins",),
    "users": ("fairlead.cli.users",),
    "audit": ("fairlead.cli.audit",),
}

INTERRUPTED = 130
DEBUG_VARIABLE = "FAIRLEAD_DEBUG"
# the words of the command that runs: reports tell by what they were made
words: ContextVar[Sequence[str]] = ContextVar("words", default=())
# what the command that runs has opened, closed when it ends
opened: ContextVar[ExitStack] = ContextVar("opened")


def build(only: str | None = None) -> typer.Typer:
    """The command-line app: with the one command `only`, or with all of them where that names none."""
    app = typer.Typer(
        name="fairlead",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Where and when can this container run on this data, and what does moving the data cost?",
        epilog="Exit status: 0 done, 1 ran and the answer is no, 2 wrong usage or input, 3 outside failure.",
    )
    app.callback()(_root)
    for name in [only] if only in COMMANDS else COMMANDS:
        _register(app, name)
    return app


def _register(app: typer.Typer, name: str) -> None:
    first, *others = (importlib.import_module(module) for module in COMMANDS[name])
    group: Any = getattr(first, "app", None)
    if group is None:
        app.command(name)(getattr(first, name))
        return
    for other in others:
        group.add_typer(other.app)
    app.add_typer(group, name=name)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"fairlead {version('fairlead')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    opened.set(context.with_resource(ExitStack()))


def _terminated(signum: int, frame: object) -> NoReturn:
    """SIGTERM ends us as Ctrl-C does: what was started is cleaned up on the way out."""
    raise SystemExit(128 + signum)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status. What goes wrong is one line on stderr."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    words.set(argv)
    debug = os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        build(argv[0] if argv else None)(args=argv, prog_name="fairlead")
    except SystemExit as leaving:
        # typer turns Ctrl-C into this status without a word
        if leaving.code == INTERRUPTED:
            typer.echo("fairlead: interrupted", err=True)
        raise
    except KeyboardInterrupt:
        typer.echo("fairlead: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except FairleadError as error:
        if debug:
            raise
        typer.echo(plain(f"fairlead: {error}"), err=True)
        sys.exit(error.exit_status)
    except Exception as error:
        if debug:
            raise
        typer.echo(
            f"fairlead: a defect in fairlead itself: {type(error).__name__}: {one_line(error)} "
            f"({DEBUG_VARIABLE}=1 shows where)",
            err=True,
        )
        sys.exit(FairleadError.exit_status)
    sys.exit(0)
