"""A Slurm is asked of our own jobs, whatever others call theirs, and whatever the environment says."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.platforms.slurm_cli import Slurm
from broker.platforms.slurm_commands import Commands
from broker.platforms.slurm_rest import Rest
from broker.platforms.slurm_scheduler import Batch, Scheduler
from federation.clock import SystemClock
from federation.hosts import LocalHost
from federation.sites import Place, Site, Space
from reservations.sources import load_source
from tests.slurm.cluster import Cluster
from tests.slurm.rest import Restd
from tests.slurm.stand import Stand

NODES = [
    ({"state": ["IDLE"], "state_flags": ["NOT_RESPONDING"]}, "idle*", "not responding"),
    ({"state": ["DOWN", "NOT_RESPONDING"]}, "down*", "down"),
    ({"state": ["IDLE", "MAINTENANCE"]}, "maint$", "maint"),
]


@pytest.fixture(params=["commands", "rest"])
def scheduler(request: pytest.FixtureRequest, slurm: Cluster) -> Scheduler:
    if request.param == "commands":
        return Commands(Slurm("here", LocalHost(), str(slurm.configuration), 60.0))
    rest: Restd = request.getfixturevalue("rest")
    return Rest(rest.client(60.0), {})


def test_a_job_that_somebody_else_calls_as_ours_is_left_alone(scheduler: Scheduler, slurm: Cluster) -> None:
    name = f"fairlead-{uuid.uuid4()}"
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sbatch", "--parsable"]
    theirs = slurm.run(*nobody, f"--job-name={name}", "--chdir=/", "--output=/dev/null", "--wrap=sleep 300")
    try:
        assert name not in asyncio.run(scheduler.jobs())
        asyncio.run(scheduler.cancel(name))
        state = slurm.run("squeue", "--noheader", f"--jobs={theirs}", "--format=%T")
        assert state in ("PENDING", "CONFIGURING", "RUNNING")
    finally:
        slurm.run("scancel", theirs)
        slurm.wait(["squeue", "--noheader", "--user=nobody", "--format=%i"], "")


def test_variables_of_slurm_s_own_commands_change_nothing(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the configuration is found by one of them where no option says it
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    for name, value in (("SQUEUE_PARTITION", "nowhere"), ("SLURM_TIME_FORMAT", "relative")):
        monkeypatch.setenv(name, value)
    (tmp_path / "job.sh").write_text("#!/bin/sh\nexec sleep 600\n")
    batch = Batch(f"fairlead-{uuid.uuid4()}", "x", tmp_path / "job.sh", tmp_path / "out", 1, 500, 5)
    commands = Commands(Slurm("here", LocalHost(), None, 60.0))
    asyncio.run(commands.submit(batch))
    job = slurm.run("squeue", "--noheader", f"--name={batch.name}", "--format=%i", "--partition=batch")
    slurm.wait(["squeue", "--noheader", f"--jobs={job}", "--format=%T", "--partition=batch"], "RUNNING")
    found = asyncio.run(commands.jobs())[batch.name]
    assert (found.number, found.state) == (int(job), "RUNNING")
    assert found.start is not None


def test_they_change_nothing_of_a_calendar_either(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    job = slurm.submit("--ntasks=1", "--time=30")
    slurm.wait(["squeue", "--noheader", f"--jobs={job}", "--format=%T"], "RUNNING")
    now = datetime.now(UTC)
    lines = ("StartTime=now+1hour", "EndTime=now+2hours", "Users=root", "NodeCnt=1")
    slurm.run("scontrol", "create", "reservation", "ReservationName=later", *lines)
    site = Site("here", "Here", Place(0, 0))
    source = load_source(site, Space("slurm", {"conf": str(slurm.configuration)}), SystemClock())
    [before] = source.calendars(now, now + timedelta(days=1))
    for name, value in (("SQUEUE_PARTITION", "nowhere"), ("SLURM_TIME_FORMAT", "relative")):
        monkeypatch.setenv(name, value)
    [after] = source.calendars(now, now + timedelta(days=1))
    assert {f"job {job}", "reservation later"} <= {each.booking for each in before.taken}
    assert after.taken == before.taken


@pytest.mark.parametrize(("document", "shown", "expected"), NODES)
def test_why_a_node_is_out_of_use_is_said_alike(
    document: dict[str, list[str]],
    shown: str,
    expected: str,
    stand: Stand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand.versions(42)
    node = {"name": "n1", "reason": "a disk", **document}
    stand.answers["GET /slurm/v0.0.42/nodes"] = 200, {"nodes": [node], "errors": []}
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\necho 'n1|{shown}|a disk'\n")
    (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    by_rest = asyncio.run(Rest(stand.client(), {}).out_of_use())
    by_command = asyncio.run(Commands(Slurm("here", LocalHost(), None, 60.0)).out_of_use())
    assert by_command == [f"n1: a disk ({expected})"]
    assert by_rest == by_command
