"""From who has which file to replicas and parts, whatever lies where."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalogues import rucio_answers as answers
from broker.catalogues.rucio_missing import at_sites
from broker.catalogues.rucio_options import Staging
from broker.catalogues.rucio_placement import Bundle, Holding, Whereabouts
from broker.catalogues.rucio_replicas import placed
from broker.catalogues.rucio_rules import targets
from broker.catalogues.rucio_stores import Store, fetchable, read_store
from federation.sites import Federation, Place, Site
from netprobe.forecast import Forecast, from_outside

STORES = [
    Store(f"{site or 'none'}-{number}".upper(), site, f"https://{site or 'out'}.example:{8000 + number}/")
    for site in ("a", "b", "c", None)
    for number in (1, 2)
]
FEDERATION = Federation(
    "test",
    {
        "a": Site("a", "A", Place(0, 0), rses=("A-1",)),
        "b": Site("b", "B", Place(9, 0), data_hosts=("b.example:*",)),
        "c": Site("c", "C", Place(9, 9)),
    },
)
FILES = st.lists(
    st.tuples(st.frozensets(st.sampled_from(STORES), min_size=1, max_size=4), st.integers(1, 10**9)),
    min_size=1,
    max_size=12,
)


def whereabouts(files: list[tuple[frozenset[Store], int]]) -> Whereabouts:
    grouped: dict[frozenset[Store], list[int]] = {}
    for stores, size in files:
        grouped.setdefault(stores, []).append(size)
    bundles = tuple(
        Bundle(tuple(sorted(stores, key=lambda each: each.rse)), len(sizes), sum(sizes), "x")
        for stores, sizes in grouped.items()
    )
    held, sizes = Counter[Store](), Counter[Store]()
    for stores, size in files:
        for store in stores:
            held[store] += 1
            sizes[store] += size
    holdings = tuple(Holding(store, held[store], sizes[store]) for store in held)
    total = sum(size for _, size in files)
    return Whereabouts("sky", "survey", "DATASET", len(files), total, holdings, bundles)


def places(stores: Any) -> set[str]:
    return {store.site_id or store.rse for store in stores}


@given(FILES)
def test_replicas_have_all_of_it_or_parts_add_up_to_it(files: list[tuple[frozenset[Store], int]]) -> None:
    replicas, parts, _ = placed(whereabouts(files), "cube", "/data/0")
    if len({frozenset(places(stores)) for stores, _ in files}) == 1:
        # all that have some of it have all of it
        assert parts == ()
        assert sorted(one.site_id or str(one.rse) for one in replicas) == sorted(places(files[0][0]))
        return
    assert sum(part.files for part in parts) == len(files)
    assert sum(part.size_bytes for part in parts) == sum(size for _, size in files)
    assert {one.site_id or one.rse for one in replicas} == {
        one.site_id or one.rse for part in parts for one in part.replicas
    }
    # no two parts lie at the same places, and each lies where its files do
    at = [frozenset(one.site_id or str(one.rse) for one in part.replicas) for part in parts]
    assert len(set(at)) == len(at)
    assert set(at) == {frozenset(places(stores)) for stores, _ in files}


@given(FILES)
def test_rules_bring_to_a_site_what_it_lacks_and_nothing_else(
    files: list[tuple[frozenset[Store], int]],
) -> None:
    staging = [Staging(each.site_id or "", each.rse, 60.0, "x", False) for each in STORES if each.site_id]
    known = {each.rse: each for each in STORES}
    brought, notes = targets(whereabouts(files), staging, known, "cube", "/data/0")
    assert notes == []
    for each in staging:
        complete = all(each.site in places(stores) for stores, _ in files)
        here = [size for stores, size in files if known[each.rse] in stores]
        wanted = [one for one in brought if one.rse == each.rse]
        assert [one.files for one in wanted] == ([] if complete else [len(files) - len(here)])
        assert sum(one.size_bytes for one in wanted) == (
            0 if complete else sum(size for _, size in files) - sum(here)
        )


def forecast(source: str, destination: str) -> Forecast:
    return from_outside(destination)


@given(FILES)
def test_what_is_there_and_what_is_missing_are_all(files: list[tuple[frozenset[Store], int]]) -> None:
    found = whereabouts(files)
    for site in at_sites(found, FEDERATION, forecast):
        assert site.files + site.missing_files == found.files
        assert site.size_bytes + site.missing_bytes == found.size_bytes
        assert site.size_bytes == sum(size for stores, size in files if site.site_id in places(stores))
        assert (site.staging is None) == (site.missing_files == 0)
        assert site.staging is None or site.staging.size_bytes == site.missing_bytes
        assert (site.nowhere, site.exact) == (0, True)


def rse(name: str = "X", *schemes: str, **more: Any) -> answers.Rse:
    protocols = [
        answers.Protocol("b.example", scheme, 8443, "/ska/", {"wan": {"read": number}})
        for number, scheme in enumerate(schemes, 1)
    ]
    return answers.Rse(name, protocols=protocols, **more)


@pytest.mark.parametrize(
    ("found", "attributes", "site"),
    [
        (rse("A-1", "davs"), {"site": "c"}, "a"),
        (rse("X", "davs"), {"site": "C"}, "c"),
        (rse("X", "davs"), {"fairlead_site": "a", "site": "c"}, "a"),
        (rse("X", "davs"), {"site": "RAL"}, "b"),
        (rse("X", "root"), {"site": "RAL"}, None),
    ],
)
def test_whose_a_storage_element_is(found: answers.Rse, attributes: dict[str, Any], site: str | None) -> None:
    assert read_store(found, attributes, FEDERATION).site_id == site


def test_the_first_door_that_can_be_fetched_from_counts() -> None:
    store = read_store(rse("X", "root", "davs", "https"), {"istape": "True"}, FEDERATION)
    assert (store.door, store.schemes) == ("https://b.example:8443/ska/", ("root", "davs", "https"))
    assert store.tape
    off = answers.Protocol("b.example", "davs", 8443, "/", {"wan": {"read": None}})
    assert read_store(answers.Rse("X", protocols=[off]), {}, FEDERATION).door is None


@pytest.mark.parametrize(
    ("pfn", "url"),
    [
        ("davs://a.example:443/ska/f", "https://a.example/ska/f"),
        ("dav://a.example:80/f", "http://a.example/f"),
        (
            "s3://a.example:9000/bucket/f?X-Amz-Signature=1",
            "https://a.example:9000/bucket/f?X-Amz-Signature=1",
        ),
        ("https://a.example/f", "https://a.example/f"),
        ("root://a.example:1094//f", None),
        ("file:///etc/passwd", None),
        ("no url", None),
    ],
)
def test_which_urls_can_be_fetched(pfn: str, url: str | None) -> None:
    assert fetchable(pfn) == url
