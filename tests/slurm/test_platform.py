"""Containers in a real Slurm's jobs: what they get, how they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from broker.model import Job, MountMode
from broker.platforms import Platform, PlatformError, State, Status
from broker.platforms.podman_cli import command
from broker.platforms.podman_run import container_name
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
SECRETS = {"PLAIN": "word with 'quotes' and $HOME", "LINES": "first\nsecond", "EMPTY": ""}


def ended(cluster: Cluster, root: Path, job: Job, **options: object) -> Status:
    """How `job` ended, run from start to end."""

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        return await until_exited(platform, job)

    return live(cluster, root, job, work, **options)


def nothing_left(cluster: Cluster, job: Job, root: Path) -> None:
    assert not (root / job.id).exists()
    assert containers(job) == []
    assert job_ids(cluster, job, "pending,running") == []
    secrets = subprocess.run(command("secret", "ls"), capture_output=True, text=True, check=True).stdout
    assert container_name(job.id) not in secrets


def test_exit_code_output_and_environment_are_the_container_s(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    script = 'printf "%s|%s|%s" "$PLAIN" "$LINES" "$EMPTY"; echo trouble >&2; exit 7'
    job = make_job(image, "sh", "-c", script, environment=SECRETS)
    status = ended(slurm, tmp_path, job)
    assert (status.exit_code, status.problem) == (7, None)
    assert status.stdout == "|".join(SECRETS.values())
    assert status.stderr == "trouble\n"
    nothing_left(slurm, job, tmp_path)


def test_values_of_variables_are_on_no_command_line_and_the_broker_s_own_are_not_handed_on(
    slurm: Cluster, tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_ADMIN_PASSWORD", "the-broker-s-own")
    job = make_job(image, "sh", "-c", "echo ready; sleep 600", environment={"TOKEN": "hush-hush-hush"})

    async def work(platform: Platform) -> None:
        await platform.start(job)
        await until_out(platform, job, "ready")
        await asyncio.to_thread(look_around)
        assert "hush-hush-hush" not in slurm.run("scontrol", "show", "job", *job_ids(slurm, job))
        assert "hush-hush-hush" not in (tmp_path / job.id / "batch" / "job.sh").read_text()

    def look_around() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                around = (process / "environ").read_bytes()
            except OSError:
                continue
            assert b"hush-hush-hush" not in words
            assert b"the-broker-s-own" not in around or b"SLURM_JOB_ID" not in around

    live(slurm, tmp_path, job, work)


def test_data_that_is_mounted_read_only_stays_as_it_is(slurm: Cluster, tmp_path: Path, image: str) -> None:
    data, out = tmp_path / "data.txt", tmp_path / "out dir"
    data.write_text("42\n")
    out.mkdir()
    binds = ((str(data), "/in/x", MountMode.READONLY), (str(out), "/out", MountMode.READWRITE))
    job = make_job(image, "sh", "-c", "cat /in/x > /out/y; echo 43 > /in/x", binds=binds)
    status = ended(slurm, tmp_path / "work", job)
    assert status.exit_code == 1
    assert "Read-only file system" in status.stderr
    assert (data.read_text(), (out / "y").read_text()) == ("42\n", "42\n")


def test_a_container_is_in_its_job_s_control_groups_and_leaves_none(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    job = make_job(image, "cat", "/proc/self/cgroup")
    status = ended(slurm, tmp_path, job)
    [number] = job_ids(slurm, job)
    assert [f"/job_{number}/" in line for line in status.stdout.splitlines() if ":memory:" in line] == [True]
    deadline = time.monotonic() + 60
    # those that are Slurm's own go a moment after the job
    while list(Path("/sys/fs/cgroup").glob(f"*/slurm_{slurm.prefix}*/uid_*/job_{number}")):
        assert time.monotonic() < deadline, "its control groups stay"
        time.sleep(0.1)


def test_a_container_that_wants_more_memory_than_was_offered_is_told_so(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    # one buffer of that size, filled at once
    job = make_job(image, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=1500M count=1; exit 137")
    status = ended(slurm, tmp_path, job)
    assert status.exit_code == 137
    assert status.problem == "it wanted more memory than the 1 GiB that were offered"


def test_what_a_run_that_was_cut_short_left_on_the_node_is_not_in_the_way(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    job = make_job(image, "sh", "-c", 'printf %s "$LINES"', environment=SECRETS)
    name = container_name(job.id)
    options = platform_options(slurm)
    create = ["create", "--name", name, *options["engine_run"], image, "sleep", "600"]
    subprocess.run(command(*create), capture_output=True, timeout=60, check=True)
    secret = command("secret", "create", f"{name}-0", "-")
    subprocess.run(secret, input=b"of before", capture_output=True, timeout=60, check=True)
    status = ended(slurm, tmp_path, job)
    assert (status.exit_code, status.stdout, status.problem) == (0, SECRETS["LINES"], None)
    nothing_left(slurm, job, tmp_path)


def test_a_command_that_is_not_in_the_image_is_told_with_the_node(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    status = ended(slurm, tmp_path, make_job(image, "no-such-program"))
    assert status.exit_code == 127
    assert status.problem is not None
    assert f"podman could not start it on {slurm.prefix}" in status.problem
    assert "no-such-program" in status.problem


def test_a_container_that_heeds_sigterm_ends_by_itself(slurm: Cluster, tmp_path: Path, image: str) -> None:
    script = "trap 'echo saved; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    job = make_job(image, "sh", "-c", script)

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        await until_out(platform, job, "ready")
        await platform.stop(job)
        return await platform.poll(job)

    status = live(slurm, tmp_path, job, work, stop_seconds=30.0)
    assert (status.exit_code, status.stdout, status.problem) == (3, "ready\nsaved\n", None)


def test_releasing_a_running_container_leaves_nothing(slurm: Cluster, tmp_path: Path, image: str) -> None:
    job = make_job(image, "sleep", "600", environment=SECRETS)

    async def work(platform: Platform) -> None:
        await platform.start(job)
        await until_running(platform, job)

    live(slurm, tmp_path, job, work)
    nothing_left(slurm, job, tmp_path)


def test_a_job_that_somebody_at_the_site_cancels_takes_its_container_along(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    job = make_job(image, "sh", "-c", "echo ready; exec sleep 600")

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        await until_out(platform, job, "ready")
        slurm.run("scancel", *job_ids(slurm, job))
        status = await until_exited(platform, job)
        assert containers(job) == []
        return status

    status = live(slurm, tmp_path, job, work)
    assert status.problem == "its Slurm job was cancelled by somebody else than this broker"
    assert status.exit_code == 137


def test_a_waiting_job_says_why_and_until_when_and_can_be_cancelled(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    slurm.fill()
    job = make_job(image, "sleep", "600")

    async def work(platform: Platform) -> tuple[Status, Status]:
        await platform.start(job)
        while (status := await platform.poll(job)).waiting is None or "(" not in status.waiting.reason:
            assert status.state is State.RUNNING
        slurm.run("scancel", *job_ids(slurm, job))
        return status, await until_exited(platform, job)

    waits, over = live(slurm, tmp_path, job, work)
    assert waits.waiting is not None
    assert waits.waiting.reason in ("the nodes are busy (Resources)", "other jobs come first (Priority)")
    assert (over.exit_code, over.stdout) == (None, "")
    assert over.problem == "its Slurm job was cancelled by somebody else than this broker"


def test_a_node_that_fails_is_told_with_the_operator_s_reason(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    job = make_job(image, "sh", "-c", "echo ready; exec sleep 600")
    node = slurm.node(1)
    options = {"sbatch": [f"--nodelist={node}"]}

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        await until_out(platform, job, "ready")
        slurm.end(node)
        slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=power supply")
        return await until_exited(platform, job)

    try:
        status = live(slurm, tmp_path, job, work, **options)
    finally:
        # back again, the node ends what it finds there
        slurm.begin(node)
        slurm.wait(["sinfo", "--noheader", f"--nodes={node}", "--format=%t"], "idle")
    deadline = time.monotonic() + 60
    while containers(job):
        assert time.monotonic() < deadline, containers(job)
    assert status.problem == f"its node {node} failed: {node}: power supply (down)"


def test_nodes_that_are_drained_are_told_with_the_operator_s_reason(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    slurm.run("scontrol", "update", f"nodename={slurm.prefix}[1-2]", "state=drain", "reason=new kernel")
    job = make_job(image, "true")

    async def work(platform: Platform) -> str:
        await platform.start(job)
        while (status := await platform.poll(job)).waiting is None or "out of use:" not in str(status):
            assert status.state is State.RUNNING
        assert status.waiting is not None
        return status.waiting.reason

    try:
        reason = live(slurm, tmp_path, job, work)
    finally:
        slurm.run("scontrol", "update", f"nodename={slurm.prefix}[1-2]", "state=resume")
    out = "; ".join(f"{slurm.node(n)}: new kernel (drained)" for n in (1, 2))
    assert reason.endswith(f"out of use: {out}")


@pytest.mark.parametrize(
    ("options", "cores", "said"),
    [
        ({"partition": "nowhere"}, 1, "invalid partition specified: nowhere"),
        ({"constraint": "quantum"}, 1, "Invalid feature specification"),
        ({}, 64, "More processors requested than permitted"),
    ],
)
def test_what_slurm_refuses_is_one_line_in_its_own_words(
    slurm: Cluster, tmp_path: Path, image: str, options: dict[str, str], cores: int, said: str
) -> None:
    job = replace(make_job(image, "true"), cores=cores)

    async def work(platform: Platform) -> str:
        with pytest.raises(PlatformError) as caught:
            await platform.start(job)
        return str(caught.value)

    text = live(slurm, tmp_path, job, work, **options)
    assert text.startswith("site here: sbatch: ")
    assert said.lower() in text.lower()
    assert "\n" not in text


def test_what_is_written_past_the_offer_ends_the_job(
    slurm: Cluster, tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.platforms.usage.GIB", 2**20)
    monkeypatch.setattr("broker.platforms.usage.SHARE", 0.0)
    monkeypatch.setattr("broker.platforms.usage.PAUSE_SECONDS", 0.0)

    async def whole() -> Status:
        platform = make_platform("slurm", tmp_path, platform_options(slurm))
        job = make_job(image, "sh", "-c", "dd if=/dev/zero of=/out/big bs=1M count=4; exec sleep 600")
        try:
            storage = await platform.make_storage(job.id, "results")
            job = replace(job, binds=((str(storage), "/out", MountMode.READWRITE),), storage_gib=1)
            await platform.prepare(job)
            await platform.start(job)
            return await until_exited(platform, job)
        finally:
            await platform.release(job.id)

    status = asyncio.run(whole())
    assert status.problem is not None
    assert status.problem.endswith("GiB written into storage, where 1 GiB were offered")


def test_a_node_without_the_image_gets_it_from_the_session_s_directory(
    slurm: Cluster, tmp_path: Path, image: str
) -> None:
    """The engine's command has another store inside of a job than on the site's host."""
    # podman takes no long names for it
    store = Path(tempfile.mkdtemp(prefix="store-"))
    options = platform_options(slurm)
    wrapper = tmp_path / "podman-of-nodes"
    general = " ".join(options["engine"])
    # also of its own: what says that podman has begun, which a reset removes under everybody else
    own = f"--root {store}/graph --runroot {store}/run --tmpdir {store}/tmp"
    wrapper.write_text(
        f'#!/bin/sh\n[ -n "$SLURM_JOB_ID" ] || exec {general} "$@"\nexec {general} {own} "$@"\n'
    )
    wrapper.chmod(0o755)
    job = make_job(image, "sh", "-c", "echo loaded")
    try:
        status = ended(slurm, tmp_path / "work", job, engine=[str(wrapper)])
        assert (status.exit_code, status.stdout, status.problem) == (0, "loaded\n", None)
        status = ended(slurm, tmp_path / "work", job, engine=[str(wrapper)], images="shared")
        assert status.problem is None
    finally:
        reset = [*options["engine"], *own.split(), "system", "reset", "--force"]
        subprocess.run(reset, capture_output=True, timeout=60)
        shutil.rmtree(store)
