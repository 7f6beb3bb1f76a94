"""When offers start: the earliest, and where more comes free later, with more; all of a set can be held."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.model import Figure, MinMax, StorageItem
from broker.offers.checks import pool
from broker.offers.price import MONETARY
from broker.offers.rank import Priced, rank
from broker.offers.slots import booked
from broker.offers.windows import ceil_second
from reservations.capacity import Booking, Capacity, free_throughout
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import LIFETIME, ask, everywhere, sites, texts
from tests.broker.offering_worlds import PLATFORMS, WORLD, requests, taken

HOUR = timedelta(hours=1)
NIGHT = NOW, NOW + 12 * HOUR


def one_site():
    return make_federation(make_site("perth", -31.95, 115.86))


def test_a_site_offers_what_is_free_first_and_the_whole_maximum_when_it_is():
    federation = one_site()
    busy = everywhere(federation, Booking(NOW, NOW + 3 * HOUR, 6, 0))
    offers = ask(federation, make_request(cores=(1, 8), start=NIGHT), busy)
    first, second = offers.placements
    assert (first.cores, second.cores) == (2, 8)
    assert first.start < NOW + timedelta(minutes=1)
    assert second.start == NOW + 3 * HOUR
    words = texts(second.notes)
    assert "8 cores and 1 GiB at perth are free from 2026-11-25T15:00:00Z on" in words[1]
    assert f"2 cores and 1 GiB can be had sooner, from {first.start:%Y-%m-%dT%H:%M:%SZ} on" in words[1]
    assert "2 of 2" in words[0]
    assert "after the one here with 2 cores and 1 GiB" in words[0]
    assert "the only site that can" in words[0]


def test_what_is_booked_at_once_is_not_held_until_anything():
    (best, *_) = ask(one_site(), make_request(), lifetime=timedelta(0)).placements
    assert " on, and booked; data and image" in best.notes[1].text
    assert "expires" not in best.notes[1].values


def test_the_second_fits_beside_the_first():
    """Seven are free at once; eight only once the first of the two would be over."""
    federation = one_site()
    busy = everywhere(federation, Booking(NOW, NOW + timedelta(minutes=30), 1, 0))
    first, second = ask(federation, make_request(cores=(1, 8), start=NIGHT), busy).placements
    assert first.cores == 7
    assert second.start == first.start + first.start_within + first.duration
    assert second.cores == 8


def test_where_the_maximum_never_comes_free_the_most_that_does_is_offered():
    federation = one_site()
    always = Booking(NOW, NOW + 99 * HOUR, 2, 0)
    busy = everywhere(federation, always, Booking(NOW, NOW + 2 * HOUR, 3, 0))
    offers = ask(federation, make_request(cores=(1, 8), start=NIGHT), busy)
    assert [placement.cores for placement in offers.placements] == [3, 6]


def test_more_memory_later_is_worth_an_offer_too():
    federation = one_site()
    busy = everywhere(federation, Booking(NOW, NOW + 2 * HOUR, 0, 30))
    offers = ask(federation, make_request(memory=(1, 16), start=NIGHT), busy)
    assert [placement.memory_gib for placement in offers.placements] == [2, 16]


def test_a_site_that_has_all_at_once_or_was_asked_for_no_more_makes_one_offer():
    federation = one_site()
    assert len(ask(federation, make_request(cores=(1, 8), start=NIGHT)).placements) == 1
    busy = everywhere(federation, Booking(NOW, NOW + 3 * HOUR, 6, 0))
    assert len(ask(federation, make_request(cores=(2, None), start=NIGHT), busy).placements) == 1


def test_the_last_place_is_for_the_best_of_the_larger_offers():
    federation = make_federation(*(make_site(f"site{n}", n, n) for n in range(8)))
    busy = everywhere(federation, Booking(NOW, NOW + 3 * HOUR, 6, 0))
    offers = ask(federation, make_request(cores=(1, 8), start=NIGHT), busy)
    assert [placement.cores for placement in offers.placements] == [2, 2, 2, 2, 8]
    direct = ask(federation, make_request(cores=(1, 8), start=NIGHT), busy, timedelta(0), most=1)
    (only,) = direct.placements
    assert only.cores == 2
    assert "the only site" not in only.notes[0].text
    assert "site1" in only.notes[0].text


def test_what_is_stored_counts_for_both():
    federation = one_site()
    busy = everywhere(federation, Booking(NOW, NOW + HOUR, 6, 0))
    request = make_request(cores=(1, 8), start=NIGHT, data=[make_data("perth")])
    request = replace(request, storage=(StorageItem("s", "s", MinMax(60)),))
    first, second = ask(federation, request, busy).placements
    assert second.prepare_start >= first.start + first.start_within + first.duration


@settings(deadline=None)
@given(taken, requests())
def test_every_offer_keeps_what_was_asked_and_a_whole_set_can_be_held(bookings, request):
    offers = ask(WORLD, request, bookings, platforms=PLATFORMS)
    held = {site.id: list(bookings.get(site.id, ())) for site in WORLD}
    refused = {note.values["site"] for note in offers.notes if note.kind not in ("no-site", "nearest-change")}
    assert sorted({*sites(offers), *refused}) == ["lausanne", "penticton", "perth"]
    assert not {*sites(offers)} & refused
    assert len(offers.placements) <= 5
    for placement in offers.placements:
        last = placement.start + placement.start_within
        assert request.earliest_start <= placement.start <= last <= request.latest_start
        for size, asked in ((placement.cores, request.cores), (placement.memory_gib, request.memory_gib)):
            assert asked.minimum <= size <= (asked.maximum or asked.minimum)
        assert placement.duration == request.duration
        assert placement.start >= NOW + timedelta(seconds=placement.prepare_seconds)
        assert NOW <= placement.prepare_start <= placement.start
        room = pool(WORLD[placement.site_id].platform)
        end = last + placement.duration
        need = Capacity(placement.cores, placement.memory_gib, placement.storage_gib)
        assert free_throughout(room, held[placement.site_id], placement.start, end).fits(need)
        kept = free_throughout(room, held[placement.site_id], placement.prepare_start, end)
        assert kept.storage_gib >= placement.storage_gib
        held[placement.site_id] += booked(placement)


@settings(deadline=None)
@given(taken, requests())
def test_the_first_offer_of_a_site_is_the_earliest_that_there_is(bookings, request):
    """Asked minute by minute: no earlier start has room."""
    offers = ask(WORLD, request, bookings, platforms=PLATFORMS)
    for placement in offers.placements:
        site = WORLD[placement.site_id]
        first = min(each.start for each in offers.placements if each.site_id == site.id)
        start = max(request.earliest_start, NOW + timedelta(seconds=placement.prepare_seconds))
        lead = placement.start - placement.prepare_start
        compute = Capacity(request.cores.minimum, request.memory_gib.minimum)
        while start < first - timedelta(seconds=1):
            end = start + request.duration
            free = free_throughout(pool(site.platform), bookings.get(site.id, ()), start, end)
            stored = free_throughout(pool(site.platform), bookings.get(site.id, ()), start - lead, end)
            assert not (free.fits(compute) and stored.storage_gib >= placement.storage_gib)
            start += timedelta(minutes=1)


def ending(microseconds: int, price: int) -> Priced:
    """An offer whose result is expected so much later than now."""
    (placement,) = ask(one_site(), make_request()).placements
    costs = (Figure(MONETARY, price, price, "What it costs"),)
    return Priced(replace(placement, costs=costs), NOW + timedelta(microseconds=microseconds), True)


@given(st.lists(st.builds(ending, st.integers(0, 3_000_000), st.integers(0, 2)), max_size=6))
@example([ending(980_000, 1), ending(1_020_000, 0)])
def test_no_later_second_stands_before_an_earlier_one(offers):
    """The cheaper is first among those of a tenth of a second, and no tenth is in two seconds as said."""
    said = [ceil_second(offer.result) for offer in rank(offers)]
    assert said == sorted(said)


def test_of_the_same_tenth_the_cheaper_is_first():
    dear, cheap = ending(10_000, 2), ending(90_000, 1)
    assert rank([dear, cheap]) == [cheap, dear]


@settings(deadline=None)
@given(taken, requests())
def test_what_an_offer_says_of_itself_is_true(bookings, request):
    placements = ask(WORLD, request, bookings, platforms=PLATFORMS).placements
    results = [placement.start + placement.duration for placement in placements]
    able = {placement.site_id for placement in placements}
    assert results[:-1] == sorted(results[:-1])  # the last place may be that of a larger one
    for position, placement in enumerate(placements):
        rank, compute = placement.notes[:2]
        assert (rank.kind, rank.values["place"]) == ("rank", str(position + 1))
        assert rank.values["offers"] == str(len(placements))
        assert rank.values["result"] == f"{results[position]:%Y-%m-%dT%H:%M:%SZ}"
        assert ("the only site that can" in rank.text) == (len(able) == 1)
        other = 1 if position == 0 else 0
        if "before the next" in rank.text:
            assert position == 0
            assert results[0] <= results[1]
        if f" after {placements[0].site_id}" in rank.text:
            assert results[0] <= results[position]
        if "at the same time" in rank.text:
            assert abs(results[other] - results[position]) <= timedelta(seconds=1)
        values = compute.values
        assert values["cores"].split()[0] == str(placement.cores)
        assert values["memory"] == str(placement.memory_gib)
        assert values["start"] == f"{placement.start:%Y-%m-%dT%H:%M:%SZ}"
        assert values["expires"] == f"{NOW + LIFETIME:%Y-%m-%dT%H:%M:%SZ}"
        waits = placement.start - NOW - timedelta(seconds=placement.prepare_seconds)
        assert ("which is what the start waits for" in compute.text) == (waits < timedelta(seconds=1))
        if "sooner" in values:
            smaller = next(each for each in placements if each.site_id == placement.site_id)
            assert values["sooner"] == f"{smaller.start:%Y-%m-%dT%H:%M:%SZ}"
            assert (values["fewer"].split()[0], values["less"]) == (
                str(smaller.cores),
                str(smaller.memory_gib),
            )
            assert placement.cores > smaller.cores or placement.memory_gib > smaller.memory_gib


def test_an_offer_accepted_at_its_last_moment_still_fits():
    federation = one_site()
    (placement,) = ask(federation, make_request(data=[make_data("penticton")])).placements
    late = NOW + LIFETIME + timedelta(seconds=placement.prepare_seconds)
    assert placement.start + placement.start_within >= late - timedelta(seconds=1)
