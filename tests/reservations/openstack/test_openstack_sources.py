"""Calendars of a real cloud, as an administrator, a member and a reader see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import ManualClock, SystemClock
from federation.errors import InputError
from federation.sites import Space
from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Need, Sight
from reservations.explain import FREEPOOL, explain
from reservations.openstack.kinds import KINDS
from reservations.openstack.probe import Fit
from reservations.sources import load_source
from reservations.windows import Question, openings
from tests.contracts.capacity_support import check
from tests.reservations.openstack.conftest import SITE

HOUR = timedelta(hours=1)
INSTANCES = Need({VCPU: 2, MEMORY_MB: 2048, DISK_GB: 1}, 3)
HOSTS = Need({}, 2, whole_hosts=True)


@pytest.fixture
def tomorrow():
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)


def by_kind(source, start, end):
    return {calendar.kind: calendar for calendar in source.calendars(start, end)}


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("blazar", {"kind": ["x"]}, "unknown kind: expected cloud, "),
        ("blazar", {"kinds": ["physical"]}, "kinds: expected a list of physical:host, "),
        ("blazar", {"kinds": "physical:host"}, "kinds: expected a list"),
        (
            "blazar",
            {"cleaning_minutes": -1},
            "cleaning_minutes: expected a whole number of at least 0, got -1",
        ),
        ("blazar", {"probes": True}, "probes: expected a whole number"),
        ("blazar", {"gpus": 4}, "gpus: expected a name, got 4"),
        ("blazar", {"longest": "soon"}, "longest: expected"),
        ("nova", {"freepool": 1}, "freepool: expected the name of an aggregate, got 1"),
        ("nova", {"gpus": "x"}, "unknown gpus"),
    ],
)
def test_options_that_mean_nothing_are_named(source, options, expected):
    with pytest.raises(InputError, match=expected):
        load_source(SITE, Space(source, options), ManualClock(datetime(2026, 12, 1, tzinfo=UTC)))


@pytest.mark.cloud
def test_an_administrator_sees_three_calendars_of_the_same_hosts(source_of, tomorrow):
    theirs = source_of("other").leases()
    theirs.reserve("hosts", HOSTS.of(1), "physical:host", tomorrow, tomorrow + HOUR)
    source = source_of("admin", longest="2d", cleaning_minutes=5)
    calendars = by_kind(source, tomorrow, tomorrow + timedelta(days=1))
    assert tuple(calendars) == KINDS
    for calendar in calendars.values():
        assert calendar.sight is Sight.ALL
        assert {host.name for host in calendar.hosts} == {"cpu1", "cpu2", "gpu1"}
        (taken,) = calendar.taken
        assert (taken.start, taken.end, taken.amounts) == (tomorrow, tomorrow + HOUR, None)
        assert (taken.name, taken.holder, taken.ours) == ("fairlead:hosts", "solar", "hosts")
        assert calendar.rules.longest == timedelta(days=2)
    hosts = {kind: {host.name: host for host in each.hosts} for kind, each in calendars.items()}
    assert hosts["virtual:instance"]["cpu1"].amounts[VCPU] == 16
    assert hosts["flavor:instance"]["cpu1"].amounts[VCPU] == 64
    assert hosts["flavor:instance"]["cpu1"].most == {VCPU: 16}
    assert hosts["flavor:instance"]["gpu1"].amounts[PGPU] == 4
    assert hosts["physical:host"]["gpu1"].properties["gpu_model"] == "A100"
    assert calendars["flavor:instance"].flavours["gpu"][1][PGPU] == 1
    # what others do while we look appears
    theirs.reserve("more", INSTANCES, "virtual:instance", tomorrow, tomorrow + HOUR)
    again = by_kind(source, tomorrow, tomorrow + timedelta(days=1))
    assert len(again["physical:host"].taken) == 2
    assert {each.amounts[VCPU] for each in again["virtual:instance"].taken if each.amounts} == {2}


@pytest.mark.cloud
@pytest.mark.parametrize("entry", ["admin", "member"])
@pytest.mark.parametrize("source", ["blazar", "nova"])
def test_a_source_keeps_the_contract(source_of, tomorrow, source, entry):
    source_of("member").leases().reserve("x", INSTANCES, "virtual:instance", tomorrow, tomorrow + HOUR)
    assert check(source_of(entry, source), SITE, SystemClock())


@pytest.mark.cloud
def test_a_member_sees_their_own_and_is_told_what_to_ask_for(source_of, cloud, tomorrow):
    source_of("other").leases().reserve("hosts", HOSTS, "physical:host", tomorrow, tomorrow + HOUR)
    member = source_of("member")
    member.leases().reserve("mine", INSTANCES, "virtual:instance", tomorrow, tomorrow + HOUR)
    for name in ("member", "reader"):
        calendars = by_kind(source_of(name), tomorrow, tomorrow + HOUR)
        assert {calendar.sight for calendar in calendars.values()} == {Sight.OWN}
        (mine,) = calendars["virtual:instance"].taken
        assert (mine.ours, mine.amounts[VCPU], mine.holder) == ("mine", 6, "astro")
        assert calendars["physical:host"].taken == ()
        remark = calendars["physical:host"].remarks[0]
        assert "open blazar:oshosts:get and blazar:oshosts:get_allocations in Blazar's policy.yaml" in remark
        question = Question(HOSTS, HOUR, tomorrow, tomorrow + timedelta(days=1))
        assert openings(calendars["physical:host"], question) == []
    cloud.open_calendar()
    opened = by_kind(member, tomorrow, tomorrow + HOUR)
    assert {calendar.sight for calendar in opened.values()} == {Sight.ALL}
    assert len(opened["physical:host"].taken) == 3
    assert any(
        "hides what other projects' reservations hold" in each for each in opened["virtual:instance"].remarks
    )
    assert any("hides its Placement inventories" in each for each in opened["flavor:instance"].remarks)


@pytest.mark.cloud
def test_a_member_may_ask_the_cloud_itself_a_few_times(source_of, tomorrow):
    source_of("other").leases().reserve("hosts", HOSTS.of(3), "physical:host", tomorrow, tomorrow + HOUR)
    member = source_of("member", probes=4, kinds=["virtual:instance"])
    before = len(member.leases().list())

    def ask(start, need=INSTANCES, kind="virtual:instance"):
        return member.confirm(need, kind, start, start + HOUR).fit

    assert ask(tomorrow) is Fit.FULL
    assert ask(tomorrow + 2 * HOUR) is Fit.FITS
    assert ask(tomorrow + 2 * HOUR) is Fit.FITS  # remembered
    assert ask(tomorrow, HOSTS, "physical:host") is Fit.UNKNOWN
    assert ask(tomorrow, INSTANCES, "flavor:instance") is Fit.REFUSED
    starts = [tomorrow, tomorrow + 3 * HOUR]
    start, answer = member.first(Need({}, flavour="small"), "flavor:instance", HOUR, starts)
    assert (start, answer.fit) == (starts[1], Fit.FITS)
    assert ask(tomorrow + 9 * HOUR) is Fit.UNKNOWN  # none is left
    assert len(member.leases().list()) == before


@pytest.mark.cloud
def test_kinds_that_a_cloud_does_not_make_are_left_out(source_of, cloud, tomorrow):
    assert tuple(by_kind(source_of("member", probes=9), tomorrow, tomorrow)) == KINDS
    cloud.configure(
        "blazar-manager", {"manager": {"plugins": "physical.host.plugin,virtual.instance.plugin"}}
    )
    assumed = by_kind(source_of("member"), tomorrow, tomorrow)
    assert any("all are assumed" in remark for remark in assumed["flavor:instance"].remarks)
    asked = by_kind(source_of("member", probes=9), tomorrow, tomorrow)
    assert tuple(asked) == KINDS[:2]
    assert not any("all are assumed" in remark for each in asked.values() for remark in each.remarks)
    named = source_of("member", kinds=["physical:host"])
    assert [each.kind for each in named.calendars(tomorrow, tomorrow)] == ["physical:host"]


@pytest.mark.cloud
def test_what_blazar_keeps_is_not_free_without_a_reservation(source_of, cloud, tomorrow):
    now = datetime.now(UTC)
    source = source_of("admin", "nova")
    (kept,) = source.calendars(now, tomorrow)
    assert {host.bookable for host in kept.hosts} == {False}
    assert any("3 of 3 hosts take no servers without a reservation" in each for each in kept.remarks)
    assert source.candidates(Need({VCPU: 4, MEMORY_MB: 4096})) == 3
    with cloud.connect("member") as member:
        server = member.compute.create_server(
            name="unreserved",
            flavor_id="large",
            image_id="7863b15d-3a9e-4a9e-a3ab-6b9e2beefdbf",
            networks="none",
        )
        server = member.compute.wait_for_server(server, status="ERROR", failures=["ACTIVE"], wait=300)
        document = member.compute.get(f"/servers/{server.id}", microversion="2.61").json()["server"]
        why = explain(document, [kept, *source_of("admin").calendars(now, tomorrow)])
        assert why.limit == FREEPOOL
        assert "Reserve it first" in why.text
        assert why.opening is not None
        member.compute.delete_server(server)
    (seen,) = source_of("member", "nova").calendars(now, tomorrow)
    assert (seen.sight, seen.hosts) == (Sight.NONE, ())
    assert seen.caps[VCPU] == 20
    assert any("not what is free" in remark for remark in seen.remarks)


def running(member):
    server = member.compute.create_server(
        name="runs", flavor_id="large", image_id="7863b15d-3a9e-4a9e-a3ab-6b9e2beefdbf", networks="none"
    )
    return member.compute.wait_for_server(server, wait=300)


@pytest.mark.cloud
def test_a_host_that_blazar_does_not_own_is_free_but_for_what_runs(source_of, cloud, tomorrow):
    now = datetime.now(UTC)
    cloud.keep_from_blazar("cpu2")
    with cloud.connect("member") as member:
        server = running(member)
        (calendar,) = source_of("admin", "nova").calendars(now, tomorrow)
        names = {host.name: host for host in calendar.hosts}
        assert [name for name, host in names.items() if host.bookable] == ["cpu2"]
        (taken,) = calendar.taken
        assert (taken.host, taken.end) == (names["cpu2"].id, None)
        assert taken.amounts == {VCPU: 4, MEMORY_MB: 8192, DISK_GB: 40}
        member.compute.delete_server(server)
