"""Apptainer and bare commands in a real Slurm's jobs. Apptainer itself is a stand-in that takes what its
documentation describes: see the file `apptainer` beside this one."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, ExecutableKind, Job, MountMode
from broker.platforms import Platform, PlatformError, State, Status
from tests.contracts.platform_support import CONTENT, make_job, make_platform, until_exited
from tests.netprobe.servers import FileServer, file_server
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import job_ids, live, until_out
from tests.waiting import until

IMAGE = "registry.example.org/tools/sum:1"
ENVIRONMENT = {"A": "b $HOME 'c'", "LINES_": "1\n2"}


@pytest.fixture
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The runtime's name; its command is in tmp_path."""
    name = getattr(request, "param", "apptainer")
    shutil.copy(Path(__file__).with_name("apptainer"), tmp_path / name)
    return str(name)


def options(runtime: str, directory: Path, **more: Any) -> dict[str, Any]:
    return {"runtime": runtime, "engine": [str(directory / runtime)], "engine_run": [], **more}


def ended(cluster: Cluster, root: Path, job: Job, **chosen: Any) -> Status:
    async def work(platform: Platform) -> Status:
        await platform.start(job)
        return await until_exited(platform, job)

    return live(cluster, root, job, work, **chosen)


@pytest.mark.parametrize("runtime", ["apptainer", "singularity"], indirect=True)
def test_an_oci_image_runs_with_its_mounts_and_variables(
    slurm: Cluster, tmp_path: Path, runtime: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    digest = f"sha256:{'1' * 64}"
    command = ("sh", "-c", 'printf "%s|%s" "$A" "$LINES_"; env | grep -c SLURM; exit 4')
    job = make_job(IMAGE, *command, environment=ENVIRONMENT, digest=digest)
    job = replace(
        job, binds=((str(data), "/in", MountMode.READONLY), (str(data), "/out", MountMode.READWRITE))
    )
    status = ended(slurm, tmp_path / "work", job, **options(runtime, tmp_path))
    image, how, rest = status.stdout.split("\n", 2)
    # the digest decides, and Apptainer takes no name with both
    assert image == f"image amd64 docker://registry.example.org/tools/sum@{digest}"
    assert how == f"network none binds {data}:/in:ro {data}:/out:rw"
    assert rest == "b $HOME 'c'|1\n20\n"
    assert (status.exit_code, status.problem) == (4, None)


def test_the_entrypoint_takes_the_place_of_the_image_s_own(
    slurm: Cluster, tmp_path: Path, runtime: str
) -> None:
    chosen = options(runtime, tmp_path, network="host")
    status = ended(slurm, tmp_path / "work", make_job(IMAGE), **chosen)
    assert status.stdout.splitlines()[1:] == ["network None binds", "the image's own command"]
    job = make_job(IMAGE, "a b", "c", entrypoint="echo")
    assert ended(slurm, tmp_path / "work", job, **chosen).stdout.splitlines()[2:] == ["a b c"]


def test_an_image_that_cannot_be_had_is_told_before_the_start(
    slurm: Cluster, tmp_path: Path, runtime: str
) -> None:
    async def prepare() -> None:
        platform = make_platform("slurm", tmp_path / "work", options(runtime, tmp_path))
        job = make_job("registry.example.org/missing:1", "true")
        with pytest.raises(PlatformError, match=r"site here: the image can't be had: .*manifest unknown"):
            await platform.prepare(job)
        await platform.release(job.id)

    asyncio.run(prepare())


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def test_a_sif_file_on_the_web_is_fetched_as_data_is(
    slurm: Cluster, tmp_path: Path, runtime: str, server: FileServer
) -> None:
    executable = Executable("x", (server.url("/good"),), kind=ExecutableKind.SINGULARITY)
    job = replace(make_job(IMAGE), executable=executable)

    async def work(platform: Platform) -> str:
        await platform.prepare(job)
        file = tmp_path / "work" / job.id / "batch" / "image.sif"
        return await asyncio.to_thread(lambda: hashlib.sha256(file.read_bytes()).hexdigest())

    found = live(slurm, tmp_path / "work", job, work, **options(runtime, tmp_path))
    assert found == hashlib.sha256(CONTENT).hexdigest()
    assert len(server.requests) <= 2


def test_everything_that_it_started_ends_with_the_job(slurm: Cluster, tmp_path: Path, runtime: str) -> None:
    # no other test has any of so many seconds
    sleep = f"sleep 600.{uuid.uuid4().int}"
    job = make_job(IMAGE, "sh", "-c", f"trap '' TERM; {sleep} & echo ready; wait; {sleep}")

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        await until_out(platform, job, "ready")
        await platform.stop(job)
        await asyncio.to_thread(until, lambda: not running(sleep), "none of what it started runs")
        return await platform.poll(job)

    status = live(slurm, tmp_path / "work", job, work, **options(runtime, tmp_path))
    assert (status.state, status.exit_code, status.problem) == (State.EXITED, 137, None)


def running(command: str) -> list[str]:
    """The processes with that command line."""
    found, line = [], b"".join(word.encode() + b"\0" for word in command.split())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == line:
                found.append(process.name)
        except OSError:
            continue
    return found


# no container at all


def test_a_bare_command_runs_on_the_node_s_own_software(slurm: Cluster, tmp_path: Path) -> None:
    bare = {"runtime": "none", "bare_images": ["localhost/node:*"], "engine": [], "engine_run": []}
    job = make_job("localhost/node:1", "sh", "-c", 'echo "$A"; exit 5', environment=ENVIRONMENT)
    status = ended(slurm, tmp_path, job, **bare)
    assert (status.exit_code, status.stdout, status.problem) == (5, f"{ENVIRONMENT['A']}\n", None)
    assert job_ids(slurm, job, "pending,running") == []


def test_a_bare_command_gets_no_mounts(slurm: Cluster, tmp_path: Path) -> None:
    job = make_job("localhost/node:1", "true", binds=((str(tmp_path), "/in", MountMode.READONLY),))
    bare = {"runtime": "none", "bare_images": ["localhost/node:*"]}

    async def prepare() -> None:
        platform = make_platform("slurm", tmp_path / "work", bare)
        with pytest.raises(
            PlatformError, match=r"site here: without a container engine nothing can be mounted"
        ):
            await platform.prepare(job)
        await platform.release(job.id)

    asyncio.run(prepare())
