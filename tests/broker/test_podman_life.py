"""Containers through restarts, in numbers, and beyond what was offered."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.model import Job, MountMode
from broker.platforms import Platform, PlatformError, State, Status, podman_cli
from broker.platforms.places import job_directory
from broker.platforms.podman_containers import Container, Containers, read_container
from broker.platforms.podman_run import container_name
from broker.platforms.usage import Overuse
from fairlead.demo_image import build_checksum_image
from netprobe.tools import _process
from netprobe.tools._process import Finished
from tests.broker.podman_support import an_image, live, podman, podman_of_its_own, unmount
from tests.contracts.platform_support import make_job, make_platform, until_exited
from tests.waiting import SECONDS


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


async def appears(directory: Path, pattern: str, time_limit_seconds: float = 60.0) -> None:
    """Wait until there is a file like that: it is how a container, and podman, can be watched."""
    deadline = time.monotonic() + time_limit_seconds

    def is_there() -> bool:
        return any(directory.glob(pattern))

    while not is_there():
        assert time.monotonic() < deadline, f"no {pattern} in {directory}"
        await asyncio.sleep(0.005)


# restarts


@pytest.mark.podman
def test_a_new_broker_finds_the_container_of_the_old_one(tmp_path: Path, image: str) -> None:
    job = make_job(image, "sh", "-c", "echo begun; sleep 3600")

    async def work(platform: Platform) -> None:
        again = make_platform("podman", tmp_path, {"stop_seconds": 0.0})
        while (status := await again.poll(job)).stdout != "begun\n":
            assert status.state is State.RUNNING, status
        await again.start(job)
        assert await asyncio.to_thread(podman, "ps", "--quiet", "--filter", f"name={job.id}")
        await again.stop(job)
        first = await platform.poll(job)
        assert (first.state, first.exit_code, first.stdout) == (State.EXITED, 137, "begun\n")
        assert await again.poll(job) == first

    live(tmp_path, job, work)


@pytest.mark.podman
def test_two_starts_at_once_make_one_container(tmp_path: Path, image: str) -> None:
    job = make_job(image, "sleep", "3600", environment={"A": "b\nc"})

    async def whole() -> str:
        one, two = make_platform("podman", tmp_path), make_platform("podman", tmp_path)
        try:
            await one.prepare(job)
            starts = (one.start(job), one.start(job), two.start(job))
            ends = await asyncio.gather(*starts, return_exceptions=True)
            assert ends == [(), (), ()]
            return await asyncio.to_thread(podman, "ps", "--quiet", "--filter", f"name={job.id}")
        finally:
            await one.release(job.id)

    assert len(asyncio.run(whole()).split()) == 1


@pytest.mark.podman
@pytest.mark.lab
def test_a_container_whose_mounts_are_still_held_is_removed_all_the_same(tmp_path: Path, image: str) -> None:
    job = make_job(image, "sleep", "3600")

    async def work(platform: Platform) -> None:
        shown = podman("inspect", "--format", "{{.OCIConfigPath}}", container_name(job.id))
        memory = Path(shown.strip()).with_name("shm")
        # podman takes away one of these each time that it is asked
        for _ in range(2):
            mount = ["mount", "-t", "tmpfs", "none", memory]
            await asyncio.to_thread(subprocess.run, mount, check=True, timeout=60)
        await platform.release(job.id)
        assert not memory.exists()

    live(tmp_path, job, work)


@pytest.fixture
def own_podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A podman with a store and a memory of its own, so that its machine can be restarted."""
    with podman_of_its_own(tmp_path / "own", monkeypatch):
        yield tmp_path / "own"


def restart_machine(own: Path, name: str) -> None:
    """What a power cut does: all processes end at once, and what is in memory is gone."""
    shown = podman("inspect", "--format", "{{.Id}} {{.State.ConmonPid}} {{.State.Pid}}", name)
    container, *pids = shown.split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    # the runtime keeps what it knows below /run, and that is in memory, too
    for runtime in filter(shutil.which, ("runc", "crun")):
        subprocess.run([runtime, "delete", "--force", container], capture_output=True)
    unmount(own)
    subprocess.run(["rm", "-rf", str(own / "run")], check=True)


