"""Offers: what is asked is kept, the best is first, and every NO says what would make it a YES."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.model import Level, Limit, MinMax, StorageItem
from broker.offers import price
from broker.offers.checks import pool, unknown_sizes
from broker.offers.engine import find_candidates, make_offers
from broker.platforms import load_platform
from federation.clock import ManualClock
from netprobe.forecast import Forecast, Rung
from netprobe.quantiles import Quantiles
from reservations.capacity import Booking, Capacity, free_throughout
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site

LIFETIME = timedelta(minutes=5)
# Mbit/s by (source, destination); the way from Penticton to Lausanne is much worse than the way back
RATES = {("penticton", "lausanne"): 5.0, ("lausanne", "penticton"): 100.0, ("perth", "lausanne"): 80.0}


def forecast(source, destination):
    rate = RATES.get((source, destination), 20.0) * 1e6 if source != destination else 10e9
    return Forecast(
        source,
        destination,
        Quantiles(0.8 * rate, rate, 1.1 * rate),
        0.1,
        8948.0,
        Rung.SAME_SITE if source == destination else Rung.MEASURED,
        6,
        240.0,
        ("iperf3",),
        0,
        Quantiles(1.0, 1.0, 1.0),
        "measured by 6 iperf3 tests, the newest 4 min old",
    )


def ask(federation, request, taken=None, lifetime=LIFETIME, tmp_path=None):
    clock = ManualClock(NOW)
    platforms = {site.id: load_platform(site, federation, clock, tmp_path or "work") for site in federation}
    candidates, reasons = find_candidates(federation, platforms, request, forecast)
    return reasons, make_offers(candidates, taken or {}, NOW, lifetime)


def sites(offers):
    return [placement.site_id for placement in offers.placements]


def texts(notes):
    return [note.text for note in notes]


def figure(figures, type_):
    return next(figure for figure in figures if figure.type == type_)


def test_the_site_where_the_data_comes_soonest_is_first_and_says_why(federation):
    _, offers = ask(federation, make_request(data=[make_data("penticton", "perth")]))
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
    _, offers = ask(federation, make_request())
    assert sites(offers) == ["penticton", "lausanne", "perth"]
    assert "for less money" in offers.placements[0].notes[0].text


def test_preparation_is_done_before_the_start_and_an_offer_accepted_late_still_fits(federation):
    _, offers = ask(federation, make_request(data=[make_data("penticton")]))
    for placement in offers.placements:
        prepare = timedelta(seconds=placement.prepare_seconds)
        assert placement.start >= NOW + prepare
        assert placement.start + placement.start_within >= NOW + LIFETIME + prepare - timedelta(seconds=1)


def test_a_start_far_ahead_is_prepared_shortly_before_it(federation):
    start = NOW + timedelta(days=1), NOW + timedelta(days=1, hours=6)
    _, offers = ask(federation, make_request(data=[make_data("penticton")], start=start))
    for placement in offers.placements:
        assert placement.start == start[0]
        assert placement.start_within == timedelta(0)
        early = placement.start - timedelta(seconds=placement.prepare_seconds)
        assert early - timedelta(hours=1) < placement.prepare_start < early


def test_costs_and_metrics_are_those_of_the_site(federation):
    _, offers = ask(federation, make_request(cores=(2, 4), data=[make_data("perth")]))
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
    _, offers = ask(federation, make_request(cores=(1, 100), memory=(1, 2)))
    for placement in offers.placements:
        assert (placement.cores, placement.memory_gib) == (8, 2)
        assert [note.level for note in placement.notes if note.kind == "resource-limit"] == [Level.WARN]


def test_without_a_maximum_the_minimum_is_offered(federation):
    _, offers = ask(federation, make_request(cores=(3, None)))
    assert {placement.cores for placement in offers.placements} == {3}


def test_what_no_site_is_large_enough_for_is_a_no_with_the_nearest_change_for_each(federation):
    reasons, offers = ask(federation, make_request(cores=(9, None), duration=timedelta(days=2)))
    assert not offers.placements
    for site in federation:
        mine = [text for text in texts(reasons) if text.startswith(site.id)]
        assert any("ask for at most 8" in text for text in mine)
        assert any("ask for at most 1 d" in text for text in mine)
    _, offers = ask(federation, make_request(cores=(8, None), duration=timedelta(days=1)))
    assert len(offers.placements) == 3


def test_where_all_is_taken_fewer_cores_or_a_later_start_are_named_and_do(federation):
    busy = Booking(NOW, NOW + timedelta(hours=3), 5, 0)
    taken = {site.id: [busy] for site in federation}
    start = NOW, NOW + timedelta(hours=1)
    _, offers = ask(federation, make_request(cores=(4, None), start=start), taken)
    assert not offers.placements
    for note in offers.notes:
        assert "ask for at most 3 cores, or ask for a start up to 2026-11-25T15:00:00Z" in note.text
    _, offers = ask(federation, make_request(cores=(3, None), start=start), taken)
    assert len(offers.placements) == 3
    _, offers = ask(federation, make_request(cores=(4, None), start=(NOW, NOW + timedelta(hours=3))), taken)
    assert [placement.start for placement in offers.placements] == [NOW + timedelta(hours=3)] * 3


def test_data_that_cannot_be_there_in_time_is_a_no_that_says_when_it_would_be(federation):
    data = [make_data("penticton", size_bytes=2_000_000_000)]
    start = NOW, NOW + timedelta(minutes=1)
    _, offers = ask(federation, make_request(data=data, start=start))
    assert sites(offers) == ["penticton"]
    late = next(note for note in offers.notes if note.values["site"] == "lausanne")
    assert f"ask for a start up to {late.values['ready']}" in late.text


def test_limits_drop_offers_with_the_reason(federation):
    limit = Limit(price.MONETARY, maximum=0.15)
    _, offers = ask(federation, make_request(cost_limits=(limit,)))
    assert sites(offers) == ["penticton"]
    assert (
        "perth: urn:ivoa:calycopis:cost:monetary is up to 0.3, more than the limit 0.15"
        in texts(offers.notes)[0]
    )
    fast = Limit(price.COMPUTE_PERFORMANCE, minimum=1e12)
    _, offers = ask(federation, make_request(metric_limits=(fast,)))
    assert not offers.placements
    assert all("lower the limit to 150" in text for text in texts(offers.notes))
    _, offers = ask(federation, make_request(cost_limits=(Limit("urn:example:tears", maximum=1),)))
    assert not offers.placements
    assert all("leave that limit out" in text for text in texts(offers.notes))


def test_data_of_unknown_size_is_assumed_to_have_one_gib(federation):
    request = make_request(data=[make_data("perth", size_bytes=None)])
    assert [note.level for note in unknown_sizes(request)] == [Level.WARN]
    _, offers = ask(federation, request)
    assert {placement.staging.size_bytes for placement in offers.placements} == {2**30}


def test_at_most_five_offers_are_made():
    many = make_federation(*(make_site(f"site{n}", n, n) for n in range(8)))
    _, offers = ask(many, make_request())
    assert len(offers.placements) == 5


minutes = st.integers(0, 120).map(lambda m: timedelta(minutes=m))
busy_times = st.lists(
    st.builds(
        lambda start, length, cores, memory, storage: Booking(
            NOW + start, NOW + start + length + timedelta(minutes=1), cores, memory, storage
        ),
        minutes,
        minutes,
        st.integers(0, 4),
        st.integers(0, 16),
        st.integers(0, 50),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["perth", "lausanne", "penticton"]), busy_times),
    st.integers(1, 8),
    st.none() | st.integers(0, 8),
    minutes,
    minutes,
    st.integers(1, 120),
    st.integers(0, 90),
)
def test_every_offer_keeps_what_was_asked_and_fits_and_every_other_site_has_a_reason(
    taken, least, more, earliest, span, length, storage
):
    federation = make_federation(
        make_site("perth", -31.95, 115.86),
        make_site("lausanne", 46.52, 6.63),
        make_site("penticton", 49.5, -119.59),
    )
    start = NOW + earliest, NOW + earliest + span
    most = None if more is None else least + more
    request = make_request(
        cores=(least, most),
        data=[make_data("perth", "penticton")],
        start=start,
        duration=timedelta(minutes=length),
    )
    request = replace(request, storage=(StorageItem("s", "s", MinMax(storage)),) if storage else ())
    reasons, offers = ask(federation, request, taken)
    refused = {note.values["site"] for note in (*reasons, *offers.notes)}
    assert sorted([*sites(offers), *refused]) == ["lausanne", "penticton", "perth"]
    for placement in offers.placements:
        last = placement.start + placement.start_within
        assert start[0] <= placement.start <= last <= start[1]
        assert least <= placement.cores <= (most or least)
        assert placement.start >= NOW + timedelta(seconds=placement.prepare_seconds)
        assert NOW <= placement.prepare_start <= placement.start
        room = pool(federation[placement.site_id].platform)
        bookings = taken.get(placement.site_id, [])
        end = last + placement.duration
        need = Capacity(placement.cores, placement.memory_gib, placement.storage_gib)
        assert free_throughout(room, bookings, placement.start, end).fits(need)
        kept = free_throughout(room, bookings, placement.prepare_start, end)
        assert kept.storage_gib >= placement.storage_gib
