"""The query of a list, and its answer: filters, pages, and what is said of parameters that are wrong."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

from broker.http.media import Refused
from broker.model import Phase
from broker.sessions.listing import Cursor

T = TypeVar("T")
DEFAULT_LIMIT, MOST = 50, 500
# of the lists of what somebody owns
COMMON = ("owner", "since", "until", "name", "limit", "cursor")
EVERYBODY = "*"


@dataclass(frozen=True)
class Query:
    """The parameters of a request for a list, as they came. All but `phase` may be given once."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str | None:
        return self.values[name][0] if name in self.values else None

    def instant(self, name: str) -> datetime | None:
        return self._read(name, _instant, "an ISO 8601 instant with its offset, such as 2026-11-25T12:00:00Z")

    def phases(self) -> tuple[Phase, ...] | None:
        if "phase" not in self.values:
            return None
        expected = ", ".join(phase.value for phase in Phase)
        return tuple(_checked("phase", text, Phase, f"one of {expected}") for text in self.values["phase"])

    def result(self) -> bool | None:
        return self._read("result", {"YES": True, "NO": False}.__getitem__, "YES or NO")

    def limit(self) -> int:
        found = self._read("limit", _limit, f"a whole number from 1 to {MOST}")
        return DEFAULT_LIMIT if found is None else found

    def cursor(self) -> Cursor | None:
        return self._read("cursor", _cursor, "that of a link to the next page, as it is")

    def next_url(self, url: str, cursor: Cursor) -> str:
        """The same query for the page that goes on at `cursor`."""
        text = f"{cursor.created.isoformat()} {cursor.uuid}"
        opaque = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return f"{url}?{urlencode({**self.values, 'cursor': [opaque]}, doseq=True)}"

    def _read(self, name: str, read: Callable[[str], T], expected: str) -> T | None:
        text = self.one(name)
        return None if text is None else _checked(name, text, read, expected)


def read_query(request: Request, *more: str, common: Sequence[str] = COMMON) -> Query:
    """The parameters of a list that has those in `common` and `more`.

    Raises Refused (400): for others, and for what is given twice.
    """
    known = (*common, *more)
    values: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise _wrong(name[:40], f"no parameter here: expected {', '.join(known)}")
        if "\0" in value or (name in values and name != "phase"):
            raise _wrong(name, "expected once, and without NUL characters")
        values.setdefault(name, []).append(value)
    return Query(values)


def page_document(
    name: str, items: Sequence[Mapping[str, Any]], next_url: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The document of a page, and the headers that go with it."""
    if next_url is None:
        return {name: list(items)}, {}
    return {name: list(items), "next": next_url}, {"Link": f'<{next_url}>; rel="next"'}


def _checked(name: str, text: str, read: Callable[[str], T], expected: str) -> T:
    try:
        return read(text)
    except (ValueError, KeyError, OverflowError):
        raise _wrong(name, f"expected {expected}, got {text[:80]!r}") from None


def _wrong(name: str, why: str) -> Refused:
    return Refused(400, f"{name}: {why}", parameter=name)


def _instant(text: str) -> datetime:
    # in a query a plus sign is a space, unless somebody thought of it
    found = datetime.fromisoformat(text.replace(" ", "+"))
    if found.tzinfo is None:
        raise ValueError(text)
    return found.astimezone(UTC)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
        raise ValueError(text)
    return int(text)


def _cursor(text: str) -> Cursor:
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(text) from None
    created, _, uuid = plain.partition(" ")
    if not uuid or "\0" in uuid:
        raise ValueError(text)
    return Cursor(_instant(created), uuid)
