"""What the commands that talk to a broker share: where it is, who asks, and how a session is named."""

from __future__ import annotations

import uuid
from typing import Annotated
from urllib.parse import urlsplit

import typer

from federation.errors import InputError

DEFAULT_URL = "http://127.0.0.1:8080"

UrlOption = Annotated[str, typer.Option(envvar="FAIRLEAD_URL", help="Where the broker answers.")]
UserOption = Annotated[str | None, typer.Option(envvar="FAIRLEAD_USER", help="Who asks.")]
PasswordOption = Annotated[str | None, typer.Option(envvar="FAIRLEAD_PASSWORD", help="And the password.")]
SessionArgument = Annotated[
    str, typer.Argument(metavar="SESSION", help="The session's uuid, or its URL.", show_default=False)
]


def session_uuid(text: str) -> str:
    """The uuid in `text`, which is that alone or a URL with it at the end. Raises InputError."""
    try:
        last = urlsplit(text.strip()).path.rstrip("/").rpartition("/")[2]
        return str(uuid.UUID(last))
    except ValueError:
        raise InputError(f"{text!r}: expected a session's uuid, or its URL") from None
