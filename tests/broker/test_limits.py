"""Buckets of requests: what passes, what has to wait and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.http.limits import Limiter, Policy, address_key
from federation.clock import ManualClock
from tests.broker.conftest import NOW


@pytest.fixture
def limiter(clock):
    return Limiter(Policy("caller", 5), clock)


def test_a_burst_passes_and_then_one_in_each_interval(limiter, clock):
    assert [limiter.take("ada").allowed for _ in range(7)] == [True] * 5 + [False] * 2
    clock.advance(11.9)
    assert not limiter.take("ada").allowed
    clock.advance(0.1)
    assert [limiter.take("ada").allowed for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert [limiter.take("ada").allowed for _ in range(6)] == [True] * 5 + [False]


def test_callers_have_buckets_of_their_own(limiter):
    while limiter.take("ada").allowed:
        pass
    assert limiter.take("bob").allowed


def test_looking_takes_nothing(limiter):
    assert all(limiter.look("ada").allowed for _ in range(20))
    assert [limiter.take("ada").allowed for _ in range(6)] == [True] * 5 + [False]
    assert not limiter.look("ada").allowed


def test_the_headers_say_what_is_left_and_when_to_come_again(limiter):
    first = limiter.take("ada").headers()
    assert first == {"RateLimit-Policy": '"caller";q=5;w=60', "RateLimit": '"caller";r=4;t=12'}
    for _ in range(4):
        limiter.take("ada")
    assert limiter.take("ada").headers() == {
        "RateLimit-Policy": '"caller";q=5;w=60',
        "RateLimit": '"caller";r=0;t=60',
        "Retry-After": "12",
    }


def test_the_callers_of_long_ago_are_forgotten_first(clock):
    limiter = Limiter(Policy("caller", 1), clock, most_callers=2)
    assert limiter.take("ada").allowed
    assert limiter.take("bob").allowed
    assert limiter.take("eve").allowed
    assert [limiter.take(name).allowed for name in ("eve", "bob", "ada")] == [False, False, True]


@given(st.integers(1, 20), st.lists(st.floats(0, 40), max_size=60))
def test_no_window_lets_more_than_a_burst_and_a_refill_through(requests, pauses):
    clock = ManualClock(NOW)
    limiter = Limiter(Policy("caller", requests), clock)
    passed = []
    for pause in pauses:
        clock.advance(pause)
        verdict = limiter.take("ada")
        if verdict.allowed:
            passed.append(clock.now().timestamp())
        else:
            # who waits as long as told gets through
            assert verdict.wait_seconds <= 60 / requests + 1e-3
    for index, start in enumerate(passed):
        within = [time for time in passed[index:] if time < start + 60 - 1e-3]
        assert len(within) <= 2 * requests


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_stands_for_one_caller(address, key):
    assert address_key(address) == key
