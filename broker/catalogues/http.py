"""Data at a plain web address: `simple-data-resource`, with its `location`. Its size is asked for by HEAD.

A location that ends in "/", or with the scheme dav or davs, may be a folder of WebDAV: then all files in it
and below it are meant. Servers that want to see a token get the one that [catalogues.http] has for them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from broker.catalogues import CatalogueError, File, Resolved
from broker.catalogues.fields import note, refused, unknown_size
from broker.catalogues.heads import ask, head, is_refusal
from broker.catalogues.http_tokens import Tokens
from broker.catalogues.urls import wrong_with
from broker.catalogues.webdav import MULTI_STATUS, DavError, DavFile, TooManyError, files_below
from broker.model import DataItem, Level, Note, Replica
from federation.about import About
from federation.sites import Federation, Site

# a catalogue may take 10 s to resolve, and a minute for the files
RESOLVE_SECONDS = 8.0
FILES_SECONDS = 55.0
# WebDAV is HTTP below
_DAV = {"davs://": "https://", "dav://": "http://"}
_UNKNOWN = (401, 403)


class HttpCatalogue:
    """The URL's host says which site holds it; no checksum is known."""

    ABOUT = About(
        does="Data at a web address, and WebDAV folders, with tokens for servers that ask for one.",
        cannot="Knows of one copy: the one that the request names.",
    )

    kinds: Sequence[str] = ("simple-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._federation, self._online = federation, online
        self._tokens = Tokens(federation)

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        given, where = resource.get("location"), f"{path}/location"
        url, dav = _plain(given)
        wrong = wrong_with(url)
        if wrong is not None or not isinstance(url, str):
            words = "the location of {name} {wrong}"
            return Resolved(None, (note("data-location", words, where, name=name, wrong=str(wrong)),))
        until = time.monotonic() + RESOLVE_SECONDS
        if self._online and not set("?#") & set(url) and (dav or url.endswith("/")):
            try:
                found = self._below(url, until)
            except DavError as error:
                # else a page of a server that knows no WebDAV
                if dav or isinstance(error, TooManyError) or error.status == MULTI_STATUS:
                    return Resolved(None, (self._dav_note(name, url, error, where),))
            except CatalogueError as error:
                return Resolved(None, (_failed(name, str(error), where),))
            else:
                if found is not None:
                    return self._folder(uuid, name, url, found, where)
        size, notes = self.size(name, url, where, until)
        if refused(list(notes)):
            return Resolved(None, notes)
        return Resolved(DataItem(uuid, name, size, (self.replica(url),)), notes)

    def files(self, item: DataItem, site: Site, seconds: float) -> Sequence[File]:
        """See `broker.catalogues.Unpacks`."""
        url = item.replicas[0].url
        found = self._below(url, time.monotonic() + FILES_SECONDS)
        if found is None:
            raise CatalogueError(f"{url} is a folder no more")
        return [File(each.path, each.size_bytes, (self.replica(each.url),)) for each in found]

    def replica(self, url: str) -> Replica:
        """The copy at `url`, with the site that serves it."""
        site = self._federation.site_of_url(url)
        return Replica(url, site.id if site else None)

    def bearers(self, url: str) -> Mapping[str, str]:
        """The token of the URL's server, where it wants one. Raises CatalogueError."""
        return self._tokens.bearers([url])

    def size(
        self, name: str, url: str, path: str, until: float | None = None
    ) -> tuple[int | None, tuple[Note, ...]]:
        """The size of `url`, or notes on why it isn't known (WARN) or there is nothing (ERROR)."""
        if not self._online:
            return None, (unknown_size(name, path),)
        left = RESOLVE_SECONDS if until is None else until - time.monotonic()
        try:
            answer = head(self._federation, url, left, self.bearers(url))
        except CatalogueError as problem:
            return None, (_failed(name, str(problem), path),)
        if answer.missing:
            return None, (self._missing_note(name, url, answer.status, str(answer.error), path),)
        if answer.size_bytes is None:
            error = answer.error or "the server doesn't say"
            words = "the size of {name} is not known: {error}"
            return None, (note("data-size", words, path, Level.WARN, name=name, error=error),)
        return answer.size_bytes, ()

    def _below(self, url: str, until: float) -> list[DavFile] | None:
        return files_below(url, partial(ask, self._federation, until=until, bearers=self.bearers(url)))

    def _folder(self, uuid: str, name: str, url: str, found: Sequence[DavFile], where: str) -> Resolved:
        if not found:
            words = "{name} is a folder without any file"
            return Resolved(None, (note("data-not-found", words, where, name=name),))
        sizes = [each.size_bytes for each in found]
        known = [size for size in sizes if size is not None]
        total = sum(known) if len(known) == len(sizes) else None
        notes = []
        if total is None:
            words = "the size of {name} is not known: the server doesn't say it of {count} of its files"
            count = str(len(sizes) - len(known))
            notes.append(note("data-size", words, where, Level.WARN, name=name, count=count))
        folder = url if url.endswith("/") else f"{url}/"
        replicas = (self.replica(folder),)
        item = DataItem(uuid, name, total, replicas, files=len(found), unpacked=True)
        return Resolved(item, tuple(notes))

    def _dav_note(self, name: str, url: str, error: DavError, where: str) -> Note:
        if isinstance(error, TooManyError):
            words = "{name} is too much: {error}"
            return note("resource-limit", words, where, name=name, error=str(error))
        if error.forbidden or is_refusal(error.status):
            return self._missing_note(name, url, error.status, str(error), where)
        return _failed(name, str(error), where)

    def _missing_note(self, name: str, url: str, status: int | None, error: str, where: str) -> Note:
        if status in _UNKNOWN:
            words = "{name} is not for everybody to read: {error}; {why}"
            why = self._tokens.refusal(url)
            return note("data-not-public", words, where, name=name, error=error, why=why)
        return note("data-not-found", "{name} can't be read: {error}", where, name=name, error=error)


def _failed(name: str, error: str, where: str) -> Note:
    return note("catalogue-failed", "{name} can't be looked at now: {error}", where, name=name, error=error)


def _plain(given: Any) -> tuple[Any, bool]:
    """The location as an http or https URL, and whether it says itself that it is of WebDAV."""
    if isinstance(given, str):
        for scheme, plain in _DAV.items():
            if given.lower().startswith(scheme):
                return plain + given[len(scheme) :], True
    return given, False
