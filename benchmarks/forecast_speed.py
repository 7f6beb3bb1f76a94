"""How long does a forecast take in a large federation? Made-up tests of every path but those asked for.

    python benchmarks/forecast_speed.py [--sites 20] [--tests 100]

For each rung: the first forecast after the measurements were read, and the median of the following ones. How
wrong the rungs are is learnt once for all paths, and again when a measurement is added. What going through a
path's tests taught is kept until that path has a new one.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from federation.sites import Federation, Place, Site
from netprobe.forecast import Rung, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.walk import walk

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REPEATS = 20
Path = tuple[str, str]


def tests(sites: Collection[str], count: int) -> list[Measurement]:
    drawn = random.Random(1)
    found = []
    for source in sites:
        for destination in sites:
            if source == destination:
                continue
            level = drawn.gauss(18, 0.5)
            for number in range(count):
                rate = math.exp(level + drawn.gauss(0, 0.1))
                figures = {"bits_per_second": rate, "rtt_seconds_min": drawn.uniform(0.01, 0.2)}
                found.append(made(Kind.THROUGHPUT, (source, destination), 2 * number + 1, figures))
    return found


def made(kind: Kind, path: Path, hours_ago: float, figures: dict[str, float]) -> Measurement:
    started = NOW - timedelta(hours=hours_ago)
    return Measurement(kind, *path, started, 10.0, "iperf3", Origin.SCRIPTED, figures, {"omit": 10})


def without(sites: Collection[str], path: Path, rung: Rung) -> set[Path]:
    """The paths that nobody may have measured for `path` to be forecast on that rung."""
    back = (path[1], path[0])
    if rung is Rung.MEASURED:
        return set()
    if rung in (Rung.OTHER_DIRECTION, Rung.SITE_PATHS):
        return {path} if rung is Rung.OTHER_DIRECTION else {path, back}
    every = {(one, other) for one in sites for other in sites}
    return {one for one in every if one[0] == path[0] or one[1] == path[1] or one == back}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--tests", type=int, default=100, help="of each path")
    chosen = parser.parse_args()
    sites = {f"s{n}": Site(f"s{n}", f"S{n}", Place(0.0, float(n))) for n in range(chosen.sites)}
    path, everything = ("s0", "s1"), tests(sites, chosen.tests)
    ping = made(Kind.LATENCY, path, 1, {"rtt_seconds": 0.05})
    print(f"{len(sites) * (len(sites) - 1)} paths, {chosen.tests} tests each")
    print(f"{'rung':<18}{'first':>12}{'then':>12}")
    for rung in (Rung.MEASURED, Rung.OTHER_DIRECTION, Rung.SITE_PATHS, Rung.ROUND_TRIP, Rung.DISTANCE):
        gone = without(sites, path, rung)
        left = [one for one in everything if (one.source, one.destination) not in gone]
        history = History.of(left if rung is Rung.DISTANCE else [*left, ping])
        walk.cache_clear()
        seconds = []
        for _ in range(1 + REPEATS):
            begun = time.perf_counter()
            found = forecast_from(history, Federation("speed", sites), *path, NOW)
            seconds.append(time.perf_counter() - begun)
        first, then = seconds[0] * 1e3, statistics.median(seconds[1:]) * 1e3
        print(f"{found.rung:<18}{first:>9.1f} ms{then:>9.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
