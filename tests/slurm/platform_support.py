"""What the tests of the platform slurm share: options for a cluster of this machine, a job end to end."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from broker.model import Job
from broker.platforms import Platform, State
from broker.platforms.engine_conf import engine_flags
from broker.platforms.podman_cli import command
from broker.platforms.podman_run import container_name
from federation.sites import Place, Site
from federation.sites import Platform as SitePlatform
from tests.contracts.platform_support import make_platform
from tests.slurm.cluster import Cluster

T = TypeVar("T")


def platform_options(cluster: Cluster, **more: Any) -> dict[str, Any]:
    """Quick ones, and what podman needs on this machine, which is all of the cluster's nodes."""
    flags = engine_flags()
    options = {"engine": ["podman", *flags.everywhere], "engine_run": list(flags.run), "stop_seconds": 1.0}
    return {"conf": str(cluster.configuration), "poll_seconds": 0.05, **options, **more}


def live(
    cluster: Cluster, root: Path, job: Job, work: Callable[[Platform], Awaitable[T]], **options: Any
) -> T:
    """What `work` returns with a platform on which `job` is prepared; it is released in any case."""

    async def whole() -> T:
        platform = make_platform("slurm", root, platform_options(cluster, **options))
        try:
            await platform.prepare(job)
            return await work(platform)
        finally:
            await platform.release(job.id)

    return asyncio.run(whole())


async def until_running(platform: Platform, job: Job, seconds: float = 90.0) -> None:
    """Wait until the container has begun."""
    deadline = time.monotonic() + seconds
    while (status := await platform.poll(job)).waiting is not None:
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.05)


async def until_out(platform: Platform, job: Job, text: str, seconds: float = 90.0) -> None:
    """Wait until the job has printed `text`."""
    deadline = time.monotonic() + seconds
    while text not in (status := await platform.poll(job)).stdout:
        assert time.monotonic() < deadline, status
        assert status.state is State.RUNNING, status
        await asyncio.sleep(0.05)


def job_ids(cluster: Cluster, job: Job, states: str = "all") -> list[str]:
    """The Slurm jobs of a session."""
    squeue = ("squeue", "--noheader", f"--states={states}", f"--name={container_name(job.id)}", "--format=%i")
    return cluster.run(*squeue).split()


def containers(job: Job) -> list[str]:
    """The containers of a job that podman has on this machine, running or not."""
    listed = ("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={container_name(job.id)}")
    done = subprocess.run(command(*listed), capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def site(host: Any = None, **options: Any) -> Site:
    """A site of the platform, at this machine or behind `host`."""
    description = SitePlatform("slurm", cores=4, memory_gib=8, storage_gib=10, options=options)
    made = Site("perth", "Perth", Place(0, 0), platform=description)
    return made if host is None else replace(made, host=host)
