"""What credits allow, against a search that tries one size and one time after the other."""

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.afford import affordable, booked_amounts, charges, in_words, largest, longest
from reservations.calendar import Calendar, Host, Need, Rules
from reservations.credits import Account
from reservations.windows import Opening

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
CLASSES = ("VCPU", "MEMORY_MB", "PGPU")

prices = st.dictionaries(
    st.sampled_from(CLASSES), st.sampled_from([0.0, 0.1, 0.25, 0.3, 1.0, 3.0]), min_size=1
)
times = st.none() | st.integers(-3, 3).map(lambda days: NOW + timedelta(days=days))
accounts = st.builds(
    Account,
    name=st.just("purse"),
    unit=st.just("credits"),
    left=st.sampled_from([0.0, 0.3, 0.9, 1.0, 7.0, 12.5, 40.0]),
    granted=st.none(),
    per_hour=prices,
    known_at=st.just(NOW),
    start=times,
    end=times,
    whole_units=st.booleans(),
    refuses_unnamed=st.booleans(),
)
needs = st.builds(
    Need, st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 4), min_size=1), st.integers(1, 4)
)


def pays(purses, need, duration):
    """As a clerk would do it: every class by itself, with fractions on paper."""
    valid = [a for a in purses if (a.start is None or a.start <= NOW) and (a.end is None or a.end > NOW)]
    if not valid:
        return False
    for name, each in need.amounts.items():
        priced = [a for a in purses if a.per_hour.get(name)]
        if each and priced and not any(name in a.per_hour for a in valid):
            return False
    for account in valid:
        cost = Fraction(0)
        for name, each in need.amounts.items():
            if each and name not in account.per_hour and account.refuses_unnamed:
                return False
            price = Fraction(account.per_hour.get(name, 0.0)).limit_denominator(1000)
            cost += each * need.units * price * Fraction(duration // MINUTE, 60)
        if (math.ceil(cost) if account.whole_units else cost) > Fraction(account.left).limit_denominator(
            1000
        ):
            return False
    return True


@given(st.lists(accounts, max_size=3), needs, st.integers(1, 400))
def test_affordable_is_what_a_clerk_works_out(purses, need, minutes):
    assert affordable(purses, need, minutes * MINUTE, NOW) == pays(purses, need, minutes * MINUTE)


@given(st.lists(accounts, max_size=3), needs)
def test_the_longest_is_the_last_that_is_paid(purses, need):
    step = timedelta(minutes=10)
    tried = 0
    while tried < 60 and pays(purses, need, (tried + 1) * step):
        tried += 1
    found = longest(purses, need, NOW, step=step).most
    if tried == 60:
        assert found is None or found >= 60 * step
    else:
        assert found == tried * step


@given(st.lists(accounts, max_size=3), needs, st.integers(1, 300))
def test_the_largest_is_the_last_that_is_paid(purses, need, minutes):
    tried = 0
    while tried < 30 and pays(purses, need.of(tried + 1), minutes * MINUTE):
        tried += 1
    found = largest(purses, need, minutes * MINUTE, NOW).most
    if tried == 30:
        assert found is None or found >= 30
    else:
        assert found == tried


def purse(left, per_hour, **more):
    return Account("2026Q4", "core-hours", left, 100.0, per_hour, NOW, **more)


def test_the_purse_and_the_class_that_bind_are_named():
    wide, tight = purse(1000, {"VCPU": 1}), purse(40, {"VCPU": 1, "PGPU": 20})
    found = longest([wide, tight], Need({"VCPU": 4, "PGPU": 1}), NOW)
    assert (found.most, found.account, found.resource) == (timedelta(minutes=100), tight, "PGPU")


def test_a_price_rounded_up_to_whole_units_can_be_too_much():
    whole = purse(2.5, {"VCPU": 1}, whole_units=True)
    assert longest([whole], Need({"VCPU": 1}), NOW).most == 2 * HOUR
    (charge,) = charges([whole], Need({"VCPU": 1}), 2 * HOUR + MINUTE, NOW)
    assert (charge.units, charge.enough) == (3.0, False)


def test_a_flavour_is_priced_by_its_name_where_the_purse_prices_flavours():
    account = purse(10, {"VCPU": 100}, per_hour_of_flavour={"m1.large": 0.5})
    need = Need({"VCPU": 8}, 2, flavour="a-uuid")
    named = {"a-uuid": ("m1.large", {"VCPU": 8})}
    assert longest([account], need, NOW, flavours=named).most == 10 * HOUR
    assert longest([account], need, NOW).most == timedelta(0)


def test_whole_hosts_cost_what_they_have_and_not_what_was_needed():
    hosts = (Host("a", "a", {"VCPU": 64}), Host("b", "b", {"VCPU": 96}))
    calendar = Calendar("perth", "blazar", "physical:host", hosts, (), Rules(), NOW, NOW + HOUR)
    need = Need({"VCPU": 32}, 2, whole_hosts=True)
    assert booked_amounts(need, calendar, Opening(NOW, NOW, ("a", "b"))) == {"VCPU": 160}
    assert booked_amounts(need) == {"VCPU": 64}


@pytest.mark.parametrize(
    ("purses", "need", "hours", "expected"),
    [
        (
            [purse(40, {"VCPU": 1}, end=datetime(2027, 1, 1, tzinfo=UTC))], Need({"VCPU": 2}, 4), 12,
            "this would cost 96 core-hours; 40 core-hours are left in 2026Q4 until 1 Jan 2027 00:00 UTC: "
            "1 host for 12 h, or 4 for 5 h would fit",
        ),
        ([purse(100, {"VCPU": 1})], Need({"VCPU": 2}, 4), 12, "this would cost 96 core-hours"),
        (
            [purse(0, {"VCPU": 1})], Need({"VCPU": 2}), 1,
            "this would cost 2 core-hours; 0 core-hours are left in 2026Q4",
        ),
        ([], Need({"VCPU": 2}), 1, "this project has no credits here"),
        ([purse(9, {"VCPU": 1}, refuses_unnamed=True)], Need({"PGPU": 1}), 1, "2026Q4 pays for no PGPU"),
        (
            [purse(9, {"VCPU": 1}, end=NOW)], Need({"VCPU": 1}), 1,
            "no credits are valid now: 2026Q4 until 1 Dec 2026 00:00 UTC",
        ),
    ],
)  # fmt: skip
def test_in_words(purses, need, hours, expected):
    assert in_words(purses, need, hours * HOUR, NOW, "host") == expected


def test_old_knowledge_is_told():
    said = in_words([purse(1, {"VCPU": 1})], Need({"VCPU": 2}), HOUR, NOW + timedelta(hours=3))
    assert "1 core-hours are left in 2026Q4 (as of 3 h ago)" in said
