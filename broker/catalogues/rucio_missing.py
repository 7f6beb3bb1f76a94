"""What each site has of a collection, what it lacks, and how long bringing that would take, from where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from broker.catalogues.rucio_placement import Bundle, Whereabouts, on_disk
from broker.catalogues.rucio_stores import Store
from federation.sites import Federation, Site
from netprobe.cost import Item, Staging, plan_staging
from netprobe.forecast import ForecastPath


@dataclass(frozen=True)
class AtSite:
    """`files` of together `size_bytes` are there, on disk. `staging` brings what is missing but for `nowhere`
    files, which nobody has; None where there is nothing to bring. Not `exact`: at least so much is there, for
    files of several storages were counted and not compared."""

    site_id: str
    files: int
    size_bytes: int
    missing_files: int
    missing_bytes: int
    nowhere: int
    staging: Staging | None
    exact: bool = True


def at_sites(found: Whereabouts, federation: Federation, forecast: ForecastPath) -> list[AtSite]:
    """Each site of the federation, those that lack least first."""
    look = _counted if found.bundles is None else _by_file
    sites = [look(found, site, forecast) for site in federation]
    return sorted(sites, key=lambda each: each.missing_bytes)


def _by_file(found: Whereabouts, site: Site, forecast: ForecastPath) -> AtSite:
    bundles = found.bundles or ()
    here = [each for each in bundles if any(_at(store, site) for store in each.stores)]
    missing = [each for each in bundles if each not in here]
    items = [_item(str(number), each) for number, each in enumerate(missing) if each.stores]
    return AtSite(
        site.id,
        *_sums(here),
        *_sums(missing),
        sum(each.files for each in missing if not each.stores),
        _staging(items, site, forecast),
    )


def _counted(found: Whereabouts, site: Site, forecast: ForecastPath) -> AtSite:
    """By the one storage of the site that has most of it."""
    here = [each for each in found.holdings if _at(each.store, site)]
    files = max((each.files for each in here), default=0)
    size_bytes = max((each.size_bytes for each in here), default=0)
    missing = Bundle(
        tuple(each.store for each in found.whole()),
        max(found.files - files, 0),
        max(found.size_bytes - size_bytes, 0),
        "",
    )
    items = [_item("", missing)] if missing.files and missing.stores else []
    nowhere = 0 if missing.stores else missing.files
    staging = _staging(items, site, forecast)
    return AtSite(
        site.id, files, size_bytes, missing.files, missing.size_bytes, nowhere, staging, exact=len(here) < 2
    )


def _at(store: Store, site: Site) -> bool:
    return store.site_id == site.id and on_disk(store)


def _sums(bundles: Iterable[Bundle]) -> tuple[int, int]:
    some = list(bundles)
    return sum(each.files for each in some), sum(each.size_bytes for each in some)


def _item(key: str, bundle: Bundle) -> Item:
    replicas = [(store.door or store.rse, store.site_id) for store in bundle.stores]
    return Item(key, bundle.size_bytes, replicas, bundle.files)


def _staging(items: list[Item], site: Site, forecast: ForecastPath) -> Staging | None:
    return plan_staging(items, site.id, forecast, site.link_bits_per_second) if items else None
