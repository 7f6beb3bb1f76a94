"""Why it was this time: the same sentence of a cloud, told apart by what is known of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Calendar, Host, Need, Rules, Sight, Spread, Taken
from reservations.credits import Account
from reservations.explain import AGGREGATE, FREEPOOL, explain
from reservations.leases import RefusedError
from reservations.openstack import said
from reservations.properties import parse_expression
from reservations.windows import Question

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FULL = "Not enough hosts available"
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "openstack_errors.json").read_text())
SERVERS = {each["sample"]: each["server"] for each in RECORDED if "server" in each}
HOSTS = tuple(
    Host(name, name, {VCPU: 16, MEMORY_MB: 65536, DISK_GB: 1000}, {"gpu": "False"}) for name in ("h1", "h2")
)
VIRTUAL = Calendar(
    "perth", "blazar", "virtual:instance", HOSTS, (), Rules(gap=timedelta(minutes=1)), NOW, NOW + 48 * HOUR
)
UNRESERVED = replace(VIRTUAL, source="nova", kind="unreserved", rules=Rules())


def question(cores, units=1, **how):
    return Question(Need({VCPU: cores}, units, **how), HOUR, NOW, NOW)


def taken(host, cores, hours=2):
    return Taken(host, NOW, NOW + hours * HOUR, {VCPU: cores}, f"lease-{host}", "theirs", "solar")


def why(calendar, asked, problem=FULL):
    return explain(problem, [calendar], asked, kind=calendar.kind)


def test_what_others_hold_is_named_and_when_it_is_free_again():
    found = why(replace(VIRTUAL, taken=(taken("h1", 10), taken("h2", 16, 5))), question(8))
    assert found.limit == said.CAPACITY
    assert found.details == (
        "theirs of solar has a part of it until 2026-12-01 02:00 UTC",
        "theirs of solar has a part of it until 2026-12-01 05:00 UTC",
    )
    assert found.opening.start == NOW + 2 * HOUR + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("asked", "limit", "text"),
    [
        (question(20), said.CAPACITY, "no host gives 20 cores to one unit: 16 cores is the most"),
        (question(16, 3), said.CAPACITY, "even if nothing were booked, 2 of 3 is the most"),
        (
            question(1, properties=parse_expression('["==", "$gpu", "True"]')),
            said.PROPERTIES,
            "there is False",
        ),
    ],
)
def test_what_never_fits_is_said_so(asked, limit, text):
    found = why(VIRTUAL, asked)
    assert (found.limit, found.opening) == (limit, None)
    assert text in found.text


def test_enough_but_not_on_one_host_is_affinity():
    busy = replace(VIRTUAL, taken=(taken("h1", 10), taken("h2", 10)))
    found = why(busy, question(5, 2, spread=Spread.TOGETHER))
    assert found.limit == said.AFFINITY
    assert found.text == "there is enough for 2 × 5 cores, but not on one host"
    assert found.opening.start == NOW + 2 * HOUR + timedelta(minutes=1)


def test_what_fits_by_now_is_to_be_asked_again():
    assert "ask again" in why(VIRTUAL, question(5)).text


def test_what_the_cloud_says_exactly_is_not_explained_away():
    limits = "7200 seconds must be less than or equal to the maximum lease duration of 60 seconds."
    assert (
        "longer than this cloud's longest reservation"
        in why(VIRTUAL, question(5), f"Lease duration of {limits}").text
    )
    unknown = why(VIRTUAL, question(5), "BlazarDBNotFound: A database error occurred")
    assert (unknown.limit, unknown.opening) == (said.PROPERTIES, None)


def test_what_is_hidden_is_not_guessed():
    found = why(replace(VIRTUAL, sight=Sight.OWN, remarks=("hidden",)), question(5))
    assert (found.limit, found.details, found.opening) == (said.CAPACITY, ("hidden",), None)


def test_a_conflict_of_kinds_says_when_it_is_over():
    flavours = replace(VIRTUAL, kind="flavor:instance", taken=(Taken("h1", NOW, NOW + HOUR, None, "v"),))
    flavours = replace(flavours, taken=(*flavours.taken, Taken("h2", NOW, NOW + HOUR, None, "v")))
    found = why(flavours, question(1), "Conflicting reservation types found")
    assert found.limit == said.CONFLICT
    assert found.opening.start == NOW + HOUR + timedelta(minutes=1)


def test_credits_say_what_would_fit():
    purse = Account("2026Q4", "core-hours", 12.0, 100.0, {VCPU: 1.0}, NOW)
    problem = RefusedError("the cloud's credit service says: no", said.CREDITS, "no credits")
    found = explain(problem, [VIRTUAL], question(16), kind="virtual:instance", accounts=[purse])
    assert found.limit == said.CREDITS
    assert "this would cost 16 core-hours" in found.details[0]


def test_a_server_on_hosts_that_blazar_keeps():
    closed = replace(UNRESERVED, hosts=tuple(replace(host, bookable=False) for host in HOSTS))
    found = explain(SERVERS["S1-boot-unreserved-result"], [closed, VIRTUAL])
    assert (found.limit, found.kind) == (FREEPOOL, "virtual:instance")
    assert found.opening.start == NOW


def test_a_server_for_which_nothing_is_left():
    busy = replace(
        UNRESERVED, taken=tuple(Taken(host.id, NOW, None, {VCPU: 16}, "servers") for host in HOSTS)
    )
    found = explain(SERVERS["S9-novalidhost-0"], [busy])
    assert (found.limit, found.opening) == (said.CAPACITY, None)
    assert "too much is booked" in found.text


def test_a_server_beyond_its_reservation():
    found = explain(SERVERS["S6-boot-beyond-reservation-result"], [UNRESERVED])
    assert found.limit == AGGREGATE
    assert "no place left" in found.text


def test_a_server_without_a_fault_and_a_quota():
    assert "gives no reason" in explain({"status": "ERROR"}).text
    quota = explain("Quota exceeded for cores: Requested 4, but already used 20 of 20 cores", [UNRESERVED])
    assert quota.limit == said.QUOTA
