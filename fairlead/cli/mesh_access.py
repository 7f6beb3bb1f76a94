"""How the commands of meshes reach a server: the options for that, and what they become."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from federation.errors import InputError

if TYPE_CHECKING:
    from netprobe.meshes import Access

CaFileOption = Annotated[
    Path | None, typer.Option("--ca-file", help="Authorities to trust instead of the system's (PEM).")
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Don't check the server's certificate.")]
UserOption = Annotated[str | None, typer.Option("--user", help="Who reads, where the server asks.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", help="The file with that reader's password.")
]


def access_to(
    url: str, ca_file: Path | None, insecure: bool, user: str | None, password_file: Path | None
) -> Access:
    """How to reach `url`. Raises InputError where that is no http(s) address, or the options disagree."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise InputError(f'URL: expected an address such as "https://archive.example.org/", got {url!r}')
    if "@" in parts.netloc:
        raise InputError("URL: expected no credentials in it, but --user and --password-file")
    return reach(url, ca_file, insecure, user, password_file)


def reach(
    place: str, ca_file: Path | None, insecure: bool, user: str | None, password_file: Path | None
) -> Access:
    """The same for a place that may be a file's path, too."""
    from netprobe.meshes import Access

    if insecure and ca_file is not None:
        raise InputError("--insecure: expected either this or --ca-file, not both")
    if (user is None) != (password_file is None):
        raise InputError("--user: expected with --password-file, or none of the two")
    password = None if password_file is None else _secret(password_file)
    return Access(place, ca_file, not insecure, user, password)


def _secret(file: Path) -> str:
    """The first line of the file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"--password-file: {file} can't be read: {why}") from None
    if not lines or not lines[0]:
        raise InputError(f"--password-file: expected a password in the first line of {file}")
    return lines[0]
