"""A small client of any ExecutionBroker, and how an offer on the wire reads to a person.

Works with documents as the contract has them (dictionaries with JSON names), so that a broker of somebody
else's, which sends less than Fairlead does, is shown with what it sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from federation.errors import InputError, OutsideError, one_line
from federation.http_words import in_words

Document = Mapping[str, Any]

UPDATE_KIND = "uri:enum-value-update"
TRANSFER_SECONDS = "urn:fairlead:cost:transfer-seconds"
TRANSFER_BYTES = "urn:fairlead:cost:transfer-bytes"
MONEY = "urn:ivoa:calycopis:cost:monetary"
SECONDS_TO_RESULT = "urn:fairlead:metric:seconds-to-result"
# as many sessions as one page of a list may hold
PAGE = 500
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "REJECTED", "EXPIRED")


class Conflict(InputError):  # noqa: N818 - an answer, not a failure
    """What was asked for is not possible as things are now: no mistake in the asking, but a no."""

    exit_status = 1


class BrokerClient:
    """One broker at `url`, asked as `user`. Not for use by several threads at once.

    Raises OutsideError where it can't be reached or fails, InputError where it refuses what it was sent.
    """

    def __init__(
        self, url: str, user: str | None, password: str | None, timeout_seconds: float = 60.0
    ) -> None:
        self.url = url.rstrip("/")
        auth = (user, password or "") if user else None
        try:
            # no proxy from the environment: a broker on this machine is asked directly
            self._http = httpx.Client(base_url=self.url, auth=auth, timeout=timeout_seconds, trust_env=False)
        except (httpx.InvalidURL, ValueError) as error:
            raise _no_url(url, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._http.close()

    def request(self, text: str) -> Document:
        """The offer set that answers a request (YAML or JSON text, sent as it is)."""
        headers = {"Content-Type": "application/yaml"}
        return self._send("POST", "/requests", content=text.encode(), headers=headers)

    def session(self, uuid: str) -> Document:
        """A session as it stands now."""
        return self._send("GET", f"/sessions/{uuid}")

    def move(self, uuid: str, phase: str) -> Document:
        """Ask for a change of phase (ACCEPTED, REJECTED, CANCELLED)."""
        update = {"kind": UPDATE_KIND, "path": "phase", "value": phase}
        return self._send("POST", f"/sessions/{uuid}", json=update)

    def sessions(self, phases: Sequence[str], everybody: bool = False, limit: int = PAGE) -> list[Document]:
        """One's own sessions in these phases, or everybody's; the newest `limit`, newest first."""
        parameters = {"phase": list(phases), "limit": str(min(limit, PAGE))}
        query = httpx.QueryParams(parameters | ({"owner": "*"} if everybody else {}))
        found: list[Document] = []
        while True:
            page = self._send("GET", "/sessions", params=query)
            found += page.get("sessions", ())
            if len(found) >= limit or "next" not in page:
                return found[:limit]
            # the query alone: our credentials are for this broker, wherever the link leads
            query = httpx.URL(str(page["next"])).params

    def logs(self, uuid: str) -> Document:
        """What a session's container printed last, when it ran, and how it ended."""
        return self._send("GET", f"/sessions/{uuid}/logs")

    def storage(self, uuid: str) -> Document:
        """The files in a session's storages."""
        return self._send("GET", f"/sessions/{uuid}/storage")

    def file(self, uuid: str, storage: str, path: str) -> Iterator[bytes]:
        """The bytes of one file, piece by piece. All of them, or OutsideError is raised in the end."""
        at = f"/sessions/{uuid}/storage/{quote(storage, safe='')}/{quote(path)}"
        try:
            with self._http.stream("GET", at) as response:
                if response.status_code != 200:
                    response.read()
                    _document(response, f"GET {at}")
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise OutsideError(f"{self.url}{at} broke off: {in_words(error)}") from error

    def is_up(self) -> bool:
        """Whether anything answers HTTP there."""
        try:
            self._http.get("/", timeout=10.0)
        except httpx.HTTPError:
            return False
        return True

    def _send(self, method: str, path: str, **more: Any) -> Document:
        headers = {"Accept": "application/json", **more.pop("headers", {})}
        try:
            response = self._http.request(method, path, headers=headers, **more)
            if response.is_redirect and not response.content:
                # the contract lets a broker answer with the address alone
                response = self._http.get(response.headers["Location"], headers=headers)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise _no_url(self.url, error) from error
        except httpx.HTTPError as error:
            raise OutsideError(
                f"no broker answers at {self.url}: {in_words(error)}: `fairlead serve` starts one, "
                "--url or FAIRLEAD_URL says where one is"
            ) from error
        return _document(response, f"{method} {path}")


