"""A site whose platform is a broker itself: its offers, with our cost of moving data, among the others."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.model import Figure, Limit, Note
from broker.offers import price
from broker.platforms import OffersItself, PlatformError, ReadyOffer
from broker.sessions.codec import dump_placement, load_placement
from federation.sites import Tariff
from reservations.capacity import Booking
from tests.broker import offering
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import figure, load_platforms, sites

HOUR = timedelta(hours=1)


class Brokered:
    """A broker that answers with what it was made with; what it was asked is kept."""

    def __init__(self, inner, answer):
        self._inner, self._answer, self.asked = inner, answer, []

    def check(self, executable):
        return self._inner.check(executable)

    def image_seconds(self, executable):
        return 0.0

    def offers(self, request, document, earliest, latest):
        self.asked.append((request, document, earliest, latest))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def accept(self, reference):
        raise PlatformError("nothing is accepted here")

    async def look(self, reference):
        raise PlatformError("nothing is to be seen here")

    async def give_up(self, reference):
        return None


def ready(start=NOW + timedelta(minutes=10), **more):
    offer = ReadyOffer(
        reference='{"offer": "https://far.example/sessions/1"}',
        start=start,
        start_within=timedelta(minutes=5),
        duration=2 * HOUR,
        cores=2,
        memory_gib=2,
        expires=NOW + timedelta(minutes=3),
        costs=(Figure(price.MONETARY, 1.0, 2.0, "Money"), Figure("urn:far:tears", 1.0, 1.0, "Tears")),
        metrics=(Figure(price.COMPUTE_PERFORMANCE, 90.0, 90.0, "Score"),),
    )
    return replace(offer, **more)


def world(answer, **site):
    far = replace(make_site("lausanne", 46.52, 6.63, **site), tariff=Tariff(per_gib_moved=0.5))
    federation = make_federation(make_site("perth", -31.95, 115.86), far)
    platforms = load_platforms(federation)
    platforms["lausanne"] = Brokered(platforms["lausanne"], answer)
    return federation, platforms


def ask(answer, request, taken=None, most=5, **site):
    federation, platforms = world(answer, **site)
    answer = offering.ask(federation, request, taken, platforms=platforms, most=most)
    return answer, platforms["lausanne"]


def test_it_is_asked_for_starts_by_which_the_data_is_there():
    request = make_request(data=[make_data("perth")])
    offers, broker = ask([ready()], request)
    ((asked, document, earliest, latest),) = broker.asked
    assert isinstance(broker, OffersItself)
    assert (asked, document, latest) == (request, {"the": "document"}, request.latest_start)
    far = next(placement for placement in offers.placements if placement.site_id == "lausanne")
    assert earliest >= NOW + timedelta(seconds=far.prepare_seconds)


def test_its_offers_are_ranked_with_the_others_and_keep_their_reference():
    offers, _ = ask([ready(NOW + HOUR), ready(NOW + 2 * HOUR, reference="later")], make_request())
    assert sites(offers) == ["perth", "lausanne", "lausanne"]
    first, second = offers.placements[1:]
    assert first.reference == '{"offer": "https://far.example/sessions/1"}'
    assert second.reference == "later"
    assert first.expires == NOW + timedelta(minutes=3)
    assert (first.start, first.start_within) == (NOW + HOUR, timedelta(minutes=5))
    assert (first.duration, first.cores, first.memory_gib) == (2 * HOUR, 2, 2)
    assert "2 of 3: result expected from lausanne by 2026-11-25T14:00:00Z" in first.notes[0].text
    assert "held until 2026-11-25T12:03:00Z" in first.notes[1].text
    assert offers.placements[0].reference is None
    assert load_placement(dump_placement(first)) == first


def test_sooner_there_it_is_first():
    taken = {"perth": [Booking(NOW, NOW + 5 * HOUR, 8, 0)]}
    offers, _ = ask([ready(NOW + HOUR)], make_request(), taken)
    assert sites(offers) == ["lausanne", "perth"]


def test_our_bookings_say_nothing_of_its_capacity():
    taken = {"lausanne": [Booking(NOW, NOW + 5 * HOUR, 8, 32)]}
    offers, _ = ask([ready()], make_request(), taken)
    assert "lausanne" in sites(offers)


def test_the_price_of_moving_is_added_to_its_own():
    offers, _ = ask([ready(NOW + HOUR)], make_request(data=[make_data("perth", size_bytes=2**31)]))
    far = next(placement for placement in offers.placements if placement.site_id == "lausanne")
    money = figure(far.costs, price.MONETARY)
    assert (money.minimum, money.maximum) == (2.0, 3.0)
    assert figure(far.costs, "urn:far:tears").maximum == 1.0
    assert figure(far.costs, price.TRANSFER_BYTES).maximum == 2**31
    assert figure(far.component_costs["compute"], price.MONETARY).maximum == 2.0
    assert figure(far.metrics, price.COMPUTE_PERFORMANCE).maximum == 90.0
    assert figure(far.metrics, price.SECONDS_TO_RESULT).maximum == 7200.0
    assert price.ENERGY not in {cost.type for cost in far.costs}


def test_no_more_is_promised_than_was_asked_for():
    offers, _ = ask([ready(cores=8, memory_gib=8)], make_request(cores=(1, 4), memory=(1, 2)))
    far = next(placement for placement in offers.placements if placement.site_id == "lausanne")
    assert (far.cores, far.memory_gib) == (4, 2)


def test_starts_outside_the_asked_range_are_cut_off():
    request = make_request(start=(NOW + HOUR, NOW + 2 * HOUR))
    offers, _ = ask([ready(NOW, start_within=9 * HOUR)], request)
    far = next(placement for placement in offers.placements if placement.site_id == "lausanne")
    assert (far.start, far.start + far.start_within) == (NOW + HOUR, NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (PlatformError("far.example doesn't answer"), "lausanne: far.example doesn't answer"),
        ([Note("resource-limit", "no more than {n}", {"n": "2"})], "lausanne: no more than 2"),
        (ZeroDivisionError("a mistake"), "lausanne: its broker could not be understood"),
        ([], "doesn't say why"),
        ([ready(expires=NOW)], "has expired already"),
        ([ready(start=NOW + 99 * HOUR)], "which is not what was asked for"),
        ([ready(cores=1)], "less than was asked"),
        ([ready(duration=timedelta(minutes=1))], "less than was asked"),
    ],
)
def test_why_it_has_none_is_told_and_the_others_offer(answer, said):
    offers, _ = ask(answer, make_request(cores=(2, None)))
    assert sites(offers) == ["perth"]
    (note,) = offers.notes
    assert said in note.text
    assert note.values["site"] == "lausanne"


def test_the_limits_of_the_request_hold_for_it():
    limits = (Limit(price.MONETARY, maximum=1.5),)
    offers, _ = ask([ready()], make_request(cost_limits=limits))
    assert sites(offers) == ["perth"]
    assert "lausanne: urn:ivoa:calycopis:cost:monetary is up to 2" in offers.notes[0].text
    assert "raise the limit to 2" in offers.notes[0].text


def test_it_is_not_asked_for_what_the_site_denies_or_when_the_data_comes_too_late():
    offers, broker = ask([ready()], make_request(cores=(9, None)), max_cores=4)
    assert not broker.asked
    assert offers.notes[0].text.startswith("None of the 2 sites can do this; nearest: perth")
    short = NOW, NOW + timedelta(seconds=10)
    offers, broker = ask([ready()], make_request(start=short, data=[make_data("perth")]))
    assert not broker.asked
    assert "not-ready-in-time" in {note.kind for note in offers.notes}


def test_a_direct_execution_takes_the_best_of_all():
    taken = {"perth": [Booking(NOW, NOW + 5 * HOUR, 8, 0)]}
    offers, _ = ask([ready(NOW + 2 * HOUR), ready(NOW + HOUR, reference="sooner")], make_request(), taken, 1)
    assert [placement.reference for placement in offers.placements] == ["sooner"]


def test_the_summary_names_the_site_with_the_fewest_reasons_once():
    large = make_request(cores=(9, None), data=[make_data("lausanne", size_bytes=101 * 2**30)])
    answer, _ = ask(PlatformError("far.example doesn't answer"), large, cores=16, storage_gib=500)
    assert answer.notes[0].text.endswith("fewest reasons stand against lausanne: far.example doesn't answer")
