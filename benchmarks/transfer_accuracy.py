"""How true are the predictions? Predicted against actual seconds of real transfers over the lab's paths.

    python benchmarks/transfer_accuracy.py [--transfers 24] [--seed 1] [--learn] [--record FILE]

Uses the lab that is up, or brings one up and takes it down again (needs root and network namespaces).
Measures it with examples/lab-plan.toml where the archive is empty. Every prediction is made before any of the
transfers has run, so the forecast has seen none of them; with --learn each one corrects the next, and is
predicted just before. Exit status 1 where the target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _lab import measured_lab

from federation.clock import SystemClock
from federation.sites import Federation
from federation.units import format_size
from lab import state
from netprobe.archive import Archive
from netprobe.cost import seconds_for
from netprobe.forecast import Forecaster
from netprobe.measurement import Measurement
from netprobe.quantiles import Quantiles
from netprobe.tools import transfer

SMALLEST, LARGEST = 4_900_000, 200_000_000
TARGET_ERROR, TARGET_COVERAGE = 0.15, 0.70


@dataclass(frozen=True)
class Job:
    """One file to move: where from, where to."""

    name: str
    url: str
    sha256: str
    size_bytes: int
    source: str
    destination: str


@dataclass(frozen=True)
class Outcome:
    job: Job
    predicted: Quantiles
    actual: float

    @property
    def error(self) -> float:
        return abs(self.predicted.p50 - self.actual) / self.actual

    @property
    def inside(self) -> bool:
        return self.predicted.p10 <= self.actual <= self.predicted.p90


def choose(files: Sequence[dict[str, Any]], sites: Sequence[str], count: int, seed: int) -> list[Job]:
    """Random transfers of files of 5 to 200 MB; a path is used again only when all have been."""
    known = []
    for file in files:
        if SMALLEST <= file["size_bytes"] <= LARGEST:
            for source, url in zip(file["sites"], file["urls"], strict=True):
                for destination in sites:
                    if destination not in file["sites"]:
                        size, name, sha256 = file["size_bytes"], file["name"], file["sha256"]
                        known.append(Job(name, url, sha256, size, source, destination))
    drawn = random.Random(seed)
    drawn.shuffle(known)
    chosen: list[Job] = []
    while known and len(chosen) < count:
        used = [(job.source, job.destination) for job in chosen]
        nxt = min(known, key=lambda job: used.count((job.source, job.destination)))
        known.remove(nxt)
        chosen.append(nxt)
    return chosen


def predict(forecaster: Forecaster, job: Job) -> Quantiles:
    return seconds_for(forecaster.path(job.source, job.destination), job.size_bytes)


async def move(federation: Federation, job: Job, predicted: Quantiles) -> Measurement:
    """Move the file by the mover at its destination; the copy is removed."""
    clock = SystemClock()
    started = clock.now()
    with tempfile.TemporaryDirectory(dir=state.state_dir(), prefix="benchmark-") as directory:
        moved = await transfer.fetch(
            federation[job.destination].host,
            job.url,
            Path(directory) / job.name,
            job.size_bytes,
            f"sha256:{job.sha256}",
        )
    return transfer.measurement(moved, job.source, job.destination, started, predicted)


async def run(federation: Federation, archive: Archive, jobs: Sequence[Job], learn: bool) -> list[Outcome]:
    forecaster = Forecaster(archive, federation, SystemClock())
    beforehand = [predict(forecaster, job) for job in jobs]
    outcomes = []
    for job, first in zip(jobs, beforehand, strict=True):
        predicted = predict(forecaster, job) if learn else first
        done = await move(federation, job, predicted)
        if learn:
            archive.add([done])
        outcomes.append(Outcome(job, predicted, done.seconds))
        print(line(outcomes[-1]), flush=True)
    return outcomes


def line(outcome: Outcome) -> str:
    job, predicted = outcome.job, outcome.predicted
    path = f"{job.source} -> {job.destination}"
    seconds = "".join(
        f"{value:9.2f}" for value in (predicted.p10, predicted.p50, predicted.p90, outcome.actual)
    )
    signed = predicted.p50 / outcome.actual - 1
    verdict = "in" if outcome.inside else "OUT"
    return f"{path:<26}{format_size(job.size_bytes):>9}{seconds}{signed:+9.1%}  {verdict}"


def summarise(outcomes: Sequence[Outcome]) -> bool:
    """Print the last line; whether the target is met."""
    error = statistics.median(outcome.error for outcome in outcomes)
    worst = max(outcome.error for outcome in outcomes)
    inside = sum(outcome.inside for outcome in outcomes) / len(outcomes)
    met = error < TARGET_ERROR and inside >= TARGET_COVERAGE
    print(
        f"{len(outcomes)} transfers over {len({(o.job.source, o.job.destination) for o in outcomes})} paths: "
        f"median absolute error {error:.1%} (target under {TARGET_ERROR:.0%}), worst {worst:.1%}, "
        f"{inside:.0%} within 10-90 % (target at least {TARGET_COVERAGE:.0%}): {'met' if met else 'MISSED'}"
    )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transfers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learn", action="store_true", help="let each transfer correct the next forecast")
    parser.add_argument("--database", help="URL of the archive; a temporary one if not given")
    parser.add_argument("--record", type=Path, help="write the outcomes as JSON")
    asked = parser.parse_args()
    if asked.transfers < 1:
        parser.error(f"--transfers: expected at least 1, got {asked.transfers}")
    with measured_lab(asked.database) as measured:
        jobs = choose(measured.files, list(measured.federation.sites), asked.transfers, asked.seed)
        print(f"{'path':<26}{'size':>9}{'p10':>9}{'p50':>9}{'p90':>9}{'actual':>9}{'error':>9}")
        outcomes = asyncio.run(run(measured.federation, measured.archive, jobs, asked.learn))
    if asked.record:
        asked.record.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return 0 if summarise(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
