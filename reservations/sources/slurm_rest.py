"""slurmrestd, Slurm's own HTTP service: which version of its interface, who asks, and what its errors mean.

Its interface has a version of its own with each release of Slurm, and a release speaks the last two or three.
Which, its OpenAPI document says. What differs in documents is read in `slurm_json`.
"""

from __future__ import annotations

import base64
import json
import math
import os
import pwd
import re
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from federation import http_asking
from federation.errors import InputError, OutsideError, one_line
from federation.tls import client_tls
from federation.urls import is_secure
from reservations.sources.slurm_json import number, of

# v0.0.36 (Slurm 20.11) to v0.0.45 (26.05)
VERSIONS = range(36, 46)
# since this one, environments are lists and numbers may be objects
LISTS_SINCE = 39
# since this one (25.05) it makes reservations
RESERVES_SINCE = 43
TOKEN_VARIABLE = "SLURM_JWT"
SOCKET = "unix:"
# jobs of everybody, with all that is known of each
ANSWER_LIMIT = 256 * 1024 * 1024
LONGEST_WORDS = 300
_VERSION = re.compile(r"/slurm/v0\.0\.(\d+)/")
# answers that say nothing of what was asked about: the way to the controller, and who we are
_AWAY_STATUS = frozenset({401, 403, 429, 502, 503, 504, 511})
# 511 is what Slurm's own "Protocol authentication error" is (26.05)
_UNBELIEVED = frozenset({401, 511})
_AWAY = re.compile(
    r"unable to contact|timed out|zero bytes|connection|communication|authentication|munge|standby",
    re.IGNORECASE,
)
# 22.05 has no other word for a controller that is away, nor for a token that it doesn't take; later ones
# say so of a reservation for somebody whom they don't know
_AWAY_BEFORE_LISTS = re.compile("unspecified error", re.IGNORECASE)


class SlurmAwayError(OutsideError):
    """It did not answer, or with nothing that says anything of what was asked. Asking again may help."""


class SlurmRefusedError(OutsideError):
    """It does not do what it was asked for; the text ends with Slurm's own words, and `words` are those."""

    def __init__(self, text: str, words: str) -> None:
        super().__init__(text)
        self.words = words


class NoAccountsError(OutsideError):
    """It doesn't tell what Slurm's accounting has."""


class _NoSuchPathError(SlurmAwayError):
    pass


@dataclass(frozen=True)
class RestOptions:
    """Where it is, and who asks. The token is read again for each request: it lives for minutes or hours."""

    url: str
    user: str
    token_file: Path | None = None
    ca_file: Path | None = None


