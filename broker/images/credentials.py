"""Logins of registries, from a file as containers-auth.json(5) describes it."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker.images.references import DOCKER, Reference
from federation.errors import InputError

EXPECTED = 'expected a file as `podman login --authfile` makes it: {"auths": {"HOST": {"auth": ...}}}'
# under which Docker keeps the login of its own registry
DOCKER_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)


def find_login(file: Path | None, reference: Reference) -> Login | None:
    """The login for that repository: the one whose name is the longest. None where there is none.

    The file is read each time: logins are renewed. Raises InputError "FILE: ..." where it can't be read.
    """
    if file is None:
        return None
    auths = _auths(file, _document(file))
    for key in _keys(reference):
        entry = auths.get(key)
        if isinstance(entry, Mapping) and isinstance(entry.get("auth"), str):
            login = _decoded(entry["auth"])
            if login is not None:
                return login
    return None


def read_secret(file: Path) -> Login:
    """The one login in a file of `user:secret`, as Skaha and Harbor's robots have it. Raises InputError
    "FILE ..."; what is in the file stays out of the message."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{file} can't be read") from None
    user, _, secret = text.partition(":")
    # Skaha splits at each colon, and refuses what has two
    if not user or not secret or ":" in secret:
        raise InputError(f"{file} holds no user:secret, with one colon in all")
    return Login(user, secret)


def has_other_login(file: Path | None, reference: Reference) -> bool:
    """Whether podman would find a login that isn't read here: a credential helper's, or an identity token."""
    if file is None:
        return False
    document = _document(file)
    helpers, auths = document.get("credHelpers"), _auths(file, document)
    if document.get("credsStore") or (isinstance(helpers, Mapping) and reference.registry in helpers):
        return True
    entries = (auths.get(key) for key in _keys(reference))
    return any(isinstance(entry, Mapping) and entry.get("identitytoken") for entry in entries)


def check_file(file: Path) -> None:
    """Raises InputError where it is no such file."""
    _auths(file, _document(file))


def default_file() -> Path | None:
    """Where podman itself looks for logins: the first that is there; None where there is none."""
    runtime, home = os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("HOME")
    places = [
        Path(runtime, "containers/auth.json") if runtime else Path(f"/run/containers/{os.getuid()}/auth.json")
    ]
    if home:
        places += [Path(home, ".config/containers/auth.json"), Path(home, ".docker/config.json")]
    return next((place for place in places if place.is_file()), None)


def _document(file: Path) -> Mapping[str, object]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as problem:
        raise InputError(f"{file}: {EXPECTED}, but it can't be read: {problem.strerror}") from None
    except ValueError:
        # what is in it stays out of the message
        raise InputError(f"{file}: {EXPECTED}, got something else") from None
    if not isinstance(document, Mapping):
        raise InputError(f"{file}: {EXPECTED}, got something else")
    return document


def _auths(file: Path, document: Mapping[str, object]) -> Mapping[str, object]:
    auths = document.get("auths", {})
    if not isinstance(auths, Mapping):
        raise InputError(f"{file}: {EXPECTED}, got something else")
    return auths


def _keys(reference: Reference) -> Iterator[str]:
    name = reference.name
    while name:
        yield name
        name = name.rpartition("/")[0]
    yield f"https://{reference.registry}"
    if reference.registry == DOCKER:
        yield DOCKER_KEY


def _decoded(auth: str) -> Login | None:
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    # Docker fills it up with zeros
    return Login(user, password.rstrip("\0")) if colon else None
