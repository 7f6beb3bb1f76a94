"""One directed path of the emulator, with its clock turned by hand: no device, no waiting."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lab.description import Path
from lab.emulator import Line, address_pair

MS = 1_000_000


def line(
    delay: float = 0.0, jitter: float = 0.0, loss: float = 0.0, rate: float = 80e6, queue: float = 1.0
) -> Line:
    made = Line()
    made.configure(Path("a", "b", delay, jitter, loss, rate, queue))
    return made


def test_a_packet_takes_its_sending_time_and_the_delay() -> None:
    path = line(delay=0.010, rate=80e6)
    path.accept(b"x" * 1000, 0)
    assert [due for due, _ in path.waiting] == [10 * MS + 100_000]


def test_a_full_queue_drops_what_comes_on_top() -> None:
    # 1000 bytes take 0.1 ms; 2 ms of queue hold 20 packets beside the one on the wire
    path = line(rate=80e6, queue=0.002)
    for _ in range(100):
        path.accept(b"x" * 1000, 0)
    assert len(path.waiting) == 21
    # a millisecond later ten of them have left
    for _ in range(100):
        path.accept(b"x" * 1000, MS)
    assert len(path.waiting) == 31


def test_loss_is_as_frequent_as_configured() -> None:
    random.seed(7)
    path = line(loss=0.05, rate=8e12)
    for number in range(20_000):
        path.accept(b"x", number * MS)
    # five standard deviations of a binomial distribution
    assert abs(20_000 - len(path.waiting) - 1000) < 155


def test_a_lost_packet_has_used_the_path_all_the_same() -> None:
    path = line(loss=1.0, rate=80e6)
    path.accept(b"x" * 1000, 0)
    assert not path.waiting
    path.loss = 0.0
    path.accept(b"x" * 1000, 0)
    assert path.waiting[0][0] == 200_000


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 5 * MS), st.integers(20, 9000)), min_size=1, max_size=60),
    delay=st.floats(0.001, 0.1),
    share=st.floats(0.0, 1.0),
    rate=st.floats(1e6, 1e9),
)
def test_packets_keep_their_order_and_never_beat_the_rate_or_the_delay(
    arrivals: list[tuple[int, int]], delay: float, share: float, rate: float
) -> None:
    jitter = delay * share
    path = line(delay=delay, jitter=jitter, rate=rate, queue=10.0)
    now, sent = 0, []
    for number, (gap, size) in enumerate(arrivals):
        now += gap
        sent.append((now, size))
        path.accept(number.to_bytes(2, "big") + bytes(size - 2), now)
    dues = [due for due, _ in path.waiting]
    assert [int.from_bytes(packet[:2], "big") for _, packet in path.waiting] == list(range(len(arrivals)))
    assert dues == sorted(dues)
    total = 0
    for (arrived, size), due in zip(sent, dues, strict=True):
        total += size
        earliest = arrived + size * 8e9 / rate + (delay - jitter) * 1e9
        assert due >= earliest - len(arrivals) - 2
        assert due >= sent[0][0] + total * 8e9 / rate + (delay - jitter) * 1e9 - len(arrivals) - 2


@given(st.floats(0.0005, 0.05))
def test_jitter_varies_the_delay_either_way_around_the_configured_one(jitter: float) -> None:
    random.seed(3)
    path = line(delay=0.1, jitter=jitter, rate=8e12)
    for number in range(2000):
        path.accept(b"x", number * 1000 * MS)
    delays = sorted(due - number * 1000 * MS for number, (due, _) in enumerate(path.waiting))
    assert abs(delays[1000] - 100 * MS) < 0.1 * jitter * 1e9
    assert delays[0] >= (0.1 - jitter) * 1e9 - 2
    assert delays[-1] <= (0.1 + jitter) * 1e9 + 2


def test_a_changed_path_leaves_packets_under_way_alone() -> None:
    path = line(delay=0.1)
    path.accept(b"x" * 1000, 0)
    path.configure(Path("a", "b", 0.01, 0.0, 0.0, 80e6, 1.0))
    path.accept(b"y" * 1000, MS)
    # the second would arrive first, and no packet overtakes another
    assert [due for due, _ in path.waiting] == [100 * MS + 100_000] * 2


def test_the_key_of_a_path_is_what_stands_in_the_packets() -> None:
    assert address_pair("10.77.1.2", "10.77.5.2") == bytes([10, 77, 1, 2, 10, 77, 5, 2])