@pytest.mark.podman
@pytest.mark.lab
def test_after_a_restart_of_the_machine_the_container_is_absent_and_starts_again(
    tmp_path: Path, own_podman: Path
) -> None:
    image = build_checksum_image("localhost/fairlead-test-own:1")
    # a value that podman reads again at each start
    environment = {"WORD": "one\ntwo"}
    script = 'if [ -e /out/ran ]; then echo "$WORD"; else touch /out/ran; sleep 3600; fi'

    async def whole() -> Status:
        platform, job = make_platform("podman", tmp_path / "work"), make_job(image, environment=environment)
        out = await platform.make_storage(job.id, "out")
        executable = replace(job.executable, command=("sh", "-c", script))
        job = replace(job, executable=executable, binds=((str(out), "/out", MountMode.READWRITE),))
        try:
            await platform.prepare(job)
            await platform.start(job)
            await appears(out, "ran")
            await asyncio.to_thread(restart_machine, own_podman, container_name(job.id))
            assert (await platform.poll(job)).state is State.ABSENT
            await platform.prepare(job)
            await platform.start(job)
            return await until_exited(platform, job)
        finally:
            await platform.release(job.id)

    status = asyncio.run(whole())
    assert (status.exit_code, status.stdout) == (0, "one\ntwo\n")


LISTED = {"State": "exited", "ExitCode": 3, "StartedAt": 1_795_647_039, "ExitedAt": 1_795_647_040}
NEVER = -62_135_596_800


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({}, Container(False, 3)),
        ({"ExitedAt": LISTED["StartedAt"]}, Container(False, 3)),
        # podman notes the start when it has seen it, which may be after the end
        ({"ExitedAt": LISTED["StartedAt"] - 2}, Container(False, 3)),
        ({"State": "running", "ExitedAt": NEVER}, Container(True, None)),
        ({"State": "stopping", "ExitedAt": NEVER}, Container(True, None)),
        ({"State": "created", "ExitedAt": NEVER, "StartedAt": NEVER}, Container(False, None)),
        # newer ones than 4.3 call so what a restart of the machine ended, and know nothing of how
        ({"ExitCode": 0, "ExitedAt": NEVER}, Container(False, None)),
    ],
)
def test_what_podman_lists_is_understood(listed: dict[str, Any], expected: Container) -> None:
    assert read_container({**LISTED, **listed}) == expected


# numbers