def _no_url(url: str, error: Exception) -> InputError:
    return InputError(f"{url!r} is no URL of a broker: expected one such as http://127.0.0.1:8080: {error}")


def _document(response: httpx.Response, what: str) -> Document:
    if response.status_code == 401:
        raise InputError(
            f"{what}: the broker wants another name or password: "
            "expected FAIRLEAD_USER and FAIRLEAD_PASSWORD, or --user and --password"
        )
    if response.status_code >= 500:
        raise OutsideError(
            f"{what}: the broker failed with status {response.status_code}: {_detail(response)}"
        )
    if response.status_code == 409:
        raise Conflict(f"{what}: {_detail(response)}")
    if response.status_code >= 400:
        raise InputError(f"{what}: refused with status {response.status_code}: {_detail(response)}")
    try:
        document = response.json()
    except ValueError as error:
        raise OutsideError(
            f"{what}: what answers is no broker: no JSON in a {response.status_code} reply"
        ) from error
    if not isinstance(document, dict):
        raise OutsideError(
            f"{what}: what answers is no broker: expected an object, got {type(document).__name__}"
        )
    return document


def _detail(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return one_line(response.text)[:300] or response.reason_phrase
    if isinstance(document, dict):
        texts = [text for _, text in notes(document)]
        if texts:
            return "; ".join(texts)
        for key in ("detail", "error", "message"):
            if key in document:
                return one_line(document[key])[:300]
    return response.reason_phrase


@dataclass(frozen=True)
class Offer:
    """One offer, read for showing. What a broker doesn't send is None. Seconds and bytes are SI."""

    uuid: str
    site: str
    start: datetime | None
    transfer_seconds: tuple[float, float] | None  # 10 % and 90 %
    transfer_median: str | None  # as the broker words it
    transfer_bytes: float | None
    cost: tuple[float, float] | None
    result_by: datetime | None
    reasons: tuple[str, ...]


def offers(offerset: Document, now: datetime) -> list[Offer]:
    """The offers of an offer set, in the broker's order (best first)."""
    return [_offer(session, now) for session in offerset.get("offers", ())]


def _offer(session: Document, now: datetime) -> Offer:
    transfer = figure(session, "costs", TRANSFER_SECONDS)
    moved = figure(session, "costs", TRANSFER_BYTES)
    seconds = figure(session, "metrics", SECONDS_TO_RESULT)
    later = now + timedelta(seconds=seconds[1]) if seconds else None
    return Offer(
        uuid=str(session.get("meta", {}).get("uuid", "")),
        site=site_of(session),
        start=_start(session),
        transfer_seconds=transfer,
        transfer_median=_median(session),
        transfer_bytes=moved[1] if moved else None,
        cost=figure(session, "costs", MONEY),
        result_by=instant_of(value_of(session, "result")) or later,
        reasons=tuple(text for _, text in notes(session)),
    )


def figure(session: Document, family: str, kind: str) -> tuple[float, float] | None:
    """(min, max) of the cost or metric `kind` on a session."""
    for item in session.get(family, ()):
        if item.get("type") == kind and "min" in item:
            low = float(item["min"])
            return low, float(item.get("max", low))
    return None


def messages(component: Document) -> Sequence[Document]:
    found = component.get("meta", {}).get("messages", ())
    return found if isinstance(found, (list, tuple)) else ()


def notes(component: Document) -> Iterator[tuple[str, str]]:
    """(level, text) of the messages of an offer set or session."""
    for message in messages(component):
        yield str(message.get("level", "OTHER")), str(message.get("message") or message.get("template", ""))


def value_of(component: Document, name: str) -> str | None:
    """The value called `name` of the first message that has one."""
    for message in messages(component):
        values = message.get("values")
        if isinstance(values, dict) and name in values:
            return str(values[name])
    return None


def _median(session: Document) -> str | None:
    """From Fairlead's messages on the data: that on all files where there are several, else the only one."""
    for kind in ("data-total", "data"):
        for message in messages(session):
            if str(message.get("kind", "")).endswith((":" + kind, "/" + kind)):
                values = message.get("values")
                return str(values["p50"]) if isinstance(values, dict) and "p50" in values else None
    return None


def site_of(session: Document) -> str:
    """The site's id where the broker tells it, else a question mark."""
    return value_of(session, "site") or "?"


def _start(session: Document) -> datetime | None:
    text = session.get("schedule", {}).get("available", {}).get("start")
    return instant_of(str(text).partition("/")[0]) if text else None


def instant_of(text: str | None) -> datetime | None:
    """An ISO 8601 instant with its offset; None for anything else."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
