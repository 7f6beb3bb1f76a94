"""Data of the Virtual Observatory: `ivoa-data-resource`, with the ObsCore and DataLink rows about it.

A row's access_url is where the data is, or where the DataLink document is that says so. An identifier alone
is looked up in the services of [catalogues.ivoa].
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from broker.catalogues import CatalogueError, File, Resolved
from broker.catalogues.fields import block, note, refused, size, text, unknown_size
from broker.catalogues.heads import ask
from broker.catalogues.http import HttpCatalogue
from broker.catalogues.ivoa_datalink import Link, LinkError, is_datalink, the_data
from broker.catalogues.ivoa_services import UnknownError, services
from broker.catalogues.urls import wrong_with
from broker.file_names import plain_name
from broker.model import DataItem, Level, Note, Part, Replica
from federation.about import About
from federation.sites import Federation, Site
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
                links: tuple[Link, ...] = (Link(url, None),)
                if self._online and at.endswith("/obscore/access_url"):
                    links = self._followed(ivoid, block(ivoa, "obscore"), row, until)
            elif self._online and self._services:
                at = f"{where}/ivoid"
                found = self._services.obscore(ivoid, lambda request: self._asked(request, until))
                links = self._followed(ivoid, found, row, until)
            else:
                return self._unresolved(uuid, name, ivoid, length, where, notes)
        except CatalogueError as error:
            return Resolved(None, (*notes, _failed(name, error, at)))
        if len(links) > 1:
            return self._several(DataItem(uuid, name, None, (), ivoid=ivoid), links, at, until, notes)
        [link] = links
        length = link.size_bytes if length is None else length
        if length is None:
            length, more = self._http.size(name, link.url, at, until)
            notes += more
            if refused(notes):
                return Resolved(None, tuple(notes))
        item = DataItem(uuid, name, length, (self._http.replica(link.url),), ivoid=ivoid)
        return Resolved(item, tuple(notes))

    def files(self, item: DataItem, site: Site, seconds: float) -> Sequence[File]:
        """See `broker.catalogues.Unpacks`: the files of data that are several were named when it was
        resolved."""
        names = _file_names([part.replicas[0].url for part in item.parts])
        parts = zip(names, item.parts, strict=True)
        return [File(name, part.size_bytes, part.replicas) for name, part in parts]

    def _several(
        self, item: DataItem, links: Sequence[Link], at: str, until: float, notes: list[Note]
    ) -> Resolved:
        """`item` as a folder of the files at `links`, each of which may lie at a site of its own."""
        parts = []
        for link in links:
            size, more = link.size_bytes, tuple[Note, ...]()
            if size is None:
                size, more = self._http.size(item.name, link.url, at, until)
            if size is None:
                template = (
                    "{name} is {count} files, and nobody says how large {url} is: give one's datalink row"
                )
                values = {"name": item.name, "count": str(len(links)), "url": shown(link.url)}
                unknown = (Note("data-size", template, values, path=at),)
                return Resolved(None, (*notes, *(more if refused(list(more)) else unknown)))
            parts.append(Part(size, 1, (self._http.replica(link.url),)))
        whole = replace(
            item,
            size_bytes=sum(part.size_bytes for part in parts),
            replicas=tuple(replica for part in parts for replica in part.replicas),
            files=len(parts),
            unpacked=True,
            parts=tuple(parts),
        )
        return Resolved(whole, tuple(notes))

    def _followed(
        self, ivoid: str, row: Mapping[str, Any], wanted: Mapping[str, Any], until: float
    ) -> tuple[Link, ...]:
        """Where an ObsCore row leads, through its DataLink document, in which the `content_type` of `wanted`
        chooses. Raises CatalogueError."""
        url = text(row, "access_url")
        wrong = wrong_with(url)
        if wrong is not None or url is None:
            raise LinkError("data-location", f"the access_url in its ObsCore row {wrong}")
        if not is_datalink(text(row, "access_format")):
            return (Link(url, None),)
        about = f"the DataLink document {shown(url)}"
        said = self._asked(Request(url), until)
        if said.error is not None:
            kind = "data-not-found" if said.reason == "forbidden" else "catalogue-failed"
            raise LinkError(kind, said.error)
        if said.status != 200 or not said.whole:
            why = "half an answer" if said.status == 200 else str(said.status)
            kind = _KINDS.get(said.status or 0, "catalogue-failed")
            raise LinkError(kind, f"{about}: the server answered {why}")
        left = max(until - time.monotonic(), 0.1)
        return the_data(said.body, ivoid, about, text(wanted, "content_type"), left)

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


def _file_names(urls: Sequence[str]) -> list[str]:
    """A name for each file, by the end of its URL; where two would have the same, with its number."""
    ends = [urlsplit(url).path.rstrip("/").rpartition("/")[2] for url in urls]
    names = [plain_name(unquote(end) or "file") for end in ends]
    return [
        name if names.count(name) == 1 else f"{number}-{name}" for number, name in enumerate(names, start=1)
    ]


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
