"""Data catalogues: where is this data, how big, which replicas. One file a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from broker.model import DataItem, Note, Replica
from federation.sites import Federation, Site

GROUP = "fairlead.catalogues"


@dataclass(frozen=True)
class Resolved:
    """What a catalogue says of one data resource: the item, or None with the reasons; notes may warn, too."""

    item: DataItem | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class File:
    """A file of a data item, as it can be fetched now. `path` is its path in the folder, with "/" between its
    parts; "" where the item itself is the file. `size_bytes` None: nobody says it. `checksum` as in
    `DataItem`."""

    path: str
    size_bytes: int | None
    replicas: tuple[Replica, ...]
    checksum: tuple[str, str] | None = None


class CatalogueError(Exception):
    """The catalogue could not do it. The text is one line for the client: what failed, and where."""


# of one folder: more would take the place of everybody's sessions
MOST_FILES = 10_000


class Catalogue(Protocol):
    """Resolves data resources of the kinds in `kinds` (last part of the kind URI: "simple-data-resource").

    `resolve` may block for up to 10 s and is called from a worker thread; it may be called again. It doesn't
    raise for data that can't be found: it says so in a note whose path starts with `path`.
    `resource` is the resource as the wire has it (JSON names); `uuid` and `name` are already decided. Its
    class has an `ABOUT`: see `federation.about`.
    """

    kinds: Sequence[str]

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved: ...


@runtime_checkable
class Unpacks(Protocol):
    """What a catalogue has besides whose items are `unpacked`."""

    def files(self, item: DataItem, site: Site, seconds: float) -> Sequence[File]:
        """The files of an item that this catalogue resolved, at most MOST_FILES, to be moved to `site` now.

        The item may come from the database, after a restart. Their replicas' URLs are http or https; they may
        be signed, for `seconds` at least, and are kept nowhere. May block for a minute; called from a worker
        thread, and again where moving is repeated. Raises CatalogueError.
        """
        ...


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
