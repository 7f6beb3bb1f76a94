"""Blazar's documents read, counted and written, without a cloud."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Need, Sight, Spread
from reservations.leases import LeaseState, RefusedError
from reservations.openstack.calendars import Known, Ways, calendar
from reservations.openstack.dates import asked, told
from reservations.openstack.flavours import Flavour
from reservations.openstack.kinds import reservation
from reservations.openstack.placement import Provider, capacity
from reservations.openstack.states import read_lease
from reservations.openstack.verify import doubts_of
from reservations.properties import parse_expression
from reservations.windows import Question, openings

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WAYS = Ways(gpu_property="gpus")
A100 = "CUSTOM_GPU_A100"
PLAIN = Flavour("plain", "plain", {VCPU: 4, MEMORY_MB: 8192})
GPU = Flavour("gpu", "gpu", {VCPU: 4, MEMORY_MB: 8192, PGPU: 1}, required=frozenset({A100}))
NO_GPU = Flavour("no-gpu", "no-gpu", {VCPU: 4, MEMORY_MB: 8192}, forbidden=frozenset({A100}))
FLAVOURS = {each.id: each for each in (PLAIN, GPU, NO_GPU)}
PROVIDERS = {
    "h1": Provider("u1", "h1", {VCPU: 64, MEMORY_MB: 65024}, {VCPU: 16}),
    "h2": Provider("u2", "h2", {VCPU: 64, MEMORY_MB: 65024, PGPU: 10}, {VCPU: 16}, traits=frozenset({A100})),
}


def host(number, **more):
    return {
        "id": str(number),
        "hypervisor_hostname": f"h{number}",
        "vcpus": 16,
        "memory_mb": 65536,
        "local_gb": 1000,
        "reservable": True,
        "trust_id": "secret",
        **more,
    }


def lease(number, *reservations, status="PENDING", name="theirs"):
    return {
        "id": f"l{number}",
        "name": name,
        "project_id": "p1",
        "start_date": "2026-12-01T01:00:00.000000",
        "end_date": "2026-12-01T02:00:00.000000",
        "status": status,
        "degraded": False,
        "reservations": [{"id": f"r{number}", "status": "pending", **each} for each in reservations],
    }


def allocations(*held):
    """(host, reservation, slots)."""
    return [
        {
            "resource_id": str(on),
            "reservations": [
                {
                    "id": f"r{number}",
                    "lease_id": f"l{number}",
                    "start_date": "2026-12-01T01:00:00.000000",
                    "end_date": "2026-12-01T02:00:00.000000",
                }
                for number, slots in those
                for _ in range(slots)
            ],
        }
        for on, those in held
    ]


VIRTUAL = {
    "resource_type": "virtual:instance",
    "amount": 3,
    "vcpus": 4,
    "memory_mb": 1024,
    "disk_gb": 10,
    "affinity": None,
    "resource_properties": "",
}
PHYSICAL = {
    "resource_type": "physical:host",
    "min": 1,
    "max": 1,
    "hypervisor_properties": "",
    "resource_properties": '["==", "$gpu", "True"]',
}


def of_flavour(amount):
    source = {"id": "plain", "name": "plain", "ram": 8192, "disk": 0, "vcpus": 4, "extra_specs": {}}
    source["OS-FLV-EXT-DATA:ephemeral"] = 0
    return {
        "resource_type": "flavor:instance",
        "amount": amount,
        "vcpus": 4,
        "memory_mb": 8192,
        "disk_gb": 0,
        "affinity": None,
        "resource_properties": json.dumps(source),
        "flavor_id": "r1",
    }


HOSTS = (host(1, gpus="2"), host(2, gpus="10"))


def known(leases, held, hosts=HOSTS, flavours=FLAVOURS):
    return Known(hosts, allocations(*held), leases, PROVIDERS, flavours, {"p1": "solar"})


def of(kind, what):
    return calendar(what, kind, WAYS, "perth", NOW, NOW + 48 * HOUR)


def opens(found, need, start, hours=1):
    """Whether it fits at `start`."""
    return bool(openings(found, Question(need, hours * HOUR, start, start), 1))


def asks(found, flavour, units=1):
    return Need(found.flavours[flavour][1], units, flavour=flavour)


def test_a_whole_host_is_taken_from_all_and_may_be_touched_by_whole_hosts_only():
    what = known([lease(1, PHYSICAL)], [(1, [(1, 1)]), (2, [])])
    end = NOW + 2 * HOUR
    whole, virtual, flavour = (
        of(kind, what) for kind in ("physical:host", "virtual:instance", "flavor:instance")
    )
    assert [(each.host, each.amounts, each.holder, each.name) for each in whole.taken] == [
        ("1", None, "solar", "theirs")
    ]
    assert opens(whole, Need({}, 2, whole_hosts=True), end)
    assert not opens(virtual, Need({VCPU: 16}, 2), end)
    assert opens(virtual, Need({VCPU: 16}, 2), end + timedelta(minutes=1))
    assert not opens(flavour, asks(flavour, "no-gpu"), end - HOUR)
    assert opens(flavour, asks(flavour, "gpu", 7), end - HOUR)
    assert not any("secret" in host.properties.values() for host in whole.hosts)


def test_a_virtual_reservation_counts_once_a_host_and_keeps_flavours_away_where_they_could_be():
    what = known([lease(1, VIRTUAL)], [(1, [(1, 3)]), (2, [])])
    virtual, flavour = of("virtual:instance", what), of("flavor:instance", what)
    at = NOW + HOUR
    assert [each.amounts for each in virtual.taken] == [{VCPU: 4, MEMORY_MB: 1024, DISK_GB: 10}]
    assert opens(virtual, Need({VCPU: 4}, 3, properties=parse_expression('["==", "$gpus", "2"]')), at)
    assert not opens(flavour, asks(flavour, "plain"), at)
    assert not opens(flavour, asks(flavour, "no-gpu"), at)
    assert opens(flavour, asks(flavour, "gpu"), at)  # its only host isn't the one
    assert opens(flavour, asks(flavour, "plain"), at + HOUR + timedelta(minutes=1))


def test_flavours_without_traits_are_kept_away_from_all_hosts():
    what = known([lease(1, VIRTUAL)], [(1, [(1, 3)]), (2, [])], flavours={"plain": PLAIN})
    assert [each.amounts for each in of("flavor:instance", what).taken] == [None, None]


def test_a_flavour_reservation_counts_whole_on_each_of_its_hosts():
    what = known([lease(1, of_flavour(4))], [(1, [(1, 3)]), (2, [(1, 1)])])
    flavour, virtual = of("flavor:instance", what), of("virtual:instance", what)
    assert [each.amounts for each in flavour.taken] == [{VCPU: 16, MEMORY_MB: 32768}] * 2
    assert [each.amounts[VCPU] for each in virtual.taken] == [4, 4]


def test_what_is_hidden_of_others_is_whole_hosts():
    what = known([], [(1, [(1, 3)]), (2, [])])
    virtual = of("virtual:instance", what)
    assert [(each.amounts, each.holder, each.name) for each in virtual.taken] == [(None, None, None)]
    assert virtual.sight is Sight.ALL
    assert any("each is counted as its whole hosts" in remark for remark in virtual.remarks)


def test_a_host_that_is_not_reservable_is_not_bookable():
    what = known([], [], hosts=(host(1, reservable=False), host(2)))
    assert [each.bookable for each in of("physical:host", what).hosts] == [False, True]


def test_gpus_of_whole_hosts_are_numbers_here_and_texts_at_blazar():
    found = of("physical:host", known([], []))
    assert [each.amounts[PGPU] for each in found.hosts] == [2, 10]
    need = Need({VCPU: 8, PGPU: 3}, 1, whole_hosts=True)
    asked_for = reservation(need, "physical:host", "gpus", ["2", "10"])
    assert json.loads(asked_for["hypervisor_properties"]) == [
        "and",
        [">=", "$vcpus", "8"],
        ["!=", "$gpus", "2"],
    ]
    unknown = reservation(need, "physical:host", "gpus")
    assert [">=", "$gpus", "3"] in json.loads(unknown["hypervisor_properties"])


@pytest.mark.parametrize(
    ("need", "kind", "limit"),
    [
        (Need({PGPU: 1}, whole_hosts=True), "physical:host", "kind"),
        (Need({"VGPU": 1}, whole_hosts=True), "physical:host", "kind"),
        (Need({PGPU: 1}), "virtual:instance", "kind"),
        (Need({VCPU: 1}, whole_hosts=True), "virtual:instance", "kind"),
        (Need({VCPU: 1}), "flavor:instance", "flavour"),
        (Need({}, spread=Spread.APART, flavour="x"), "flavor:instance", "affinity"),
        (
            Need({}, properties=parse_expression('["==", "$a", "b"]'), flavour="x"),
            "flavor:instance",
            "properties",
        ),
        (Need({VCPU: 1}), "slurm", "kind"),
    ],
)
def test_what_a_kind_cannot_express_is_refused_before_the_cloud_is_asked(need, kind, limit):
    with pytest.raises(RefusedError) as refused:
        reservation(need, kind)
    assert refused.value.limit == limit


def test_what_is_asked_for_is_read_back():
    for need, kind in (
        (Need({VCPU: 2, MEMORY_MB: 1, DISK_GB: 0}, 3, spread=Spread.TOGETHER), "virtual:instance"),
        (Need({VCPU: 1, MEMORY_MB: 512, DISK_GB: 1}, 2, spread=Spread.APART), "virtual:instance"),
    ):
        made = read_lease(lease(1, reservation(need, kind)))
        assert (made.need, made.kind) == (need, kind)
    made = read_lease(lease(1, of_flavour(2)))
    assert made.need == Need({VCPU: 4, MEMORY_MB: 8192}, 2, flavour="plain")
    whole = read_lease(lease(1, PHYSICAL)).need
    assert (whole.units, whole.whole_hosts, whole.properties.text()) == (1, True, '["==", "$gpu", "True"]')


@pytest.mark.parametrize(
    ("status", "reservation_status", "state"),
    [
        ("CREATING", "pending", LeaseState.PENDING),
        ("PENDING", "pending", LeaseState.PENDING),
        ("STARTING", "pending", LeaseState.PENDING),
        ("ACTIVE", "active", LeaseState.ACTIVE),
        ("ACTIVE", "error", LeaseState.FAILED),
        ("UPDATING", "pending", LeaseState.PENDING),
        ("UPDATING", "active", LeaseState.ACTIVE),
        ("TERMINATING", "active", LeaseState.ENDED),
        ("TERMINATED", "deleted", LeaseState.ENDED),
        ("DELETING", "active", LeaseState.ENDED),
        ("ERROR", "pending", LeaseState.FAILED),
    ],
)
def test_every_state_of_blazar_is_one_of_ours(status, reservation_status, state):
    document = lease(1, {**PHYSICAL, "status": reservation_status}, status=status, name="fairlead:job-7")
    made = read_lease(document)
    assert (made.state, made.said, made.reference) == (state, status, "job-7")


def test_a_lease_that_lost_a_host_says_so():
    lost = read_lease(lease(1, {**PHYSICAL, "missing_resources": True}))
    moved = read_lease(lease(1, {**PHYSICAL, "resources_changed": True}))
    assert "found no other" in lost.doubts[0]
    assert "gave it another" in moved.doubts[0]


def test_fewer_hosts_than_asked_and_hosts_given_twice_are_doubts():
    two = lease(1, {**PHYSICAL, "min": 2, "max": 2})
    hosts = [host(1), host(2)]
    leases = [two, lease(2, PHYSICAL)]
    names, doubts = doubts_of(two, hosts, allocations((1, [(1, 1), (2, 1)]), (2, [])), leases)
    assert names == ("h1",)
    assert doubts[0] == "2 hosts were asked for, and 1 are held"
    assert doubts[1].startswith(
        "host h1 is held by another reservation of project p1 at the same time, from 2026"
    )


def test_dates_are_whole_minutes_of_utc():
    assert asked(NOW + timedelta(seconds=1)) == "2026-12-01 00:01"
    assert asked(datetime.fromisoformat("2026-12-01T01:00:00+01:00")) == "2026-12-01 00:00"
    assert told("2026-12-01T00:00:00.000000") == NOW == told("2026-12-01 00:00:00")


def test_flavours_and_inventories_are_counted_as_placement_does():
    document = {"id": "f", "name": "f", "ram": 1024, "disk": 10, "vcpus": 2, "OS-FLV-EXT-DATA:ephemeral": 5}
    specs = {"hw:cpu_policy": "dedicated", "resources:PGPU": "2", f"trait:{A100}": "required"}
    flavour = Flavour.read({**document, "extra_specs": specs})
    assert flavour.amounts == {MEMORY_MB: 1024, DISK_GB: 15, "PCPU": 2, PGPU: 2}
    assert flavour.suits(frozenset({A100}))
    assert not flavour.suits(frozenset())
    assert capacity({"total": 10, "reserved": 1, "allocation_ratio": 1.5}) == 13
