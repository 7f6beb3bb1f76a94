"""Data catalogues: where is this data, how big, which replicas. One file a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from broker.model import DataItem, Note
from federation.sites import Federation

GROUP = "fairlead.catalogues"


@dataclass(frozen=True)
class Resolved:
    """What a catalogue says of one data resource: the item, or None with the reasons; notes may warn, too."""

    item: DataItem | None
    notes: tuple[Note, ...] = ()


class Catalogue(Protocol):
    """Resolves data resources of the kinds in `kinds` (last part of the kind URI: "simple-data-resource").

    `resolve` may block for up to 10 s and is called from a worker thread; it may be called again. It doesn't
    raise for data that can't be found: it says so in a note whose path starts with `path`.
    `resource` is the resource as the wire has it (JSON names); `uuid` and `name` are already decided.
    """

    kinds: Sequence[str]

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved: ...


class CatalogueFactory(Protocol):
    """`online` False: nothing may be fetched; what is not in the request itself is unknown."""

    def __call__(self, federation: Federation, online: bool) -> Catalogue: ...


def load_catalogues(federation: Federation, online: bool) -> dict[str, Catalogue]:
    """Every installed catalogue, by the kinds that it resolves."""
    found: dict[str, Catalogue] = {}
    for entry in entry_points(group=GROUP):
        factory: CatalogueFactory = entry.load()
        catalogue = factory(federation, online)
        found.update(dict.fromkeys(catalogue.kinds, catalogue))
    return found
