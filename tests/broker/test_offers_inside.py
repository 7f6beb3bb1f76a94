"""Offers of sites that bring data and image in a session's own time begin without them, and have room for
them."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.model import Target
from broker.offers.by_rule import by_rule, delay_seconds
from broker.offers.engine import find_candidates, make_offers
from broker.offers.inside import inside
from broker.offers.price import MONETARY, SECONDS_TO_RESULT
from broker.offers.refusal import explain
from broker.offers.windows import ceil_second
from broker.platforms.simulated import SimulatedPlatform
from federation.clock import ManualClock
from netprobe.cost import seconds_for
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import LIFETIME, figure, forecast, texts

HOUR = timedelta(hours=1)


class Booting(SimulatedPlatform):
    """Its machines are made with the session."""

    def boot_seconds(self):
        return float(self._site.platform.options["run_seconds"])


def world(boot=100.0, image=30.0, longest=8 * 86400.0):
    options = {"run_seconds": boot, "image_seconds": image}
    site = make_site("perth", -31.95, 115.86, options=options, max_duration_seconds=longest)
    federation = make_federation(site)
    return federation, {"perth": Booting(site, federation, ManualClock(NOW), "work")}


def candidates_of(request, seen=None, **more):
    federation, platforms = world(**more)
    found, reasons = find_candidates(federation, platforms, request, forecast)
    found = by_rule(found, forecast, seen or {})
    found, too_long = inside(found, platforms, forecast, seen or {})
    return found, (*reasons, *too_long)


def offer(request, **more):
    found, reasons = candidates_of(request, **more)
    [placement] = make_offers(found, {}, NOW, LIFETIME, refused=reasons).placements
    return found[0], placement


SECONDS = st.floats(0.0, 1e4)


@example(1e-7, 0.0, 0, 1)
@given(SECONDS, SECONDS, st.integers(0, 10**11), st.integers(1, 100_000))
def test_an_offer_begins_at_once_and_has_room_for_exactly_what_comes_in_its_time(boot, image, size, asked):
    data = [make_data("lausanne", size_bytes=size)] if size else []
    request = make_request(data=data, duration=timedelta(seconds=asked))
    candidate, placement = offer(request, boot=boot, image=image)
    moved = candidate.staging.seconds.p90
    assert placement.start == NOW
    assert placement.inside_seconds == pytest.approx(boot + image + moved)
    # whole seconds, and no second more; what is less than a microsecond is nothing
    inside = timedelta(seconds=placement.inside_seconds).total_seconds()
    assert placement.duration - request.duration == timedelta(seconds=math.ceil(inside))
    assert placement.prepare_seconds == 0.0
    result = figure(placement.metrics, SECONDS_TO_RESULT)
    assert result.maximum == placement.duration.total_seconds()
    assert result.minimum == pytest.approx(asked + candidate.staging.seconds.p10)


@given(SECONDS, SECONDS, st.integers(1, 10**10), st.integers(1, 10**10), st.floats(1.0, 1e4))
def test_what_a_rule_brings_comes_before_and_is_copied_inside(boot, image, size, other, delay):
    target = Target("perth", "PERTH-DISK", 1, size, delay)
    ruled = replace(make_data("lausanne", size_bytes=size, name="ruled"), targets=(target,))
    direct = make_data("penticton", size_bytes=other, name="direct")
    candidate, placement = offer(make_request(data=[ruled, direct]), boot=boot, image=image)
    moves = {move.key: move.seconds for move in candidate.staging.moves}
    before = moves[ruled.uuid].p90 + delay_seconds(delay, ()).p90
    assert placement.prepare_seconds == pytest.approx(before)
    assert placement.start == ceil_second(NOW + timedelta(seconds=placement.prepare_seconds))
    copy = seconds_for(forecast("perth", "perth"), size).p90
    expected = boot + image + moves[direct.uuid].p90 + copy
    assert placement.inside_seconds == pytest.approx(expected)


def test_it_says_so_and_is_paid_for():
    request = make_request(data=[make_data("lausanne")])
    _, placement = offer(request, boot=3000.0, image=600.0)
    said = [note for note in placement.notes if note.kind == "server-start"]
    assert len(said) == 1
    assert "boots and brings data and image when the session has begun" in said[0].text
    [compute] = [note.text for note in placement.notes if note.kind == "compute"]
    assert "after it (90 %)" in compute
    assert "waits for" not in compute
    hours = placement.duration / HOUR
    assert figure(placement.costs, MONETARY).maximum == pytest.approx(0.1 * hours)


def test_other_platforms_and_requests_that_bring_nothing_are_as_they_were():
    site = make_site("perth", -31.95, 115.86)
    federation = make_federation(site)
    platforms = {"perth": SimulatedPlatform(site, federation, ManualClock(NOW), "work")}
    found, _ = find_candidates(federation, platforms, make_request(data=[make_data("lausanne")]), forecast)
    assert inside(found, platforms, forecast, {}) == (found, ())
    [placement] = make_offers(found, {}, NOW, LIFETIME).placements
    assert (placement.duration, placement.inside_seconds) == (HOUR, 0.0)
    assert placement.start == ceil_second(NOW + timedelta(seconds=placement.prepare_seconds))


def test_both_must_fit_into_the_longest_session():
    found, reasons = candidates_of(make_request(), boot=100.0, image=30.0, longest=3600.0)
    offers = make_offers(found, {}, NOW, LIFETIME, refused=reasons)
    assert not offers.placements
    refusal = explain(offers.notes, found, {}, NOW, LIFETIME)
    assert any(
        "of which booting and bringing data and image take 2 min 10 s" in each
        for each in texts(refusal.notes)
    )
    [change] = refusal.ways[0].changes
    assert change.words == "ask for a duration of at most PT57M50S"
    request = change.apply(make_request())
    assert offer(request, boot=100.0, image=30.0, longest=3600.0)[1].duration == HOUR
    # no duration would do
    found, reasons = candidates_of(make_request(), boot=3600.0, longest=3600.0)
    assert not found
    assert [note.kind for note in reasons] == ["duration-limit"]
