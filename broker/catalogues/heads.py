"""Asking the servers that hold data: how big is it (HEAD), and small questions of other kinds.

They are asked at the site that serves the URL, because often nobody else can reach it. What no site serves is
asked for from here where its address is public, and otherwise at a site whose policy allows the address,
which may have a name there alone. The check is made where the request is sent from, for names mean what they
mean there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.catalogues.urls import allowed_at
from federation.hosts import Host, LocalHost
from federation.sites import Federation, Site
from netprobe.addresses import Allowed
from netprobe.mover_ask import Answer, Asked, Request
from netprobe.tools import transfer

# a server so busy may answer another time
_BUSY = 429


@dataclass(frozen=True)
class Head:
    """What the server said of a URL. `missing`: it isn't to be had there, and asking again won't help.

    `status` is the HTTP status of a refusal.
    """

    size_bytes: int | None = None
    error: str | None = None
    missing: bool = False
    status: int | None = None


def head(
    federation: Federation,
    url: str,
    time_limit_seconds: float,
    bearers: Mapping[str, str] | None = None,
) -> Head:
    """HEAD of `url`, which must be right (`urls.wrong_with`). Blocks; for worker threads. Raises nothing."""
    site = federation.site_of_url(url)
    end = time.monotonic() + time_limit_seconds
    refused: transfer.TransferError | None = None
    for _, host, allowed in senders(federation, url):
        left = end - time.monotonic()
        if refused is not None and left <= 0:
            break
        try:
            said = asyncio.run(transfer.head(host, url, left, allowed, bearers))
        except transfer.TransferError as problem:
            if problem.reason is None:
                return Head(error=str(problem), missing=is_refusal(problem.status), status=problem.status)
            if refused is None or problem.reason == "forbidden":
                refused = problem
        else:
            return Head(size_bytes=said["size_bytes"])
    # a site whose own names can't be looked up has a fault that may pass
    return Head(error=str(refused), missing=site is None or refused is None or refused.reason == "forbidden")


def ask(
    federation: Federation,
    requests: Sequence[Request],
    until: float,
    bearers: Mapping[str, str] | None = None,
) -> Sequence[Answer]:
    """The answers to `requests`, all to one server; their URLs must be right. Blocks until `until`
    (time.monotonic) at most. Raises nothing: a request without an answer says why."""
    asked = Asked(tuple(requests), bearers or {})
    answers: Sequence[Answer] = ()
    for _, host, allowed in senders(federation, requests[0].url):
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            found = asyncio.run(transfer.ask(host, asked, left, allowed))
        except transfer.TransferError as problem:
            return [Answer(number, error=str(problem)) for number in range(len(requests))]
        if all(each.reason is None for each in found):
            return found
        if not answers or any(each.reason == "forbidden" for each in found):
            answers = found
    late = "no answer in the time there is"
    return answers or [Answer(number, error=late) for number in range(len(requests))]


def is_refusal(status: int | None) -> bool:
    """Whether a server that answers so would answer the same another time."""
    return status is not None and 400 <= status < 500 and status != _BUSY


def senders(federation: Federation, url: str) -> Iterator[tuple[Site | None, Host, Allowed]]:
    """Where to ask the server of `url` from, one after the other: the site (None: this broker itself), its
    host, and what may be sent to from there."""
    site = federation.site_of_url(url)
    if site is None:
        yield None, LocalHost(), allowed_at(federation, None)
    for place in [site] if site else [each for each in federation if each.policy.allowed_networks]:
        yield place, place.host, allowed_at(federation, place)
