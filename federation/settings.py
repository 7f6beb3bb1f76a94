"""The settings of a broker: what an operator may turn, read once at start-up.

In rising order: the defaults, a TOML file, the environment. Each field `name` is the key `name` of the file
and the variable FAIRLEAD_NAME; an empty variable counts as one that isn't set. What isn't known or can't be
used is an InputError that names the file and line, or the variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from federation.errors import InputError
from federation.toml_lines import line_of, read_toml
from federation.units import parse_seconds
from federation.urls import is_secure

PREFIX = "FAIRLEAD_"
# Variables of ours that are no settings of the broker: whom a client talks to, and how the command behaves.
_OTHER_VARIABLES = {"FAIRLEAD_URL", "FAIRLEAD_USER", "FAIRLEAD_PASSWORD", "FAIRLEAD_DEBUG"}
_OTHER_PREFIXES = ("FAIRLEAD_LAB_", "FAIRLEAD_TEST_")


@dataclass(frozen=True)
class Settings:
    """`public_url` is how clients reach the broker where that isn't `host` and `port` (behind a proxy)."""

    database_url: str
    work_directory: Path
    catalogue: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    admin_user: str | None = None
    admin_password: str | None = field(default=None, repr=False)
    offer_lifetime_seconds: float = 300.0
    # sessions and offer sets that have ended are removed after this; what jobs wrote into storage before it
    retention_seconds: float = 30 * 86_400.0
    result_lifetime_seconds: float = 86_400.0
    # how long it is known who did what
    audit_retention_seconds: float = 365 * 86_400.0
    # sessions that this process prepares at a time for one site
    sessions_per_site: int = 64
    # whether this process drives sessions, or only answers; another one on the same database must then
    supervise: bool = True
    # reports that were made are listed among the pages, for those who may sign in
    reports_directory: Path | None = None
    # what one caller may ask in a minute; 0: anything
    requests_per_minute: int = 600
    # tokens of this OpenID Connect issuer are taken, if they are meant for this audience
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    # the clients (azp) whose tokens are taken; empty: any of the issuer's
    oidc_clients: tuple[str, ...] = ()
    # who comes with a token must be in one of these groups, and have all of these scopes
    oidc_groups: tuple[str, ...] = ()
    oidc_scopes: tuple[str, ...] = ()
    # groups whose members are operators, and administrators
    oidc_operator_groups: tuple[str, ...] = ()
    oidc_admin_groups: tuple[str, ...] = ()
    # the pages' sign-in at the issuer: as which client (without a secret: a public one), and what it asks for
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = field(default=None, repr=False)
    oidc_sign_in_scopes: tuple[str, ...] = ("openid", "profile")


def data_directory(environ: Mapping[str, str]) -> Path:
    """Where this user's data is kept, by the XDG base directories (relative paths don't count)."""
    named = Path(environ.get("XDG_DATA_HOME", ""))
    if named.is_absolute():
        return named / "fairlead"
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".local" / "share" / "fairlead"


class _UnusableError(Exception):
    """A value that isn't what was expected; the text is what was."""


