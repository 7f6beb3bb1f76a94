"""What sources remember of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import ManualClock
from federation.errors import OutsideError
from federation.sites import Place, Site, Space
from reservations.calendar import MEMORY_MB, PGPU, VCPU
from reservations.history.past import End, Past, Use
from reservations.openstack.calendars import Known, Ways
from reservations.openstack.past import past as blazars
from reservations.sources import Remembering, load_source
from reservations.sources.slurm_past import jobs
from tests.reservations.slurm_support import RECORDED_AT, recorded_site

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SITE = Site("perth", "Perth", Place(-31.95, 115.86))


def remembered(source: object, since: datetime, now: datetime = NOW) -> Past:
    assert isinstance(source, Remembering)
    return source.past(since, now)


def test_the_operators_tables_are_remembered_each_time_and_cut_nowhere() -> None:
    hosts = [{"name": "cpu", "count": 2, "cores": 8, "memory": "16 GiB"}]
    daily = {
        "start": datetime(2026, 11, 1, 8, tzinfo=UTC),
        "end": datetime(2026, 11, 1, 10, tzinfo=UTC),
        "every": "1d",
        "host": "cpu-1",
        "holder": "ska",
    }
    lent = {"start": datetime(2026, 11, 26, 9, tzinfo=UTC), "host": "cpu-2", "cores": 4}
    source = load_source(SITE, Space("static", {"hosts": hosts, "bookings": [daily, lent]}), ManualClock(NOW))
    found = remembered(source, NOW - 26 * HOUR)
    assert found.whole
    assert [(use.start, use.end, use.amounts[VCPU], use.how, use.holder) for use in found.uses] == [
        (NOW - 4 * HOUR, NOW - 2 * HOUR, 8, End.UNKNOWN, "ska"),
        (NOW - 3 * HOUR, None, 4, End.RUNNING, None),
    ]
    assert found.uses[0].hosts == {"cpu-1": found.uses[0].amounts}


def host(number: int, cores: int = 16) -> dict[str, object]:
    return {"id": str(number), "hypervisor_hostname": f"h{number}", "vcpus": cores, "memory_mb": 1024}


def lease(
    name: str,
    first: float,
    last: float,
    *reservations: dict[str, object],
    status: str = "TERMINATED",
    begun: str = "DONE",
) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "project_id": "p1",
        "start_date": f"{NOW + first * HOUR:%Y-%m-%dT%H:%M:%S.000000}",
        "end_date": f"{NOW + last * HOUR:%Y-%m-%dT%H:%M:%S.000000}",
        "status": status,
        "events": [
            {"event_type": "start_lease", "status": begun},
            {"event_type": "end_lease", "status": "DONE"},
        ],
        "reservations": [{"id": f"r-{name}", "status": "deleted", **each} for each in reservations],
    }


WHOLE = {"resource_type": "physical:host", "min": 2, "max": 2}
PARTS = {"resource_type": "virtual:instance", "amount": 3, "vcpus": 2, "memory_mb": 512, "disk_gb": 0}


def told(*leases: dict[str, object], hosts: tuple[int, ...] = (16, 16), hidden: tuple[str, ...] = ()) -> Past:
    known = Known([host(n, cores) for n, cores in enumerate(hosts)], [], leases, projects={"p1": "ska"})
    return blazars(known, Ways(), hidden, NOW - 24 * HOUR, NOW)


def test_leases_that_ended_are_what_they_took_for_as_long_as_they_did() -> None:
    found = told(lease("a", -5, -3, WHOLE), lease("fairlead:b", -2, 4, PARTS, status="ACTIVE"))
    assert [(use.start, use.end, use.amounts, use.how, use.holder, use.ours) for use in found.uses] == [
        (NOW - 5 * HOUR, NOW - 3 * HOUR, {MEMORY_MB: 2048, VCPU: 32}, End.ENDED, "ska", None),
        (NOW - 2 * HOUR, NOW + 4 * HOUR, {VCPU: 6, MEMORY_MB: 1536, "DISK_GB": 0}, End.RUNNING, "ska", "b"),
    ]
    # a lease that was deleted is not there any more
    assert not found.whole


def test_leases_that_failed_or_were_never_active_took_nothing() -> None:
    found = told(
        lease("error", -5, -3, WHOLE, status="ERROR"),
        lease("overslept", -5, -3, WHOLE, status="PENDING"),
        lease("never begun", -5, -3, WHOLE, begun="UNDONE"),
    )
    assert [(use.name, use.how, use.amounts) for use in found.uses] == [
        ("error", End.FAILED, {}),
        ("overslept", End.UNUSED, {}),
        ("never begun", End.UNUSED, {}),
    ]


def test_what_was_over_before_or_comes_later_is_left_out() -> None:
    assert not told(lease("old", -50, -24, WHOLE), lease("next", 0, 4, WHOLE, status="PENDING")).uses


def test_hosts_of_different_size_count_as_their_mean_and_that_is_said() -> None:
    found = told(lease("a", -5, -3, WHOLE), hosts=(16, 48))
    assert found.uses[0].amounts[VCPU] == 64
    assert any("mean of all" in remark for remark in found.remarks)


def test_of_a_cloud_that_hides_others_leases_it_is_said() -> None:
    assert any("your own project" in remark for remark in told(hidden=("blazar:oshosts:get",)).remarks)


ACCOUNTS = """\
11|imaging|maria|batch|COMPLETED|2026-11-26T06:00:00|2026-11-26T08:00:00|04:00:00|billing=4,cpu=4,mem=8G,node=2|n[1-2]
12|a|b|c|maria|batch|TIMEOUT|2026-11-26T06:00:00|2026-11-26T07:00:10|01:00:00|cpu=2,gres/gpu=1,gres/gpu:a100=1|n1
13|x|jo|batch|CANCELLED by 0|None|2026-11-26T09:00:00|01:00:00||None assigned
14|x|jo|gpu|RUNNING|2026-11-26T11:00:00|Unknown|UNLIMITED|cpu=8|n3
15|x|jo|gpu|PENDING|Unknown|Unknown|01:00:00||None assigned
16|x|jo|gpu|NODE_FAIL|2026-11-26T06:00:00|2026-11-26T06:30:00|01:00:00|cpu=8|n3
"""


def test_slurms_accounting_is_read() -> None:
    done, late, never, runs, broke = jobs(ACCOUNTS, NOW)
    six = NOW - 6 * HOUR
    assert done == Use(
        "job 11", six, six + 2 * HOUR, {VCPU: 4, MEMORY_MB: 8192}, End.EARLY, "batch", "imaging", "maria",
        asked_end=six + 4 * HOUR, hosts={node: {VCPU: 2, MEMORY_MB: 4096} for node in ("n1", "n2")},
    )  # fmt: skip
    # a name may have bars in it
    assert (late.name, late.holder, late.how, late.amounts) == (
        "a|b|c",
        "maria",
        End.ENDED,
        {VCPU: 2, PGPU: 1},
    )
    assert (never.how, never.amounts, never.hosts) == (End.UNUSED, {}, {})
    assert (runs.how, runs.end, runs.asked_end) == (End.RUNNING, None, None)
    assert (broke.how, broke.amounts) == (End.FAILED, {VCPU: 8})


def test_what_is_no_accounting_is_refused() -> None:
    with pytest.raises(OutsideError, match=r"expected 10 fields from sacct, got 'sacct: error'"):
        list(jobs("sacct: error\n", NOW))


LAST = "--format=JobIDRaw,JobName,User,Partition,State,Start,End,Timelimit,AllocTRES,NodeList"


def test_a_slurm_without_accounting_says_so() -> None:
    site = recorded_site({LAST: "Slurm accounting storage is disabled\n"})
    source = load_source(site, Space("slurm"), ManualClock(RECORDED_AT))
    with pytest.raises(OutsideError, match="this Slurm keeps no accounting"):
        remembered(source, NOW - HOUR)


def test_of_a_slurm_the_jobs_of_the_partition_count() -> None:
    source = load_source(
        recorded_site({LAST: ACCOUNTS}), Space("slurm", {"partition": "batch"}), ManualClock(RECORDED_AT)
    )
    found = remembered(source, NOW - 8 * HOUR)
    assert [use.booking for use in found.uses] == ["job 11", "job 12", "job 13"]
    assert not found.whole
