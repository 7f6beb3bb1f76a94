"""How long a container takes to run as a Slurm job, and what looking at many of them costs.

    python -m benchmarks.platform_slurm [--starts 7] [--jobs 1000]

Brings up the Slurm of the tests (two nodes, both this machine). Prints the median seconds from a session's
preparation to the first line of its container, where they go, and how many times a plain `podman run` that
is; then a look at all of one's jobs by columns, as the platform does it, by `squeue --json`, by slurmrestd.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

# the cluster of the tests is in the checkout, and in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from broker.platforms.podman_cli import podman_ok
from broker.platforms.slurm_cli import Slurm
from broker.platforms.slurm_commands import Commands
from broker.platforms.slurm_jobs import PREFIX, SlurmJobs
from broker.platforms.slurm_rest import Rest
from broker.platforms.slurm_scheduler import Scheduler
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from federation.hosts import LocalHost
from tests.contracts.platform_support import make_job, make_platform
from tests.slurm.cluster import Cluster, rest_is_impossible, running
from tests.slurm.platform_support import platform_options, until_out
from tests.slurm.rest import restd


async def start(cluster: Cluster, root: Path, image: str) -> dict[str, float]:
    """Seconds of one start, by step."""
    platform = make_platform("slurm", root, platform_options(cluster))
    job = make_job(image, "sh", "-c", "echo ready; exec sleep 60")
    times = [time.perf_counter()]
    try:
        for step in (platform.prepare(job), platform.start(job)):
            await step
            times.append(time.perf_counter())
        while (await platform.poll(job)).waiting is not None:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        times.append(time.perf_counter())
        await until_out(platform, job, "ready")
        times.append(time.perf_counter())
    finally:
        await platform.release(job.id)
    steps = ("prepare", "submit", "Slurm's queue", "container")
    spent = {name: after - before for name, before, after in zip(steps, times, times[1:], strict=False)}
    return {**spent, "in all": times[-1] - times[0]}


async def plain(image: str) -> float:
    """Seconds of a container that prints a line and ends, without any Slurm."""
    options = platform_options(Cluster(Path(), {}))["engine_run"]
    began = time.perf_counter()
    await podman_ok("run", "--rm", "--network", "none", *options, image, "sh", "-c", "echo ready")
    return time.perf_counter() - began


def median(times: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(times))


def looks(cluster: Cluster, count: int) -> None:
    for _ in range(count):
        wanted = ("--hold", f"--job-name={PREFIX}{uuid.uuid4()}", "--output=/dev/null", "--wrap", "true")
        cluster.run("sbatch", *wanted)
    slurm = Slurm("here", LocalHost(), str(cluster.configuration), 30.0)

    def look(scheduler: Scheduler) -> float:
        began = time.perf_counter()
        asyncio.run(SlurmJobs(scheduler.jobs, 0.0).find("nobody"))
        return time.perf_counter() - began

    def document() -> float:
        began = time.perf_counter()
        asyncio.run(slurm.ask("squeue", "--json"))
        return time.perf_counter() - began

    columns, whole = median(9, lambda: look(Commands(slurm))), median(5, document)
    print(f"a look at {count} jobs: {columns * 1000:.0f} ms for all sessions together")
    print(f"squeue --json: {whole * 1000:.0f} ms, {whole / columns:.1f} times that, before it is read")
    if rest_is_impossible() is None:
        with restd(cluster) as daemon:
            by_rest = median(5, lambda: look(Rest(daemon.client(30.0), {})))
        print(f"by slurmrestd: {by_rest * 1000:.0f} ms, {by_rest / columns:.1f} times that, read")


def main() -> None:
    parser = argparse.ArgumentParser(description="Containers as Slurm jobs: how long, and what a look costs.")
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=1000)
    chosen = parser.parse_args()
    image = build_checksum_image(f"localhost/fairlead-bench-{uuid.uuid4().hex[:8]}:1")
    try:
        with tempfile.TemporaryDirectory() as root, running(2, control_groups=True) as cluster:
            found = [asyncio.run(start(cluster, Path(root), image)) for _ in range(chosen.starts)]
            alone = statistics.median(asyncio.run(plain(image)) for _ in range(chosen.starts))
            for name in found[0]:
                print(f"{name}: {statistics.median(each[name] for each in found):.2f} s")
            whole = statistics.median(each["in all"] for each in found)
            print(f"podman run alone: {alone:.2f} s; as a job {whole / alone:.1f} times that")
            looks(cluster, chosen.jobs)
    finally:
        remove_checksum_image(image)


if __name__ == "__main__":
    main()
