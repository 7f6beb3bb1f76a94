"""Data of the SKA data lake: `skao-data-resource`. The request itself names size, checksum and replicas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from broker.catalogues import Resolved
from broker.catalogues.http import HttpCatalogue
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica
from federation.sites import Federation

# what the mover can verify, and how many hexadecimal digits each has
CHECKSUM_DIGITS = {"sha256": 64, "md5": 32, "adler32": 8}


class SkaoCatalogue:
    """A replica's URL says which site holds it; where no site is known to serve the URL, its RSE does."""

    kinds: Sequence[str] = ("skao-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._federation = federation
        self._http = HttpCatalogue(federation, online)

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        block, where = resource.get("skao"), f"{path}/skao"
        if not isinstance(block, Mapping):
            return Resolved(None, (_note("skao", "{name} has no skao block", where, name=name),))
        notes: list[Note] = []
        kind = block.get("objecttype") or "FILE"
        if kind != "FILE":
            template = "{name} is a {type}: only FILE can be brought here"
            notes.append(_note("data-type", template, f"{where}/objecttype", name=name, type=str(kind)))
        size = _size(block, name, where, notes)
        checksum = _checksum(block, name, where, notes)
        replicas = self._replicas(block, name, where, notes)
        if not replicas:
            notes.append(
                _note(
                    "no-replica", "{name} has no replica that can be fetched", f"{where}/replicas", name=name
                )
            )
        if any(note.level is Level.ERROR for note in notes):
            return Resolved(None, tuple(notes))
        if size is None:
            # one replica of known place is enough: copies of one file are equally long
            best = next((replica for replica in replicas if replica.site_id), replicas[0])
            size, more = self._http.size(name, best.url, f"{where}/datasize")
            notes += more
            if any(note.level is Level.ERROR for note in more):
                return Resolved(None, tuple(notes))
        return Resolved(DataItem(uuid, name, size, tuple(replicas), checksum), tuple(notes))

    def _replicas(self, block: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> list[Replica]:
        """The replicas that can be fetched; the others are warned of."""
        listed = block.get("replicas") or []
        if not isinstance(listed, list):
            notes.append(
                _note("data-replicas", "{name}: replicas is not a list", f"{where}/replicas", name=name)
            )
            return []
        found = []
        for number, entry in enumerate(listed):
            at = f"{where}/replicas/{number}"
            entry = entry if isinstance(entry, Mapping) else {}
            url, rse = entry.get("dataurl"), entry.get("rsename")
            wrong = wrong_with(url)
            if wrong is not None or not isinstance(url, str):
                template = "a replica of {name} is left out: its dataurl {wrong}"
                notes.append(
                    _note("data-location", template, f"{at}/dataurl", Level.WARN, name=name, wrong=str(wrong))
                )
                continue
            rse = rse if isinstance(rse, str) and rse else None
            found.append(Replica(url, self._site_id(url, rse, name, at, notes), rse))
        return found

    def _site_id(self, url: str, rse: str | None, name: str, at: str, notes: list[Note]) -> str | None:
        by_url = self._federation.site_of_url(url)
        by_rse = self._federation.site_of_rse(rse) if rse else None
        if rse and by_rse is None:
            template = "a replica of {name} is at {rse}, which no site of this federation owns"
            notes.append(_note("unknown-rse", template, f"{at}/rsename", Level.WARN, name=name, rse=rse))
        if by_url and by_rse and by_url.id != by_rse.id:
            # the bytes come from where the URL points to, whatever the name says
            template = "a replica of {name} is said to be at {rse}, but its URL is of {site}"
            notes.append(
                _note(
                    "unknown-rse",
                    template,
                    f"{at}/rsename",
                    Level.WARN,
                    name=name,
                    rse=str(rse),
                    site=by_url.id,
                )
            )
        site = by_url or by_rse
        return site.id if site else None


def _note(kind: str, template: str, path: str, level: Level = Level.ERROR, **values: str) -> Note:
    return Note(kind, template, values, level, path)


def _size(block: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> int | None:
    size = block.get("datasize")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        template = "the datasize of {name} is {size}: expected a whole number of bytes"
        notes.append(_note("data-size", template, f"{where}/datasize", name=name, size=repr(size)))
        return None
    return size


def _checksum(block: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> tuple[str, str] | None:
    """(algorithm, hexadecimal value in small letters); a kind that can't be verified is warned of."""
    given = block.get("checksum")
    if given is None:
        return None
    given = given if isinstance(given, Mapping) else {}
    algorithm = str(given.get("type") or "").lower().replace("-", "")
    value = str(given.get("value") or "").lower()
    if algorithm not in CHECKSUM_DIGITS:
        template = "the checksum of {name} can't be verified: {type} is none of {known}"
        known = ", ".join(CHECKSUM_DIGITS)
        type_ = repr(given.get("type"))
        notes.append(
            _note(
                "data-checksum",
                template,
                f"{where}/checksum/type",
                Level.WARN,
                name=name,
                type=type_,
                known=known,
            )
        )
        return None
    if not re.fullmatch(f"[0-9a-f]{{{CHECKSUM_DIGITS[algorithm]}}}", value):
        template = "the checksum of {name} is {value}: expected {digits} hexadecimal digits for {type}"
        digits = str(CHECKSUM_DIGITS[algorithm])
        at = f"{where}/checksum/value"
        notes.append(
            _note("data-checksum", template, at, name=name, value=repr(value), digits=digits, type=algorithm)
        )
        return None
    return algorithm, value