def _text(value: Any, base: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnusableError("a text that is not empty")
    return value


def _path(value: Any, base: Path) -> Path:
    try:
        return base / Path(_text(value, base)).expanduser()
    except RuntimeError:
        raise _UnusableError("a path whose ~ stands for somebody's home directory") from None


def _port(value: Any, base: Path) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 65_535:
        raise _UnusableError("a port between 0 and 65535 (0 is any free one)")
    return number


def _url(value: Any, base: Path) -> str:
    expected = 'a URL such as "https://broker.example.org"'
    try:
        parts = urlsplit(_text(value, base))
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (ValueError, _UnusableError):
        raise _UnusableError(expected) from None
    if not usable or parts.query or parts.fragment:
        raise _UnusableError(expected)
    return str(value).rstrip("/")


def _issuer(value: Any, base: Path) -> str:
    """As it is written: an issuer is compared letter by letter, and some end with a slash."""
    _url(value, base)
    if not is_secure(value):
        raise _UnusableError("a URL that begins with https:// (http:// is for an issuer on this machine)")
    return str(value)


def _seconds(most: float, expected: str) -> Callable[[Any, Path], float]:
    """Seconds as a number, or a text with a unit; from 1 to `most`."""

    def read(value: Any, base: Path) -> float:
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            try:
                seconds = parse_seconds(value)
            except InputError:
                raise _UnusableError(expected) from None
        if isinstance(value, bool) or not 1 <= seconds <= most:
            raise _UnusableError(expected)
        return seconds

    return read


# within what a client can use and a site can hold
_lifetime = _seconds(86_400, 'from 1 second to 1 day, such as 300 or "5 min"')
_retention = _seconds(3650 * 86_400, 'from 1 second to 10 years, such as "30 d"')


def _count(least: int) -> Callable[[Any, Path], int]:
    def read(value: Any, base: Path) -> int:
        number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise _UnusableError(f"a whole number, at least {least}")
        return number

    return read


def _yes_or_no(value: Any, base: Path) -> bool:
    if value in (True, "true", "1", "yes"):
        return True
    if value in (False, "false", "0", "no"):
        return False
    raise _UnusableError("true or false")


def _list(value: Any, base: Path) -> tuple[str, ...]:
    """A list of texts; in the environment one text, with commas between its parts."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) and part for part in parts):
        raise _UnusableError('a list of texts such as ["one", "two"] (in the environment: "one,two")')
    return tuple(parts)


_READERS: Mapping[str, Callable[[Any, Path], Any]] = {
    "database_url": _text,
    "work_directory": _path,
    "catalogue": _path,
    "host": _text,
    "port": _port,
    "public_url": _url,
    "admin_user": _text,
    "admin_password": _text,
    "offer_lifetime_seconds": _lifetime,
    "retention_seconds": _retention,
    "result_lifetime_seconds": _retention,
    "audit_retention_seconds": _retention,
    "sessions_per_site": _count(1),
    "supervise": _yes_or_no,
    "reports_directory": _path,
    "requests_per_minute": _count(0),
    "oidc_issuer": _issuer,
    "oidc_audience": _text,
    "oidc_clients": _list,
    "oidc_groups": _list,
    "oidc_scopes": _list,
    "oidc_operator_groups": _list,
    "oidc_admin_groups": _list,
    "oidc_client_id": _text,
    "oidc_client_secret": _text,
    "oidc_sign_in_scopes": _list,
}

# never repeated, not even where they are wrong
_SECRETS = {"admin_password", "oidc_client_secret"}


def _read(name: str, value: Any, base: Path, where: str) -> Any:
    try:
        return _READERS[name](value, base)
    except _UnusableError as error:
        got = "something else" if name in _SECRETS else f"{value!r}"
        raise InputError(f"{where}: expected {error}, got {got}") from None


def _from_file(path: Path) -> dict[str, Any]:
    text, document = read_toml(path, "the settings file")
    values = {}
    for name, value in document.items():
        where = f"{path}:{line_of(text, (name,))}: {name}"
        if name not in _READERS:
            raise InputError(f"{where}: unknown setting; expected one of {', '.join(_READERS)}")
        values[name] = _read(name, value, path.parent, where)
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for variable in sorted(environ):
        foreign = variable in _OTHER_VARIABLES or variable.startswith(_OTHER_PREFIXES)
        if not variable.startswith(PREFIX) or foreign or not environ[variable]:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in _READERS or variable != variable.upper():
            known = ", ".join(PREFIX + name.upper() for name in _READERS)
            raise InputError(f"environment variable {variable}: unknown setting; expected one of {known}")
        values[name] = _read(name, environ[variable], Path(), f"environment variable {variable}")
    return values


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the TOML file `path` (if any) and of `environ`, over the defaults.

    Relative paths in the file are relative to the file's directory; those in the environment to the working
    directory. Database URLs are taken as they stand.
    """
    data = data_directory(environ)
    values: dict[str, Any] = {
        "database_url": f"sqlite:///{data / 'fairlead.db'}",
        "work_directory": data / "work",
    }
    if path is not None:
        values |= _from_file(path)
    values |= _from_environment(environ)
    settings = Settings(**values)
    if (settings.oidc_issuer is None) != (settings.oidc_audience is None):
        raise InputError(
            "oidc_issuer and oidc_audience belong together: without an audience, a token that was meant for "
            "another service would be taken here"
        )
    if settings.oidc_client_id is not None and settings.oidc_issuer is None:
        raise InputError("oidc_client_id is for signing in at an issuer: set oidc_issuer, too")
    return settings
