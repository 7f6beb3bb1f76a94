"""Who we are at a Rucio server: a token, kept until shortly before it ends. No message holds a secret."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from broker.catalogues.rucio_http import ask
from broker.catalogues.rucio_options import Auth, Server
from federation.clock import Clock, SystemClock
from federation.http_asking import UnansweredError, UnreadableError

# a token that ends so soon is renewed before it is used; they live for an hour
MARGIN_SECONDS = 120.0
# of a token that doesn't say
DEFAULT_SECONDS = 3600.0


class RucioError(Exception):
    """Rucio couldn't be asked, or says no. The text is one line, and holds nothing secret.

    `status` is the HTTP status of an answer, `kind` the class of Rucio's own error.
    """

    def __init__(self, text: str, status: int | None = None, kind: str = "") -> None:
        super().__init__(text)
        self.status, self.kind = status, kind


class Tokens:
    """The token of one server, for all threads: one asks for it, and the others wait for that."""

    def __init__(self, server: Server, http: httpx.Client, clock: Clock | None = None) -> None:
        self._server, self._http, self._clock = server, http, clock or SystemClock()
        self._lock = threading.Lock()
        self._token: str | None = None
        self._ends = 0.0

    def get(self, until: float, refused: str | None = None) -> str:
        """The token. `refused` is one that the server took no more: another is asked for, unless another
        thread has by now. `until` is when waiting is over (time.monotonic). Raises RucioError."""
        server = self._server
        if server.auth is Auth.OIDC:
            assert server.token_file is not None
            found = _secret(server.token_file, "token")
            if found == refused:
                raise RucioError(f"{self.where} doesn't take the token in {server.token_file}", 401)
            return found
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0)):
            raise RucioError(f"{self.where} can't be asked: signing in takes too long")
        try:
            now = self._clock.now().timestamp()
            if self._token is None or self._token == refused or now >= self._ends - MARGIN_SECONDS:
                self._token = None
                self._token, self._ends = self._fetched(until, now)
            return self._token
        finally:
            self._lock.release()

    @property
    def where(self) -> str:
        return f"Rucio at {self._server.url}"

    def without(self, text: str) -> str:
        """`text` without what is secret, should a server have repeated it."""
        secrets = [self._token]
        for file in (self._server.password_file, self._server.token_file):
            if file is not None:
                with contextlib.suppress(RucioError):
                    secrets.append(_secret(file, "secret"))
        for secret in secrets:
            if secret:
                text = text.replace(secret, "...")
        return text

    def _fetched(self, until: float, now: float) -> tuple[str, float]:
        """A new token, and when it ends (seconds since 1970)."""
        url = f"{self._server.auth_url}/auth/{self._server.auth}"
        where = f"Rucio's sign-in at {self._server.auth_url}"
        try:
            answer = ask(self._http, "GET", url, self._who(), None, until)
        except UnansweredError as error:
            raise RucioError(f"{where} can't be asked: {self.without(str(error))}") from None
        except UnreadableError as error:
            raise RucioError(f"{where} answers with {error}") from None
        if answer.status == 404:
            text = "has nothing there: expected url (or auth_url) to be the address of a Rucio"
            raise RucioError(f"{where} {text}", answer.status)
        if answer.status != 200:
            account = f"account {self._server.account} by {self._server.auth}"
            raise RucioError(f"{where} refuses {account} with status {answer.status}", answer.status)
        token = answer.headers.get("X-Rucio-Auth-Token", "")
        # what may stand in a header
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise RucioError(f"{where} answers without a token")
        ends = now + DEFAULT_SECONDS
        with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
            found = parsedate_to_datetime(answer.headers["X-Rucio-Auth-Token-Expires"])
            # Rucio says UTC; with "-0000", or no zone at all, Python would take it for this machine's time
            ends = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        return token, ends

    def _who(self) -> Mapping[str, str]:
        server = self._server
        found = {"X-Rucio-Account": server.account}
        if server.vo is not None:
            found["X-Rucio-VO"] = server.vo
        if server.auth is Auth.USERPASS:
            assert server.username is not None
            assert server.password_file is not None
            found["X-Rucio-Username"] = server.username
            found["X-Rucio-Password"] = _secret(server.password_file, "password")
        return found


def _secret(file: Path, what: str) -> str:
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise RucioError(f"Rucio's {what} can't be read from {file}") from None
    if not found or not (found.isascii() and found.isprintable()):
        raise RucioError(f"{file} holds no {what} for Rucio")
    return found
