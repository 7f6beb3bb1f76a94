"""Rucio's storage elements: whose each is, how it is read, and whether it is tape."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from broker.catalogues import rucio_answers as answers
from broker.catalogues.rucio_client import SCHEMES, NotThereError, Rucio
from broker.catalogues.urls import wrong_with
from federation.sites import Federation

# how long it is believed what a storage element is, and whether it may be read
KEPT_SECONDS = 60.0
AT_ONCE = 8
# attributes of storage elements that may name a site of ours
SITE_ATTRIBUTES = ("fairlead_site", "site")
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Store:
    """A storage element. `door` is the URL that all of its files' begin with, as http or https; None where
    it has none. `schemes`: the ways in that it has."""

    rse: str
    site_id: str | None
    door: str | None
    schemes: tuple[str, ...] = ()
    tape: bool = False
    # whether Rucio lets it be read now
    readable: bool = True
    writable: bool = True


class Stores:
    """The storage elements of one server, asked for by several threads."""

    def __init__(self, rucio: Rucio, federation: Federation) -> None:
        self._rucio, self._federation = rucio, federation
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Store]] = {}

    def named(self, names: Iterable[str], until: float) -> Mapping[str, Store]:
        """Those storage elements; one that was removed meanwhile can't be read. Raises RucioError."""
        wanted, now = set(names), time.monotonic()
        with self._lock:
            found = {
                name: store
                for name, (asked, store) in self._known.items()
                if name in wanted and now - asked < KEPT_SECONDS
            }
        missing = sorted(wanted - set(found))
        if missing:
            with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="rse") as pool:
                new = dict(
                    zip(missing, pool.map(lambda name: self._asked(name, until), missing), strict=True)
                )
            with self._lock:
                self._known.update((name, (now, store)) for name, store in new.items())
            found |= new
        return found

    def _asked(self, name: str, until: float) -> Store:
        try:
            rse = self._rucio.rse(name, until)
            attributes = self._rucio.attributes(name, until)
        except NotThereError:
            return Store(name, None, None, readable=False, writable=False)
        return read_store(rse, attributes, self._federation)


def read_store(rse: answers.Rse, attributes: Mapping[str, Any], federation: Federation) -> Store:
    """Its site is the one whose `rses` name it; else the one that its attributes name; else the one on whose
    storage its URLs lie."""
    ways = sorted(
        (each for each in rse.protocols if _priority(each) is not None),
        key=lambda each: (_priority(each), each.scheme),
    )
    doors = [door for each in ways if each.scheme in SCHEMES and (door := _door(each))]
    door = doors[0] if doors else None
    site = federation.site_of_rse(rse.rse)
    names = {each.id.lower(): each for each in federation}
    for attribute in SITE_ATTRIBUTES:
        site = site or names.get(str(attributes.get(attribute, "")).lower())
    if site is None and door is not None:
        site = federation.site_of_url(door)
    tape = rse.rse_type == answers.TAPE or str(attributes.get("istape", "")).lower() in ("true", "1")
    schemes = tuple(dict.fromkeys(each.scheme for each in ways))
    open_for = rse.availability_read, rse.availability_write
    return Store(rse.rse, site.id if site else None, door, schemes, tape, *open_for)


def fetchable(pfn: str) -> str | None:
    """Rucio's URL of a file as one that can be fetched: WebDAV and S3 are HTTP below. None for others."""
    scheme, separator, rest = pfn.partition("://")
    if not separator or scheme not in SCHEMES:
        return None
    plain = "http" if scheme in ("http", "dav") else "https"
    host, slash, path = rest.partition("/")
    host = host.removesuffix(f":{_DEFAULT_PORTS[plain]}")
    return f"{plain}://{host}{slash}{path}"


def _priority(protocol: answers.Protocol) -> int | None:
    """For reading from elsewhere; None where that is switched off. (0 was "off" once, and is "first" now.)"""
    return protocol.domains.get("wan", {}).get("read")


def _door(protocol: answers.Protocol) -> str | None:
    port = f":{protocol.port}" if protocol.port else ""
    url = fetchable(f"{protocol.scheme}://{protocol.hostname}{port}/{(protocol.prefix or '').lstrip('/')}")
    return url if url and wrong_with(url) is None else None
