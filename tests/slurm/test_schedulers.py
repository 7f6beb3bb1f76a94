"""What the platform slurm wants of a Slurm, by its commands and by slurmrestd: the same of both."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.platforms import Platform, PlatformError, Status, Unreachable
from broker.platforms.slurm_cli import Slurm
from broker.platforms.slurm_commands import Commands
from broker.platforms.slurm_jobs import SlurmJob
from broker.platforms.slurm_rest import Rest
from broker.platforms.slurm_scheduler import Batch, Scheduler
from federation.clock import SystemClock
from federation.hosts import LocalHost
from federation.sites import Place, Site, Space
from reservations.calendar import Calendar
from reservations.sources import load_source
from reservations.sources.slurm_asks import ByRest
from reservations.sources.slurm_rest import RestOptions, SlurmRest
from tests.contracts.capacity_support import check
from tests.contracts.platform_support import make_job
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import job_ids, live, until_out
from tests.slurm.rest import Restd

WAYS = ["commands", "http", "socket"]
# what comes back isn't in use at once
OUT_OF_USE = ["sinfo", "--noheader", "--Node", "--states=down,drain,no_respond,unk", "--format=%N"]


@pytest.fixture(params=WAYS)
def scheduler(request: pytest.FixtureRequest, slurm: Cluster) -> Scheduler:
    if request.param == "commands":
        return Commands(Slurm("here", LocalHost(), str(slurm.configuration), 60.0))
    rest: Restd = request.getfixturevalue("rest")
    url = rest.url if request.param == "http" else f"unix:{rest.socket}"
    return Rest(rest.client(url=url), {})


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\npwd > where; env > new; mv new environment; exec sleep 600\n")
    return Batch(f"fairlead-{uuid.uuid4()}", "fairlead:x", script, tmp_path / "out", 1, 500, 5)


def until(scheduler: Scheduler, batch: Batch, right: Callable[[SlurmJob], bool]) -> SlurmJob:
    deadline = time.monotonic() + 60
    while True:
        found = asyncio.run(scheduler.jobs()).get(batch.name)
        if found is not None and right(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_job_is_submitted_as_it_is_wanted_seen_and_cancelled(
    scheduler: Scheduler, slurm: Cluster, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_ADMIN_PASSWORD", "the-broker-s-own")
    assert batch.name not in asyncio.run(scheduler.jobs())
    asyncio.run(scheduler.cancel(batch.name))
    asked = datetime.now(UTC).replace(microsecond=0)
    asyncio.run(scheduler.submit(batch))
    asyncio.run(scheduler.submit(batch))
    environment = batch.script.parent / "environment"
    found = until(scheduler, batch, lambda job: job.state == "RUNNING" and environment.exists())
    assert found.node in (slurm.node(1), slurm.node(2))
    assert found.start is not None
    assert asked <= found.start <= datetime.now(UTC)
    shown = slurm.run("scontrol", "show", "job", str(found.number))
    for word in (
        "Requeue=0",
        "TimeLimit=00:05:00",
        "NumNodes=1",
        "CPUs/Task=1",
        "mem=500M",
        "Comment=fairlead:x",
    ):
        assert word in shown, shown
    # the second one waits for the first
    jobs = slurm.run("squeue", "--noheader", f"--name={batch.name}", "--format=%T %r")
    assert sorted(jobs.splitlines()) == ["PENDING Dependency", "RUNNING None"]
    assert (batch.script.parent / "where").read_text() == f"{batch.script.parent}\n"
    assert "the-broker-s-own" not in environment.read_text()
    asyncio.run(scheduler.cancel(batch.name))
    assert until(scheduler, batch, lambda job: job.over).state == "CANCELLED"
    slurm.wait(["squeue", "--noheader", f"--name={batch.name}", "--format=%i"], "")
    asyncio.run(scheduler.cancel(batch.name))


def test_how_a_job_ended_is_known(scheduler: Scheduler, batch: Batch) -> None:
    batch.script.write_text("#!/bin/sh\nexit 7\n")
    asyncio.run(scheduler.submit(batch))
    found = until(scheduler, batch, lambda job: job.over)
    assert (found.state, found.exit_code, found.reason) == ("FAILED", 7, "NonZeroExitCode")


def test_why_a_job_waits_is_known(scheduler: Scheduler, slurm: Cluster, batch: Batch) -> None:
    slurm.fill()
    asyncio.run(scheduler.submit(batch))
    found = until(scheduler, batch, lambda job: job.reason in ("Resources", "Priority"))
    assert (found.waits, found.node, found.exit_code) == (True, None, None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"partition": "nowhere"}, "invalid partition"),
        ({"constraint": "quantum"}, "Invalid feature specification"),
        ({"cores": 64}, "More processors requested than permitted"),
        ({"reservation": "none"}, "reservation is invalid"),
    ],
)
def test_what_slurm_refuses_is_one_line_in_its_own_words(
    scheduler: Scheduler, batch: Batch, wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(PlatformError) as caught:
        asyncio.run(scheduler.submit(replace(batch, **wrong)))  # type: ignore[arg-type]
    assert not isinstance(caught.value, Unreachable)
    assert said.lower() in str(caught.value).lower()
    assert str(caught.value).startswith("site here: s")
    assert "\n" not in str(caught.value)


def test_nodes_that_are_out_of_use_are_told_with_the_operator_s_reason(
    scheduler: Scheduler, slurm: Cluster
) -> None:
    assert asyncio.run(scheduler.out_of_use()) == []
    slurm.run("scontrol", "update", f"nodename={slurm.node(2)}", "state=drain", "reason=new kernel")
    try:
        expected = [f"{slurm.node(2)}: new kernel (drained)"]
        assert asyncio.run(scheduler.out_of_use()) == expected
        assert asyncio.run(scheduler.out_of_use(partition="batch")) == expected
        assert asyncio.run(scheduler.out_of_use(nodes=f"{slurm.prefix}[2]")) == expected
        assert asyncio.run(scheduler.out_of_use(nodes=slurm.node(1))) == []
    finally:
        slurm.run("scontrol", "update", f"nodename={slurm.node(2)}", "state=resume")
        slurm.wait(OUT_OF_USE, "")


def test_a_slurmrestd_without_its_controller_says_nothing(slurm: Cluster, rest: Restd, batch: Batch) -> None:
    patient, scheduler = Rest(rest.client(), {}), Rest(rest.client(1.5), {})
    asyncio.run(patient.jobs())
    # it goes on trying when we have given up: what was submitted may arrive all the same, and ends at once
    batch.script.write_text("#!/bin/sh\n")
    with slurm.without("slurmctld"):
        for ask in (scheduler.jobs, lambda: scheduler.submit(batch)):
            with pytest.raises(
                Unreachable, match=r"site here: slurmrestd at http://127\.0\.0\.1:\d+ "
            ) as caught:
                asyncio.run(ask())
            assert "\n" not in str(caught.value)
    slurm.wait(OUT_OF_USE, "")
    asyncio.run(patient.jobs())


# the whole platform, and the capacity source


@pytest.mark.podman
def test_a_session_s_life_by_slurmrestd(slurm: Cluster, rest: Restd, tmp_path: Path, image: str) -> None:
    script = "trap 'echo saved; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    job = make_job(image, "sh", "-c", script, environment={"PLACE": "there"})

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        await platform.start(job)
        await until_out(platform, job, "ready")
        await platform.stop(job)
        return await platform.poll(job)

    status = live(slurm, tmp_path, job, work, stop_seconds=30.0, **rest.options())
    assert (status.exit_code, status.stdout, status.problem) == (3, "ready\nsaved\n", None)
    assert len(job_ids(slurm, job)) == 1
    assert not (tmp_path / job.id).exists()
    assert rest.token_file.read_text() not in str(status)


def calendar(cluster: Cluster, **options: object) -> Calendar:
    site = Site("karratha", "Karratha", Place(-20.7, 116.8))
    space = Space("slurm", {"conf": str(cluster.configuration), **options})
    now = datetime.now(UTC)
    (found,) = load_source(site, space, SystemClock()).calendars(now, now + timedelta(days=1))
    return found


def test_the_calendar_is_the_same_by_both_ways(slurm: Cluster, rest: Restd) -> None:
    running = slurm.submit(
        "--ntasks=2", "--time=30", "--gres=gpu:1", f"--nodelist={slurm.node(1)}", "--mem=1000M"
    )
    slurm.wait(["squeue", "--noheader", "--states=RUNNING", "--format=%i"], running)
    reserve = (
        "scontrol",
        "create",
        "reservation",
        "ReservationName=maint",
        "StartTime=now+3hours",
        "Duration=60",
    )
    slurm.run(*reserve, "Users=root", f"Nodes={slurm.node(1)}")
    slurm.run("scontrol", "update", f"nodename={slurm.node(2)}", "state=drain", "reason=a disk")
    try:
        by_commands, by_rest = calendar(slurm), calendar(slurm, **rest.options())
    finally:
        slurm.run("scontrol", "update", f"nodename={slurm.node(2)}", "state=resume")
        slurm.wait(OUT_OF_USE, "")
    assert by_rest.hosts == by_commands.hosts
    assert by_rest.taken == by_commands.taken
    assert {each.booking for each in by_rest.taken} == {f"job {running}", "reservation maint"}
    assert (by_rest.rules, by_rest.sight) == (by_commands.rules, by_commands.sight)
    site = Site("karratha", "Karratha", Place(-20.7, 116.8))
    check(load_source(site, Space("slurm", rest.options()), SystemClock()), site, SystemClock())


class Speaking(SlurmRest):
    """One that knows no newer version of the interface."""

    def __init__(self, rest: Restd, number: int) -> None:
        super().__init__("here", RestOptions(rest.url, "root", rest.token_file), 60.0)
        self._number = number

    def version(self) -> int:
        return self._number


@pytest.mark.parametrize("number", [36, 37])
def test_older_versions_of_a_real_one_do_too(rest: Restd, batch: Batch, number: int) -> None:
    speaking = Speaking(rest, number)
    scheduler = Rest(speaking, {})
    batch.script.write_text("#!/bin/sh\nexit 7\n")
    asyncio.run(scheduler.submit(batch))
    found = until(scheduler, batch, lambda job: job.over)
    assert (found.state, found.exit_code) == ("FAILED", 7)
    shown = rest.cluster.run("scontrol", "show", "job", str(found.number))
    for word in ("Requeue=0", "TimeLimit=00:05:00", "mem=500M"):
        assert word in shown, shown
    asked = ByRest(speaking)
    assert {node["NodeName"]: node["CPUTot"] for node in asked.nodes()} == {
        rest.cluster.node(1): "2",
        rest.cluster.node(2): "2",
    }
    assert [(each["PartitionName"], each["State"], each["MaxTime"]) for each in asked.partitions()] == [
        ("batch", "UP", "1440")
    ]
