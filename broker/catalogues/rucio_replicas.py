"""What is known of a collection's whereabouts as replicas for offers, and in words for the client."""

from __future__ import annotations

from collections.abc import Sequence

from broker.catalogues.fields import note
from broker.catalogues.rucio_files import place_url
from broker.catalogues.rucio_placement import Bundle, Whereabouts, on_disk, usable
from broker.catalogues.rucio_stores import Store
from broker.model import Level, Note, Part, Replica
from federation.units import format_count, format_size

# of storages that are named in one message
MOST_NAMED = 8


def placed(
    found: Whereabouts, name: str, where: str
) -> tuple[tuple[Replica, ...], tuple[Part, ...], list[Note]]:
    """A replica for each site; and where some have not all of it, a part for each set of files that lie at
    the same sites. Files of two storages of one site are together."""
    if found.bundles is None:
        return _replicas(found, [each.store for each in found.whole()]), (), []
    at = [(_sites(each.stores), each) for each in found.bundles]
    everywhere = set.intersection(*(set(sites) for sites, _ in at))
    tape = [each for each in found.bundles if all(store.tape for store in each.stores)]
    notes = [_on_tape(tape, name, where)] if tape else []
    merged: dict[frozenset[str], list[Bundle]] = {}
    for sites, each in at:
        merged.setdefault(sites, []).append(each)
    parts = tuple(
        Part(
            sum(each.size_bytes for each in some),
            sum(each.files for each in some),
            _replicas(found, [store for each in some for store in each.stores]),
        )
        for some in merged.values()
    )
    if not everywhere:
        template = "no site has all of {name}: it comes in {parts} parts, from {sites}"
        named = sorted({site for key in merged for site in key})
        values = {"name": name, "parts": str(len(parts)), "sites": _listed(named)}
        notes.append(note("data-in-parts", template, where, Level.INFO, **values))
    every = _replicas(found, [store for each in found.bundles for store in each.stores])
    return every, parts if len(parts) > 1 else (), notes


def said(found: Whereabouts, name: str, where: str) -> list[Note]:
    """Who has how much of it, and why what is there can't be used."""
    some = []
    for each in found.holdings:
        amount = "all" if each.files >= found.files else format_count(each.files, "file")
        some.append(f"{amount} at {_place(each.store)}{_remark(each.store)}")
    template = "{name} is {did} in Rucio ({type}, {files}, {size}): {places}"
    values = {
        "name": name,
        "did": found.did,
        "type": found.type,
        "files": format_count(found.files, "file"),
        "size": format_size(found.size_bytes),
        "places": _listed(some) or "no copy of it anywhere",
    }
    return [note("data-where", template, where, Level.INFO, **values)]


def incomplete(found: Whereabouts, name: str, where: str) -> list[Note]:
    """Where some of it, or all, can be had nowhere."""
    nowhere = [each for each in found.bundles or () if not each.stores]
    if not nowhere:
        return []
    missing = sum(each.files for each in nowhere)
    template = (
        "{missing} of the {files} files of {name} can be fetched from nowhere now, {example} among them"
    )
    values = {
        "missing": str(missing),
        "files": str(found.files),
        "name": name,
        "example": nowhere[0].example,
    }
    return [Note("data-incomplete", template, values, path=where)]


def _on_tape(tape: Sequence[Bundle], name: str, where: str) -> Note:
    files = sum(each.files for each in tape)
    template = "{files} of {name} are on tape alone, at {sites}, whose own time is not in the forecast"
    if files == 1:
        template = template.replace(" are ", " is ")
    values = {
        "files": format_count(files, "file"),
        "name": name,
        "sites": _listed(sorted({_place(store) for each in tape for store in each.stores})),
    }
    return note("data-on-tape", template, where, Level.WARN, **values)


def _replicas(found: Whereabouts, stores: Sequence[Store]) -> tuple[Replica, ...]:
    """One for each site, and one for each storage that is no site's."""
    by_place = {_site(store): store for store in reversed(stores)}
    chosen = [by_place[_site(store)] for store in stores]
    return tuple(
        Replica(place_url(store, found.scope, found.name), store.site_id, store.rse)
        for store in dict.fromkeys(chosen)
    )


def _sites(stores: Sequence[Store]) -> frozenset[str]:
    return frozenset(_site(store) for store in stores)


def _site(store: Store) -> str:
    return store.site_id or f"RSE {store.rse}"


def _place(store: Store) -> str:
    return f"{store.rse} ({store.site_id})" if store.site_id else f"{store.rse} (no site of ours)"


def _remark(store: Store) -> str:
    if on_disk(store):
        return ""
    if usable(store):
        return ", on tape"
    if not store.readable:
        return ", which can't be read now"
    return f", by {' and '.join(store.schemes) or 'nothing'} alone"


def _listed(words: Sequence[str]) -> str:
    if len(words) <= MOST_NAMED:
        return ", ".join(words)
    return f"{', '.join(words[:MOST_NAMED])} and {len(words) - MOST_NAMED} more"
