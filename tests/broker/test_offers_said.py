"""Whatever the sites are (ledgers, brokers of their own, machines that are made with a session) and however
data comes (as one, in parts, by rules): what a set of offers says fits together."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.model import Figure, Limit, Part, Replica, Target
from broker.offers import price
from broker.offers.by_rule import by_rule
from broker.offers.engine import find_candidates, make_offers
from broker.offers.inside import inside
from federation.clock import ManualClock
from federation.sites import Tariff
from reservations.capacity import Booking
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import LIFETIME, figure, forecast, load_platforms
from tests.broker.offering_worlds import minutes, requests, taken
from tests.broker.test_offers_inside import Booting
from tests.broker.test_offers_ready import Brokered, ready

SITES = ("perth", "lausanne", "penticton", "far")
BASE = [
    make_site("perth", -31.95, 115.86),
    make_site("lausanne", 46.52, 6.63),
    make_site("penticton", 49.5, -119.59, options={"run_seconds": 100.0, "image_seconds": 30.0}),
    make_site("far", 9, 9),
]
# looked up once: entry points are slow
PLATFORMS = load_platforms(make_federation(*BASE))
MOST = 5

some_seconds = st.floats(0, 5000)
tariffs = st.builds(Tariff, *[st.sampled_from([0.0, 0.1, 0.02, 1 / 3])] * 4)
figures = st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(sorted)
replicas = st.sets(st.sampled_from(SITES), min_size=1).map(
    lambda names: tuple(Replica(f"http://data.{name}.example/x", name) for name in sorted(names))
)
parts = st.builds(Part, st.integers(0, 10**10), st.integers(1, 300), replicas)
ready_offers = st.builds(
    lambda start, within, more, cores, memory_gib, money: ready(
        NOW + start,
        start_within=within,
        duration=2 * timedelta(hours=1) + more,
        cores=cores,
        memory_gib=memory_gib,
        costs=tuple(Figure(price.MONETARY, *each, "Money") for each in money),
    ),
    st.timedeltas(timedelta(0), timedelta(hours=3)),
    st.timedeltas(timedelta(0), timedelta(hours=3)),
    minutes,
    st.integers(1, 12),
    st.integers(1, 40),
    st.lists(figures, max_size=2),
)


@st.composite
def items(draw, number):
    """Data in one or in several parts, of which a rule may bring some to a site."""
    some = draw(st.lists(parts, min_size=1, max_size=3))
    size, files = sum(part.size_bytes for part in some), sum(part.files for part in some)
    item = replace(make_data(size_bytes=size), uuid=f"data-{number}", files=files, replicas=some[0].replicas)
    if len(some) > 1:
        every = tuple(dict.fromkeys(one for part in some for one in part.replicas))
        item = replace(item, parts=tuple(some), replicas=every)
    if draw(st.booleans()):
        site, missing = draw(st.sampled_from(SITES)), draw(st.integers(1, files))
        target = Target(site, "DISK", missing, size * missing // files, draw(some_seconds))
        item = replace(item, targets=(target,))
    return item


@st.composite
def worlds(draw):
    """Who is asked, for what, and what is booked there."""
    options = {"run_seconds": draw(some_seconds), "image_seconds": draw(some_seconds)}
    link = st.none() | st.floats(1e6, 1e10)
    found = [replace(site, tariff=draw(tariffs), link_bits_per_second=draw(link)) for site in BASE]
    found[2] = replace(found[2], platform=replace(found[2].platform, options=options))
    return world(
        replace(
            draw(requests(largest_cores=4)),
            data=tuple(draw(items(n)) for n in range(draw(st.integers(0, 2)))),
        ),
        draw(st.lists(ready_offers, max_size=3)),
        found,
        draw(taken),
    )


def world(request, offers, found=BASE, bookings=()):
    federation = make_federation(*found)
    booting = Booting(federation["penticton"], federation, ManualClock(NOW), "work")
    brokered = Brokered(PLATFORMS["far"], offers)
    return federation, {**PLATFORMS, "penticton": booting, "far": brokered}, request, dict(bookings)


def ask(world, request=None, now=NOW):
    federation, platforms, asked, bookings = world
    request = request or asked
    candidates, reasons = find_candidates(federation, platforms, request, forecast, now, {"the": "document"})
    candidates, more = inside(by_rule(candidates, forecast, {}), platforms, forecast, {})
    return make_offers(candidates, bookings, now, LIFETIME, MOST, (*reasons, *more)).placements


def components(placement, type_):
    return [one for costs in placement.component_costs.values() for one in costs if one.type == type_]


BETWEEN_SECONDS = world(make_request(), [ready(NOW + timedelta(microseconds=1))])
moments = st.timedeltas(timedelta(0), timedelta(seconds=3)).map(NOW.__add__)


@settings(max_examples=30)
@given(worlds(), moments)
@example(BETWEEN_SECONDS, NOW)
def test_what_is_said_agrees_and_is_kept_as_a_limit(world, now):
    placements = ask(world, now=now)
    said = [datetime.fromisoformat(placement.notes[0].values["result"]) for placement in placements]
    assert said == sorted(said)
    for result, placement in zip(said, placements, strict=True):
        seconds = figure(placement.metrics, price.SECONDS_TO_RESULT)
        assert now + timedelta(seconds=seconds.maximum) == result
        assert placement.start + world[2].duration <= result
        figures = {each.type: each for each in (*placement.costs, *placement.metrics)}
        assert len(figures) == len(placement.costs) + len(placement.metrics)
        assert all(0 <= each.minimum <= each.maximum for each in figures.values())
        for each in placement.costs:
            if each.type != price.TRANSFER_SECONDS:  # quantiles don't add up
                some = components(placement, each.type)
                assert each.maximum == pytest.approx(sum(one.maximum for one in some))
                assert each.minimum == pytest.approx(sum(one.minimum for one in some))
    for placement in placements:
        costs = tuple(Limit(each.type, None, each.maximum) for each in placement.costs)
        # but for a result that is sooner yet, as that of the smaller of two
        metrics = tuple(
            Limit(each.type, None if each.type == price.SECONDS_TO_RESULT else each.minimum, each.maximum)
            for each in placement.metrics
        )
        kept = ask(world, replace(world[2], cost_limits=costs, metric_limits=metrics), now)
        assert placement.site_id in {each.site_id for each in kept}


@settings(max_examples=15)
@given(worlds(), st.permutations(SITES))
def test_offers_are_the_same_in_whatever_order_the_sites_are(world, order):
    federation, platforms, request, bookings = world
    other = make_federation(*(federation[name] for name in order))
    assert ask((other, platforms, request, bookings)) == ask(world)


def first_starts(placements):
    """By site. Of five offers, more may have been left out."""
    found = {}
    for each in placements:
        found[each.site_id] = min(each.start, found.get(each.site_id, each.start))
    return found if len(placements) < MOST else {}


@settings(max_examples=15)
@given(worlds(), st.sampled_from(SITES), minutes, minutes, st.integers(0, 8), minutes)
def test_less_room_is_never_sooner_and_more_time_never_later(world, site, start, length, size, later):
    federation, platforms, request, bookings = world
    found = first_starts(ask(world))
    booking = Booking(NOW + start, NOW + start + length + timedelta(minutes=1), size, size, size)
    fuller = {**bookings, site: [*bookings.get(site, []), booking]}
    for name, begins in first_starts(ask((federation, platforms, request, fuller))).items():
        assert not found or found[name] <= begins
    wider = first_starts(ask(world, replace(request, latest_start=request.latest_start + later)))
    assert not wider or {name: wider.get(name) for name in found} == found
