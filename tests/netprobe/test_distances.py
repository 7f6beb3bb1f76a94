"""Distances for Rucio and links for FTS, from forecasts."""

from __future__ import annotations

import dataclasses

import pytest

from federation.sites import Federation, Place, Site
from netprobe.distances import distances, for_fts, for_rucio, streams
from netprobe.forecast import Forecast, Rung
from netprobe.quantiles import Quantiles

FEDERATION = Federation(
    "test",
    {
        "near": Site(
            "near", "Near", Place(0, 0), rses=("NEAR-DISK", "NEAR-TAPE"), data_hosts=("near.example:8443",)
        ),
        "far": Site(
            "far", "Far", Place(0, 90), rses=("FAR-DISK",), data_hosts=("far.example", "*.far.example")
        ),
        "bare": Site("bare", "Bare", Place(0, 20)),
    },
)


def forecast(source: str, destination: str, rate: float = 1e9, rtt: float = 0.2) -> Forecast:
    exact = Quantiles(1.0, 1.0, 1.0)
    spread = Quantiles(rate / 2, rate, rate * 2)
    slow = "far" in (source, destination)
    rate_of = spread if not slow else Quantiles(rate / 40, rate / 20, rate / 10)
    return Forecast(source, destination, rate_of, rtt, 1448.0, Rung.MEASURED, 3, 1.0, (), 0, exact, "made")


def test_a_distance_is_the_seconds_of_a_reference_transfer_and_never_0() -> None:
    found = {(one.source, one.destination): one for one in distances(FEDERATION, forecast)}
    assert len(found) == 6
    # 10 GB at 1 Gbit/s, and at a twentieth of it
    assert 80 <= found["near", "bare"].distance <= 95
    assert found["near", "far"].distance > 15 * found["near", "bare"].distance
    assert all(one.distance == 1 for one in distances(FEDERATION, forecast, size_bytes=1.0))
    assert all(isinstance(one.distance, int) and one.distance >= one.seconds.p50 for one in found.values())


def test_rucio_gets_every_pair_of_storage_elements_in_both_directions() -> None:
    documents = for_rucio(distances(FEDERATION, forecast), FEDERATION)
    pairs = {(document["source"], document["destination"]) for document in documents}
    assert pairs == {
        ("NEAR-DISK", "FAR-DISK"),
        ("NEAR-TAPE", "FAR-DISK"),
        ("FAR-DISK", "NEAR-DISK"),
        ("FAR-DISK", "NEAR-TAPE"),
    }
    assert all(set(document) == {"source", "destination", "distance"} for document in documents)


def test_fts_gets_a_link_for_every_pair_of_hosts_and_none_for_patterns() -> None:
    documents = for_fts(distances(FEDERATION, forecast), FEDERATION)
    assert [(document["source"], document["destination"]) for document in documents] == [
        ("https://near.example:8443", "https://far.example"),
        ("https://far.example", "https://near.example:8443"),
    ]
    assert documents[0]["symbolicname"] == "near.example:8443-to-far.example"
    assert documents[0]["min_active"] <= documents[0]["max_active"]


@pytest.mark.parametrize(
    ("rate", "rtt", "expected"),
    [
        (1e8, 0.01, 1),  # 125 kB on the way
        (1e9, 0.2, 4),  # 25 MB
        (1e11, 0.3, 16),  # more than anybody opens
    ],
)
def test_streams_fill_the_path(rate: float, rtt: float, expected: int) -> None:
    path = dataclasses.replace(forecast("near", "bare", rate, rtt))
    assert streams(path) == expected