@pytest.mark.podman
def test_twenty_containers_at_once_keep_to_the_bound(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0
    real = _process.run

    async def counted(command: Sequence[str], *more: Any, **named: Any) -> Finished:
        nonlocal running, most
        # the one `ps` that answers for all comes beside them
        mine = command[0] == "podman" and "ps" not in command
        running += mine
        most = max(most, running)
        try:
            return await real(command, *more, **named)
        finally:
            running -= mine

    monkeypatch.setattr(_process, "run", counted)
    monkeypatch.setattr(podman_cli, "AT_ONCE", 3)
    platform = make_platform("podman", tmp_path)
    jobs = [make_job(image, "sh", "-c", f"exit {number}") for number in range(20)]

    async def one(job: Job) -> int | None:
        try:
            await platform.prepare(job)
            await platform.start(job)
            return (await until_exited(platform, job, 600)).exit_code
        finally:
            await platform.release(job.id)

    async def whole() -> list[int | None]:
        return list(await asyncio.gather(*map(one, jobs)))

    assert asyncio.run(whole()) == list(range(20))
    assert most == 3


def test_a_hundred_questions_are_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, begun = 0, asyncio.Event()

    async def answer(*arguments: str, **more: Any) -> str:
        nonlocal asked
        asked += 1
        if asked == 3:
            begun.set()
        await asyncio.sleep(0)
        return f'[{{"Names": ["a"], "State": "exited", "ExitCode": {asked}, "StartedAt": 1, "ExitedAt": 2}}]'

    monkeypatch.setattr("broker.platforms.podman_containers.podman_ok", answer)

    async def whole() -> None:
        containers = Containers()
        found = await asyncio.gather(*(containers.find("a") for _ in range(100)))
        assert set(found) == {Container(False, 1)}
        assert await containers.find("b") is None
        # who asks while podman is answering gets a later answer: this one may be from before
        early = asyncio.create_task(containers.find("a"))
        await begun.wait()
        late = asyncio.create_task(containers.find("a"))
        assert [(await early), (await late)] == [Container(False, 3), Container(False, 4)]
        # one that gives up takes nothing from the others
        one, other = (asyncio.create_task(containers.find("a")) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        assert await other == Container(False, 5)

    asyncio.run(whole())


@pytest.mark.parametrize("said", ["nonsense", '[{"State": "exited"}]', "[1]"])
def test_an_answer_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    async def answer(*arguments: str, **more: Any) -> str:
        return said

    monkeypatch.setattr("broker.platforms.podman_containers.podman_ok", answer)
    with pytest.raises(PlatformError, match="podman ps said something unexpected"):
        asyncio.run(Containers().find("a"))


# storage


@pytest.mark.podman
@pytest.mark.parametrize("full", [False, True], ids=["room", "full"])
def test_a_job_that_writes_more_than_was_offered_is_stopped_and_told_why(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    # GiB are MiB here
    monkeypatch.setattr("broker.platforms.usage.GIB", 2**20)
    monkeypatch.setattr("broker.platforms.usage.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("broker.platforms.usage.SHARE", 0.0)
    script = "busybox dd if=/dev/zero of=/out/big bs=1M count=4 2>/dev/null; echo written; sleep 3600"

    async def whole() -> tuple[Status, Status]:
        platform = make_platform("podman", tmp_path, {"stop_seconds": 0.0})
        job = make_job(image, "sh", "-c", script)
        out = await platform.make_storage(job.id, "out")
        job = replace(job, binds=((str(out), "/out", MountMode.READWRITE),), storage_gib=2)
        try:
            await platform.prepare(job)
            if full:
                # where the reason would be kept, nothing can be written
                (tmp_path / job.id / "stopped").mkdir()
            await platform.start(job)
            ended = await until_exited(platform, job)
            [file] = await platform.list_files(job.id, "out")
            assert 2 * 2**20 <= file.size_bytes <= 4 * 2**20
            return ended, await make_platform("podman", tmp_path).poll(job)
        finally:
            await platform.release(job.id)

    ended, later = asyncio.run(whole())
    # it may be seen before it has written all
    said = re.fullmatch(r"(.*) GiB written into storage, where 2 GiB were offered", ended.problem or "")
    assert said is not None
    assert 2 < float(said[1]) < 4.5
    assert ended.exit_code == 137
    assert later.problem == (None if full else ended.problem)


def test_what_is_a_little_more_than_was_offered_is_said_to_be_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.platforms.usage.GIB", 10 * 2**20)
    job = replace(make_job("any"), storage_gib=2)
    storage = job_directory(tmp_path, job.id) / "storage"
    storage.mkdir(parents=True)
    (storage / "big").write_bytes(bytes(20 * 2**20 + 4096))

    async def whole() -> str | None:
        overuse, deadline = Overuse(tmp_path), time.monotonic() + SECONDS
        while not await overuse.seen(job):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        return overuse.reason(job.id)

    assert asyncio.run(whole()) == "2.01 GiB written into storage, where 2 GiB were offered"


@pytest.mark.podman
def test_a_job_within_its_storage_runs_to_its_end(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.platforms.usage.PAUSE_SECONDS", 0.0)
    job = replace(make_job(image, "sleep", "0.5"), storage_gib=1)

    async def work(platform: Platform) -> Status:
        return await until_exited(platform, job)

    status = live(tmp_path, job, work)
    assert (status.exit_code, status.problem) == (0, None)


@pytest.mark.podman
def test_a_release_takes_secrets_along_that_a_half_made_start_left(tmp_path: Path, image: str) -> None:
    job = make_job(image, "sleep", "3600", environment={"A": "b\nc", "B": "d\ne"})

    async def whole() -> None:
        platform = make_platform("podman", tmp_path)
        await platform.prepare(job)
        starting = asyncio.create_task(platform.start(job))
        await appears(tmp_path, "*/secrets/fairlead-*-1")
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await platform.release(job.id)
        assert (await platform.poll(job)).state is State.ABSENT

    asyncio.run(whole())
    assert not podman("secret", "ls", "--quiet", "--filter", f"name={container_name(job.id)}")
    assert list(tmp_path.iterdir()) == []
