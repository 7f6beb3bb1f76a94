"""Small worlds for property tests of offers: what is booked, and what is asked."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st

from broker.model import MinMax, StorageItem
from reservations.capacity import Booking
from tests.broker.conftest import NOW, make_data, make_federation, make_request, make_site
from tests.broker.offering import load_platforms

minutes = st.integers(0, 120).map(lambda m: timedelta(minutes=m))
bookings = st.lists(
    st.builds(
        lambda start, length, cores, memory, storage: Booking(
            NOW + start, NOW + start + length + timedelta(minutes=1), cores, memory, storage
        ),
        minutes,
        minutes,
        st.integers(0, 8),
        st.integers(0, 32),
        st.integers(0, 100),
    ),
    max_size=6,
)
taken = st.dictionaries(st.sampled_from(["perth", "lausanne", "penticton"]), bookings)


WORLD = make_federation(
    make_site("perth", -31.95, 115.86),
    make_site("lausanne", 46.52, 6.63, price=0.2),
    make_site("penticton", 49.5, -119.59, max_cores=6),
)
# looked up once: entry points are slow, and asking changes nothing
PLATFORMS = load_platforms(WORLD)


def _range(largest):
    return st.tuples(st.integers(1, largest), st.none() | st.integers(0, largest)).map(
        lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
    )


@st.composite
def requests(draw, largest_cores=10, largest_storage=90, longest_minutes=120):
    """A request in the world; with what is more than a site has, where the largest are large."""
    earliest = NOW + draw(minutes)
    request = make_request(
        cores=draw(_range(largest_cores)),
        memory=draw(_range(4 * largest_cores)),
        data=[make_data("perth", "penticton")] if draw(st.booleans()) else [],
        start=(earliest, earliest + draw(minutes)),
        duration=timedelta(minutes=draw(st.integers(1, longest_minutes))),
    )
    storage = draw(st.integers(0, largest_storage))
    return replace(request, storage=(StorageItem("s", "s", MinMax(storage)),) if storage else ())
