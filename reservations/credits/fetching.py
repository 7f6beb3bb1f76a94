"""JSON from a credit service over HTTP; what goes wrong is one line."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from federation.errors import InputError, OutsideError, one_line
from reservations.tables import Table

A_URL = 'a URL such as "https://credits.example.org"'


class Fetcher:
    """One service: `json(path)` gives a document or raises OutsideError. To be used with `with`."""

    def __init__(
        self, url: str, scheme: str, token_file: Path, ca_file: Path | None, seconds: float, where: str
    ) -> None:
        self.url, self._scheme, self._token_file = url.rstrip("/"), scheme, token_file
        self._ca_file, self._seconds, self._where = ca_file, seconds, where
        self._http: httpx.Client | None = None

    def __enter__(self) -> Fetcher:
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{self._where}.token_file: {self._token_file} can't be read") from None
        try:
            verify = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
        except (OSError, ssl.SSLError):
            raise InputError(
                f"{self._where}.ca_file: expected certificates (PEM) in {self._ca_file}"
            ) from None
        # no redirect is followed: the token stays where it was meant to go
        self._http = httpx.Client(
            headers={"Authorization": f"{self._scheme} {token}", "Accept": "application/json"},
            timeout=self._seconds,
            verify=verify,
            trust_env=False,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            self._http.close()

    def json(self, path: str) -> Any:
        """The document at `path` below the service's URL."""
        assert self._http is not None, "with fetcher: ..."
        url = f"{self.url}/{path}"
        try:
            answer = self._http.get(url)
        except httpx.TimeoutException:
            raise OutsideError(f"{url}: no answer within {self._seconds:g} s") from None
        except httpx.HTTPError as error:
            said = one_line(error)
            raise OutsideError(f"{url}: can't be reached ({said or type(error).__name__})") from None
        if answer.status_code in (401, 403):
            raise OutsideError(
                f"{url}: the token in {self._token_file} is not accepted (status {answer.status_code})"
            )
        if answer.status_code != 200:
            raise OutsideError(f"{url}: expected a document, got status {answer.status_code}")
        try:
            return answer.json()
        except ValueError:
            raise OutsideError(f"{url}: expected JSON, got something else") from None


def read_fetcher(options: Table, scheme: str) -> Fetcher:
    """The service of the options url, token_file, ca_file and request_seconds. Raises InputError."""
    url = options.text("url")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise options.bad("url", A_URL)
    token_file, ca_file = options.path("token_file"), options.path("ca_file", None)
    return Fetcher(url, scheme, token_file, ca_file, options.number("request_seconds", 10.0), options.where)