def rest_options(
    where: str, url: str, user: str | None, token_file: str | None, ca_file: str | None
) -> RestOptions:
    """Options as a catalogue has them. Raises InputError; `where` is how its message begins."""
    if url.startswith(SOCKET):
        if not url.removeprefix(SOCKET).startswith("/"):
            raise InputError(f"{where} 'rest_url': expected unix:/PATH of a socket, got {url!r}")
    elif not is_secure(url):
        expected = "expected https://HOST:PORT (http:// is for this machine) or unix:/PATH"
        raise InputError(f"{where} 'rest_url': {expected}, got {url!r}")
    for name, file in (("rest_token_file", token_file), ("rest_ca_file", ca_file)):
        if file is not None and not Path(file).expanduser().is_absolute():
            raise InputError(f"{where} {name!r}: expected an absolute path, got {file!r}")
    if token_file is None and not os.environ.get(TOKEN_VARIABLE) and not url.startswith(SOCKET):
        expected = f"expected a file with a token, or one in the environment ({TOKEN_VARIABLE})"
        raise InputError(f"{where} 'rest_token_file': {expected}, got none")
    return RestOptions(url.rstrip("/"), user or _account(), _path(token_file), _path(ca_file))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class SlurmRest:
    """One slurmrestd. Calls block, for `seconds` at most, and come from any thread.

    All raise SlurmAwayError and SlurmRefusedError with one line; no message holds the token.
    """

    def __init__(self, site_id: str, options: RestOptions, seconds: float) -> None:
        self.user = options.user
        self._options, self._seconds = options, seconds
        self._where = f"site {site_id}: slurmrestd at {options.url}"
        self._making = threading.Lock()
        self._http: httpx.Client | None = None
        self._version: int | None = None

    def version(self) -> int:
        """The newest version that both sides know, as 38 for v0.0.38; asked for once."""
        found = self._version
        if found is None:
            said = self._ask("GET", "/openapi/v3")
            paths = said.get("paths")
            spoken = {int(each[1]) for path in paths or () if (each := _VERSION.match(str(path)))}
            if not spoken:
                raise SlurmAwayError(f"{self._where} doesn't say which versions of its interface it speaks")
            known = spoken & set(VERSIONS)
            if not known:
                expected = f"v0.0.{VERSIONS[0]} to v0.0.{VERSIONS[-1]}"
                got = ", ".join(f"v0.0.{each}" for each in sorted(spoken))
                raise SlurmAwayError(f"{self._where} speaks {got}: expected one of {expected}")
            found = self._version = max(known)
        return found

    def list(self, what: str) -> Sequence[Mapping[str, Any]]:
        """All "jobs", "nodes", "partitions" or "reservations". A refusal says nothing of them either."""
        return self._listed(what, what)

    def past(self, start: datetime, end: datetime) -> Sequence[Mapping[str, Any]]:
        """The jobs that the accounting has of [start, end), without their steps. Raises NoAccountsError where
        it was started without what asks that (slurmrestd -s)."""
        # as Slurm's parse_time has it: seconds since 1970, whatever its time zone is
        times = f"start_time=uts{int(start.timestamp())}&end_time=uts{math.ceil(end.timestamp())}"
        try:
            return self._listed("jobs", f"jobs?{times}&skip_steps=true", "slurmdb")
        except _NoSuchPathError as error:
            raise NoAccountsError(f"{self._where} tells nothing of the accounting") from error

    def reserve(self, reservation: Mapping[str, Any]) -> None:
        """Make an advance reservation, or change the one of that name; since RESERVES_SINCE."""
        self._versioned("POST", "reservation", reservation)

    def makes_no_reservations(self) -> OutsideError:
        """What is said of a version before RESERVES_SINCE."""
        since = f"v0.0.{RESERVES_SINCE} (Slurm 25.05)"
        return OutsideError(
            f"{self._where} speaks v0.0.{self.version()}, and makes reservations since {since}"
        )

    def give_up(self, reservation: str) -> None:
        self._versioned("DELETE", f"reservation/{quote(reservation, safe='')}")

    def _listed(self, what: str, path: str, part: str = "slurm") -> Sequence[Mapping[str, Any]]:
        try:
            said = self._versioned("GET", path, part=part)
        except SlurmRefusedError as error:
            raise SlurmAwayError(str(error)) from error
        found = said.get(what)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise SlurmAwayError(f"{self._where} answers with what can't be read: expected a list of {what}")
        return found

    def submit(self, script: str, job: Mapping[str, Any]) -> int:
        """Submit a batch job; its number."""
        said = self._versioned("POST", "job/submit", {"script": script, "job": job})
        job_id = number(said.get("job_id"))
        if job_id is None:
            raise SlurmAwayError(f"{self._where} doesn't say which number the job got")
        return job_id

    def cancel(self, job_id: int) -> None:
        said = self._versioned("DELETE", f"job/{job_id}")
        # since v0.0.42 a refusal is a status beside no errors, with 200
        refusals = [str(of(each, "error", "string")) for each in said.get("status") or () if _is_wrong(each)]
        if refusals:
            words = "; ".join(dict.fromkeys(refusals))[:LONGEST_WORDS]
            raise SlurmRefusedError(f"{self._where} refuses: {words}", words)

    def _versioned(
        self, method: str, what: str, document: Any = None, part: str = "slurm"
    ) -> Mapping[str, Any]:
        try:
            return self._ask(method, f"/{part}/v0.0.{self.version()}/{what}", document)
        except _NoSuchPathError:
            # another release has come up there: its versions are asked for anew the next time
            self._version = None
            raise

    def _ask(self, method: str, path: str, document: Any = None) -> Mapping[str, Any]:
        token = self._token()
        headers = {"Accept": "application/json", "X-SLURM-USER-NAME": self._options.user}
        if token is not None:
            headers["X-SLURM-USER-TOKEN"] = token
        content = None if document is None else json.dumps(document).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        base = "http://localhost" if self._options.url.startswith(SOCKET) else self._options.url
        try:
            answer = http_asking.ask(
                self._client(),
                method,
                base + path,
                until=time.monotonic() + self._seconds,
                most_bytes=ANSWER_LIMIT,
                headers=headers,
                body=content,
            )
        except http_asking.UnansweredError as error:
            raise SlurmAwayError(f"{self._where} can't be asked: {error}") from None
        except http_asking.UnreadableError as error:
            raise SlurmAwayError(f"{self._where} answers with {error}") from None
        return self._understood(answer.status, answer.body, token)

    def _understood(self, status: int, body: bytes, token: str | None) -> Mapping[str, Any]:
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            document = None
        good = 200 <= status < 300
        if good and not isinstance(document, dict):
            raise SlurmAwayError(f"{self._where} answers with what can't be read: expected a JSON object")
        errors = document.get("errors") if isinstance(document, dict) else None
        if good and not errors:
            return document  # type: ignore[no-any-return]
        words, reasons = (
            each.replace(token or "\0", "***")[:LONGEST_WORDS]
            for each in (_said(errors, body), _said(errors, b"", ("error",)))
        )
        raise self._refusal(status, errors is not None, words, reasons, token)

    def _refusal(
        self, status: int, of_slurm: bool, words: str, reasons: str, token: str | None
    ) -> OutsideError:
        text = f" with status {status}" if status >= 300 else ""
        text += f": {words}" if words else ""
        expiry = _expiry(token)
        if expiry is not None and expiry <= datetime.now(UTC):
            # 401 by some releases, 500 and no word of it by others
            when = f"it expired at {expiry:%Y-%m-%dT%H:%M:%SZ}"
            return SlurmAwayError(f"{self._where} doesn't take our token: {when}")
        if status in _UNBELIEVED:
            why = "there is none" if token is None else "it may be another cluster's or user's"
            user = self._options.user
            return SlurmAwayError(f"{self._where} doesn't take our token for the user {user}: {why}")
        if status == 404 and not of_slurm:
            return _NoSuchPathError(f"{self._where} doesn't know what it was asked for{text}")
        vague = (self._version or 0) < LISTS_SINCE and _AWAY_BEFORE_LISTS.search(words)
        if not of_slurm or status in _AWAY_STATUS or not words or vague or _AWAY.search(words):
            return SlurmAwayError(f"{self._where} fails{text}")
        return SlurmRefusedError(f"{self._where} refuses{text}", reasons or words)

    def _token(self) -> str | None:
        file = self._options.token_file
        if file is None:
            text = os.environ.get(TOKEN_VARIABLE, "")
            if not text and self._options.url.startswith(SOCKET):
                # it knows us by the socket (rest_auth/local)
                return None
        else:
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SlurmAwayError(
                    f"{self._where} isn't asked: the token can't be read from {file}"
                ) from error
        # as `scontrol token` prints it, too
        token = text.strip().removeprefix(f"{TOKEN_VARIABLE}=")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise SlurmAwayError(f"{self._where} isn't asked: {file or TOKEN_VARIABLE} holds no token")
        if token.count(".") != 2:
            # no JWT, of which Slurm would say no more than "Unspecified error"
            raise SlurmAwayError(
                f"{self._where} isn't asked: {file or TOKEN_VARIABLE} holds no JWT: expected what "
                "`scontrol token` prints"
            )
        return token

    def _client(self) -> httpx.Client:
        with self._making:
            if self._http is None:
                url, ca_file = self._options.url, self._options.ca_file
                tls: ssl.SSLContext | bool = False
                if url.startswith("https:"):
                    try:
                        tls = client_tls(ca_file, None, None)
                    except InputError as error:
                        raise SlurmAwayError(f"{self._where} isn't asked: {error}") from error
                # a connection that is kept may be closed by the other side just when an order is sent
                socket = url.removeprefix(SOCKET) if url.startswith(SOCKET) else None
                self._http = http_asking.client(tls, socket=socket, kept=0)
            return self._http


@cache
def rest_at(site_id: str, options: RestOptions, seconds: float) -> SlurmRest:
    """The one for these: which version it speaks is not asked each time. It keeps no connection."""
    return SlurmRest(site_id, options, seconds)


def _is_wrong(status: Any) -> bool:
    return bool(number(of(status, "error", "code")))


def _said(errors: Any, body: bytes, keys: Sequence[str] = ("description", "error")) -> str:
    """What it complains of, in one line: "description: error" of each, or what stands there in plain text."""
    if isinstance(errors, list):
        found = []
        for each in errors:
            if isinstance(each, Mapping):
                parts = (str(each.get(key) or "").strip() for key in keys)
                found.append(": ".join(dict.fromkeys(part for part in parts if part)))
        return one_line("; ".join(dict.fromkeys(filter(None, found))))
    text = body[: 16 * LONGEST_WORDS].decode(errors="replace")
    return "" if text.lstrip().startswith(("<", "{")) else one_line(text)


def _expiry(token: str | None) -> datetime | None:
    """Until when a token is good, where it says so itself (RFC 7519, exp)."""
    try:
        payload = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
