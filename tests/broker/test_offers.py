"""Offers: what is asked is kept, and the best is first and says why."""

from datetime import timedelta

import pytest

from broker.model import Level
from broker.offers import price
from broker.offers.checks import unknown_sizes
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import LIFETIME, ask, figure, sites, texts


def test_the_site_where_the_data_comes_soonest_is_first_and_says_why(federation):
    offers = ask(federation, make_request(data=[make_data("penticton", "perth")]))
    # Perth and Penticton hold the data; at equal seconds the cheaper is first. Lausanne takes the fast path.
    assert sites(offers) == ["penticton", "perth", "lausanne"]
    moves = [placement.staging.moves[0].source for placement in offers.placements]
    assert moves == ["penticton", "perth", "perth"]
    words = texts(offers.placements[2].notes)
    assert any(
        "3 of 3: result expected from lausanne by" in text and "after penticton" in text for text in words
    )
    assert any(
        "http://data.perth.example/ngc1365.fits (200 MB) from perth to lausanne" in text
        and "measured by 6 iperf3 tests, the newest 4 min old" in text
        for text in words
    )
    assert all(note.level is Level.INFO for note in offers.placements[2].notes)


def test_at_the_same_time_the_cheapest_is_first(federation):
    offers = ask(federation, make_request())
    assert sites(offers) == ["penticton", "lausanne", "perth"]
    assert "for less money" in offers.placements[0].notes[0].text


def test_preparation_is_done_before_the_start_and_an_offer_accepted_late_still_fits(federation):
    offers = ask(federation, make_request(data=[make_data("penticton")]))
    for placement in offers.placements:
        prepare = timedelta(seconds=placement.prepare_seconds)
        assert placement.start >= NOW + prepare
        assert placement.start + placement.start_within >= NOW + LIFETIME + prepare - timedelta(seconds=1)


def test_a_start_far_ahead_is_prepared_shortly_before_it(federation):
    start = NOW + timedelta(days=1), NOW + timedelta(days=1, hours=6)
    offers = ask(federation, make_request(data=[make_data("penticton")], start=start))
    for placement in offers.placements:
        assert placement.start == start[0]
        assert placement.start_within == timedelta(0)
        early = placement.start - timedelta(seconds=placement.prepare_seconds)
        assert early - timedelta(hours=1) < placement.prepare_start < early


def test_costs_and_metrics_are_those_of_the_site(federation):
    offers = ask(federation, make_request(cores=(2, 4), data=[make_data("perth")]))
    offer = next(placement for placement in offers.placements if placement.site_id == "lausanne")
    assert offer.cores == 4
    assert figure(offer.costs, price.MONETARY).maximum == pytest.approx(4 * 0.2)
    assert figure(offer.costs, price.ENERGY).maximum == pytest.approx(4 * 10 / 1000)
    assert figure(offer.costs, price.CARBON).maximum == pytest.approx(4 * 10 / 1000 * 250)
    assert figure(offer.costs, price.TRANSFER_BYTES).maximum == 200_000_000
    seconds = figure(offer.costs, price.TRANSFER_SECONDS)
    assert (seconds.minimum, seconds.maximum) == (offer.staging.seconds.p10, offer.staging.seconds.p90)
    assert figure(offer.metrics, price.COMPUTE_PERFORMANCE).minimum == 150.0
    path = figure(offer.metrics, price.PATH_THROUGHPUT)
    assert (path.minimum, path.maximum) == pytest.approx((64e6, 88e6))
    result = figure(offer.metrics, price.SECONDS_TO_RESULT)
    assert result.maximum == (offer.start + offer.duration - NOW).total_seconds()
    assert result.minimum < result.maximum
    at_home = next(placement for placement in offers.placements if placement.site_id == "perth")
    assert figure(at_home.costs, price.TRANSFER_BYTES).maximum == 0
    assert price.PATH_THROUGHPUT not in {metric.type for metric in at_home.metrics}


def test_a_maximum_is_never_exceeded_and_one_beyond_the_site_is_a_warning(federation):
    offers = ask(federation, make_request(cores=(1, 100), memory=(1, 2)))
    for placement in offers.placements:
        assert (placement.cores, placement.memory_gib) == (8, 2)
        assert [note.level for note in placement.notes if note.kind == "resource-limit"] == [Level.WARN]


def test_without_a_maximum_the_minimum_is_offered(federation):
    offers = ask(federation, make_request(cores=(3, None)))
    assert {placement.cores for placement in offers.placements} == {3}


def test_data_of_unknown_size_is_assumed_to_have_one_gib(federation):
    request = make_request(data=[make_data("perth", size_bytes=None)])
    assert [note.level for note in unknown_sizes(request)] == [Level.WARN]
    offers = ask(federation, request)
    assert {placement.staging.size_bytes for placement in offers.placements} == {2**30}


def test_at_most_five_offers_are_made():
    many = make_federation(*(make_site(f"site{n}", n, n) for n in range(8)))
    offers = ask(many, make_request())
    assert len(offers.placements) == 5
