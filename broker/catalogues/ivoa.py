"""Data of the Virtual Observatory: `ivoa-data-resource`, with the ObsCore and DataLink rows about it.

A row's access_url is where the data is, or where the DataLink document is that says so. An identifier alone
is looked up in the services of [catalogues.ivoa].
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from broker.catalogues import CatalogueError, Resolved
from broker.catalogues.fields import block, note, refused, size, text, unknown_size
from broker.catalogues.heads import ask
from broker.catalogues.http import HttpCatalogue
from broker.catalogues.ivoa_datalink import Link, LinkError, is_datalink, the_data
from broker.catalogues.ivoa_services import UnknownError, services
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica
from federation.about import About
from federation.sites import Federation
from netprobe.mover_ask import Answer, Request
from netprobe.mover_http import shown

# a catalogue may take 10 s to resolve
RESOLVE_SECONDS = 8.0
# IVOA Identifiers 2.0: ivo://authority/resource?local-part
_IVOID = re.compile(r"ivo://[A-Za-z0-9][A-Za-z0-9._~!*'()+=-]*(?:[/?#][!-~]*)?", re.ASCII | re.IGNORECASE)
# how a refusal is told to the client, by the status of HTTP
_KINDS = {401: "data-not-public", 403: "data-not-public", 404: "data-not-found", 410: "data-not-found"}


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
        self._services = services(federation)

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        ivoa, where = block(resource, "ivoa"), f"{path}/ivoa"
        notes: list[Note] = []
        ivoid = read_ivoid(ivoa, name, where, notes)
        if ivoid is None:
            if not refused(notes):
                template = "the ivoid of {name} is required"
                notes.append(note("missing-value", template, f"{where}/ivoid", name=name))
            return Resolved(None, tuple(notes))
        row = block(ivoa, "datalink")
        length = size(row, "content_length", name, f"{where}/datalink", notes)
        if text(row, "service_def") is not None and text(row, "access_url") is None:
            template = (
                "the DataLink row of {name} is of a service, and none is called here: give a file's row"
            )
            notes.append(note("data-not-resolved", template, f"{where}/datalink/service_def", name=name))
        until = time.monotonic() + RESOLVE_SECONDS
        address = access_url(ivoa, name, where, notes, follows=self._online)
        if refused(notes):
            return Resolved(None, tuple(notes))
        try:
            if address is not None:
                url, at = address
                if self._online and at.endswith("/obscore/access_url"):
                    link = self._followed(ivoid, block(ivoa, "obscore"), until)
                    url, length = link.url, link.size_bytes if length is None else length
            elif self._online and self._services:
                at = f"{where}/ivoid"
                found = self._services.obscore(ivoid, lambda request: self._asked(request, until))
                link = self._followed(ivoid, found, until)
                url, length = link.url, link.size_bytes if length is None else length
            else:
                return self._unresolved(uuid, name, ivoid, length, where, notes)
        except CatalogueError as error:
            return Resolved(None, (*notes, _failed(name, error, at)))
        if length is None:
            length, more = self._http.size(name, url, at, until)
            notes += more
            if refused(notes):
                return Resolved(None, tuple(notes))
        item = DataItem(uuid, name, length, (self._http.replica(url),), ivoid=ivoid)
        return Resolved(item, tuple(notes))

    def _followed(self, ivoid: str, row: Mapping[str, Any], until: float) -> Link:
        """Where an ObsCore row leads, through its DataLink document. Raises CatalogueError."""
        url = text(row, "access_url")
        wrong = wrong_with(url)
        if wrong is not None or url is None:
            raise LinkError("data-location", f"the access_url in its ObsCore row {wrong}")
        if not is_datalink(text(row, "access_format")):
            return Link(url, None)
        about = f"the DataLink document {shown(url)}"
        said = self._asked(Request(url), until)
        if said.error is not None:
            kind = "data-not-found" if said.reason == "forbidden" else "catalogue-failed"
            raise LinkError(kind, said.error)
        if said.status != 200 or not said.whole:
            why = "half an answer" if said.status == 200 else str(said.status)
            kind = _KINDS.get(said.status or 0, "catalogue-failed")
            raise LinkError(kind, f"{about}: the server answered {why}")
        return the_data(said.body, ivoid, about)

    def _asked(self, request: Request, until: float) -> Answer:
        [said] = ask(self._federation, [request], until, self._http.bearers(request.url))
        return said

    def _unresolved(
        self, uuid: str, name: str, ivoid: str, length: int | None, where: str, notes: list[Note]
    ) -> Resolved:
        if self._online:
            template = (
                "{name} is known by its identifier alone, and this broker has no registry to look it up in: "
                "give the access_url of its datalink or obscore row"
            )
            notes.append(note("data-not-resolved", template, f"{where}/ivoid", name=name))
            return Resolved(None, tuple(notes))
        if length is None:
            notes.append(unknown_size(name, where))
        replica = Replica(ivoid, None)
        return Resolved(DataItem(uuid, name, length, (replica,), ivoid=ivoid), tuple(notes))


def _failed(name: str, error: CatalogueError, where: str) -> Note:
    kind = error.kind if isinstance(error, LinkError) else "catalogue-failed"
    if isinstance(error, UnknownError):
        kind = "data-not-resolved"
    words = "where {name} is can't be found out: {error}"
    return Note(kind, words, {"name": name, "error": str(error)}, path=where)


def read_ivoid(ivoa: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> str | None:
    """The identifier; None where there is none, with a note where what there is isn't one."""
    ivoid = text(ivoa, "ivoid")
    if ivoid is not None and not _IVOID.fullmatch(ivoid):
        template = "the ivoid of {name} is {ivoid}: expected ivo://AUTHORITY/..."
        notes.append(note("invalid-value", template, f"{where}/ivoid", name=name, ivoid=repr(ivoid[:80])))
        return None
    return ivoid


def access_url(
    ivoa: Mapping[str, Any], name: str, where: str, notes: list[Note], follows: bool = False
) -> tuple[str, str] | None:
    """Where the data is, and which field says so; None where none does, with a note where one is wrong.

    `follows`: a DataLink document is read by the caller, and no reason for a warning.
    """
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
        if field == "obscore" and is_datalink(text(row, "access_format")) and not follows:
            template = "the access_url of {name} leads to a DataLink document, which is not read here"
            notes.append(note("data-not-resolved", template, at, Level.WARN, name=name))
            continue
        wrong = wrong_with(url)
        if wrong is not None:
            template = "the access_url of {name} {wrong}"
            notes.append(note("data-location", template, at, name=name, wrong=wrong))
            return None
        return url, at
    return None
