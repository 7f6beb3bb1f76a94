"""Data of the Virtual Observatory: `ivoa-data-resource`, with the ObsCore and DataLink rows about it.

A row's access_url is where the data is. An identifier alone is not looked up yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from broker.catalogues import Resolved
from broker.catalogues.fields import block, note, refused, size, text, unknown_size
from broker.catalogues.http import HttpCatalogue
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica
from federation.about import About
from federation.sites import Federation

# IVOA Identifiers 2.0: ivo://authority/resource?local-part
_IVOID = re.compile(r"ivo://[A-Za-z0-9][A-Za-z0-9._~!*'()+=-]*(?:[/?#][!-~]*)?", re.ASCII | re.IGNORECASE)


class IvoaCatalogue:
    """A URL's host says which site holds it; content_length says how much it is, or else the server does."""

    ABOUT = About(
        does="Data of the Virtual Observatory, by its ObsCore and DataLink rows or its identifier.",
        cannot="Looks identifiers up only where [catalogues.ivoa] says.",
    )

    kinds: Sequence[str] = ("ivoa-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._federation, self._online = federation, online
        self._http = HttpCatalogue(federation, online)

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        ivoa, where = block(resource, "ivoa"), f"{path}/ivoa"
        notes: list[Note] = []
        ivoid = read_ivoid(ivoa, name, where, notes)
        if ivoid is None:
            if not refused(notes):
                template = "the ivoid of {name} is required"
                notes.append(note("missing-value", template, f"{where}/ivoid", name=name))
            return Resolved(None, tuple(notes))
        length = size(block(ivoa, "datalink"), "content_length", name, f"{where}/datalink", notes)
        address = access_url(ivoa, name, where, notes)
        if refused(notes):
            return Resolved(None, tuple(notes))
        if address is None:
            return self._unresolved(uuid, name, ivoid, length, where, notes)
        url, at = address
        if length is None:
            length, more = self._http.size(name, url, at)
            notes += more
            if refused(notes):
                return Resolved(None, tuple(notes))
        site = self._federation.site_of_url(url)
        replica = Replica(url, site.id if site else None)
        return Resolved(DataItem(uuid, name, length, (replica,), ivoid=ivoid), tuple(notes))

    def _unresolved(
        self, uuid: str, name: str, ivoid: str, length: int | None, where: str, notes: list[Note]
    ) -> Resolved:
        if self._online:
            template = (
                "{name} is known by its identifier alone, which is not looked up here yet: "
                "give the access_url of its datalink or obscore row"
            )
            notes.append(note("data-not-resolved", template, f"{where}/ivoid", name=name))
            return Resolved(None, tuple(notes))
        if length is None:
            notes.append(unknown_size(name, where))
        return Resolved(DataItem(uuid, name, length, (Replica(ivoid, None),), ivoid=ivoid), tuple(notes))


def read_ivoid(ivoa: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> str | None:
    """The identifier; None where there is none, with a note where what there is isn't one."""
    ivoid = text(ivoa, "ivoid")
    if ivoid is not None and not _IVOID.fullmatch(ivoid):
        template = "the ivoid of {name} is {ivoid}: expected ivo://AUTHORITY/..."
        notes.append(note("invalid-value", template, f"{where}/ivoid", name=name, ivoid=repr(ivoid[:80])))
        return None
    return ivoid


def access_url(ivoa: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> tuple[str, str] | None:
    """Where the data is, and which field says so; None where none does, with a note where one is wrong."""
    datalink, obscore = block(ivoa, "datalink"), block(ivoa, "obscore")
    error = text(datalink, "error_message")
    if error is not None:
        template, at = "the DataLink row of {name} is an error: {error}", f"{where}/datalink/error_message"
        notes.append(note("data-not-found", template, at, name=name, error=repr(error[:200])))
        return None
    for row, field in ((datalink, "datalink"), (obscore, "obscore")):
        url, at = text(row, "access_url"), f"{where}/{field}/access_url"
        if url is None:
            continue
        if field == "obscore" and "content=datalink" in (text(row, "access_format") or "").replace(" ", ""):
            template = "the access_url of {name} leads to a DataLink document, which is not read here yet"
            notes.append(note("data-not-resolved", template, at, Level.WARN, name=name))
            continue
        wrong = wrong_with(url)
        if wrong is not None:
            template = "the access_url of {name} {wrong}"
            notes.append(note("data-location", template, at, name=name, wrong=wrong))
            return None
        return url, at
    return None
