"""Slurm's answers, recorded from a real one, as calendars."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.clock import ManualClock
from federation.errors import InputError, OutsideError
from federation.sites import Space
from reservations.calendar import Sight
from reservations.sources import load_source
from reservations.sources.slurm_jobs import running
from reservations.sources.slurm_words import fields, gpus, node_names, time_limit, tres
from tests.reservations.slurm_support import DATA, RECORDED_AT, recorded_site

DAY = timedelta(days=1)
JOBS = json.loads((DATA / "squeue.json").read_text())["jobs"]


def calendar(instead=None, days=3, **options):
    source = load_source(recorded_site(instead), Space("slurm", options), ManualClock(RECORDED_AT))
    (found,) = source.calendars(RECORDED_AT, RECORDED_AT + days * DAY)
    return found


def at(day, hour, minute, second=0):
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def test_nodes_become_hosts_and_one_that_drains_takes_nothing_new():
    found = calendar()
    assert [(host.id, host.bookable) for host in found.hosts] == [("n1", False), ("n2", True)]
    assert found.hosts[1].amounts == {"VCPU": 2, "MEMORY_MB": 4000, "DISK_GB": 0, "PGPU": 2}
    assert found.hosts[1].properties["gres"] == "gpu:a100:2"
    assert found.rules.longest == DAY
    assert any("ALLOCATED+DRAIN): n1" in remark for remark in found.remarks)
    assert found.sight is Sight.ALL


def test_running_jobs_hold_their_part_of_each_node_until_their_time_limit():
    jobs = {each.booking: each for each in calendar().taken if each.start <= RECORDED_AT}
    assert set(jobs) == {"job 1", "job 2", "job 6"}
    assert (jobs["job 1"].host, jobs["job 1"].end) == ("n1", at(26, 3, 15, 24))
    assert jobs["job 1"].amounts == {"VCPU": 2, "MEMORY_MB": 1000, "PGPU": 1}
    # a name is what its user wrote, and no field of anything
    assert jobs["job 1"].name == "a b NodeList=n9 EndTime=x"
    assert (jobs["job 2"].amounts, jobs["job 2"].end) == (
        {"VCPU": 1, "MEMORY_MB": 500, "PGPU": 0},
        at(26, 3, 45, 24),
    )


def test_jobs_that_are_planned_hold_what_they_will_have_and_others_are_told():
    found = calendar()
    (planned,) = [each for each in found.taken if each.booking == "job 5"]
    assert (planned.host, planned.start, planned.end) == ("n2", at(26, 3, 5), at(26, 3, 15))
    # job 3 waits for the node that drains; job 4 is held by its user, and stands in nobody's way
    assert "1 waiting jobs have no planned start yet: who asks now may come after them" in found.remarks


def test_reservations_take_whole_nodes_as_often_as_they_repeat_and_ours_does_not():
    whole = [(each.host, each.start, each.name) for each in calendar().taken if each.amounts is None]
    assert whole == [
        ("n1", at(26, 4, 45, 24), "maint"),
        *(("n2", at(day, 22, 48, 12), "nightly") for day in (26, 27, 28)),
    ]
    assert not [each for each in calendar(reservation="nightly").taken if each.name == "nightly"]


def test_what_is_allocated_to_jobs_that_are_not_shown_is_taken_until_further_notice():
    visible = json.dumps({"jobs": [job for job in JOBS if job["job_id"] != 2]})
    found = calendar({"squeue": visible})
    (hidden,) = [each for each in found.taken if each.end is None]
    assert (hidden.host, hidden.amounts) == ("n2", {"VCPU": 1, "MEMORY_MB": 500})
    assert found.sight is Sight.OWN
    assert any("jobs of others are hidden" in remark for remark in found.remarks)


def test_a_job_without_a_limit_never_ends_and_one_that_runs_over_ends_soon():
    (one,) = [job for job in JOBS if job["job_id"] == 1]
    endless = {**one, "time_limit": {"set": True, "infinite": True, "number": 0}}
    late = {**one, "end_time": {"set": True, "infinite": False, "number": 1795661000}}
    assert [each.end for each in running([endless], {}, RECORDED_AT)] == [None]
    assert [each.end for each in running([late], {}, RECORDED_AT)] == [RECORDED_AT + timedelta(minutes=1)]


def test_later_releases_say_the_same_in_other_shapes():
    (one,) = [job for job in JOBS if job["job_id"] == 1]
    newer = {
        **one,
        "job_state": ["RUNNING"],
        "end_time": {"set": True, "infinite": False, "number": one["end_time"]},
        "time_limit": {"set": True, "infinite": False, "number": 30},
        "job_resources": {
            "nodes": {
                "count": 1,
                "list": "n1",
                "allocation": [
                    {"name": "n1", "cpus": {"count": 2, "used": 0}, "memory": {"allocated": 1000}}
                ],
            }
        },
    }
    assert list(running([newer], {}, RECORDED_AT)) == list(running([one], {}, RECORDED_AT))


def test_without_details_a_job_counts_evenly_on_its_nodes():
    job = {
        "job_id": 9, "job_state": "RUNNING", "nodes": "n[1-2]", "time_limit": 5, "start_time": 1795661000,
        "end_time": 1795664600, "tres_alloc_str": "cpu=3,mem=1.5G,node=2,gres/gpu=2",
    }  # fmt: skip
    parts = {each.host: each.amounts for each in running([job], {}, RECORDED_AT)}
    assert parts == {name: {"VCPU": 2, "MEMORY_MB": 768, "PGPU": 1} for name in ("n1", "n2")}


def test_a_partition_that_is_down_starts_nothing():
    down = (DATA / "partition.txt").read_text().replace("State=UP", "State=DOWN")
    found = calendar({"partition": down})
    assert not any(host.bookable for host in found.hosts)
    assert "partition batch is DOWN: it starts no jobs" in found.remarks


def test_several_partitions_are_calendars_of_their_own():
    text = (DATA / "partition.txt").read_text()
    both = text + text.replace("PartitionName=batch", "PartitionName=long").replace("1-00:00:00", "UNLIMITED")
    source = load_source(recorded_site({"partition": both}), Space("slurm"), ManualClock(RECORDED_AT))
    found = source.calendars(RECORDED_AT, RECORDED_AT + DAY)
    assert [(each.kind, each.rules.longest) for each in found] == [("slurm:batch", DAY), ("slurm:long", None)]
    assert calendar({"partition": both}, partition="long").kind == "slurm"
    with pytest.raises(OutsideError, match="no partition 'fast': expected one of batch, long"):
        calendar({"partition": both}, partition="fast")


@pytest.mark.parametrize(
    ("instead", "expected"),
    [
        ({"squeue": 1}, "site karratha: squeue failed: squeue is broken"),
        ({"node": 3}, "site karratha: scontrol failed: node is broken"),
        ({"squeue": "slurm_load_jobs error"}, "expected a list of jobs"),
        ({"squeue": '{"jobs": [7]}'}, "expected a list of jobs"),
        (
            {"squeue": '{"jobs": [], "errors": [{"error": "no controller"}]}'},
            "squeue --json failed: .*no contr",
        ),
    ],
)
def test_a_slurm_that_fails_is_one_line(instead, expected):
    with pytest.raises(OutsideError, match=expected) as caught:
        calendar(instead)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_told():
    with pytest.raises(
        InputError, match="unknown partitions: expected partition, reservation, conf, seconds"
    ):
        calendar(partitions="batch")


def test_slurms_own_notations():
    assert fields("No reservations in the system") == {}
    assert node_names("n[1-3,07],m1,r[1-2]c[1-2]") == [
        "n1", "n2", "n3", "n07", "m1", "r1c1", "r1c2", "r2c1", "r2c2",
    ]  # fmt: skip
    assert node_names("n[08-10]") == ["n08", "n09", "n10"]
    assert node_names(None) == []
    assert [time_limit(text) for text in ("1-02:00:00", "00:30:00", "30:00", "5", None, "INFINITE")] == [
        timedelta(hours=26), timedelta(minutes=30), timedelta(minutes=30), timedelta(minutes=5), None, None,
    ]  # fmt: skip
    assert tres("cpu=2,mem=1.5G,gres/gpu=3,billing=N/A") == {"cpu": 2, "mem": 1536, "gres/gpu": 3}
    assert (gpus("gpu:a100:2(IDX:0-1),gpu:1"), gpus("craynetwork:4"), gpus(None)) == (3, 0, 0)
    assert fields("A=1 OS=Linux 6.1 #1 B=2 Reason=x A=9")["A"] == "1"
    for nonsense in ("n[1-", "n[a-b]", "n[1-99999999]"):
        with pytest.raises(OutsideError):
            node_names(nonsense)


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(JOBS[0])), inner),
    max_leaves=9,
)


@given(DOCUMENTS)
def test_no_job_document_is_a_crash(document):
    job = document if isinstance(document, dict) else {"job_resources": document, "nodes": "n1"}
    try:
        for each in running([job], {}, RECORDED_AT):
            assert each.end is None or each.end > RECORDED_AT
    except OutsideError:
        pass
