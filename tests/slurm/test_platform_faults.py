"""Killed brokers, controllers that are away, answers that got lost: one container a session, none lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from broker.model import Job, MountMode
from broker.platforms import Platform, PlatformError, State, Unreachable
from broker.platforms.podman_run import container_name
from broker.platforms.slurm_cli import Slurm
from broker.platforms.slurm_jobs import SlurmJob, SlurmJobs
from federation.hosts import LocalHost
from tests.contracts.platform_support import make_job, make_platform, until_exited
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import (
    containers,
    job_ids,
    live,
    platform_options,
    until_out,
    until_running,
)

pytestmark = pytest.mark.podman
SESSIONS = 100


def counting(image: str, storage: Path, script: str = "") -> Job:
    """A job that writes a line each time that it runs."""
    binds = ((str(storage), "/out", MountMode.READWRITE),)
    return make_job(image, "sh", "-c", f"echo run >> /out/runs; {script}", binds=binds)


def test_what_was_submitted_twice_runs_once(slurm: Cluster, tmp_path: Path, image: str) -> None:
    storage = tmp_path / "out"
    storage.mkdir()
    job = counting(image, storage, "sleep 1; exit 5")

    async def work(platform: Platform) -> None:
        await platform.start(job)
        script = str(tmp_path / "work" / job.id / "batch" / "job.sh")
        name = f"--job-name={container_name(job.id)}"
        slurm.run("sbatch", name, "--dependency=singleton", "--output=/dev/null", script)
        assert (await until_exited(platform, job)).exit_code == 5
        over = ["squeue", "--noheader", "--format=%i", f"--name={container_name(job.id)}"]
        await asyncio.to_thread(slurm.wait, over, "")
        assert (await platform.poll(job)).exit_code == 5

    live(slurm, tmp_path / "work", job, work)
    assert len(job_ids(slurm, job)) == 2
    assert (storage / "runs").read_text() == "run\n"


def test_a_start_that_is_given_up_leaves_nothing_that_release_does_not_find(
    slurm: Cluster, tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(image, "sleep", "600")
    run, begun = Slurm.run, {name: asyncio.Event() for name in ("squeue", "sbatch")}

    async def told(self: Slurm, *command: str, **more: Any) -> Any:
        if command[0] in begun:
            begun[command[0]].set()
        return await run(self, *command, **more)

    monkeypatch.setattr(Slurm, "run", told)

    async def work(platform: Platform) -> None:
        for name in ("squeue", "sbatch", "squeue"):
            begun[name].clear()
            starting = asyncio.create_task(platform.start(job))
            await begun[name].wait()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        await platform.release(job.id)
        assert job_ids(slurm, job, "pending,running") == []

    live(slurm, tmp_path, job, work)


def test_nothing_is_lost_while_the_controller_is_away(slurm: Cluster, tmp_path: Path, image: str) -> None:
    storage = tmp_path / "out"
    storage.mkdir()
    job = counting(image, storage, "while ! [ -e /out/go ]; do sleep 0.1; done; exit 4")
    other = make_job(image, "sh", "-c", ":")

    async def work(platform: Platform) -> None:
        await platform.prepare(other)
        await platform.start(job)
        await until_running(platform, job)
        with slurm.without("slurmctld"):
            hasty = make_platform("slurm", tmp_path / "work", platform_options(slurm, command_seconds=3.0))
            calls = (hasty.poll(job), hasty.stop(job), hasty.start(other), hasty.release(job.id))
            for end in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(end, Unreachable)
                assert str(end).startswith("site here: squeue")
                assert "\n" not in str(end)
            # what ends meanwhile is known without it
            (storage / "go").touch()
            deadline = time.monotonic() + 60
            while True:
                try:
                    status = await hasty.poll(job)
                    break
                except Unreachable:
                    assert time.monotonic() < deadline, "its end is never known"
            assert (status.state, status.exit_code) == (State.EXITED, 4)
        await platform.start(other)
        assert (await until_exited(platform, other)).exit_code == 0
        await platform.release(other.id)

    live(slurm, tmp_path / "work", job, work)
    assert (storage / "runs").read_text() == "run\n"


def test_what_slurm_has_forgotten_is_known_by_what_the_script_wrote(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    job = make_job(image, "sh", "-c", "echo done; exit 6")
    lost = make_job(image, "sh", "-c", "echo ready; exec sleep 600")

    async def work(platform: Platform) -> None:
        await platform.start(job)
        first = await until_exited(platform, job)
        await platform.prepare(lost)
        await platform.start(lost)
        await until_out(platform, lost, "ready")
        slurm.run("scancel", *job_ids(slurm, lost))
        await until_exited(platform, lost)
        # all that a controller without a memory knows
        slurm.end("slurmctld")
        slurm.begin("slurmctld", ["slurmctld", "-D", "-c"])
        await asyncio.to_thread(slurm.answers)
        await asyncio.to_thread(slurm.wait, ["sinfo", "--noheader", "--format=%D %t"], "2 idle")
        assert job_ids(slurm, job) == []
        again = make_platform("slurm", tmp_path, platform_options(slurm))
        assert await again.poll(job) == first
        told = await again.poll(lost)
        assert (told.state, told.exit_code) == (State.EXITED, 137)
        assert told.problem == "its Slurm job was ended from outside"
        await again.release(lost.id)

    live(slurm, tmp_path, job, work)


def test_a_directory_that_is_gone_starts_no_container(slurm: Cluster, tmp_path: Path, image: str) -> None:
    """A job that comes after its session was released: its directory isn't there."""
    blocking = slurm.fill()
    job = make_job(image, "sleep", "600")

    async def work(platform: Platform) -> None:
        await platform.start(job)
        (tmp_path / job.id / "batch").rename(tmp_path / "elsewhere")
        slurm.run("scancel", blocking)
        over = ["squeue", "--noheader", "--format=%i", f"--name={container_name(job.id)}"]
        await asyncio.to_thread(slurm.wait, over, "")
        assert containers(job) == []

    live(slurm, tmp_path, job, work)


def test_the_commands_of_slurm_that_are_missing_are_named(tmp_path: Path) -> None:
    slurm = Slurm("here", LocalHost(), None, 5.0)

    async def ask() -> None:
        with pytest.raises(PlatformError, match=r"site here: its host has no command squeue-of-nobody"):
            await slurm.ask("squeue-of-nobody")

    asyncio.run(ask())


def test_many_sessions_are_one_question(
    slurm: Cluster, tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, come, all_are_here = [], 0, asyncio.Event()
    ask, find = Slurm.ask, SlurmJobs.find

    async def counted(self: Slurm, *command: str) -> str:
        asked.append(command)
        await all_are_here.wait()
        return await ask(self, *command)

    async def comes(self: SlurmJobs, name: str) -> SlurmJob | None:
        nonlocal come
        come += 1
        if come == SESSIONS:
            all_are_here.set()
        return await find(self, name)

    job = make_job(image, "sh", "-c", "echo ready; sleep 600")

    async def work(platform: Platform) -> None:
        await platform.start(job)
        await until_out(platform, job, "ready")
        monkeypatch.setattr(Slurm, "ask", counted)
        monkeypatch.setattr(SlurmJobs, "find", comes)
        await asyncio.gather(*(platform.poll(job) for _ in range(SESSIONS)))
        # the second is for those who came when the first was asked already
        assert 1 <= len(asked) <= 2

    live(slurm, tmp_path, job, work)
