"""Services of the Virtual Observatory, asked where an identifier's data is: a registry (RegTAP 1.1) says
which TAP service has it, and that service's ObsCore table (ObsCore 1.1) where it is.

[catalogues.ivoa] names the registry, and TAP services by the beginnings of their identifiers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlencode

from broker.catalogues import CatalogueError
from broker.catalogues.ivoa_votable import error_in
from broker.catalogues.urls import wrong_with
from federation.sites import Federation
from netprobe.mover_ask import Answer, Request
from reservations.tables import Table

WHERE = "[catalogues.ivoa]"
MOST_ROWS = 100
# sends one request
Ask = Callable[[Request], Answer]
# the record's own service, and that of the record which says that it serves this one
_REGISTRY = (
    "SELECT DISTINCT access_url FROM rr.interface NATURAL JOIN rr.capability "
    "WHERE standard_id LIKE 'ivo://ivoa.net/std/tap%' AND ivoid = {record}",
    "SELECT DISTINCT access_url FROM rr.interface NATURAL JOIN rr.capability "
    "WHERE standard_id LIKE 'ivo://ivoa.net/std/tap%' AND ivoid IN "
    "(SELECT related_id FROM rr.relationship WHERE ivoid = {record} "
    "AND relationship_type IN ('isservedby', 'served-by'))",
)
_OBSCORE = (
    "SELECT TOP 2 access_url, access_format, obs_publisher_did FROM ivoa.ObsCore "
    "WHERE obs_publisher_did = {ivoid}"
)


class UnknownError(CatalogueError):
    """The services were asked, and know nothing of it."""


@dataclass(frozen=True)
class Services:
    """`registry` is the URL of a TAP service with the registry's tables. `taps` are TAP services by the
    beginnings of the identifiers that they know."""

    registry: str | None
    taps: Mapping[str, str]

    def __bool__(self) -> bool:
        return self.registry is not None or bool(self.taps)

    def obscore(self, ivoid: str, ask: Ask) -> Mapping[str, str]:
        """The ObsCore row of `ivoid`. Raises CatalogueError; UnknownError where there is none."""
        for tap in self._taps_of(ivoid, ask):
            found = _query(tap, _OBSCORE.format(ivoid=_quoted(ivoid)), ask)
            if len(found) > 1:
                raise UnknownError(f"{tap} has several observations with this identifier")
            if found:
                return found[0]
        raise UnknownError("no TAP service that has its ObsCore row is known")

    def _taps_of(self, ivoid: str, ask: Ask) -> Sequence[str]:
        named = [begin for begin in self.taps if ivoid.lower().startswith(begin.lower())]
        if named:
            return [self.taps[max(named, key=len)]]
        if self.registry is None:
            return ()
        # RegTAP 1.1: identifiers are in small letters there
        record = _quoted(ivoid.partition("?")[0].lower().rstrip("/"))
        for query in _REGISTRY:
            found = [
                row.get("access_url", "") for row in _query(self.registry, query.format(record=record), ask)
            ]
            usable = [url.rstrip("/") for url in found if wrong_with(url) is None]
            if usable:
                return usable
        return ()


def services(federation: Federation) -> Services:
    """Those of the catalogue file. Raises InputError where they can't work."""
    table = Table(federation.catalogues.get("ivoa", {}), WHERE)
    registry = _url(table, "registry", None)
    taps: dict[str, str] = {}
    for each in table.tables("services"):
        begin = each.text("ivoid")
        if not begin.lower().startswith("ivo://") or begin in taps:
            raise each.bad("ivoid", "how identifiers begin, as ivo://AUTHORITY/, each once")
        taps[begin] = str(_url(each, "tap"))
        each.end()
    table.end()
    return Services(registry, taps)


def _url(table: Table, key: str, *default: None) -> str | None:
    found = table.text(key, *default)
    if found is not None and wrong_with(found) is not None:
        raise table.bad(key, "the URL of a TAP service, without /sync")
    return None if found is None else str(found).rstrip("/")


def _quoted(text: str) -> str:
    """As a string of ADQL."""
    return "'" + text.replace("'", "''") + "'"


def _query(tap: str, query: str, ask: Ask) -> Sequence[Mapping[str, str]]:
    """The rows that a TAP service answers. Raises CatalogueError."""
    # FORMAT is of TAP 1.0, RESPONSEFORMAT of 1.1
    fields = {"REQUEST": "doQuery", "LANG": "ADQL", "QUERY": query, "FORMAT": "csv", "RESPONSEFORMAT": "csv"}
    said = ask(Request(f"{tap}/sync?{urlencode(fields)}"))
    if said.error is not None:
        raise CatalogueError(said.error)
    failed = error_in(said.body)
    if failed is not None:
        raise CatalogueError(f"{tap} says {failed}")
    if said.status != 200 or not said.whole:
        why = "half an answer" if said.status == 200 else str(said.status)
        raise CatalogueError(f"{tap}: the server answered {why}")
    try:
        found = csv.DictReader(io.StringIO(said.body, newline=""))
        # more than one is asked for nowhere, but of a record's interfaces
        some = islice(found, MOST_ROWS)
        table = [
            {name: value for name, value in row.items() if name and isinstance(value, str)} for row in some
        ]
        if "access_url" not in (found.fieldnames or ()):
            raise csv.Error
    except csv.Error as problem:
        raise CatalogueError(f"{tap}: what the server answers is no table of CSV") from problem
    return table
