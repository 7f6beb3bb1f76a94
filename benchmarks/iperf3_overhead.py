"""What our runner costs beside the bare binary: the same iperf3 tests with and without it, by turns.

    python benchmarks/iperf3_overhead.py [--pairs 12] [--seconds 3] [--streams 1] [--rate "200 Mbit/s"]

Over a path of a lab of its own, which it takes down again: links that nothing shapes differ by more from one
test to the next than there is to measure. Twice: paced to half of the path's rate, and as fast as the path
carries. Prints the received rates, the median over pairs of their ratio (ours to the binary's) with its
interval of at least 95 % confidence, and what a test of ours takes longer. Exit status 1 where an interval
isn't within 0.98 to 1.02.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from _own_lab import own_lab

from federation.sites import Site
from federation.units import format_bits_per_second, parse_bits_per_second
from netprobe.tools import Endpoint, Test
from netprobe.tools.iperf3 import Iperf3
from netprobe.tools.iperf3_options import arguments, options

LEAST, MOST = 0.98, 1.02
CONFIDENCE = 0.95
# an iperf3 server opens its port anew after each test
PAUSE_SECONDS = 0.1


def endpoint(site: Site) -> Endpoint:
    return Endpoint(site.id, site.host, site.iperf3_address or "", site.iperf3_port)


def bare(source: Endpoint, destination: Endpoint, parameters: dict[str, Any]) -> tuple[float, float]:
    """The received rate and the seconds of the binary alone."""
    command = source.host.argv(arguments(destination, options("iperf3", parameters), 5.0))
    begun = time.monotonic()
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    if "error" in document:
        raise SystemExit(document["error"])
    return document["end"]["sum_received"]["bits_per_second"], time.monotonic() - begun


def ours(source: Endpoint, destination: Endpoint, parameters: dict[str, Any]) -> tuple[float, float]:
    """The same by the tool."""
    test = Test(source, destination, parameters, parameters["duration"] + 30.0)
    result = asyncio.run(Iperf3().run(test))
    if result.error is not None:
        raise SystemExit(result.error)
    return result.figures["bits_per_second"], result.seconds


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median, by order statistics: whatever the distribution (Conover 1999, 3.2); all of few."""
    ordered, n = sorted(values), len(values)
    outside = 0.0
    least = 0
    for rank in range(n // 2):
        outside += 2 * math.comb(n, rank) / 2**n
        if outside > 1 - CONFIDENCE:
            break
        least = rank
    return ordered[least], ordered[n - 1 - least]


def compare(
    name: str, source: Endpoint, destination: Endpoint, parameters: dict[str, Any], pairs: int
) -> bool:
    """Measure and tell; whether the ratio is as wanted."""
    found: dict[str, list[tuple[float, float]]] = {"binary": [], "ours": []}
    for number in range(pairs):
        # who comes second has the warmer caches: take turns at that, too
        order = [("binary", bare), ("ours", ours)]
        for engine, run in order if number % 2 == 0 else reversed(order):
            found[engine].append(run(source, destination, parameters))
            time.sleep(PAUSE_SECONDS)
    rates = {engine: [rate for rate, _ in runs] for engine, runs in found.items()}
    print(f"{name}:")
    for engine, values in rates.items():
        least, mid, most = (
            format_bits_per_second(each) for each in (min(values), statistics.median(values), max(values))
        )
        print(f"  {engine:7s} {mid} ({least} to {most}, {len(values)} tests)")
    took = {engine: statistics.median(seconds for _, seconds in runs) for engine, runs in found.items()}
    ratios = [mine / theirs for mine, theirs in zip(rates["ours"], rates["binary"], strict=True)]
    low, high = interval(ratios)
    middle = statistics.median(ratios)
    print(f"  ratio   {middle:.4f} (95 %: {low:.4f} to {high:.4f}; wanted: {LEAST} to {MOST})")
    print(f"  longer  {1000 * (took['ours'] - took['binary']):.0f} ms a test", flush=True)
    return low >= LEAST and high <= MOST


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12, help="tests of each kind")
    parser.add_argument(
        "--seconds", type=int, default=3, help="of each test, after one second that is omitted"
    )
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--rate", default="200 Mbit/s", help="of the path")
    parser.add_argument("--delay", default="5 ms", help="of the path, one way")
    asked = parser.parse_args()
    parameters: dict[str, Any] = {"duration": asked.seconds, "streams": asked.streams, "omit": 1}
    half = parse_bits_per_second(asked.rate) / 2 / asked.streams
    with own_lab(2, asked.rate, asked.delay) as federation:
        source, destination = (endpoint(site) for site in federation)
        bare(source, destination, {**parameters, "duration": 1})
        time.sleep(PAUSE_SECONDS)
        kinds = {"paced": {"bitrate": half}, "unpaced": {}}
        fine = [
            compare(name, source, destination, parameters | more, asked.pairs) for name, more in kinds.items()
        ]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
