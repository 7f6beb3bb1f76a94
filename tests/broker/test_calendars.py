"""Offers are bounded by the site's own calendars, beside what the ledger has promised."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from broker.model import Phase
from broker.offers.calendars import GRACE, Held, SiteCalendars, ceil, floor
from broker.service import Broker
from broker.sessions import ledger
from federation.errors import InputError
from federation.sites import Space
from reservations.calendar import MEMORY_MB, VCPU, Calendar, Host, Need, Rules, Sight, Taken
from reservations.capacity import Capacity
from reservations.sources import Placed
from tests.broker.clouds import TinyCloud, host, placed
from tests.broker.conftest import NOW, make_document, make_federation, make_site
from tests.broker.driving import ANN

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def federation():
    return make_federation(make_site("perth", -31.95, 115.86, cores=100))


@pytest.fixture
def cloud(clock):
    return TinyCloud(clock, "perth")


def need(cores, memory_gib=1):
    return Need({VCPU: cores, MEMORY_MB: memory_gib * 1024})


def start_range(first, last):
    return f"{first:%Y-%m-%dT%H:%M:%SZ}/{last:%Y-%m-%dT%H:%M:%SZ}"


def ask(broker, cores=(4, None), hours=1, within=24, **more):
    document = make_document(
        cores, f"PT{hours}H", start=start_range(NOW, NOW + timedelta(hours=within)), **more
    )
    return broker.request(document, ANN)


def texts(session):
    return [note.text for note in session.placement.notes]


@pytest.mark.parametrize("book", [None, "virtual:instance"])
def test_a_lease_of_somebody_else_is_kept_clear_of(make_broker, cloud, book):
    cloud.book(need(6), NOW, NOW + 3 * HOUR)
    broker = make_broker(sources=[placed(cloud, book)])
    answer = ask(broker)
    assert [session.placement.start for session in answer.sessions] == [NOW + 3 * HOUR]
    assert "perth's calendar (tiny, virtual:instance) as of 0 s ago" in texts(answer.sessions[0])
    # what fits beside it does at once
    assert ask(broker, cores=(2, None)).sessions[0].placement.start < NOW + MINUTE


def test_of_a_maximum_a_host_gives_what_is_free_on_it(make_broker, cloud):
    cloud.hosts = (host("h1"), host("h2"))
    cloud.book(need(6), NOW, NOW + 3 * HOUR)
    broker = make_broker(sources=[placed(cloud, None)])
    sessions = ask(broker, cores=(1, 50)).sessions
    # the pool has 100 cores free, and no host has more than 8
    assert [session.placement.cores for session in sessions] == [8]


def test_offers_that_are_open_count_on_the_hosts(make_broker, cloud):
    broker = make_broker(sources=[placed(cloud)])
    first = ask(broker).sessions[0].placement
    second = ask(broker).sessions[0].placement
    assert first.start == second.start
    third = ask(broker).sessions[0].placement
    assert third.start >= first.start + first.start_within + first.duration + GRACE


def test_a_larger_offer_comes_behind_all_that_is_promised(make_broker, cloud):
    broker = make_broker(sources=[placed(cloud)])
    long = ask(broker, cores=(4, 4), hours=3).sessions[0].placement
    first, larger = (session.placement for session in ask(broker, cores=(2, 8)).sessions)
    assert (first.cores, larger.cores) == (4, 8)
    assert first.start < NOW + MINUTE
    assert larger.start >= long.start + long.start_within + long.duration + GRACE


def test_what_is_promised_no_longer_takes_no_room(make_broker, cloud):
    broker = make_broker(sources=[placed(cloud)])
    held = [ask(broker).sessions[0] for _ in range(2)]
    assert ask(broker).sessions[0].placement.start > NOW + HOUR
    broker.update_phase(held[0].uuid, Phase.REJECTED, ANN)
    assert ask(broker).sessions[0].placement.start < NOW + MINUTE


def test_what_has_its_lease_is_counted_once(make_broker, cloud, clock):
    broker = make_broker(sources=[placed(cloud)])
    session = ask(broker).sessions[0]
    broker.update_phase(session.uuid, Phase.ACCEPTED, ANN)
    cloud.book(need(4), NOW, NOW + 2 * HOUR, session.uuid)
    clock.advance(31)
    assert ask(broker).sessions[0].placement.start < NOW + 2 * MINUTE


def test_no_room_says_what_the_calendar_says(make_broker, cloud):
    cloud.book(need(8), NOW, NOW + 48 * HOUR)
    answer = ask(make_broker(sources=[placed(cloud)]))
    assert not answer.yes
    (note,) = [note for note in answer.notes if note.kind == "no-space"]
    assert note.text.startswith("perth: by its calendar, too much is booked")
    # the change that helps was tried on the calendar, too
    (change,) = [note for note in answer.notes if note.kind == "nearest-change"]
    assert "ask for a start up to 2026-11-27T12:00:00Z" in change.text


def test_a_hidden_calendar_bounds_nothing_and_says_so(make_broker, cloud):
    cloud.sight = Sight.OWN
    cloud.book(need(8), NOW, NOW + 3 * HOUR)
    (session,) = ask(make_broker(sources=[placed(cloud)])).sessions
    assert session.placement.start < NOW + MINUTE
    assert any("what others have booked there is hidden" in text for text in texts(session))


def test_a_source_that_sees_no_bookings_bounds_nothing(make_broker, cloud):
    cloud.sight = Sight.NONE
    cloud.book(need(8), NOW, NOW + 3 * HOUR)
    (session,) = ask(make_broker(sources=[placed(cloud, None)])).sessions
    assert session.placement.start < NOW + MINUTE
    assert not [note for note in session.placement.notes if note.kind == "calendar"]


def test_of_several_calendars_one_with_room_is_enough(make_broker, cloud, clock):
    """Two sources, of machines of their own."""
    cloud.book(need(8), NOW, NOW + 3 * HOUR)
    other = Placed("perth", Space("tiny", {"cloud": "other"}), TinyCloud(clock, "perth"))
    broker = make_broker(sources=[placed(cloud, None), other])
    assert ask(broker, cores=(8, None)).sessions[0].placement.start < NOW + MINUTE


def test_the_longest_booking_holds_also_where_the_rest_is_hidden(make_broker, cloud):
    cloud.sight, cloud.rules = Sight.OWN, Rules(longest=HOUR)
    assert not ask(make_broker(sources=[placed(cloud)])).yes


def test_a_quota_of_the_calendar_holds(make_broker, cloud):
    cloud.caps = {VCPU: 3}
    broker = make_broker(sources=[placed(cloud)])
    assert not ask(broker).yes
    assert [session.placement.cores for session in ask(broker, cores=(1, 8)).sessions] == [3]


def test_a_source_that_is_down_is_told_and_what_it_said_before_holds(make_broker, cloud, clock):
    cloud.book(need(8), NOW, NOW + 3 * HOUR)
    broker = make_broker(sources=[placed(cloud)])
    ask(broker)
    cloud.down = True
    clock.advance(120)
    (session,) = ask(broker).sessions
    assert session.placement.start >= NOW + 3 * HOUR
    told = texts(session)
    assert any("tiny of perth could not be asked: the cloud doesn't answer" in text for text in told)
    assert any("as of 2 min ago" in text for text in told)
    # another process finds what this one has learnt
    again = ask(make_broker(sources=[placed(cloud)])).sessions[0]
    assert again.placement.start >= NOW + 3 * HOUR


def test_a_source_that_was_never_reached_gets_no_offer(make_broker, cloud):
    cloud.down = True
    answer = ask(make_broker(sources=[placed(cloud)]))
    assert not answer.yes
    (note,) = [note for note in answer.notes if note.kind == "space-unknown"]
    assert "it isn't known what is free there: tiny of perth could not be asked" in note.text


def test_a_kind_that_the_cloud_does_not_have_is_told(make_broker, cloud):
    answer = ask(make_broker(sources=[placed(cloud, "physical:host")]))
    (note,) = [note for note in answer.notes if note.kind == "space-unknown"]
    assert "sessions are to be booked as physical:host, and tiny has no such calendar there" in note.text


def test_the_cloud_is_not_asked_while_others_wait(make_broker, cloud, engine, monkeypatch):
    """Asking a cloud takes seconds; a transaction that decides has milliseconds."""
    deciding = []
    real = ledger.occupancy
    monkeypatch.setattr(
        ledger, "occupancy", lambda *args, **more: deciding.append(len(cloud.calls)) or real(*args, **more)
    )
    ask(make_broker(sources=[placed(cloud)]))
    assert cloud.calls == ["calendars"]
    assert deciding == [1]


def test_a_host_is_not_promised_twice_to_those_who_ask_at_once(make_broker, cloud):
    """The pool has room for all of them; the host for two."""
    broker = make_broker(sources=[placed(cloud)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(broker, within=0.5), range(8)))
    assert sum(answer.yes for answer in answers) == 2


def test_booking_where_nothing_can_be_booked_is_a_mistake_of_the_catalogue(
    settings, engine, clock, federation
):
    for sources, words in (
        (
            [Space("static", {}, "virtual:instance")],
            "expected a source that can be booked, such as blazar, got static",
        ),
        ([Space("blazar", {}, "virtual:instance")] * 2, "expected it in one table of the site, got it in 2"),
    ):
        fakes = [Placed("perth", space, object()) for space in sources]
        with pytest.raises(InputError, match=words):
            Broker(settings, federation, engine, clock, online=False, sources=fakes)


def test_static_hosts_of_the_catalogue_bound_offers(settings, engine, clock, federation):
    """Loaded as `fairlead serve` does; the operator's bookings stand in the ledger's pool and here, too."""
    options = {
        "hosts": [{"name": "h", "cores": 8, "memory": "32 GiB"}],
        "bookings": [{"start": NOW, "end": NOW + 2 * HOUR, "host": "h", "cores": 6}],
    }
    perth = replace(federation["perth"], space=(Space("static", options),))
    broker = Broker(settings, make_federation(perth), engine, clock, online=True)
    assert ask(broker, cores=(4, None)).sessions[0].placement.start == NOW + 2 * HOUR
    assert not ask(broker, cores=(9, None)).yes


@st.composite
def worlds(draw):
    def taken(number):
        start = NOW + draw(st.integers(-60, 300)) * MINUTE
        length = draw(st.integers(1, 200)) * MINUTE
        where = draw(st.sampled_from(["a", "b"]))
        return Taken(where, start, start + length, {VCPU: draw(st.integers(1, 8))}, str(number))

    hosts = tuple(Host(name, name, {VCPU: 8, MEMORY_MB: 65536}) for name in ("a", "b"))
    parts = tuple(taken(number) for number in range(draw(st.integers(0, 5))))
    step = draw(st.sampled_from([MINUTE, 15 * MINUTE]))
    books = draw(st.booleans())
    calendar = Calendar(
        "perth", "tiny", "virtual:instance", hosts, parts, Rules(step=step), NOW, NOW + 48 * HOUR
    )
    return SiteCalendars("perth", (calendar,), books)


def free(calendars, cores, since, until):
    """Whether one host has so many cores from `since` to `until`, second by minute: the simple way."""
    (calendar,) = calendars.calendars
    for each in calendar.hosts:
        parts = [part for part in calendar.taken if part.host == each.id]
        points = [since, *(part.start for part in parts if since <= part.start < until)]
        if all(sum(p.amounts[VCPU] for p in parts if p.start <= at < p.end) + cores <= 8 for at in points):
            return True
    return False


@given(worlds(), st.integers(1, 8), st.integers(1, 180 * 60), st.integers(0, 3600))
def test_every_start_in_a_window_has_a_host_for_all_of_its_steps(calendars, cores, seconds, after):
    duration, earliest = timedelta(seconds=seconds), NOW + timedelta(seconds=after)
    found = calendars.windows(Capacity(cores, 1), duration, earliest, NOW + 10 * HOUR)
    step = calendars.calendars[0].rules.step
    event(f"windows: {len(found)}")
    assert all(before.latest_start < later.start for before, later in pairwise(found))
    grace = GRACE if calendars.books else timedelta(0)
    for window in found:
        assert earliest <= window.start <= window.latest_start <= NOW + 10 * HOUR
        middle = window.start + timedelta(
            seconds=int((window.latest_start - window.start).total_seconds()) // 2
        )
        for start in (window.start, middle, window.latest_start):
            assert free(calendars, cores, floor(start, step), ceil(start + duration + grace, step))


@given(worlds(), st.integers(1, 8), st.integers(1, 12))
def test_no_start_on_a_step_is_missed(calendars, cores, steps):
    step = calendars.calendars[0].rules.step
    grace = GRACE if calendars.books else timedelta(0)
    found = calendars.windows(Capacity(cores, 1), steps * step, NOW, NOW + 5 * HOUR)
    for number in range(5 * HOUR // step):
        start = NOW + number * step
        inside = any(window.start <= start <= window.latest_start for window in found)
        end = ceil(start + steps * step + grace, step)
        before, behind = free(calendars, cores, start, end + step), free(calendars, cores, start, end)
        assert not before or inside
        assert behind or not inside


@given(worlds(), st.lists(st.tuples(st.integers(0, 120), st.integers(1, 90), st.integers(1, 8)), max_size=4))
def test_what_is_promised_takes_room_on_a_host(calendars, promised):
    held = [
        Held(str(number), NOW + start * MINUTE, NOW + (start + length) * MINUTE, Capacity(cores, 1))
        for number, (start, length, cores) in enumerate(promised)
    ]
    beside = calendars.beside(held)
    assert beside.beside(held) == beside
    assert beside.beside([]) == calendars
    before = calendars.windows(Capacity(4, 1), HOUR, NOW, NOW + 5 * HOUR)
    for window in beside.windows(Capacity(4, 1), HOUR, NOW, NOW + 5 * HOUR):
        assert any(each.start <= window.start <= each.latest_start for each in before)
