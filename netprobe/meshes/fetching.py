"""JSON from the servers of a mesh, within limits: what goes wrong has a name, and busy servers get time."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

import httpx

from federation.errors import InputError, OutsideError, one_line
from federation.http_asking import TooMuchError, UnansweredError, UnreadableError, client, over_by, whole
from netprobe.meshes import Access

CONNECT_SECONDS = 10.0
# of one answer as a whole: a server that drips is not waited for
PAGE_SECONDS = 60.0
PAGE_BYTES = 64 * 2**20
TRIES = 4
# the longest that a server may make us wait before the next try
MOST_WAIT_SECONDS = 60.0
_BUSY = (429, 502, 503, 504)


class _Again(Exception):  # noqa: N818 - no failure yet
    """An outcome that may pass: named, with how long to wait (None: our own pace)."""

    def __init__(self, outcome: str, wait_seconds: float | None = None) -> None:
        super().__init__(outcome)
        self.wait_seconds = wait_seconds


class Fetcher:
    """One server. `json` gives a document or raises OutsideError; close it (or use `with`) afterwards.

    Redirects are not followed: credentials stay where they were meant to go, and nothing runs in circles.
    """

    def __init__(
        self,
        access: Access,
        sleep: Callable[[float], None] = time.sleep,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        self._sleep, self._page_seconds = sleep, page_seconds
        try:
            self._http = client(_verification(access))
        except OSError as error:
            raise InputError(f"CA file {access.ca_file}: expected certificates in PEM: {error}") from None
        if access.user:
            self._http.auth = httpx.BasicAuth(access.user, access.password or "")
        self._http.timeout = httpx.Timeout(page_seconds, connect=CONNECT_SECONDS)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def json(
        self, url: str, query: Mapping[str, str] | None = None, body: Any = None, *, missing: bool = False
    ) -> Any:
        """The document at `url`: GET, or POST where there is a `body`. Raises OutsideError, InputError.

        With `missing`, None where there is no such document (404, 410), which else is an OutsideError.
        """
        attempt = 1
        while True:
            try:
                return self._once(url, query, body, missing)
            except _Again as again:
                if attempt == TRIES:
                    raise OutsideError(f"{url}: {again}, after {TRIES} tries") from None
                wait = 2.0 ** (attempt - 1) if again.wait_seconds is None else again.wait_seconds
                if wait > MOST_WAIT_SECONDS:
                    raise OutsideError(f"{url}: {again}; it asks to wait {wait:.0f} s: try later") from None
                self._sleep(wait)
                attempt += 1

    def _once(self, url: str, query: Mapping[str, str] | None, body: Any, missing: bool) -> Any:
        try:
            method = "GET" if body is None else "POST"
            until = time.monotonic() + self._page_seconds
            with over_by(until), self._http.stream(method, url, params=query, json=body) as answer:
                text = self._read(answer, until)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            raise InputError(f"{url}: expected an address such as https://HOST/") from None
        except httpx.TimeoutException:
            raise _Again("no answer in time") from None
        except httpx.RemoteProtocolError as error:
            raise _Again(f"half a page ({_line(error)})") from None
        except httpx.ConnectError as error:
            if "certificate" in str(error).lower():
                raise OutsideError(
                    f"{url}: its certificate can't be trusted ({_line(error)}): expected --ca-file FILE "
                    "with its authority, or --insecure"
                ) from None
            raise _Again(f"can't be reached ({_line(error)})") from None
        except httpx.HTTPError as error:
            raise _Again(f"the connection failed ({_line(error) or type(error).__name__})") from None
        if missing and answer.status_code in (404, 410):
            return None
        return _document(url, answer, text)

    def _read(self, answer: httpx.Response, until: float) -> bytes:
        try:
            return whole(answer, until, PAGE_BYTES)
        except TooMuchError:
            raise OutsideError(f"{answer.url}: a page of more than {PAGE_BYTES // 2**20} MiB") from None
        except UnreadableError as error:
            raise _Again(f"half a page ({error})") from None
        except (UnansweredError, httpx.TimeoutException):
            raise _Again(f"a page wasn't whole within {self._page_seconds:g} s") from None


def _document(url: str, answer: httpx.Response, text: bytes) -> Any:
    status = answer.status_code
    if status in _BUSY:
        raise _Again(f"busy (HTTP {status})", _retry_after(answer.headers.get("Retry-After")))
    if answer.is_redirect:
        target = answer.headers.get("Location", "")[:200]
        raise OutsideError(f"{url}: redirects to {target}: expected the mesh itself; give that address")
    if status in (401, 403):
        raise OutsideError(
            f"{url}: no access (HTTP {status}): expected --user and --password-file of a reader"
        )
    if status != 200:
        raise OutsideError(f"{url}: expected a document, got HTTP {status} {_excerpt(text)}".rstrip())
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] in (b"{", b"["):
            raise _Again("half a page (its JSON ends too early or is broken)") from None
        raise OutsideError(f"{url}: expected JSON, got {_excerpt(text) or 'nothing'}") from None


def _verification(access: Access) -> ssl.SSLContext | bool:
    if not access.verify:
        return False
    return True if access.ca_file is None else ssl.create_default_context(cafile=str(access.ca_file))


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _excerpt(text: bytes) -> str:
    # of a page for people, its title says what its beginning doesn't
    title = re.match(rb"\s*<.{,500}?<title[^>]*>([^<]+)", text[:1000], re.DOTALL | re.IGNORECASE)
    excerpt = one_line((title[1] if title else text)[:120].decode("utf-8", "replace"))
    return f"(a page called {excerpt!r})" if title else excerpt


def _line(error: Exception) -> str:
    return one_line(error)[:200]
