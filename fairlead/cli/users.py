"""`fairlead users`: who may use the broker, directly in its database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import JsonOption, ask, messages, output, print_json
from fairlead.cli._database import SettingsOption, database
from federation.errors import InputError

if TYPE_CHECKING:
    from broker.identities import Change, Identities, Identity

app = typer.Typer(
    no_args_is_help=True,
    help="Who may use the broker, directly in its database; takes effect at once, also while it serves.",
    epilog="Example: fairlead users add ada --role operator",
)
NameArgument = Annotated[
    str, typer.Argument(metavar="USER", help="A user name, or the uuid of anybody.", show_default=False)
]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="The password is the first line of standard input.")
]


class RoleName(StrEnum):
    """broker.records.Role, without importing the broker to show --help."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="USER", help="The user's name.", show_default=False)],
    role: Annotated[RoleName, typer.Option(help="What they may do.")] = RoleName.USER,
    password_stdin: StdinOption = False,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user. The password is asked for, or comes from standard input.

    \b
    Example:
      fairlead users add ada --role operator
    """
    from broker.identities import Taken
    from broker.records import Role

    password = _password(password_stdin)
    with _identities(settings_file) as (identities, note):
        try:
            made = identities.create(name, password, Role(role))
        except Taken:
            raise InputError(f"there is a user {name!r} already") from None
        except ValueError as error:
            raise InputError(str(error)) from None
        note("identity.create", made)
    _show(made, as_json, "made")


@app.command("list")
def list_users(settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """List everybody whom the broker knows, by name.

    \b
    Example:
      fairlead users list
    """
    from broker.sessions.listing import Cursor

    found: list[Identity] = []
    with _identities(settings_file) as (identities, _):
        while page := identities.page(Cursor(found[-1].created, found[-1].uuid) if found else None, 500):
            found += page
    found.sort(key=lambda each: (each.username, each.uuid))
    if as_json:
        print_json([_document(each) for each in found])
        return
    if not found:
        messages().print("nobody but the settings' administrator: `fairlead users add USER` adds one")
        return
    from rich.table import Table

    table = Table()
    for heading in ("user", "role", "", "since", "comes by", "uuid"):
        table.add_column(heading, overflow="fold")
    for each in found:
        disabled = "disabled" if each.disabled else ""
        by = "password" if each.local else each.issuer
        table.add_row(each.username, each.role, disabled, f"{each.created:%Y-%m-%d}", by, each.uuid)
    output().print(table)


@app.command()
def show(name: NameArgument, settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Show one of them.

    \b
    Example:
      fairlead users show ada
    """
    with _identities(settings_file) as (identities, _):
        found = _find(identities, name)
    if as_json:
        print_json(_document(found))
        return
    for key, value in _document(found).items():
        output().print(f"{key:9} {value}", soft_wrap=True)


@app.command()
def role(
    name: NameArgument,
    new: Annotated[RoleName, typer.Argument(metavar="ROLE", help="user, operator or admin.")],
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a user may do. Of those who come with tokens, the issuer's groups decide that.

    \b
    Example:
      fairlead users role ada operator
    """
    from broker.identities import Change
    from broker.records import Role

    _change(name, Change(role=Role(new)), settings_file, as_json, f"is {new} now")


@app.command()
def disable(name: NameArgument, settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Keep somebody out; what they own goes on.

    \b
    Example:
      fairlead users disable ada
    """
    from broker.identities import Change

    _change(name, Change(disabled=True), settings_file, as_json, "is kept out now")


@app.command()
def enable(name: NameArgument, settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Let somebody in again.

    \b
    Example:
      fairlead users enable ada
    """
    from broker.identities import Change

    _change(name, Change(disabled=False), settings_file, as_json, "may come in now")


@app.command()
def password(
    name: NameArgument,
    password_stdin: StdinOption = False,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a user's password, which is asked for, or comes from standard input.

    \b
    Example:
      fairlead users password ada
    """
    from broker.identities import Change

    change = Change(password=_password(password_stdin))
    _change(name, change, settings_file, as_json, "has a new password now")


@app.command()
def remove(name: NameArgument, settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Forget somebody. What they own stays; who gets the name next is somebody else.

    \b
    Example:
      fairlead users remove ada
    """
    with _identities(settings_file) as (identities, note):
        found = _find(identities, name)
        identities.remove(found.uuid)
        note("identity.remove", found)
    _show(found, as_json, "removed")


@contextmanager
def _identities(settings_file: Path | None) -> Iterator[tuple[Identities, Any]]:
    """Everybody, and what notes in the audit log that something was done to one of them."""
    import getpass
    from datetime import timedelta

    from broker.audit import AuditLog, Entry
    from broker.identities import Identities
    from federation.clock import SystemClock

    with database(settings_file) as (settings, engine):
        clock = SystemClock()
        log = AuditLog(engine, clock, timedelta(seconds=settings.audit_retention_seconds))

        def note(action: str, identity: Identity) -> None:
            who = f"{getpass.getuser()}, by `fairlead users`"
            log.record(Entry(clock.now(), action, 200, username=who, target=identity.uuid))

        # nobody may have the administrator's name, whether there is a password for it now or not
        yield Identities(engine, clock, settings.admin_user or "admin", settings.admin_password or "-"), note
        log.stop()


def _change(name: str, change: Change, settings_file: Path | None, as_json: bool, what: str) -> None:
    from broker.identities import ForeignIdentity

    with _identities(settings_file) as (identities, note):
        found = _find(identities, name)
        try:
            changed = identities.change(found.uuid, change)
        except (ValueError, ForeignIdentity) as error:
            raise InputError(f"{name}: {error}") from None
        if changed is None:
            raise InputError(f"there is no user {name!r} any more")
        note("identity.change", changed)
    _show(changed, as_json, what)


def _find(identities: Identities, name: str) -> Identity:
    found = identities.get(name)
    if found is None:
        raise InputError(f"there is no user {name!r}: `fairlead users list` shows whom there is")
    return found


def _show(identity: Identity, as_json: bool, what: str) -> None:
    if as_json:
        print_json(_document(identity))
    else:
        messages().print(f"{identity.username} ({identity.uuid}) {what}", soft_wrap=True)


def _document(identity: Identity) -> dict[str, Any]:
    from broker.http.routes_users import identity_document

    return identity_document(identity)


def _password(from_stdin: bool) -> str:
    """Never from the command line, where everybody on the machine can read it."""
    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
        if not given:
            raise InputError("the password: standard input has none in its first line")
        return given
    if not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for the password: use --password-stdin")
    return ask("Password", hide_input=True, confirmation_prompt=True)
