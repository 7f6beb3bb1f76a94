"""What rounds save: a mesh of short iperf3 tests in rounds, and the same tests one by one, in the same run.

    python benchmarks/mesh_rounds.py [--pairs 20] [--sites 10] [--seconds 2] [--times 2] [--seed 1]

Brings up a lab of its own and takes it down again. Prints the rounds and the least possible (the most tests
of one site), the seconds of each way, their ratio, what failed, and whether both measured the same: the
median over the pairs of the ratio of their rates. Exit status 1 where a test failed, the rounds aren't the
least, or that median is outside 0.98 to 1.02.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from _own_lab import own_lab

from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.sites import Federation
from federation.units import format_bits_per_second
from netprobe.archive import Archive
from netprobe.plan import Plan, expand, load_plan, rounds
from netprobe.runner import Summary, run_plan

LEAST, MOST = 0.98, 1.02
Pair = tuple[str, str]


def choose(sites: Sequence[str], pairs: int, seed: int) -> list[Pair]:
    """So many ordered pairs, each once."""
    return random.Random(seed).sample(list(itertools.permutations(sites, 2)), pairs)


def write_plan(
    file: Path, pairs: Sequence[Pair], seconds: int, bitrate: str | None, parallel: int | None
) -> Plan:
    """The plan of these tests; `parallel` of 1 is one by one."""
    lines = [] if parallel is None else [f"parallel = {parallel}"]
    listed = ", ".join(f'["{source}", "{destination}"]' for source, destination in pairs)
    lines += ["[[pairs]]", 'tool = "iperf3"', f"pairs = [{listed}]", f"duration = {seconds}", "omit = 1"]
    lines += [] if bitrate is None else [f'bitrate = "{bitrate}"']
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_plan(file)


def measure(plan: Plan, federation: Federation, archive: Archive, name: str) -> Summary:
    """Run it, and tell each failure as it comes."""
    summary = asyncio.run(run_plan(plan, federation, archive, SystemClock()))
    for one in summary.results:
        if one.error is not None:
            print(f"{name}: {one.error}", file=sys.stderr, flush=True)
    failed = f"{summary.failed} of {summary.total} failed"
    print(f"{name}: {summary.rounds} rounds, {summary.seconds:.1f} s, {failed}", flush=True)
    return summary


def rates(runs: Sequence[Summary]) -> dict[Pair, float]:
    """The median received rate of each pair."""
    found: dict[Pair, list[float]] = defaultdict(list)
    for one in (result for run in runs for result in run.results if result.error is None):
        found[one.source, one.destination].append(one.figures["bits_per_second"])
    return {pair: statistics.median(values) for pair, values in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument(
        "--seconds", type=int, default=2, help="of each test, after one second that is omitted"
    )
    parser.add_argument("--times", type=int, default=2, help="each way, by turns")
    parser.add_argument("--rate", default="50 Mbit/s", help="of each path")
    parser.add_argument("--delay", default="5 ms", help="of each path, one way")
    parser.add_argument("--bitrate", help="of each test at most; left out: what the path carries")
    parser.add_argument("--seed", type=int, default=1, help="which pairs")
    asked = parser.parse_args()
    found: dict[str, list[Summary]] = {"in rounds": [], "one by one": []}
    with (
        own_lab(asked.sites, asked.rate, asked.delay) as federation,
        tempfile.TemporaryDirectory() as directory,
    ):
        engine = connect(f"sqlite:///{directory}/archive.db")
        upgrade(engine)
        pairs = choose([site.id for site in federation], asked.pairs, asked.seed)
        plans = {
            name: write_plan(Path(directory) / f"{limit}.toml", pairs, asked.seconds, asked.bitrate, limit)
            for name, limit in (("in rounds", None), ("one by one", 1))
        }
        least = max(Counter(site for pair in pairs for site in pair).values())
        planned = len(rounds(expand(plans["in rounds"], federation)))
        print(f"{len(pairs)} pairs of {asked.sites} sites: {planned} rounds, the least possible is {least}")
        for turn in range(asked.times):
            order = list(plans.items())
            for name, plan in order if turn % 2 == 0 else reversed(order):
                found[name].append(measure(plan, federation, Archive(engine), name))
        engine.dispose()
    took = {name: statistics.median(run.seconds for run in runs) for name, runs in found.items()}
    failed = sum(run.failed for runs in found.values() for run in runs)
    together, alone = rates(found["in rounds"]), rates(found["one by one"])
    ratios = [together[pair] / alone[pair] for pair in pairs if pair in together and pair in alone]
    if not ratios:
        print("no pair was measured both ways")
        return 1
    agree = statistics.median(ratios)
    print(
        f"seconds: {took['in rounds']:.1f} in rounds, {took['one by one']:.1f} one by one: "
        f"{took['one by one'] / took['in rounds']:.2f} times as fast (at most {len(pairs) / least:.2f})"
    )
    print(
        f"rates:   {format_bits_per_second(statistics.median(together.values()))} in rounds, "
        f"{format_bits_per_second(statistics.median(alone.values()))} one by one; median ratio {agree:.4f} "
        f"({min(ratios):.4f} to {max(ratios):.4f}; wanted: {LEAST} to {MOST})"
    )
    return 0 if failed == 0 and planned == least and LEAST <= agree <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
