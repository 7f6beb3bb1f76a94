"""How big is it: HEAD of a URL, run at the site that serves it, because often nobody else can reach it.

What no site serves is asked for from here where its address is public, and otherwise at a site whose policy
allows the address, which may have a name there alone. The check is made where the request is sent from, for
names mean what they mean there.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from broker.catalogues.urls import allowed_at
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
    willing = [other for other in federation if other.policy.allowed_networks]
    end = time.monotonic() + time_limit_seconds
    refused: transfer.TransferError | None = None
    for place in [site] if site else [None, *willing]:
        left = end - time.monotonic()
        if refused is not None and left <= 0:
            break
        host, allowed = place.host if place else LocalHost(), allowed_at(federation, place)
        try:
            said = asyncio.run(transfer.head(host, url, left, allowed=allowed))
        except transfer.TransferError as problem:
            if problem.reason is None:
                missing = problem.status is not None and 400 <= problem.status < 500 and problem.status != 429
                return Head(error=str(problem), missing=missing, status=problem.status)
            if refused is None or problem.reason == "forbidden":
                refused = problem
        else:
            return Head(size_bytes=said["size_bytes"])
    # a site whose own names can't be looked up has a fault that may pass
    return Head(error=str(refused), missing=site is None or refused is None or refused.reason == "forbidden")
