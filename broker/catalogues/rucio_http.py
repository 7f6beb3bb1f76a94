"""One question to a Rucio server, over by a given time however its answer trickles in."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from federation import http_asking
from federation.http_asking import Answer

CONNECT_SECONDS = 2.0
# more than 10,000 files with ten copies each
ANSWER_LIMIT = 128 * 1024 * 1024


def ask(
    http: httpx.Client,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    until: float,
) -> Answer:
    """The whole answer. `until` is time.monotonic. Raises UnansweredError and UnreadableError."""
    return http_asking.ask(
        http,
        method,
        url,
        until=until,
        most_bytes=ANSWER_LIMIT,
        headers=headers,
        body=body,
        connect_seconds=CONNECT_SECONDS,
    )
