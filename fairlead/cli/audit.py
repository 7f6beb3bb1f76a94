"""`fairlead audit`: who did what, from the broker's database."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from fairlead.cli._common import MOST_LISTED, JsonOption, messages, number, output, print_json
from fairlead.cli._database import SettingsOption, database
from federation.errors import InputError
from federation.units import A_PAST_INSTANT


def audit(
    user: Annotated[
        str | None, typer.Option(help="Only what this user did, by name.", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, such as session.update or login.fail.", show_default=False)
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Only what was done to this uuid.", show_default=False)
    ] = None,
    request: Annotated[
        str | None, typer.Option(help="Only the request with this id.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help=f"From then on: {A_PAST_INSTANT}.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(help=f"Until then: {A_PAST_INSTANT}.", show_default=False)
    ] = None,
    limit: Annotated[
        int, typer.Option(**number("--limit", 1, MOST_LISTED), help="So many at most, the newest.")
    ] = 100,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who did what, the newest first.

    \b
    Examples:
      fairlead audit --since "1 d" --action login.fail
      fairlead audit --user ada --json
    """
    from broker.audit import ACTIONS, Filters, document, read
    from federation.clock import SystemClock

    # what has no name is there by its method and path
    if action is not None and action not in ACTIONS and " /" not in action:
        raise InputError(f"--action: expected one of {', '.join(ACTIONS)}, got {action[:40]!r}")
    now = SystemClock().now()
    filters = Filters(
        username=user,
        action=action,
        target=target,
        request_id=request,
        since=_when("--since", since, now),
        until=_when("--until", until, now),
    )
    with database(settings_file) as (_, engine):
        found = read(engine, filters, limit=limit)
    if as_json:
        print_json([document(number, entry) for number, entry in found])
        return
    if not found:
        messages().print("nothing")
        return
    from rich.table import Table

    table = Table()
    for heading in ("time", "who", "what", "status", "to", "from", "request"):
        table.add_column(heading, overflow="fold")
    for _, entry in found:
        table.add_row(
            f"{entry.time:%Y-%m-%d %H:%M:%SZ}",
            _plain(entry.username),
            _plain(entry.action),
            str(entry.status),
            *(_plain(each) for each in (entry.target, entry.address, entry.request_id)),
        )
    output().print(table)


def _plain(text: str | None) -> str:
    """What can be shown: strangers choose the names that they try, and terminals obey some characters."""
    return "".join(each if each.isprintable() else "?" for each in text or "-")


def _when(option: str, text: str | None, now: datetime) -> datetime | None:
    from federation.units import parse_instant

    if text is None:
        return None
    try:
        return parse_instant(text, now, ago=True)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
