"""One question to a Rucio server, over by a given time however its answer trickles in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

CONNECT_SECONDS = 2.0
# more than 10,000 files with ten copies each
ANSWER_LIMIT = 128 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What came, whatever its status."""

    status: int
    headers: httpx.Headers
    body: bytes


def ask(
    http: httpx.Client,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    until: float,
) -> Answer:
    """The whole answer. `until` is time.monotonic. Raises httpx.HTTPError or httpx.StreamError, ReadTimeout
    for what takes too long, and ValueError for more than we read."""
    left = until - time.monotonic()
    if left <= 0:
        raise httpx.ReadTimeout("")
    timeout = httpx.Timeout(left, connect=min(left, CONNECT_SECONDS))
    with http.stream(method, url, headers=headers, content=body, timeout=timeout) as response:
        found = bytearray()
        for piece in response.iter_bytes():
            found += piece
            if len(found) > ANSWER_LIMIT:
                raise ValueError("more than we read")
            if time.monotonic() > until:
                raise httpx.ReadTimeout("")
        return Answer(response.status_code, response.headers, bytes(found))
