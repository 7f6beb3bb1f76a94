"""Data catalogues: where is this data, how big, which replicas. One file a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from broker.model import DataItem, Note, Replica, Target
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


class StagingRefused(CatalogueError):  # noqa: N818 - an answer
    """The data's own system won't bring it there, or has given it up. Asking again won't help."""


@dataclass(frozen=True)
class Brought:
    """How far the data's own system is with an item. `files` of `of` are there, of together `size_bytes`."""

    done: bool
    files: int
    of: int
    size_bytes: int
    # of what is done: how long that took, by that system's own clock
    seconds: float | None = None


# of one folder: more would take the place of everybody's sessions
MOST_FILES = 10_000
# of one item: an exabyte, which nobody has. What is more is a mistake, and no database would take it
MOST_BYTES = 10**18


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


@runtime_checkable
class Stages(Protocol):
    """What a catalogue has besides whose items have `targets`: its system brings them to a site's storage.

    Calls are made from worker threads, may block for 20 s, and may be repeated. `session` is the session's
    uuid, which what is begun is known by: the item may come from the database, after a restart. They raise
    CatalogueError where nothing could be learnt, StagingRefused where the answer is no.
    """

    def begin(self, item: DataItem, target: Target, session: str, seconds: float) -> None:
        """Have the item brought to `target`, and kept there for `seconds`. Begun before: does nothing."""
        ...

    def look(self, item: DataItem, target: Target, session: str) -> Brought:
        """How far it is. When it is done, `Unpacks.files` names the copies at `target` among others."""
        ...

    def end(self, item: DataItem, target: Target, session: str) -> None:
        """Need it there no longer, done or not. Never begun, or ended before: does nothing. Refused: it ends
        by itself when its seconds are over."""
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
