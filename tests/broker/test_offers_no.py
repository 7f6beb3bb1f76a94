"""A NO: a summary, the reasons of each site, and changes with which it is a YES."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from broker.model import Level, Limit, MinMax, StorageItem
from broker.offers import price
from broker.offers.changes import applied
from netprobe.quantiles import Quantiles
from reservations.capacity import Booking
from tests.broker import offering
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import ask, everywhere, figure, sites, texts
from tests.broker.offering_worlds import PLATFORMS, WORLD, requests, taken

HOUR = timedelta(hours=1)


def only(offers, kind):
    return [note for note in offers.notes if note.kind == kind]


def test_the_summary_comes_first_and_names_the_nearest_site_and_change():
    federation = make_federation(
        make_site("perth", -31.95, 115.86, cores=8), make_site("lausanne", 46.52, 6.63, cores=4)
    )
    offers = ask(federation, make_request(cores=(9, None)))
    assert offers.notes[0].kind == "no-site"
    expected = "None of the 2 sites can do this; nearest: perth, if you ask for at most 8 cores"
    assert offers.notes[0].text == expected
    assert {note.level for note in offers.notes} == {Level.ERROR}
    kinds = [(note.values["site"], note.kind) for note in offers.notes[1:]]
    assert kinds == [
        ("perth", "resource-limit"),
        ("perth", "nearest-change"),
        ("lausanne", "resource-limit"),
        ("lausanne", "nearest-change"),
    ]


def test_several_reasons_of_one_site_are_all_told_and_changed_together(federation):
    request = make_request(cores=(9, None), memory=(33, None), duration=timedelta(days=2))
    offers = ask(federation, request)
    for site in federation:
        mine = [note for note in offers.notes[1:] if note.values["site"] == site.id]
        assert [note.path for note in mine] == [
            "/compute/cores/min",
            "/compute/memory/min",
            "/schedule/requested/duration",
            None,
        ]
        words = (
            "ask for at most 8 cores, ask for at most 32 GiB of memory and ask for a duration of at most P1D"
        )
        assert words in mine[-1].text
    assert len(ask(federation, applied(request, offers.ways[0].changes)).placements) == 3


def test_where_all_is_taken_each_change_of_one_thing_is_told(federation):
    taken = everywhere(federation, Booking(NOW + HOUR, NOW + 3 * HOUR, 5, 0))
    request = make_request(cores=(4, None), start=(NOW, NOW + HOUR), duration=90 * timedelta(minutes=1))
    offers = ask(federation, request, taken)
    (note,) = [note for note in only(offers, "nearest-change") if note.values["site"] == "perth"]
    assert "ask for at most 3 cores" in note.text
    assert "ask for a start up to 2026-11-25T15:00:00Z" in note.text
    assert "ask for a duration of at most PT59M" in note.text
    (why,) = [note for note in only(offers, "no-room") if note.values["site"] == "perth"]
    assert "to 2026-11-25T13:00:00Z has 4 cores and 1 GiB of memory free for PT1H30M" in why.text


def test_what_is_too_large_for_a_site_that_is_half_taken_is_made_less_once():
    site = make_federation(make_site("perth", -31.95, 115.86, cores=8))
    taken = everywhere(site, Booking(NOW, NOW + 48 * HOUR, 3, 0))
    offers = ask(site, make_request(cores=(10, None), start=(NOW, NOW + HOUR)), taken)
    (note,) = only(offers, "nearest-change")
    assert note.text.startswith("perth could do this if you ask for at most 5 cores")
    assert "8 cores and" not in note.text.partition(";")[0]
    (nearest,) = [way for way in offers.ways if len(way.changes) == 1]
    assert nearest.distance == pytest.approx(0.1 + 0.5)


def test_a_site_is_named_once_in_a_reason():
    site = make_federation(make_site("perth", -31.95, 115.86))
    request = make_request()
    arm = replace(request, executable=replace(request.executable, architecture="arm64"))
    (note,) = only(ask(site, arm), "architecture")
    assert note.text == "perth runs amd64 images, not arm64"


def test_storage_that_is_taken_is_what_is_to_be_less(federation):
    taken = everywhere(federation, Booking(NOW, NOW + 48 * HOUR, 0, 0, 70))
    request = make_request(start=(NOW, NOW + HOUR), data=[make_data("perth")])
    request = replace(request, storage=(StorageItem("s", "s", MinMax(40)), StorageItem("t", "t", MinMax(10))))
    offers = ask(federation, request, taken)
    assert "with 51 GiB of storage," in only(offers, "no-room")[0].text
    assert "ask for at most 30 GiB of storage" in only(offers, "nearest-change")[0].text
    # the larger storage gives way, and the data keeps its room
    (way, *_) = (way for way in offers.ways if "storage" in way.words)
    changed = applied(request, way.changes)
    assert [item.size_gib.minimum for item in changed.storage] == [19, 10]
    assert ask(federation, changed, taken).placements


def test_data_that_cannot_be_there_in_time_is_a_no_that_says_when_it_would_be(federation):
    data = [make_data("penticton", size_bytes=2_000_000_000)]
    request = make_request(data=data, start=(NOW, NOW + timedelta(minutes=1)))
    offers = ask(federation, request)
    assert sites(offers) == ["penticton"]
    late = next(note for note in offers.notes if note.values["site"] == "lausanne")
    assert late.text.startswith("lausanne: data and image are there by 2026-11-25T13:")
    alone = make_federation(federation["lausanne"])
    offers = ask(alone, request)
    assert f"if you ask for a start up to {late.values['ready']}" in offers.notes[0].text
    assert sites(ask(alone, applied(request, offers.ways[0].changes))) == ["lausanne"]


@pytest.mark.parametrize("megabits", [1e-7, 1e-15])
def test_data_that_is_as_good_as_never_there_is_a_no_like_any_other(federation, monkeypatch, megabits):
    monkeypatch.setitem(offering.RATES, ("penticton", "lausanne"), megabits)
    offers = ask(make_federation(federation["lausanne"]), make_request(data=[make_data("penticton")]))
    assert any(note.text.startswith("lausanne: data and image are there by") for note in offers.notes)


def test_data_too_large_for_a_site_is_nothing_that_a_change_of_size_helps(federation):
    offers = ask(federation, make_request(data=[make_data("perth", size_bytes=101 * 2**30)]))
    assert not offers.ways
    assert offers.notes[0].text.startswith(
        "None of the 3 sites can do this; fewest reasons stand against perth:"
    )
    assert "perth has 100 GiB of storage" in offers.notes[0].text


def test_a_federation_of_one_site_is_spoken_of_as_such():
    offers = ask(make_federation(make_site("perth", -31.95, 115.86)), make_request(cores=(9, None)))
    expected = "perth is the only site here with a platform, and can't do this; "
    assert offers.notes[0].text == expected + "it could if you ask for at most 8 cores"


def test_limits_drop_offers_with_the_reason_and_the_figure_that_would_do(federation):
    limit = Limit(price.MONETARY, maximum=0.15, path="/costs/0")
    offers = ask(federation, make_request(cost_limits=(limit,)))
    assert sites(offers) == ["penticton"]
    note = offers.notes[0]
    assert "perth: urn:ivoa:calycopis:cost:monetary is up to 0.3, more than the limit 0.15" in note.text
    assert note.path == "/costs/0/max"
    fast = Limit(price.COMPUTE_PERFORMANCE, minimum=1e12)
    offers = ask(federation, make_request(metric_limits=(fast,)))
    assert all("lower the limit to 150" in note.text for note in only(offers, "limit-broken"))
    assert sites(ask(federation, applied(make_request(metric_limits=(fast,)), offers.ways[0].changes)))


def test_a_limit_of_a_type_that_nobody_states_says_what_is_stated(federation):
    request = make_request(cost_limits=(Limit("urn:example:tears", maximum=1),))
    offers = ask(federation, request)
    for note in only(offers, "limit-unknown"):
        assert "states no urn:example:tears" in note.text
        assert price.MONETARY in note.text
        assert "leave that limit out" in note.text
    assert len(ask(federation, applied(request, offers.ways[0].changes)).placements) == 3
    # what has no bounds limits nothing
    assert len(ask(federation, make_request(cost_limits=(Limit("urn:example:tears"),))).placements) == 3


def test_data_that_stays_where_it_is_keeps_every_limit_of_a_path(federation):
    slow = Limit(price.PATH_THROUGHPUT, minimum=1e9)
    request = make_request(data=[make_data("perth")], metric_limits=(slow,))
    assert sites(ask(federation, request)) == ["perth"]


def test_a_path_whose_tests_were_held_down_is_as_fast_as_its_transfers(federation, monkeypatch):
    measured = offering.forecast

    def held_down(source, destination):
        one = measured(source, destination)
        return replace(one, bits_per_second=Quantiles(1.0, 2.0, 3.0), freed=one.bits_per_second)

    slow = Limit(price.PATH_THROUGHPUT, minimum=1e6)
    request = make_request(data=[make_data("lausanne")], metric_limits=(slow,))
    usual = ask(federation, request)
    monkeypatch.setattr(offering, "forecast", held_down)
    offers = ask(federation, request)
    assert sites(offers) == sites(usual)
    rates = [figure(placement.metrics, price.PATH_THROUGHPUT) for placement in offers.placements[1:]]
    assert rates == [figure(placement.metrics, price.PATH_THROUGHPUT) for placement in usual.placements[1:]]


def test_a_limit_of_money_buys_as_many_cores_as_it_pays_for(federation):
    limit = Limit(price.MONETARY, maximum=0.65)
    offers = ask(federation, make_request(cores=(1, 8), cost_limits=(limit,)))
    cores = {placement.site_id: placement.cores for placement in offers.placements}
    assert cores == {"perth": 2, "lausanne": 3, "penticton": 6}
    note = next(note for note in offers.placements[0].notes if note.kind == "size-limited")
    assert "8 cores" in note.text
    assert price.MONETARY in note.text


@st.composite
def limited(draw):
    """Requests that are too large, at times that are taken, or with limits that are too narrow."""
    request = draw(requests(largest_cores=12, largest_storage=130, longest_minutes=2000))
    figures = st.floats(1e-6, 1e4, allow_nan=False)
    types = st.sampled_from([price.MONETARY, price.ENERGY, price.TRANSFER_SECONDS, "urn:example:tears"])
    costs = draw(st.lists(st.builds(Limit, types, st.none(), figures), max_size=2))
    metrics = draw(
        st.lists(st.builds(Limit, st.sampled_from([price.SECONDS_TO_RESULT]), st.none(), figures), max_size=1)
    )
    return replace(request, cost_limits=tuple(costs), metric_limits=tuple(metrics))


@settings(deadline=None, max_examples=100)
@given(taken, limited())
def test_every_change_that_is_told_makes_a_yes(bookings, request):
    offers = ask(WORLD, request, bookings, platforms=PLATFORMS)
    event(f"yes: {bool(offers.placements)}, ways: {len(offers.ways)}")
    assert bool(offers.placements) != bool(offers.notes and offers.notes[0].kind == "no-site")
    if offers.placements:
        return
    assert len(offers.ways) == 3  # in this world something always helps
    assert [way.distance for way in offers.ways] == sorted(way.distance for way in offers.ways)
    for way in offers.ways:
        changed = applied(request, way.changes)
        assert way.site_id in sites(ask(WORLD, changed, bookings, platforms=PLATFORMS))
    told = {note.values["site"] for note in only(offers, "nearest-change")}
    assert told == {way.site_id for way in offers.ways}


@pytest.mark.parametrize("value", [0.1, 1 / 3, 123456.7891, 1e-9, 9.9999999e22])
def test_a_figure_that_would_do_does(federation, value):
    """Rounded for people, and to the side on which the limit is kept."""
    cheap = make_federation(
        replace(federation["perth"], tariff=replace(federation["perth"].tariff, per_core_hour=value))
    )
    request = make_request(cost_limits=(Limit(price.MONETARY, maximum=value / 2),))
    offers = ask(cheap, request)
    assert ask(cheap, applied(request, offers.ways[0].changes)).placements
    assert len(only(offers, "limit-broken")[0].values["value"]) < 14


def test_floating_point_breaks_no_limit(federation):
    """8 x 0.1 is more than 0.8 to a computer, and not to a person."""
    limit = Limit(price.MONETARY, maximum=0.8)
    request = make_request(cores=(8, None), cost_limits=(limit,))
    assert sites(ask(federation, request)) == ["penticton"]
    three = make_request(cores=(3, None), cost_limits=(Limit(price.MONETARY, maximum=0.1),))
    assert only(ask(federation, three), "limit-broken")[2].text.endswith("raise the limit to 0.3")


def test_texts_have_no_holes(federation):
    for cores in ((9, None), (1, None)):
        for text in texts(ask(federation, make_request(cores=cores)).notes):
            assert "{" not in text
