"""Data in Rucio: `rucio-data-resource`. No Rucio service is asked yet, so that its replicas aren't known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from broker.catalogues import Resolved
from broker.catalogues.fields import block, note, one_file, refused, text, unknown_size
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Note, Replica
from federation.sites import Federation


class RucioCatalogue:
    """Where nothing may be fetched anyway, the data is taken to be somewhere; else it is a NO."""

    kinds: Sequence[str] = ("rucio-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._online = online

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        rucio, where = block(resource, "rucio"), f"{path}/rucio"
        notes: list[Note] = []
        scope, key = text(rucio, "scope"), text(rucio, "object")
        for field, value in (("scope", scope), ("object", key)):
            if value is None:
                template = "the {field} of {name} is required: Rucio knows data by scope and object"
                notes.append(note("missing-value", template, f"{where}/{field}", field=field, name=name))
        endpoint = text(rucio, "endpoint")
        wrong = wrong_with(endpoint) if endpoint is not None else None
        if wrong is not None:
            template = "the endpoint of {name} {wrong}"
            notes.append(note("data-location", template, f"{where}/endpoint", name=name, wrong=wrong))
        one_file(rucio, "type", name, where, notes)
        if self._online and not refused(notes):
            template = (
                "{name} is in Rucio, and this broker has no Rucio service to ask where its replicas are: "
                "name them in a skao-data-resource, or one URL in a simple-data-resource"
            )
            notes.append(note("no-catalogue", template, where, name=name))
        if scope is None or key is None or refused(notes):
            return Resolved(None, tuple(notes))
        replica = Replica(f"rucio://{quote(scope, safe='')}/{quote(key)}", None)
        item = DataItem(uuid, name, None, (replica,), endpoint=endpoint, namespace=scope)
        return Resolved(item, (*notes, unknown_size(name, where)))
