"""`fairlead run`: ask a broker where a job could run, accept an offer, and follow it to its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._broker import DEFAULT_URL, PasswordOption, UrlOption, UserOption
from fairlead.cli._common import JsonOption, ask, messages, output, print_json
from federation.errors import InputError

if TYPE_CHECKING:
    from fairlead.client import Document, Offer


def run(
    job: Annotated[
        Path, typer.Argument(help="The request, as the contract has it (YAML or JSON).", show_default=False)
    ],
    url: UrlOption = DEFAULT_URL,
    user: UserOption = None,
    password: PasswordOption = None,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="best|none|N", help="Which offer to accept; asked for on a terminal.", show_default=False
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="The same as --accept best.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask for offers, accept one, and follow it until its output is there.

    Exit status 0 when the session completed (or --accept none and there are offers), 1 when the broker says
    NO or the session failed, 3 when no broker answers.

    \b
    Example:
      fairlead run examples/checksum.yaml --user ada --password secret --accept best
    """
    from fairlead.client import BrokerClient, notes, offers
    from fairlead.following import Narrator, container_output, follow, logs_of, now, read_job, show_offers

    choice = _choice(accept, yes)
    if choice is None and (as_json or not sys.stdin.isatty()):
        raise InputError("nobody to ask which offer to accept: say --accept best, none, or a number")
    text = read_job(job)
    say = messages()
    with BrokerClient(url, user, password) as client:
        offerset = client.request(text)
        found = offers(offerset, now())
        if not found:
            if as_json:
                print_json(offerset)
            else:
                say.print("The broker says NO:", style="bold")
                for level, reason in notes(offerset):
                    say.print(f"  {level}: {reason}")
            raise typer.Exit(1)
        if not as_json:
            show_offers(output(), found)
        chosen = _choose(choice, found)
        if chosen is None:
            if as_json:
                print_json(offerset)
            return
        client.move(chosen.uuid, "ACCEPTED")
        try:
            session = follow(client, chosen.uuid, Narrator(say, chosen.reasons))
            logs = logs_of(client, chosen.uuid)
        except KeyboardInterrupt:
            say.print(f"the session goes on without us: {client.url}/sessions/{chosen.uuid}")
            raise
    if as_json:
        print_json({"offerset": offerset, "session": session, "logs": logs})
    else:
        for stream in ("stdout", "stderr"):
            typer.echo(container_output(logs, stream), nl=False, err=stream == "stderr")
    raise typer.Exit(0 if _completed(session) else 1)


def _choice(accept: str | None, yes: bool) -> str | None:
    """`best`, `none`, a number, or None where the user is to be asked."""
    if accept is None:
        return "best" if yes else None
    if accept in ("best", "none") or (accept.isdigit() and int(accept) > 0):
        return accept
    raise InputError(f"--accept {accept}: expected best, none, or the number of an offer")


def _choose(choice: str | None, found: Sequence[Offer]) -> Offer | None:
    if choice is None:
        choice = ask("Accept which offer (best, none, or a number)", default="best")
        choice = _choice(choice, yes=False) or "best"
    if choice == "none":
        return None
    number = 1 if choice == "best" else int(choice)
    if number > len(found):
        raise InputError(f"--accept {number}: there are {len(found)} offers")
    return found[number - 1]


def _completed(session: Document | dict[str, Any]) -> bool:
    return session.get("phase") == "COMPLETED"
