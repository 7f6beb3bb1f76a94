"""Folders, and what is signed for a short time: their catalogue says, just before they are moved, where each
file is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from broker.catalogues import Catalogue, CatalogueError, File, Unpacks
from broker.model import DataItem
from broker.offers.policy import fetchable
from broker.offers.reach import Reach
from broker.platforms import PlatformError
from broker.platforms.places import parts_of
from federation.sites import Site
from federation.urls import server_of
from netprobe.cost import Item, Move, plan_files
from netprobe.forecast import ForecastPath

# URLs are signed for so many times the forecast of the move (90 %), and for this many seconds in any case
PATIENCE = 10.0
LEAST_SECONDS = 900.0


def no_bearers(urls: Sequence[str]) -> Mapping[str, str]:
    """Where no server is shown a token."""
    return {}


@dataclass(frozen=True)
class Unpacker:
    """What it takes to know the files of an item. Blocks, where an item is to be unpacked."""

    catalogues: Mapping[str, Catalogue]
    forecast: ForecastPath
    # the tokens of the servers of URLs, by server ("https://HOST:PORT"); raises CatalogueError
    bearers: Callable[[Sequence[str]], Mapping[str, str]] = no_bearers
    # which addresses sites may fetch from; None: any
    reach: Reach | None = None

    def files(self, item: DataItem, move: Move, site: Site) -> list[tuple[DataItem, Move]]:
        """The item and its move; or each of its files, with the replica that is fastest to bring now. Those
        whose servers want to see a token have it.

        Raises PlatformError.
        """
        found = self._parts(item, move, site) if item.unpacked else [(item, move)]
        try:
            tokens = self.bearers([each.url for _, each in found])
        except CatalogueError as error:
            raise PlatformError(f"{item.name}: {error}") from error
        return [(_known(each, tokens), its_move) for each, its_move in found] if tokens else found

    def _parts(self, item: DataItem, move: Move, site: Site) -> list[tuple[DataItem, Move]]:
        catalogue = self.catalogues.get(item.kind)
        if not isinstance(catalogue, Unpacks):
            raise PlatformError(f"{item.name}: no catalogue of this broker knows {item.kind} any more")
        try:
            found = catalogue.files(item, site, max(PATIENCE * move.seconds.p90, LEAST_SECONDS))
        except CatalogueError as error:
            raise PlatformError(f"{item.name}: {error}") from error
        if self.reach is not None:
            self.reach.learn([site], [replica for file in found for replica in file.replicas])
        parts = {}
        for number, file in enumerate(found):
            part = _part(item, file, number)
            allowed = fetchable(site, file.replicas, self.reach)
            if not allowed:
                raise PlatformError(f"{part.name}: nothing that {site.id} may fetch from holds it now")
            parts[part.uuid] = replace(part, replicas=allowed)
        if not parts:
            raise PlatformError(f"{item.name}: there is no file in it any more")
        items = [
            Item(part.uuid, part.size_bytes or 0, [(one.url, one.site_id) for one in part.replicas])
            for part in parts.values()
        ]
        # by the same sums as they were priced by, where their catalogue knew them in parts
        moves = plan_files(items, site.id, self.forecast)
        return [(parts[each.key], each) for each in moves]


def _known(item: DataItem, tokens: Mapping[str, str]) -> DataItem:
    """The item with the tokens of its servers."""
    replicas = [replace(each, bearer=tokens.get(server_of(each.url) or "")) for each in item.replicas]
    return replace(item, replicas=tuple(replicas))


def _part(item: DataItem, file: File, number: int) -> DataItem:
    known = replace(
        item, size_bytes=file.size_bytes, checksum=file.checksum, files=1, unpacked=False, parts=()
    )
    if not file.path:
        return known
    name = file.path.strip("/")
    return replace(known, uuid=f"{item.uuid}.{number}", name=name, folder=(item.uuid, item.name))


def where(wanted: Sequence[tuple[DataItem, Move]], paths: Mapping[str, Path]) -> dict[str, Path]:
    """Where each item lies, by uuid: of a folder's files their folder."""
    found: dict[str, Path] = {}
    for item, _ in wanted:
        path = paths[item.uuid]
        if item.folder is None:
            found[item.uuid] = path
        else:
            found.setdefault(item.folder[0], path.parents[len(parts_of(item.name)) - 1])
    return found
