"""Slurm on another machine: its commands run on a login node over SSH, files lie on what both share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from broker.model import Job
from broker.platforms import Platform, PlatformError, State, Unreachable
from broker.platforms.slurm import SlurmPlatform
from federation.clock import SystemClock
from federation.hosts import Host
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from tests.contracts.platform_support import make_job
from tests.federation.sshd import Server, ssh_server
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import job_ids, platform_options, until_out

pytestmark = pytest.mark.podman


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    keys = tmp_path / "keys"
    keys.mkdir()
    with ssh_server(keys) as server:
        yield server


def platform_at(host: Host, cluster: Cluster, root: Path) -> Platform:
    root.mkdir(exist_ok=True)
    options = platform_options(cluster, staging=str(root), poll_seconds=0.5, stop_seconds=30.0)
    description = SitePlatform("slurm", cores=4, memory_gib=8, storage_gib=10, options=options)
    site = Site("perth", "Perth", Place(0, 0), host=host, platform=description)
    return SlurmPlatform(site, Federation("test", {"perth": site}), SystemClock(), root)


def test_a_session_s_life_over_ssh(server: Server, slurm: Cluster, tmp_path: Path, image: str) -> None:
    async def live(job: Job) -> None:
        platform = platform_at(server.host, slurm, tmp_path / "shared")
        try:
            await platform.prepare(job)
            await platform.start(job)
            await until_out(platform, job, "ready there")
            await platform.stop(job)
            status = await platform.poll(job)
            assert (status.state, status.exit_code, status.problem) == (State.EXITED, 3, None)
        finally:
            await platform.release(job.id)
        assert job_ids(slurm, job, "pending,running") == []
        assert not (tmp_path / "shared" / job.id).exists()

    script = "trap 'exit 3' TERM; echo ready $PLACE; while :; do sleep 0.1; done"
    asyncio.run(live(make_job(image, "sh", "-c", script, environment={"PLACE": "there"})))


@dataclass(frozen=True)
class Elsewhere:
    """A host on which `directory` is another one than here."""

    directory: Path

    def argv(self, command: Sequence[str]) -> list[str]:
        hide = 'mount -t tmpfs none "$0" && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", hide, str(self.directory), *command]


def test_a_login_node_that_sees_other_files_is_told_before_anything_runs(
    slurm: Cluster, tmp_path: Path
) -> None:
    async def live() -> None:
        platform = platform_at(Elsewhere(tmp_path / "shared"), slurm, tmp_path / "shared")
        job = make_job("localhost/x:1", "true")
        with pytest.raises(PlatformError, match=r"site perth: its host doesn't see .* as this machine does"):
            await platform.prepare(job)
        await platform.release(job.id)

    asyncio.run(live())


def test_a_login_node_that_is_away_is_unreachable(server: Server, slurm: Cluster, tmp_path: Path) -> None:
    async def live() -> None:
        away = replace(server.host, port=1)
        platform = platform_at(away, slurm, tmp_path / "shared")
        with pytest.raises(Unreachable, match=r"site perth: .*port 1"):
            await platform.prepare(make_job("localhost/x:1", "true"))

    asyncio.run(live())
