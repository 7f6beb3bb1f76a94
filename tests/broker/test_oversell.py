"""Clients at once, whatever they do: two of them never get the same resources."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, exists, insert, select

from broker.model import Phase
from broker.records import NotAllowed, Owner, Role
from broker.service import Broker
from broker.tables import holds, offersets, sessions
from reservations.capacity import Capacity
from tests.broker.conftest import NOW, make_document, make_federation, make_site
from tests.broker.holds_history import forget, oversold, record

CORES = 8
POOLS = {site: Capacity(CORES, 32, 100) for site in ("perth", "lausanne")}
# who may do anything to anybody's session: clients fight for the same offers, too
ANYBODY = Owner("admin", "root", Role.ADMIN)
TAKEN = (Phase.ACCEPTED, Phase.CANCELLED)

asks = st.tuples(
    st.just("ask"),
    st.integers(1, CORES),
    st.sampled_from([10, 60, 240]),
    st.sampled_from([None, 0, 30, 60]),
)
others = st.tuples(
    st.sampled_from(["accept", "accept", "reject", "cancel", "direct", "read"]), st.integers(0, 50)
)
deeds = st.lists(asks | others, min_size=3, max_size=8)


def perform(broker, shared, deed):
    """Do one thing; what the phase of a session forbids is left undone."""
    if deed[0] == "ask":
        _, cores, minutes, later = deed
        start = None
        if later is not None:
            start = f"{NOW + timedelta(minutes=1 + later):%Y-%m-%dT%H:%M:%SZ}/PT5M"
        document = make_document(cores=(cores, CORES), duration=f"PT{minutes}M", start=start)
        shared.extend(session.uuid for session in broker.request(document, ANYBODY).sessions)
    elif deed[0] == "direct":
        made = broker.direct(make_document(cores=(1 + deed[1] % CORES, None)), ANYBODY)
        shared.append(made.uuid)
    elif shared:
        uuid = shared[deed[1] % len(shared)]
        if deed[0] == "read":
            assert broker.session(uuid) is not None
            return
        wanted = {"accept": Phase.ACCEPTED, "reject": Phase.REJECTED, "cancel": Phase.CANCELLED}[deed[0]]
        with contextlib.suppress(NotAllowed):
            broker.update_phase(uuid, wanted, ANYBODY)


def half_done(connection):
    """Offers that are still open beside one that was taken, and rejected ones that still hold something."""
    sibling = sessions.alias()
    open_beside = select(sessions.c.uuid).where(
        sessions.c.phase == Phase.OFFERED.value,
        exists().where(sibling.c.offerset == sessions.c.offerset, sibling.c.phase.in_([*TAKEN])),
    )
    holding = (
        select(sessions.c.uuid)
        .join(holds, holds.c.session == sessions.c.uuid)
        .where(sessions.c.phase.in_([Phase.REJECTED.value, Phase.EXPIRED.value]))
    )
    return [*connection.execute(open_beside).scalars(), *connection.execute(holding).scalars()]


@pytest.fixture
def broker(settings, engine, clock):
    record(engine)
    federation = make_federation(
        make_site("perth", -31.95, 115.86, cores=CORES), make_site("lausanne", 46.52, 6.63, cores=CORES)
    )
    return Broker(settings, federation, engine, clock, online=False)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(deeds, min_size=4, max_size=6))
def test_clients_at_once_never_get_the_same_resources(broker, engine, scripts):
    with engine.begin() as connection:
        connection.execute(delete(offersets))
    forget(engine)
    shared: list[str] = []
    begin = threading.Barrier(len(scripts) + 1)
    done = threading.Event()

    def client(script):
        begin.wait(120)
        for deed in script:
            perform(broker, shared, deed)

    def observer():
        """In no transaction's eyes is anything half done."""
        seen = []
        begin.wait(120)
        while not done.is_set():
            with engine.connect() as connection:
                seen += half_done(connection)
        return seen

    with ThreadPoolExecutor(len(scripts) + 1) as pool:
        watching = pool.submit(observer)
        working = [pool.submit(client, script) for script in scripts]
        try:
            for each in working:
                each.result(600)
        finally:
            done.set()
    assert watching.result() == []
    assert oversold(engine, POOLS, NOW) == []
    with engine.connect() as connection:
        booked = set(connection.execute(select(holds.c.session)).scalars())
        open_or_taken = select(sessions.c.uuid).where(
            (sessions.c.phase == Phase.OFFERED.value) | sessions.c.occupies_platform
        )
        assert booked == set(connection.execute(open_or_taken).scalars())


def test_the_history_sees_what_is_promised_twice(broker, engine):
    """The check itself: two bookings of five cores in one hour are one too many of eight, one after the other
    are not, and what has been given back doesn't count."""
    hour = timedelta(hours=1)

    uuids = [broker.direct(make_document(cores=(1, None)), ANYBODY).uuid for _ in range(3)]
    with engine.begin() as connection:
        connection.execute(delete(holds))
    forget(engine)

    def add(uuid, start):
        with engine.begin() as connection:
            connection.execute(
                insert(holds).values(
                    session=uuid,
                    site="perth",
                    storage_start=start,
                    start=start,
                    end=start + hour,
                    cores=5,
                    memory_gib=1,
                    storage_gib=1,
                )
            )

    add(uuids[0], NOW)
    add(uuids[1], NOW + hour)
    assert oversold(engine, POOLS, NOW) == []
    with engine.begin() as connection:
        connection.execute(delete(holds).where(holds.c.session == uuids[0]))
    add(uuids[2], NOW)
    assert oversold(engine, POOLS, NOW) == []
    add(uuids[0], NOW + hour / 2)
    assert oversold(engine, POOLS, NOW)
