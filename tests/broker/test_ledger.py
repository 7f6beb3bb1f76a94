"""Nothing is oversold, whatever clients do at once."""

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from broker.model import Phase
from broker.records import NotAllowed, Owner
from broker.service import Broker
from broker.sessions import ledger
from broker.tables import holds, sessions
from federation.database import write
from reservations.capacity import Booking, Capacity
from tests.broker.conftest import NOW, make_document, make_federation, make_site

CORES = 8


@pytest.fixture
def federation():
    return make_federation(
        make_site("perth", -31.95, 115.86, cores=CORES), make_site("lausanne", 46.52, 6.63, cores=CORES)
    )


@pytest.fixture
def broker(settings, federation, engine, clock):
    return Broker(settings, federation, engine, clock, online=False)


def most_taken(engine, now):
    """The most cores that are promised at one site at one instant from now on."""
    with engine.connect() as connection:
        rows = connection.execute(select(holds)).all()
    live = [row for row in rows if row.expires is None or row.expires > now]
    return max(
        (
            sum(other.cores for other in live if other.site == row.site and other.start <= at < other.end)
            for row in live
            for at in [max(row.start, now)]
        ),
        default=0,
    )


def test_clients_at_once_never_get_more_than_there_is(broker, engine, clock):
    """Twelve clients ask for 3 of 8 cores in the same hour: two fit at each site, whoever comes first."""
    document = make_document(cores=(3, None), start="2026-11-25T13:00:00Z/PT0S")

    def client(number):
        owner = Owner(f"owner-{number}", f"owner-{number}")
        offers = broker.request(document, owner)
        if offers.yes:
            broker.update_phase(offers.sessions[0].uuid, Phase.ACCEPTED, owner)
        return offers.yes

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(client, range(12)))
    assert most_taken(engine, clock.now()) == 6
    with engine.connect() as connection:
        query = select(sessions.c.uuid).where(sessions.c.phase == Phase.ACCEPTED.value)
        accepted = set(connection.execute(query).scalars())
        booked = set(connection.execute(select(holds.c.session)).scalars())
    assert accepted == booked
    assert 2 <= len(accepted) <= 4
    assert sum(answers) == len(accepted)


def test_of_two_siblings_accepted_at_once_one_wins(broker, engine):
    owner = Owner("o", "o")

    def accept(uuid):
        try:
            return broker.update_phase(uuid, Phase.ACCEPTED, owner).phase
        except NotAllowed as refusal:
            return refusal.phase

    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            offers = broker.request(make_document(), owner)
            uuids = [session.uuid for session in offers.sessions]
            assert sorted(pool.map(accept, uuids)) == [Phase.ACCEPTED, Phase.REJECTED]
            after = [session.phase for session in broker.offerset(offers.uuid).sessions]
            assert sorted(after) == [Phase.ACCEPTED, Phase.REJECTED]
            winner = uuids[after.index(Phase.ACCEPTED)]
            with write(engine) as connection:
                ledger.free(connection, [winner])


@pytest.mark.parametrize("seed", range(6))
def test_a_random_day_never_oversells(broker, engine, clock, seed):
    chance = random.Random(seed)
    owner = Owner("o", "o")
    open_offers = []
    for _ in range(25):
        deed = chance.choice(["ask", "ask", "accept", "reject", "wait", "begin"])
        if deed == "ask":
            least = chance.randint(1, CORES)
            asked = make_document(
                cores=(least, chance.choice([None, CORES])), duration=f"PT{chance.randint(1, 90)}M"
            )
            if chance.random() < 0.5:
                later = clock.now() + timedelta(minutes=chance.randint(1, 120))
                asked = asked | {"schedule": {"requested": {"start": f"{later:%Y-%m-%dT%H:%M:%SZ}/PT1H"}}}
            open_offers += [session.uuid for session in broker.request(asked, owner).sessions]
        elif deed in ("accept", "reject") and open_offers:
            uuid = chance.choice(open_offers)
            with contextlib.suppress(NotAllowed):
                broker.update_phase(uuid, Phase.ACCEPTED if deed == "accept" else Phase.REJECTED, owner)
        elif deed == "begin":
            begin_one(broker, engine, clock.now(), chance)
        else:
            clock.advance(chance.choice([1, 60, 301, 1800]))
        assert most_taken(engine, clock.now()) <= CORES


def begin_one(broker, engine, now, chance):
    """Start an accepted session now, if there is room, as the supervisor does."""
    with write(engine) as connection:
        rows = connection.execute(select(holds).where(holds.c.expires.is_(None), holds.c.end > now)).all()
        if rows:
            row = chance.choice(sorted(rows))
            others = ledger.occupancy(connection, now, [row.site], row.session).get(row.site, [])
            size, duration = Capacity(CORES, 32, 100), timedelta(minutes=chance.randint(1, 60))
            ledger.begin(connection, row.session, size, others, now, duration)


def test_a_booking_starts_sooner_only_where_there_is_room(broker, engine, clock):
    owner = Owner("o", "o")
    uuid = broker.direct(make_document(cores=(8, None), start="2026-11-25T13:00:00Z/PT0S"), owner).uuid
    hour = timedelta(hours=1)
    pool = Capacity(CORES, 32, 100)
    busy = [Booking(NOW, NOW + hour / 2, 1, 0)]
    with write(engine) as connection:
        assert ledger.begin(connection, uuid, pool, busy, NOW, hour) is None
        assert ledger.begin(connection, uuid, pool, busy, NOW + hour / 2, hour) == NOW + 1.5 * hour


def test_a_late_start_gets_its_whole_time_or_what_is_left(broker, engine, clock):
    owner = Owner("o", "o")
    uuid = broker.direct(make_document(cores=(8, None), start="2026-11-25T13:00:00Z/PT0S"), owner).uuid
    hour = timedelta(hours=1)
    pool, late = Capacity(CORES, 32, 100), NOW + 1.25 * hour
    next_one = [Booking(NOW + 2 * hour, NOW + 3 * hour, 1, 0)]
    with write(engine) as connection:
        assert ledger.begin(connection, uuid, pool, next_one, late, hour) == NOW + 2 * hour
        assert ledger.begin(connection, uuid, pool, [], late, hour) == NOW + 2.25 * hour
        gone = NOW + 2.5 * hour
        assert ledger.begin(connection, uuid, pool, [Booking(gone, gone + hour, 1, 0)], gone, hour) is None
