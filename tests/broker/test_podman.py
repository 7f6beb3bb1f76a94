"""Podman for real: what a container sees and may use, and the faults that only a real engine has."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, Job, MountMode
from broker.platforms import Platform, PlatformError, State, Status
from broker.platforms.engine_conf import engine_flags
from broker.platforms.podman_containers import LABEL
from broker.platforms.podman_run import container_name
from fairlead.demo_image import checksum_root, find_busybox
from netprobe.measurement import Kind, Origin
from tests.broker.podman_support import an_image, live, podman
from tests.contracts.platform_support import (
    CONTENT,
    make_item,
    make_job,
    make_move,
    make_platform,
    stage_one,
    until_exited,
)
from tests.netprobe.servers import FileServer, file_server
from tests.ports import free_port

pytestmark = pytest.mark.podman


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def run(root: Path, job: Job, **options: Any) -> Status:
    """How `job` ends. It is released."""
    return live(root, job, lambda platform: until_exited(platform, job), **{"stop_seconds": 10.0, **options})


def test_a_staged_file_s_checksum_is_what_the_container_prints(
    tmp_path: Path, image: str, server: FileServer
) -> None:
    async def whole() -> Status:
        platform, draft = make_platform("podman", tmp_path), make_job(image)
        item = make_item(server.url("/good"))
        move = make_move(item)
        path, measured = await stage_one(platform, draft.id, item, move)
        assert measured is not None
        assert (measured.kind, measured.origin) == (Kind.TRANSFER, Origin.STAGING)
        assert (measured.source, measured.destination) == ("there", "here")
        assert measured.figures["size_bytes"] == len(CONTENT)
        assert measured.figures["seconds"] > 0
        assert measured.figures["predicted_seconds_p90"] == move.seconds.p90
        storage = await platform.make_storage(draft.id, "results")
        binds = (
            (str(path), "/data/cube.fits", MountMode.READONLY),
            (str(storage), "/results", MountMode.READWRITE),
        )
        job = Job(draft.id, "here", draft.executable, 1, 1, draft.duration, binds)
        try:
            await platform.prepare(job)
            await platform.start(job)
            return await until_exited(platform, job)
        finally:
            await platform.release(job.id)

    status = asyncio.run(whole())
    assert status.exit_code == 0
    assert status.stdout == f"{hashlib.sha256(CONTENT).hexdigest()}  ./cube.fits\n"


def test_data_is_read_only_and_storage_is_not(tmp_path: Path, image: str) -> None:
    data, storage = tmp_path / "data", tmp_path / "storage"
    data.write_bytes(b"mine")
    storage.mkdir()
    binds = ((str(data), "/in", MountMode.READONLY), (str(storage), "/out", MountMode.READWRITE))
    status = run(tmp_path, make_job(image, "sh", "-c", "echo x > /out/new; echo x > /in", binds=binds))
    assert (storage / "new").read_text() == "x\n"
    assert data.read_bytes() == b"mine"
    assert status.exit_code != 0
    assert "Read-only" in status.stderr


def test_command_environment_exit_code_and_both_outputs(tmp_path: Path, image: str) -> None:
    script = 'echo "$GREETING"; echo trouble >&2; exit 7'
    greeting = "two words = $HOME\nand a line"
    status = run(tmp_path, make_job(image, "sh", "-c", script, environment={"GREETING": greeting}))
    assert status == Status(State.EXITED, 7, f"{greeting}\n", "trouble\n")


def test_the_entrypoint_is_replaced(tmp_path: Path, image: str) -> None:
    assert run(tmp_path, make_job(image, "/bin", entrypoint="ls")).stdout.split()[0] == "busybox"


def test_without_a_network_there_is_only_loopback(tmp_path: Path, image: str) -> None:
    devices = run(tmp_path, make_job(image, "cat", "/proc/net/dev")).stdout
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]


def test_memory_and_cores_are_limited(tmp_path: Path, image: str) -> None:
    async def whole() -> dict[str, Any]:
        platform, job = (
            make_platform("podman", tmp_path, {"stop_seconds": 0.0}),
            make_job(image, "sleep", "3600"),
        )
        try:
            await platform.prepare(job)
            await platform.start(job)
            inspected = await asyncio.to_thread(podman, "inspect", container_name(job.id))
            limits: dict[str, Any] = json.loads(inspected)[0]["HostConfig"]
            return limits
        finally:
            await platform.release(job.id)

    limits = asyncio.run(whole())
    assert limits["Memory"] == 2**30
    assert limits["NanoCpus"] == 10**9


def test_only_the_end_of_a_long_output_is_kept(tmp_path: Path, image: str) -> None:
    script = "i=0; while [ $i -lt 12000 ]; do echo line $i; i=$((i+1)); done"
    stdout = run(tmp_path, make_job(image, "sh", "-c", script)).stdout
    assert len(stdout) == 64 * 1024
    assert stdout.endswith("line 11998\nline 11999\n")


def test_a_killed_container_has_exited(tmp_path: Path, image: str) -> None:
    async def whole() -> Status:
        platform, job = make_platform("podman", tmp_path), make_job(image, "sleep", "3600")
        try:
            await platform.prepare(job)
            await platform.start(job)
            await asyncio.to_thread(podman, "kill", container_name(job.id))
            return await until_exited(platform, job)
        finally:
            await platform.release(job.id)

    assert asyncio.run(whole()).exit_code == 137


def test_a_container_that_was_only_created_is_started(tmp_path: Path, image: str) -> None:
    """The broker was ended between the two: it must neither hang nor start a second one."""

    async def whole() -> Status:
        platform, job = make_platform("podman", tmp_path), make_job(image)
        name = container_name(job.id)
        create = ["create", "--pull", "never", "--network", "none", "--name", name, *engine_flags().run]
        create += ["--label", f"{LABEL}={job.id}", image, "sh", "-c", "exit 3"]
        await asyncio.to_thread(podman, *create)
        try:
            assert (await platform.poll(job)).state is State.ABSENT
            await platform.start(job)
            return await until_exited(platform, job)
        finally:
            await platform.release(job.id)

    assert asyncio.run(whole()).exit_code == 3


def test_a_cancelled_start_leaves_nothing_after_release(tmp_path: Path, image: str) -> None:
    async def whole() -> None:
        platform, job = make_platform("podman", tmp_path), make_job(image, "sleep", "3600")
        await platform.prepare(job)
        for seconds in (0.02, 0.1, 0.2):
            starting = asyncio.create_task(platform.start(job))
            await asyncio.sleep(seconds)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await platform.release(job.id)
            assert (await platform.poll(job)).state is State.ABSENT
        listed = await asyncio.to_thread(podman, "ps", "--all", "--quiet", "--filter", f"name={job.id}")
        assert not listed

    asyncio.run(whole())


# images


def prepare(platform: Platform, executable: Executable) -> None:
    job = make_job("localhost/any:1")
    asyncio.run(platform.prepare(Job(job.id, "here", executable, 1, 1, job.duration)))


def test_an_absent_local_image_is_a_clear_error_and_never_pulled(tmp_path: Path) -> None:
    platform, executable = (
        make_platform("podman", tmp_path),
        Executable("x", ("localhost/nothing-like-it:1",)),
    )
    [note] = platform.check(executable)
    assert note.text == "here doesn't have the local image localhost/nothing-like-it:1"
    assert note.path == "/executable/image/locations"
    with pytest.raises(
        PlatformError, match="localhost/nothing-like-it:1 is not here, and local images are never"
    ):
        prepare(platform, executable)


def test_an_image_that_no_registry_has_says_what_each_answered(tmp_path: Path) -> None:
    port = free_port()
    locations = (f"127.0.0.1:{port}/first:1", f"127.0.0.1:{port}/second:1")
    with pytest.raises(PlatformError) as caught:
        prepare(make_platform("podman", tmp_path, {"pull_seconds": 120.0}), Executable("x", locations))
    assert "\n" not in str(caught.value)
    assert all(location in str(caught.value) for location in locations)


def test_another_digest_than_asked_for_is_refused(tmp_path: Path, image: str) -> None:
    with pytest.raises(PlatformError, match="is not here"):
        prepare(make_platform("podman", tmp_path), Executable("x", (image,), digest="sha256:" + "ab" * 32))
    [found] = json.loads(podman("image", "inspect", image))
    prepare(make_platform("podman", tmp_path), Executable("x", (image,), digest=found["Digest"]))


def test_an_image_of_another_architecture_is_refused(tmp_path: Path) -> None:
    name = f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:arm"
    podman("import", "--quiet", "--arch", "arm64", "-", name, stdin=checksum_root(find_busybox()))
    try:
        with pytest.raises(PlatformError, match="is for arm64, which this site can't run"):
            prepare(make_platform("podman", tmp_path), Executable("x", (name,)))
    finally:
        podman("image", "rm", name)


def test_an_unknown_program_is_an_error_and_leaves_no_container(tmp_path: Path, image: str) -> None:
    job = make_job(image, "no-such-program")
    with pytest.raises(PlatformError, match="no-such-program"):
        run(tmp_path, job)
    assert not podman("ps", "--all", "--quiet", "--filter", f"name={job.id}")
