"""`fairlead sessions`, `logs`, `fetch` and `cancel`: what became of what was accepted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli._broker import (
    DEFAULT_URL,
    PasswordOption,
    SessionArgument,
    UrlOption,
    UserOption,
    session_uuid,
)
from fairlead.cli._common import MOST_LISTED, JsonOption, messages, number, output, print_json

# what is shown where no phase is named: not the offers that nobody took
TAKEN = ["ACCEPTED", "WAITING", "PREPARING", "AVAILABLE", "RUNNING", "RELEASING"]
TAKEN += ["COMPLETED", "FAILED", "CANCELLED"]


def sessions(
    phase: Annotated[
        list[str] | None,
        typer.Option(
            help="Only those in this phase; may be repeated.", show_default="all but untaken offers"
        ),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="Everybody's (operators and administrators only).")
    ] = False,
    limit: Annotated[
        int, typer.Option(**number("--limit", 1, MOST_LISTED), help="So many at most, the newest.")
    ] = 50,
    url: UrlOption = DEFAULT_URL,
    user: UserOption = None,
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your sessions, newest first.

    Exit status 0, also when there are none; 2 when the broker refuses to list them, 3 when none answers.

    \b
    Example:
      fairlead sessions --phase RUNNING --phase PREPARING
    """
    from fairlead.client import BrokerClient
    from fairlead.following import session_table

    phases = [each.upper() for each in phase or TAKEN]
    with BrokerClient(url, user, password) as client:
        found = client.sessions(phases, everybody=everybody, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        output().print(session_table(found))
    else:
        messages().print("no sessions")


def logs(
    session: SessionArgument,
    url: UrlOption = DEFAULT_URL,
    user: UserOption = None,
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the last part of what a session's container wrote, each stream on the same stream of ours.

    Exit status 0; 1 when the container has not started, so that there is nothing to print.

    \b
    Example:
      fairlead logs 3f0c3c0e-6f0e-4c39-9a4f-0a0c4bb2a9f1
    """
    from fairlead.client import BrokerClient

    with BrokerClient(url, user, password) as client:
        found = client.logs(session_uuid(session))
    started = "started" in found
    if as_json:
        print_json(found)
    elif not started:
        messages().print(f"nothing has run yet: the session is {found.get('phase')}")
    else:
        for stream in ("stdout", "stderr"):
            typer.echo(found.get(stream, ""), nl=False, err=stream == "stderr")
    raise typer.Exit(0 if started else 1)


def fetch(
    session: SessionArgument,
    storage: Annotated[
        str | None, typer.Argument(help="One of its storages; all of them.", show_default=False)
    ] = None,
    path: Annotated[
        str | None, typer.Argument(help="One file of it, or a folder; all of it.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="The directory to write to; made where it isn't there.")] = Path(),
    url: UrlOption = DEFAULT_URL,
    user: UserOption = None,
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch what a session wrote into its storages, as OUT/STORAGE/PATH.

    A file that is there already is replaced, and only by a complete one. Exit status 0 when all was fetched,
    1 when there is nothing to fetch.

    \b
    Example:
      fairlead fetch 3f0c3c0e-6f0e-4c39-9a4f-0a0c4bb2a9f1 results --out results
    """
    from fairlead.client import BrokerClient
    from fairlead.fetching import fetch_files, wanted_files

    uuid = session_uuid(session)
    say = messages()
    with BrokerClient(url, user, password) as client:
        files = wanted_files(client.storage(uuid), storage, path)
        fetched = []
        for file in fetch_files(client, uuid, files, out):
            fetched.append(asdict(file))
            if not as_json:
                typer.echo(str(file.local))
    if as_json:
        print_json(fetched)
    elif not fetched:
        say.print("there is nothing to fetch (any more)")
    raise typer.Exit(0 if fetched else 1)


def cancel(
    session: SessionArgument,
    url: UrlOption = DEFAULT_URL,
    user: UserOption = None,
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a session: what runs is stopped, and everything that it holds is given back.

    Exit status 0 when it is cancelled (or was), 1 when it is not to be cancelled any more.

    \b
    Example:
      fairlead cancel 3f0c3c0e-6f0e-4c39-9a4f-0a0c4bb2a9f1
    """
    from fairlead.client import BrokerClient

    uuid = session_uuid(session)
    with BrokerClient(url, user, password) as client:
        changed = client.move(uuid, "CANCELLED")
    if as_json:
        print_json(changed)
    else:
        messages().print(f"session {uuid} is {changed.get('phase')}")
