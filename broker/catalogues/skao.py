"""Data of the SKA data lake: `skao-data-resource`. The request names size, checksum and replicas; where it
lists no replica, Rucio knows them by namespace and name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from broker.catalogues import Brought, File, Resolved
from broker.catalogues.fields import block, note, one_file, refused, size, text
from broker.catalogues.http import HttpCatalogue
from broker.catalogues.ivoa import access_url, read_ivoid
from broker.catalogues.rucio import TYPES, RucioCatalogue
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica, Target
from federation.about import About
from federation.sites import Federation, Site

# what the mover can verify, and how many hexadecimal digits each has
CHECKSUM_DIGITS = {"sha256": 64, "md5": 32, "adler32": 8}


class SkaoCatalogue:
    """A replica's URL says which site holds it; where no site is known to serve the URL, its RSE does.

    What Rucio says counts, where it is asked: of size and checksum, too.
    """

    ABOUT = About(
        does="Data of the SKA data lake, with the request's replicas or those that its Rucio knows.",
        cannot="Asks Rucio only where [catalogues.rucio] says how.",
    )

    kinds: Sequence[str] = ("skao-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._federation, self._online = federation, online
        self._http = HttpCatalogue(federation, online)
        self._rucio = RucioCatalogue(federation, online)

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        skao, where = block(resource, "skao"), f"{path}/skao"
        if not skao:
            return Resolved(None, (note("skao", "{name} has no skao block", where, name=name),))
        by_rucio = self._by_rucio(uuid, name, resource, path)
        if by_rucio is not None:
            return by_rucio
        notes: list[Note] = []
        one_file(skao, "objecttype", name, where, notes)
        length = size(skao, "datasize", name, where, notes)
        checksum = _checksum(skao, name, where, notes)
        ivoid = read_ivoid(block(resource, "ivoa"), name, f"{path}/ivoa", notes)
        replicas = self._replicas(skao, name, where, notes) or self._unlisted(resource, name, path, notes)
        if not replicas:
            template = "{name} has no replica that can be fetched: name one, with the http or https URL of it"
            notes.append(note("no-replica", template, f"{where}/replicas", name=name))
        if refused(notes):
            return Resolved(None, tuple(notes))
        if length is None:
            # one replica of known place is enough: copies of one file are equally long
            best = next((replica for replica in replicas if replica.site_id), replicas[0])
            length, more = self._http.size(name, best.url, f"{where}/datasize")
            notes += more
            if refused(notes):
                return Resolved(None, tuple(notes))
        namespace = text(skao, "namespace")
        item = DataItem(uuid, name, length, tuple(replicas), checksum, namespace=namespace, ivoid=ivoid)
        return Resolved(item, tuple(notes))

    def files(self, item: DataItem, site: Site, seconds: float = 0.0) -> Sequence[File]:
        """See `broker.catalogues.Unpacks`: those of what Rucio resolved."""
        return self._rucio.files(item, site, seconds)

    def begin(self, item: DataItem, target: Target, session: str, seconds: float) -> None:
        """See `broker.catalogues.Stages`."""
        self._rucio.begin(item, target, session, seconds)

    def look(self, item: DataItem, target: Target, session: str) -> Brought:
        """See `broker.catalogues.Stages`."""
        return self._rucio.look(item, target, session)

    def end(self, item: DataItem, target: Target, session: str) -> None:
        """See `broker.catalogues.Stages`."""
        self._rucio.end(item, target, session)

    def _by_rucio(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved | None:
        """What Rucio says of it; None where there is nobody to ask, or the request says where it is."""
        skao, where = block(resource, "skao"), f"{path}/skao"
        scope, key = text(skao, "namespace"), text(skao, "objectname")
        if not self._rucio.is_there or scope is None or key is None or skao.get("replicas"):
            return None
        notes: list[Note] = []
        if access_url(block(resource, "ivoa"), name, f"{path}/ivoa", notes) is not None or refused(notes):
            return None
        length = size(skao, "datasize", name, where, notes)
        ivoid = read_ivoid(block(resource, "ivoa"), name, f"{path}/ivoa", notes)
        kind = skao.get("objecttype")
        if kind not in (None, *TYPES):
            template = "{name} is a {type}: expected {known}"
            values = {"name": name, "type": str(kind), "known": ", ".join(TYPES)}
            notes.append(Note("data-type", template, values, path=f"{where}/objecttype"))
        if refused(notes):
            return Resolved(None, tuple(notes))
        found = self._rucio.find(uuid, name, scope, key, None, kind, where)
        notes += found.notes
        if found.item is None:
            return Resolved(None, tuple(notes))
        if length not in (None, found.item.size_bytes):
            template = "{name} is said to have {said} bytes: Rucio says {size}, which counts"
            values = {"name": name, "said": str(length), "size": str(found.item.size_bytes)}
            notes.append(Note("data-size", template, values, Level.WARN, f"{where}/datasize"))
        return Resolved(replace(found.item, ivoid=ivoid), tuple(notes))

    def _unlisted(
        self, resource: Mapping[str, Any], name: str, path: str, notes: list[Note]
    ) -> list[Replica]:
        """Where the data is if no replica is listed: where its IVOA rows say, or, just for show, anywhere."""
        skao = block(resource, "skao")
        if skao.get("replicas"):
            return []
        address = access_url(block(resource, "ivoa"), name, f"{path}/ivoa", notes)
        if address is not None:
            site = self._federation.site_of_url(address[0])
            return [Replica(address[0], site.id if site else None)]
        key = text(skao, "objectname")
        if self._online or key is None:
            return []
        return [Replica(f"rucio://{quote(text(skao, 'namespace') or 'skao', safe='')}/{quote(key)}", None)]

    def _replicas(self, skao: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> list[Replica]:
        """The replicas that can be fetched; the others are warned of."""
        listed = skao.get("replicas") or []
        if not isinstance(listed, list):
            notes.append(
                note("data-replicas", "{name}: replicas is not a list", f"{where}/replicas", name=name)
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
                    note("data-location", template, f"{at}/dataurl", Level.WARN, name=name, wrong=str(wrong))
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
            notes.append(note("unknown-rse", template, f"{at}/rsename", Level.WARN, name=name, rse=rse))
        if by_url and by_rse and by_url.id != by_rse.id:
            # the bytes come from where the URL points to, whatever the name says
            template = "a replica of {name} is said to be at {rse}, but its URL is of {site}"
            notes.append(
                note(
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


def _checksum(skao: Mapping[str, Any], name: str, where: str, notes: list[Note]) -> tuple[str, str] | None:
    """(algorithm, hexadecimal value in small letters); a kind that can't be verified is warned of."""
    given = skao.get("checksum")
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
            note(
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
            note("data-checksum", template, at, name=name, value=repr(value), digits=digits, type=algorithm)
        )
        return None
    return algorithm, value
