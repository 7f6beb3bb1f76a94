"""How big is it: HEAD of a URL, run at the site that serves it, because often nobody else can reach it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from broker.catalogues.urls import refusal
from federation.hosts import LocalHost
from federation.sites import Federation
from netprobe.tools import transfer

# a catalogue may take 10 s in all
TIME_LIMIT_SECONDS = 8.0


@dataclass(frozen=True)
class Head:
    """What the server said of a URL. `missing`: it isn't to be had there, and asking again won't help.

    `status` is the HTTP status of a refusal.
    """

    size_bytes: int | None = None
    error: str | None = None
    missing: bool = False
    status: int | None = None


def head(federation: Federation, url: str, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> Head:
    """HEAD of `url`, which must be right (`urls.wrong_with`). Blocks; for worker threads. Raises nothing."""
    site = federation.site_of_url(url)
    if site is None:
        reason = refusal(url)
        if reason is not None:
            return Head(error=reason, missing=True)
    host = site.host if site else LocalHost()
    try:
        said = asyncio.run(transfer.head(host, url, time_limit_seconds))
    except transfer.TransferError as problem:
        missing = problem.status is not None and 400 <= problem.status < 500 and problem.status != 429
        return Head(error=str(problem), missing=missing, status=problem.status)
    return Head(size_bytes=said["size_bytes"])
