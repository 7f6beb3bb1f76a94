"""The options of the catalogue rucio: which servers there are, and who we are there ([catalogues.rucio])."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from federation.errors import InputError
from federation.sites import Federation
from federation.urls import is_secure
from reservations.tables import Table

WHERE = "[catalogues.rucio]"
A_URL = "a URL that begins with https:// (http:// is for a server on this machine)"


# what the rules are for, where nothing else is said; Rucio shares out transfers by it
ACTIVITY = "User Subscriptions"
DELAY = timedelta(minutes=5)
# what may stand in an expression: Rucio's own names
_RSE = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*")


class Auth(StrEnum):
    """How we say who we are."""

    USERPASS = "userpass"
    OIDC = "oidc"
    X509 = "x509"


@dataclass(frozen=True)
class Staging:
    """A storage element to which Rucio brings what sessions at `site` need."""

    site: str
    rse: str
    # what Rucio's queues take besides moving, until that was seen there
    delay_seconds: float
    activity: str
    # whether what Rucio won't bring is downloaded
    or_download: bool
    # where the storage's prefix is mounted at the site; None: nowhere
    path: Path | None = None


@dataclass(frozen=True)
class Server:
    """One Rucio. What is secret is in files, which are read when it is needed, and again when they change."""

    url: str
    auth_url: str
    account: str
    auth: Auth
    vo: str | None = None
    # userpass: who, and the file with the password
    username: str | None = None
    password_file: Path | None = None
    # oidc: the file with an access token, which somebody else renews
    token_file: Path | None = None
    # x509: certificate and key (PEM), in one file or two
    certificate_file: Path | None = None
    key_file: Path | None = None
    # who signs the server's own certificate, where the machine doesn't know
    ca_file: Path | None = None
    staging: tuple[Staging, ...] = ()


_NEEDED = {
    Auth.USERPASS: ("username", "password_file"),
    Auth.OIDC: ("token_file",),
    Auth.X509: ("certificate_file",),
}


def rucio_servers(federation: Federation) -> Sequence[Server]:
    """The servers that the catalogue file names, the one that is asked by default first; none where it has
    no [catalogues.rucio]. Raises InputError where they can't work."""
    options = federation.catalogues.get("rucio")
    if options is None:
        return ()
    table = Table(options, WHERE)
    others = table.tables("servers")
    first = _server(table, federation)
    servers = [first, *(_server(each, federation) for each in others)]
    known: set[str] = set()
    for server, each in zip(servers, (table, *others), strict=True):
        if server.url in known:
            raise each.bad("url", "each server once")
        known.add(server.url)
    return servers


def _server(table: Table, federation: Federation) -> Server:
    url = table.text("url").rstrip("/")
    auth_url = table.text("auth_url", url).rstrip("/")
    for key, value in (("url", url), ("auth_url", auth_url)):
        if not is_secure(value) or urlsplit(value).query or "@" in urlsplit(value).netloc:
            raise table.bad(key, A_URL)
    named = table.text("auth")
    if named not in list(Auth):
        raise table.bad("auth", " or ".join(Auth))
    server = Server(
        url=url,
        auth_url=auth_url,
        account=table.text("account"),
        auth=Auth(named),
        vo=table.text("vo", None),
        username=table.text("username", None),
        password_file=table.path("password_file", None),
        token_file=table.path("token_file", None),
        certificate_file=table.path("certificate_file", None),
        key_file=table.path("key_file", None),
        ca_file=table.path("ca_file", None),
        staging=_staging(table, federation),
    )
    table.end()
    for key in _NEEDED[server.auth]:
        if getattr(server, key) is None:
            raise InputError(f"{table.where}.{key}: expected, for auth is {server.auth}, but it is missing")
    # what goes into headers
    for key in ("account", "vo", "username"):
        value = getattr(server, key)
        if value is not None and not (value.isascii() and value.isprintable()):
            raise table.bad(key, "printable ASCII letters")
    if server.auth is Auth.X509 and not auth_url.startswith("https://"):
        raise table.bad("auth_url", "a URL that begins with https://, for a certificate is shown there")
    return server


def _staging(table: Table, federation: Federation) -> tuple[Staging, ...]:
    found: dict[str, Staging] = {}
    for each in table.tables("staging"):
        site, rse = each.text("site"), each.text("rse")
        if site not in {known.id for known in federation}:
            raise each.bad("site", f"one of {', '.join(known.id for known in federation)}")
        if site in found:
            raise each.bad("site", "each site once")
        owner = federation.site_of_rse(rse)
        if not _RSE.fullmatch(rse) or (owner is not None and owner.id != site):
            raise each.bad("rse", f"the name of a storage element of {site}")
        found[site] = Staging(
            site,
            rse,
            each.duration("delay", DELAY).total_seconds(),
            each.text("activity", ACTIVITY),
            each.truth("download", False),
            each.path("path", None),
        )
        each.end()
    return tuple(found.values())


def chosen_server(federation: Federation, endpoint: str | None) -> Server:
    """The server at `endpoint`, or the first where none is named. Raises InputError where there is none."""
    servers = {server.url: server for server in rucio_servers(federation)}
    if not servers:
        raise InputError(f"{federation.name}: expected a table {WHERE} in the catalogue, found none")
    if endpoint is None:
        return next(iter(servers.values()))
    if endpoint.rstrip("/") not in servers:
        raise InputError(f"{endpoint}: expected one of {', '.join(servers)}")
    return servers[endpoint.rstrip("/")]
