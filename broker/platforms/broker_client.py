"""Another ExecutionBroker over HTTP: asked as any client of the contract asks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from broker.platforms import PlatformError, Unreachable
from federation import http_asking
from federation.errors import one_line
from federation.http_asking import UnansweredError, UnreadableError

# more than any answer to one request needs
ANSWER_LIMIT = 8 * 1024 * 1024
Document = Mapping[str, Any]


class RemoteBroker:
    """One broker at `url`. Calls block, for `seconds` at most, and come from any thread.

    `credentials` gives the Authorization header, or None; it is asked for each request, so that a renewed
    token counts. All calls raise PlatformError with one line; Unreachable where asking again may help.
    """

    def __init__(self, url: str, credentials: Callable[[], str | None], seconds: float) -> None:
        self.url, self._credentials, self._seconds = url.rstrip("/"), credentials, seconds
        self._http = http_asking.client(True)

    def ask(self, request: Document) -> Document:
        """The offer set that answers `request`."""
        status, headers, body = self._send("POST", "/requests", request)
        if status == 303 and not body:
            # the contract lets a broker answer with the address alone
            uuid = urlsplit(headers.get("location", "")).path.rpartition("/")[2]
            status, _, body = self._send("GET", f"/offersets/{uuid}")
        return self._document(status, body)

    def session(self, uuid: str) -> Document:
        status, _, body = self._send("GET", f"/sessions/{uuid}")
        if status == 403:
            # that we may not look says nothing of the session
            raise Unreachable(self._refusal(status, body))
        return self._document(status, body)

    def logs(self, uuid: str) -> Document | None:
        """Output, exit code and times; None at brokers that don't tell."""
        status, _, body = self._send("GET", f"/sessions/{uuid}/logs")
        return None if status in (403, 404, 405, 406) else self._document(status, body)

    def move(self, uuid: str, phase: str) -> Document:
        """The session after a change of phase. Raises PlatformError where that broker doesn't allow it."""
        update = {"kind": "uri:enum-value-update", "path": "/phase", "value": phase}
        status, _, body = self._send("POST", f"/sessions/{uuid}", update)
        return self._document(status, body)

    def close(self) -> None:
        self._http.close()

    def _send(
        self, method: str, path: str, document: Document | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": "application/json"}
        if (credentials := self._credentials()) is not None:
            headers["Authorization"] = credentials
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode(errors="replace")
        until = time.monotonic() + self._seconds
        try:
            answer = http_asking.ask(
                self._http,
                method,
                self.url + path,
                until=until,
                most_bytes=ANSWER_LIMIT,
                headers=headers,
                body=body,
            )
        except UnansweredError as error:
            raise Unreachable(f"no broker answers at {self.url}: {error}") from None
        except UnreadableError as error:
            # of what was asked, it may have done all
            raise Unreachable(f"the broker at {self.url} answers with {error}") from None
        return answer.status, answer.headers, answer.body

    def _document(self, status: int, body: bytes) -> Document:
        if status == 429 or status >= 500:
            raise Unreachable(f"the broker at {self.url} fails with status {status}")
        if status == 401:
            # an operator may put that right, and the session goes on there
            raise Unreachable(f"the broker at {self.url} doesn't take our credentials")
        if status >= 400:
            raise PlatformError(self._refusal(status, body))
        found = _read(body)
        if not isinstance(found, dict):
            raise Unreachable(f"the broker at {self.url} answers with something else than a JSON object")
        return found

    def _refusal(self, status: int, body: bytes) -> str:
        found = _read(body)
        said = found.get("error") if isinstance(found, dict) else None
        text = one_line(said)
        # some repeat what they were sent
        for secret in (self._credentials() or "").split()[1:]:
            text = text.replace(secret, "***")
        detail = f": {text[:300]}" if said else ""
        return f"the broker at {self.url} refuses with status {status}{detail}"


def _read(body: bytes) -> Any:
    """What a body says, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
