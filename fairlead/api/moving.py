"""What bringing files to a site costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broker.offers.price import GIB, moved
from fairlead.api.frames import quantiles, three
from fairlead.api.opening import Opened, bytes_of
from federation.errors import InputError
from federation.sites import Site
from netprobe.cost import Item, Move, Staging, plan_staging
from netprobe.forecast import ForecastPath

# for each name its size and the sites that have it
Files = Mapping[str, tuple[str | float, Sequence[str]]]

MOVE_COLUMNS = ("file", "size_bytes", "source", "destination", *three("seconds"))
RANK_COLUMNS = ("site", *three("seconds"), "size_bytes", "moved_bytes", "price", "sources")


def staging(opened: Opened, forecast: ForecastPath, files: Files, destination: str) -> Staging:
    """The best replica for each file, and how long all take together. Raises InputError for wrong files."""
    site = opened.site("destination", destination)
    if not files:
        raise InputError('files: expected at least one, such as {"cube.fits": ("15 GB", ["perth"])}')
    items = [_item(opened, name, said) for name, said in files.items()]
    return plan_staging(items, site.id, forecast, site.link_bits_per_second)


def _item(opened: Opened, name: str, said: tuple[str | float, Sequence[str]]) -> Item:
    where = f"files[{name!r}]"
    if not isinstance(said, tuple) or len(said) != 2 or isinstance(said[1], str) or not said[1]:
        raise InputError(f'{where}: expected its size and sites, such as ("15 GB", ["perth"]), got {said!r}')
    size, sites = said
    replicas = [(name, opened.site(where, site).id) for site in sites]
    return Item(name, int(bytes_of(where, size)), replicas)


def move_row(one: Move) -> dict[str, Any]:
    return {
        "file": one.key,
        "size_bytes": one.size_bytes,
        "source": one.source,
        "destination": one.destination,
        **quantiles("seconds", one.seconds),
        **quantiles("bits_per_second", one.forecast.moving),
        "evidence": one.forecast.rung.value,
    }


def rank_row(site: Site, plan: Staging) -> dict[str, Any]:
    crossing = moved(plan)
    moved_bytes = sum(one.size_bytes for one in crossing)
    return {
        "site": site.id,
        **quantiles("seconds", plan.seconds),
        "size_bytes": plan.size_bytes,
        "moved_bytes": moved_bytes,
        "price": site.tariff.per_gib_moved * moved_bytes / GIB,
        "sources": ", ".join(dict.fromkeys(one.source or "outside" for one in crossing)),
    }
