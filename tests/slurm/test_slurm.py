"""A real Slurm: what its own commands say becomes a calendar, and Slurm keeps to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import SystemClock
from federation.errors import OutsideError
from federation.sites import Place, Site, Space
from reservations.calendar import Calendar, Need, Sight, Taken
from reservations.sources import CapacitySource, load_source
from reservations.windows import Question, openings
from tests.contracts.capacity_support import check
from tests.slurm.cluster import Cluster, running, slurm_is_impossible

SITE = Site("karratha", "Karratha", Place(-20.7, 116.8))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    reason = slurm_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    with running() as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    started.clean()
    return started


def source(cluster: Cluster, **options: str) -> CapacitySource:
    return load_source(SITE, Space("slurm", {"conf": str(cluster.configuration), **options}), SystemClock())


def look(cluster: Cluster, **options: str) -> Calendar:
    now = datetime.now(UTC)
    (found,) = source(cluster, **options).calendars(now, now + DAY)
    return found


def of(calendar: Calendar, booking: str) -> list[Taken]:
    return [each for each in calendar.taken if each.booking == booking]


def until_planned(cluster: Cluster, job: str) -> None:
    """Wait for the backfill's next round; it looks once a second."""
    for _ in range(600):
        if "N/A" not in cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%S"):
            return
        threading.Event().wait(0.1)
    raise AssertionError(cluster.run("squeue"))


def test_running_and_planned_jobs_and_reservations_are_where_slurm_says(cluster: Cluster) -> None:
    first = cluster.submit("--ntasks=2", "--time=30", "--gres=gpu:1", "--nodelist=n1", "--mem=1000M")
    cluster.wait(["squeue", "--noheader", "--states=RUNNING", "--format=%i"], first)
    second = cluster.submit("--nodes=2", "--ntasks=4", "--time=10")
    until_planned(cluster, second)
    when = (datetime.now(UTC) + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%S")
    cluster.run(
        "scontrol", "create", "reservation", "ReservationName=maint", f"StartTime={when}", "Duration=60",
        "Users=root", "Nodes=n1",
    )  # fmt: skip
    found = look(cluster)
    (job,) = of(found, f"job {first}")
    assert (job.host, job.amounts) == ("n1", {"VCPU": 2, "MEMORY_MB": 1000, "PGPU": 1})
    assert job.end is not None
    assert job.end - job.start == 30 * MINUTE
    waiting = of(found, f"job {second}")
    assert [each.host for each in waiting] == ["n1", "n2"]
    assert {each.start for each in waiting} == {job.end}
    (reserved,) = of(found, "reservation maint")
    assert (reserved.amounts, reserved.holder) == (None, "root")
    assert of(look(cluster, reservation="maint"), "reservation maint") == []
    assert found.sight is Sight.ALL


def test_slurm_starts_a_job_when_the_first_opening_says(cluster: Cluster) -> None:
    running_job = cluster.submit("--nodes=2", "--ntasks=4", "--time=20")
    cluster.wait(["squeue", "--noheader", "--states=RUNNING", "--format=%i"], running_job)
    now = datetime.now(UTC)
    question = Question(Need({"VCPU": 2, "MEMORY_MB": 1000}, 2), 10 * MINUTE, now, now + DAY)
    opening = openings(look(cluster), question, 1)[0]
    ours = cluster.submit("--nodes=2", "--ntasks=4", "--time=10")
    until_planned(cluster, ours)
    planned = datetime.fromisoformat(
        cluster.run("squeue", "--noheader", f"--jobs={ours}", "--format=%S")
    ).replace(tzinfo=UTC)
    # openings lie on whole minutes, Slurm's plan on seconds
    assert timedelta(0) <= opening.start - planned < MINUTE


def test_a_node_that_drains_takes_nothing_and_says_so(cluster: Cluster) -> None:
    cluster.run("scontrol", "update", "nodename=n2", "state=drain", "reason=a disk")
    try:
        found = look(cluster)
    finally:
        cluster.run("scontrol", "update", "nodename=n2", "state=resume")
    assert [host.bookable for host in found.hosts] == [True, False]
    assert any("DRAIN): n2" in remark for remark in found.remarks)


def test_it_keeps_the_contract_of_capacity_sources(cluster: Cluster) -> None:
    cluster.wait(
        ["squeue", "--noheader", "--states=RUNNING", "--format=%i"], cluster.submit("--ntasks=1", "--time=30")
    )
    check(source(cluster), SITE, SystemClock())


def test_a_slurm_that_is_away_is_one_line(cluster: Cluster) -> None:
    gone = cluster.directory / "gone.conf"
    gone.write_text(
        cluster.configuration.read_text().replace("SlurmctldPort=", "SlurmctldPort=1\nMessageTimeout=2\n#")
    )
    options = {"conf": str(gone)}
    now = datetime.now(UTC)
    with pytest.raises(OutsideError, match=r"squeue --json failed|scontrol failed|doesn't answer") as caught:
        load_source(SITE, Space("slurm", {**options, "seconds": 5}), SystemClock()).calendars(now, now + DAY)
    assert "\n" not in str(caught.value)
