"""A Skaha over HTTP, by its OpenAPI document and, where that is silent, by its source."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from broker.platforms import PlatformError, Unreachable
from broker.platforms import skaha_answers as answers
from broker.platforms.skaha_answers import Context, Event, Free, Image, Session
from broker.platforms.skaha_credentials import Credentials
from broker.platforms.skaha_options import Options
from federation import http_asking
from federation.clock import Clock
from federation.errors import one_line

T = TypeVar("T")
# more than any list of images
ANSWER_LIMIT = 32 * 1024 * 1024
TAIL_BYTES = 64 * 1024
# what is passed on of what it says
LONGEST_WORDS = 300
# what is shorter stands in every other sentence
SHORTEST_SECRET = 4
Parameters = Sequence[tuple[str, str]]


class Skaha:
    """One Skaha. Calls block, for `request_seconds` at most, and come from any thread.

    All raise PlatformError with one line, Unreachable where asking again may help. No message holds a
    credential, nor what a client's environment says.
    """

    def __init__(self, site_id: str, options: Options, clock: Clock) -> None:
        self.url, self._where = options.url, f"site {site_id}: Skaha at {options.url}"
        self._seconds, self._clock = options.request_seconds, clock
        self._credentials = Credentials(site_id, options)
        self._making = threading.Lock()
        self._http: httpx.Client | None = None
        self._stamp: object = None

    def images(self) -> tuple[Image, ...]:
        return self._json(answers.read_images, "/image")

    def hosts(self) -> tuple[str, ...]:
        return self._json(answers.read_hosts, "/repository")

    def context(self) -> Context:
        return self._json(answers.read_context, "/context")

    def free(self) -> Free:
        """Fails, and nothing else does, where the metrics behind Skaha are down."""
        return self._json(answers.read_free, "/session?view=stats")

    def sessions(self) -> tuple[Session, ...]:
        """Ours, of all kinds, those that ended a while ago among them."""
        return self._json(answers.read_sessions, "/session")

    def session(self, session_id: str) -> Session | None:
        try:
            return self._json(answers.read_session, f"/session/{quote(session_id, safe='')}")
        except _NotFound:
            return None

    def create(self, parameters: Parameters, secrets: Sequence[str] = ()) -> str:
        """A new session; returns its id. `secrets` are in no message.

        The parameters go in the body, as they do from CANFAR's own portal: a URL is logged on its way.
        """
        body = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._credentials.registry()}
        answer = self._ask("POST", "/session", headers, body.encode(), secrets)
        try:
            return answers.read_id(answer)
        except ValueError as error:
            raise Unreachable(f"{self._where} answers with something else than a session's id") from error

    def logs(self, session_id: str) -> str:
        """The last 64 KiB of what it has written, to standard error, too; empty where nothing is left."""
        path = f"/session/{quote(session_id, safe='')}?view=logs"
        try:
            return self._ask("GET", path, keep=TAIL_BYTES).decode(errors="replace")
        except _NotFound:
            return ""

    def events(self, session_id: str) -> tuple[Event, ...]:
        path = f"/session/{quote(session_id, safe='')}?view=events"
        try:
            return answers.read_events(self._ask("GET", path).decode(errors="replace"))
        except _NotFound:
            return ()

    def delete(self, session_id: str) -> None:
        """End it, and forget it; not known there: does nothing, whichever way that version says so."""
        with contextlib.suppress(_NotFound):
            self._ask("DELETE", f"/session/{quote(session_id, safe='')}")

    def renew(self, session_id: str) -> None:
        """Let it run for as long again as Skaha lets sessions of its type run."""
        self._ask("POST", f"/session/{quote(session_id, safe='')}?action=renew")

    def _json(self, read: Callable[[Any], T], path: str) -> T:
        body = self._ask("GET", path)
        try:
            return read(json.loads(body))
        except (ValueError, TypeError, RecursionError) as error:
            read_it = not isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError)
            words = str(error) if read_it else "something else than JSON"
            raise Unreachable(f"{self._where} answers with what can't be read: {words}") from error

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        secrets: Sequence[str] = (),
        keep: int | None = None,
    ) -> bytes:
        """The body of a good answer, or the last `keep` bytes of it."""
        if (why := self._credentials.expired(self._clock.now())) is not None:
            raise PlatformError(f"{self._where} is not asked: {why}")
        sent = {"Accept": "application/json, text/plain", **self._credentials.headers(), **(headers or {})}
        try:
            answer = http_asking.ask(
                self._client(),
                method,
                self.url + path,
                until=time.monotonic() + self._seconds,
                most_bytes=ANSWER_LIMIT,
                headers=sent,
                body=body,
                last_bytes=keep,
            )
        except http_asking.UnansweredError as error:
            raise Unreachable(f"{self._where} can't be asked: {error}") from None
        except http_asking.UnreadableError as error:
            # of what was asked, it may have done all
            raise Unreachable(f"{self._where} answers with {error}") from None
        if 200 <= answer.status < 300:
            return answer.body
        raise self._refusal(answer.status, self._words(answer.body, secrets))

    def _refusal(self, status: int, said: str) -> PlatformError:
        words = f": {said}" if said else ""
        if status == 401:
            why = self._credentials.why_refused(self._clock.now())
            return PlatformError(f"{self._where} doesn't take our credentials: {why}")
        if status == 403:
            may = "the account may not use it, or is not in the group that may"
            return PlatformError(f"{self._where} denies this to our account ({may}){words}")
        if status == 404:
            return _NotFound(f"{self._where} doesn't know what it was asked for{words}")
        if status == 429 or status >= 500:
            return Unreachable(f"{self._where} fails with status {status}{words}")
        return PlatformError(f"{self._where} refuses with status {status}{words}")

    def _words(self, answer: bytes, secrets: Sequence[str]) -> str:
        """What it says, in one line; nothing of a page that is for browsers."""
        text = answer[: 16 * LONGEST_WORDS].decode(errors="replace")
        if text.lstrip().startswith("<"):
            return ""
        plain = (*secrets, *self._credentials.secrets())
        # a page about a bad request may quote it as it was sent, or as JSON
        quoted = (
            each
            for secret in plain
            for each in (quote(secret, safe="", errors="replace"), json.dumps(secret)[1:-1])
        )
        for secret in sorted({*plain, *quoted}, key=len, reverse=True):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return one_line(text)[:LONGEST_WORDS]

    def _client(self) -> httpx.Client:
        with self._making:
            stamp = self._credentials.stamp()
            if self._http is None or stamp != self._stamp:
                http = http_asking.client(self._credentials.tls(), {"User-Agent": "fairlead"})
                # the one before is closed with its last request: others may be reading from it
                self._http, self._stamp = http, stamp
            return self._http


class _NotFound(PlatformError):  # noqa: N818 - an answer, which some calls understand
    pass
