"""Look at the FITS file at a URL: from the site that stores it, by the rules of what may be fetched there."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.catalogues import CatalogueError
from broker.catalogues.heads import senders
from broker.catalogues.urls import wrong_with
from broker.inspect import far, footprint
from broker.inspect.access import authorised
from broker.inspect.describe import Hdu, describe
from broker.inspect.far import NOT_FITS
from broker.inspect.walk import RawHdu
from federation.errors import FairleadError, InputError, OutsideError
from federation.hosts import Host, LocalHost
from federation.sites import Federation
from federation.units import format_size
from netprobe.addresses import Allowed
from netprobe.mover_http import shown
from netprobe.tools import _mover
from netprobe.tools._mover import TransferError

TIME_LIMIT_SECONDS = 30.0
# a Python with numpy and astropy, before any data
PROGRAM_BYTES = 512 * 1024**2
_GIB = 1024**3


class NoFitsError(FairleadError):
    """What is there can be had, and is no FITS file that can be looked into: the answer is no."""

    exit_status = 1


class ForbiddenUrlError(InputError):
    """It is at an address that mustn't be fetched from, at none of the places where it was tried."""


class OfflineError(OutsideError):
    """Nothing is fetched by this broker, whatever it is."""


@dataclass(frozen=True)
class Inspection:
    """What was found at `url` (shown without its query). `site` is where it was read, None: here.

    `memory_bytes` is what holding all data takes, `suggested_memory_bytes` what to ask for to work on them.
    `complete` is whether all HDUs were reached; `faults` say what is wrong with the file, or why not, one
    line each. `requests` and `read_bytes` are what it took.
    """

    url: str
    site: str | None
    size_bytes: int | None
    hdus: tuple[Hdu, ...]
    memory_bytes: int
    suggested_memory_bytes: int
    complete: bool
    faults: tuple[str, ...]
    requests: int
    read_bytes: int

    @property
    def advice(self) -> str:
        """One sentence on memory."""
        held, asked = format_size(self.memory_bytes), self.suggested_memory_bytes // _GIB
        return f"holding all of it takes {held}; ask for {asked} GiB to work on it"


def plain_url(url: str) -> str:
    """WebDAV's own schemes as what they are. Raises InputError for a URL that can't be fetched."""
    scheme, colon, rest = url.strip().partition("://")
    plain = {"davs": "https", "dav": "http"}.get(scheme.lower(), scheme) + colon + rest
    wrong = wrong_with(plain)
    if scheme.lower() == "s3":
        wrong = (
            "has the scheme 's3': expected the object's https:// address at its service, signed if need be"
        )
    if wrong is not None:
        raise InputError(f"the URL {wrong}")
    return plain


def look(
    federation: Federation | None,
    url: str,
    anywhere: bool = False,
    time_limit_seconds: float | None = None,
) -> Inspection:
    """The FITS file at `url`. Blocks, for TIME_LIMIT_SECONDS where nothing else is said; for worker threads,
    never in an event loop.

    It is read at the site of `federation` that stores it, with the token or access key that its options have
    for the server; what no site stores, from here if its address is public, else at a site whose policy
    allows it. `anywhere`: from here, whatever the address is, and with no token or key.

    Raises InputError for a URL that can't be fetched, ForbiddenUrlError for one that mustn't be, NoFitsError
    for what is no FITS file, and OutsideError where it can't be had.
    """
    plain = plain_url(url)
    end = time.monotonic() + (TIME_LIMIT_SECONDS if time_limit_seconds is None else time_limit_seconds)
    refused: TransferError | None = None
    asked, bearers = plain, {}  # type: str, Mapping[str, str]
    if federation is not None and not anywhere:
        try:
            asked, bearers = authorised(federation, plain)
        except CatalogueError as problem:
            raise OutsideError(f"{shown(plain)}: {problem}") from None
    for site, host, allowed in _places(federation, asked, anywhere):
        left = end - time.monotonic()
        if refused is not None and left <= 0:
            break
        try:
            said = asyncio.run(_read(host, asked, allowed, left, bearers))
        except TransferError as problem:
            if problem.reason == NOT_FITS:
                raise NoFitsError(str(problem)) from None
            if problem.reason is None:
                raise
            if refused is None or problem.reason == "forbidden":
                refused = problem
        else:
            try:
                return _inspection(plain, site, said)
            except (KeyError, TypeError, ValueError):
                # its host has another version of this, perhaps
                raise OutsideError(f"{shown(plain)}: what was said of it can't be understood") from None
    if refused is not None and refused.reason == "forbidden":
        raise ForbiddenUrlError(str(refused))
    raise OutsideError(str(refused))


def _places(
    federation: Federation | None, url: str, anywhere: bool
) -> Iterator[tuple[str | None, Host, Allowed | None]]:
    """Where it may be read from: the site, its host, and what may be fetched there."""
    if anywhere or federation is None:
        yield None, LocalHost(), None if anywhere else Allowed()
        return
    for site, host, allowed in senders(federation, url):
        yield None if site is None else site.id, host, allowed


async def _read(
    host: Host, url: str, allowed: Allowed | None, left: float, bearers: Mapping[str, str]
) -> dict[str, Any]:
    given = json.dumps({"url": url, "bearers": dict(bearers)})
    about = shown(url)
    finished = await _mover.run(host, far.__name__, _mover.allow(allowed), given, about, left)
    if finished.stdout and not finished.timed_out:
        said = _mover.read_line(finished.stdout, about)
        _mover.raise_error(said)
        return said
    _mover.check_end(finished, about, left)
    raise TransferError(f"{about}: nothing was said of it")


def _inspection(url: str, site: str | None, said: Mapping[str, Any]) -> Inspection:
    faults = list(said["faults"])
    raws = [
        RawHdu(each["offset"], each["header"].encode("latin-1"), each["data_bytes"]) for each in said["hdus"]
    ]
    hdus = _with_footprints([describe(number, raw, faults) for number, raw in enumerate(raws)])
    held = sum(hdu.memory_bytes for hdu in hdus)
    # almost everything that is done with an array makes another one as large
    needed = held + max((hdu.memory_bytes for hdu in hdus), default=0) + PROGRAM_BYTES
    return Inspection(
        url=shown(url),
        site=site,
        size_bytes=said["size_bytes"],
        hdus=tuple(hdus),
        memory_bytes=held,
        suggested_memory_bytes=math.ceil(needed / _GIB) * _GIB,
        complete=bool(said["whole"]),
        faults=tuple(faults),
        requests=said["requests"],
        read_bytes=said["bytes"],
    )


def _with_footprints(hdus: list[Hdu]) -> list[Hdu]:
    """Asked of all images at once: astropy takes longer to start than to answer."""
    images = [number for number, hdu in enumerate(hdus) if hdu.axes and len(hdu.shape) >= 2]
    if not images or not footprint.is_available():
        return hdus
    texts = ["".join(card.ljust(80) for card in hdus[number].header) for number in images]
    for number, corners in zip(images, footprint.footprints(texts), strict=True):
        hdus[number] = replace(hdus[number], footprint=corners)
    return hdus
