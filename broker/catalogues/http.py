"""Data at a plain web address: `simple-data-resource`, with its `location`. Its size is asked for by HEAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broker.catalogues import Resolved
from broker.catalogues.fields import unknown_size
from broker.catalogues.heads import head
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica
from federation.sites import Federation


class HttpCatalogue:
    """The URL's host says which site holds it; no checksum is known."""

    kinds: Sequence[str] = ("simple-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._federation, self._online = federation, online

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        url, where = resource.get("location"), f"{path}/location"
        wrong = wrong_with(url)
        if wrong is not None or not isinstance(url, str):
            note = Note(
                "data-location",
                "the location of {name} {wrong}",
                {"name": name, "wrong": str(wrong)},
                path=where,
            )
            return Resolved(None, (note,))
        size, notes = self.size(name, url, where)
        if any(note.level is Level.ERROR for note in notes):
            return Resolved(None, notes)
        site = self._federation.site_of_url(url)
        replica = Replica(url, site.id if site else None)
        return Resolved(DataItem(uuid, name, size, (replica,)), notes)

    def size(self, name: str, url: str, path: str) -> tuple[int | None, tuple[Note, ...]]:
        """The size of `url`, or notes on why it isn't known (WARN) or there is nothing (ERROR)."""
        if not self._online:
            return None, (unknown_size(name, path),)
        answer = head(self._federation, url)
        if answer.missing:
            values = {"name": name, "error": answer.error or "refused"}
            return None, (Note("data-not-found", "{name} can't be read: {error}", values, path=path),)
        if answer.size_bytes is None:
            values = {"name": name, "error": answer.error or "the server doesn't say"}
            return None, (
                Note("data-size", "the size of {name} is not known: {error}", values, Level.WARN, path),
            )
        return answer.size_bytes, ()
