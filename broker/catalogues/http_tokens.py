"""Who we are at data servers that ask: bearer tokens by server, in files ([catalogues.http]).

A token goes to its own server over https, or to this machine, and nowhere else. It is read from its file when
it is needed, so that whoever renews it there has done enough. No message holds one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import jwt

from broker.catalogues import CatalogueError
from federation.sites import Federation
from federation.urls import is_loopback, server_of
from reservations.tables import Table

WHERE = "[catalogues.http]"
LOG = logging.getLogger(__name__)


class Tokens:
    """The tokens of all servers. Raises InputError for options that can't work."""

    def __init__(self, federation: Federation) -> None:
        self._files: dict[str, Path] = {}
        table = Table(federation.catalogues.get("http", {}), WHERE)
        for each in table.tables("tokens"):
            servers, file = _servers(each), each.path("file")
            each.end()
            if self._files.keys() & set(servers):
                raise each.bad("host", "each server once")
            self._files.update(dict.fromkeys(servers, file))
        table.end()

    def get(self, url: str) -> str | None:
        """The token for the server of `url`. Raises CatalogueError where its file holds none."""
        server = server_of(url) or ""
        file = self._files.get(server)
        if file is None:
            return None
        try:
            found = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            LOG.warning("the token for %s can't be read from %s: %s", server, file, problem)
            found = ""
        # what may stand in a header
        if not found or not found.isascii() or not found.isprintable() or " " in found:
            raise CatalogueError(f"this broker's token for {urlsplit(server).netloc} can't be read")
        return found

    def bearers(self, urls: Iterable[str]) -> Mapping[str, str]:
        """The tokens of all servers of `urls` that want one. Raises CatalogueError."""
        servers = {server_of(url) for url in urls} & self._files.keys()
        found = {server: self.get(server) for server in servers if server is not None}
        return {server: token for server, token in found.items() if token is not None}

    def refusal(self, url: str) -> str:
        """What is to be said where the server of `url` answered that it knows us not, or lets us not: what
        follows its answer in a sentence. Raises nothing."""
        try:
            token = self.get(url)
        except CatalogueError as error:
            return str(error)
        if token is None:
            return "this broker has no token for it"
        ended = _end_of(token)
        if ended is not None and ended <= datetime.now(UTC):
            return f"this broker's token for it ended at {ended:%Y-%m-%d %H:%M} UTC"
        return "it doesn't take this broker's token for this"


def _servers(table: Table) -> list[str]:
    """Those that "HOST" or "HOST:PORT" names: by https, on this machine by http as well."""
    host = table.text("host")
    server = server_of(f"https://{host}")
    plain = urlsplit(f"//{host}").netloc == host and "@" not in host and not any(map(str.isspace, host))
    if server is None or not plain:
        raise table.bad("host", "the server's name, or HOST:PORT where its port isn't 443")
    found = [server]
    if is_loopback(urlsplit(server).hostname):
        found.append(str(server_of(f"http://{host}")))
    return found


def _end_of(token: str) -> datetime | None:
    """When a JSON Web Token ends; None for others, and for one that doesn't say. Nothing is verified."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False, "verify_exp": False})
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
