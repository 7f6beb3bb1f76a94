"""How true are the predictions? Predicted against actual seconds of real transfers over the lab's paths.

    python benchmarks/transfer_accuracy.py [--transfers 200] [--learn 160] [--seed 1] [--record FILE]

Uses the lab that is up, or brings one up and takes it down again (needs root and network namespaces), and
puts files of 5 kB to 500 MB beside those on its storage. Measures the paths with examples/lab-plan.toml where
the archive is empty. Then real transfers are made by the mover, of 1 to 200 files and 100 kB to 500 MB
together (log-uniform), over all paths in turn, a few at a time, never two over one path. Those of --learn go
into the archive. The others are predicted before any of them has run, and none of them is ever in the archive
when one is predicted. With --learn 0 nothing but tests is known. Exit status 1 where the target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _lab import MeasuredLab, measure_held_down, measured_lab

from federation.clock import SystemClock
from federation.units import format_size
from lab import state, storage
from lab.catalogue import HTTP_PORT
from lab.description import File as LabFile
from netprobe.cost import seconds_of
from netprobe.forecast import Forecaster
from netprobe.measurement import Measurement
from netprobe.mover_file import File
from netprobe.quantiles import Quantiles
from netprobe.tools import transfer

SMALLEST, LARGEST, MOST_FILES = 100_000, 500_000_000, 200
# what lies on the storage of each site: half as large again, each
SIZES = [round(5_000 * 1.5**n) for n in range(28)] + [LARGEST]
TARGET_ERROR, LEAST_COVERAGE, MOST_COVERAGE = 0.08, 0.75, 0.85
# at a time, over different paths: the machine that plays all sites must not be what is measured
TOGETHER = 3


@dataclass(frozen=True)
class Job:
    """Files to move together: where from, where to, how large each."""

    source: str
    destination: str
    sizes: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return sum(self.sizes)


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


def draw(drawn: random.Random, path: tuple[str, str], longest: Callable[[Job], bool]) -> Job:
    """A transfer over `path`: together and in number log-uniform, the files alike or of very different sizes;
    drawn again while it is `longest`."""
    while True:
        together = math.exp(drawn.uniform(math.log(SMALLEST), math.log(LARGEST)))
        count = round(math.exp(drawn.uniform(0, math.log(MOST_FILES))))
        spread = drawn.choice((0.0, 1.0))
        shares = [math.exp(drawn.gauss(0, spread)) for _ in range(count)]
        wanted = [together * share / sum(shares) for share in shares]
        sizes = tuple(min(SIZES, key=lambda size: abs(math.log(size / want))) for want in wanted)
        job = Job(*path, sizes)
        if SMALLEST <= job.size_bytes <= LARGEST and not longest(job):
            return job


def draw_all(lab: MeasuredLab, count: int, seed: str, most_seconds: float) -> list[Job]:
    """So many transfers, over all paths in turn."""
    drawn = random.Random(seed)
    sites = list(lab.federation.sites)
    paths = [(source, destination) for source in sites for destination in sites if source != destination]
    forecaster = Forecaster(lab.archive, lab.federation, SystemClock())
    rates = {path: forecaster.path(*path).bits_per_second.p50 for path in paths}

    def too_long(job: Job) -> bool:
        return job.size_bytes * 8 / rates[job.source, job.destination] > most_seconds

    jobs = [draw(drawn, paths[n % len(paths)], too_long) for n in range(count)]
    drawn.shuffle(jobs)
    return jobs


def place_files(sites: Iterable[str]) -> None:
    """The files of all sizes, on the storage of each site: one on the disk, linked."""
    for size in SIZES:
        made = storage.make(LabFile(_name(size), size, ()), threading.Event())
        for site in sites:
            target = storage.data_dir(site) / _name(size)
            if not target.exists():
                os.link(made.path, target)


def _name(size: int) -> str:
    return f"benchmark-{size}.dat"


async def move(lab: MeasuredLab, job: Job, predicted: Quantiles | None) -> Measurement:
    """Move the files by the mover at their destination; the copies are removed."""
    started = SystemClock().now()
    address = lab.federation[job.source].iperf3_address
    with tempfile.TemporaryDirectory(dir=state.state_dir(), prefix="benchmark-") as directory:
        files = [
            File(
                f"http://{address}:{HTTP_PORT}/{_name(size)}",
                str(Path(directory) / str(n)),
                size,
                None,
                "all",
            )
            for n, size in enumerate(job.sizes)
        ]
        batch = await transfer.fetch_all(lab.federation[job.destination].host, files)
    seconds = batch.groups["all"].seconds
    ends = job.source, job.destination
    return transfer.group_measurement(batch.files, seconds, *ends, started, predicted)


async def run(
    lab: MeasuredLab,
    jobs: Sequence[tuple[Job, Quantiles | None]],
    done: Callable[[Job, Quantiles | None, Measurement], None],
) -> None:
    """All of them, TOGETHER at a time, in their order as far as their paths are free."""
    waiting, busy = list(jobs), dict[asyncio.Task[Measurement], tuple[Job, Quantiles | None]]()
    while waiting or busy:
        for each in list(waiting):
            paths = {(job.source, job.destination) for job, _ in busy.values()}
            if len(busy) < TOGETHER and (each[0].source, each[0].destination) not in paths:
                waiting.remove(each)
                busy[asyncio.create_task(move(lab, *each))] = each
        ended, _ = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            done(*busy.pop(task), task.result())


def line(outcome: Outcome) -> str:
    job, predicted = outcome.job, outcome.predicted
    path = f"{job.source} -> {job.destination}"
    seconds = "".join(
        f"{value:9.2f}" for value in (predicted.p10, predicted.p50, predicted.p90, outcome.actual)
    )
    signed = predicted.p50 / outcome.actual - 1
    verdict = "in" if outcome.inside else "OUT"
    what = f"{len(job.sizes):>6}{format_size(job.size_bytes):>9}"
    return f"{path:<26}{what}{seconds}{signed:+9.1%}  {verdict}"


CLASSES: dict[str, Callable[[Job], bool]] = {
    "up to 2 MB": lambda job: job.size_bytes <= 2e6,
    "2 to 50 MB": lambda job: 2e6 < job.size_bytes <= 5e7,
    "over 50 MB": lambda job: job.size_bytes > 5e7,
    "1 file": lambda job: len(job.sizes) == 1,
    "2 to 20 files": lambda job: 2 <= len(job.sizes) <= 20,
    "over 20 files": lambda job: len(job.sizes) > 20,
}


def summarise(outcomes: Sequence[Outcome]) -> bool:
    """Print the last lines; whether the target is met."""
    for name, belongs in CLASSES.items():
        some = [outcome for outcome in outcomes if belongs(outcome.job)]
        if some:
            print(f"  {name:<14}{_figures(some)}")
    error, inside = _error(outcomes), _inside(outcomes)
    met = error < TARGET_ERROR and LEAST_COVERAGE <= inside <= MOST_COVERAGE
    paths = len({(outcome.job.source, outcome.job.destination) for outcome in outcomes})
    print(
        f"{_figures(outcomes)}, over {paths} paths (target: under {TARGET_ERROR:.0%}, "
        f"{LEAST_COVERAGE:.0%} to {MOST_COVERAGE:.0%} within): {'met' if met else 'MISSED'}"
    )
    return met


def _figures(outcomes: Sequence[Outcome]) -> str:
    worst = max(outcome.error for outcome in outcomes)
    width = statistics.median(outcome.predicted.p90 / outcome.predicted.p10 for outcome in outcomes)
    return (
        f"{len(outcomes):>4} transfers: median absolute error {_error(outcomes):.1%}, worst {worst:.0%}, "
        f"{_inside(outcomes):.0%} within 10-90 %, which are a factor of {width:.2f} apart"
    )


def _error(outcomes: Sequence[Outcome]) -> float:
    return statistics.median(outcome.error for outcome in outcomes)


def _inside(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.inside for outcome in outcomes) / len(outcomes)


def evaluate(lab: MeasuredLab, transfers: int, learn: int, seed: int, most_seconds: float) -> list[Outcome]:
    place_files(lab.federation.sites)

    def learnt(job: Job, predicted: Quantiles | None, measured: Measurement) -> None:
        lab.archive.add([measured])

    learning = draw_all(lab, learn, f"learn {seed}", most_seconds)
    print(f"learning from {len(learning)} transfers", flush=True)
    asyncio.run(run(lab, [(job, None) for job in learning], learnt))
    forecaster = Forecaster(lab.archive, lab.federation, SystemClock())
    jobs = draw_all(lab, transfers, f"evaluate {seed}", most_seconds)
    predicted = [(job, seconds_of(forecaster.path(job.source, job.destination), job.sizes)) for job in jobs]
    outcomes: list[Outcome] = []

    def evaluated(job: Job, predicted: Quantiles | None, measured: Measurement) -> None:
        assert predicted is not None
        outcomes.append(Outcome(job, predicted, measured.figures["seconds"]))
        print(line(outcomes[-1]), flush=True)

    print(f"{'path':<26}{'files':>6}{'size':>9}{'p10':>9}{'p50':>9}{'p90':>9}{'actual':>9}{'error':>9}")
    asyncio.run(run(lab, predicted, evaluated))
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transfers", type=int, default=200, help="how many are predicted")
    parser.add_argument("--learn", type=int, default=160, help="how many are made before, to learn from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--most-seconds",
        type=float,
        default=30.0,
        help="larger ones than the path carries in that are not drawn",
    )
    parser.add_argument(
        "--window", help="measure all paths with such a window, too ('64 KiB'), as a mesh might"
    )
    parser.add_argument("--database", help="URL of the archive; a temporary one if not given")
    parser.add_argument("--record", type=Path, help="write the outcomes as JSON")
    asked = parser.parse_args()
    if asked.transfers < 1 or asked.learn < 0:
        parser.error(f"expected at least 1 and 0 transfers, got {asked.transfers} and {asked.learn}")
    with measured_lab(asked.database) as lab:
        if asked.window:
            measure_held_down(lab, asked.window)
        outcomes = evaluate(lab, asked.transfers, asked.learn, asked.seed, asked.most_seconds)
    if asked.record:
        asked.record.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return 0 if summarise(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
