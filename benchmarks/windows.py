"""How long does it take to find the first ten openings, and how does that grow?

    python benchmarks/windows.py [--png growth.png] [pyperf's own options, such as --fast or -o file.json]

Made-up clouds, booked for 90 days to about three quarters: half of the hosts as wholes, one booking after
the other, the others in parts, with three bookings at a time. Each is asked for ten openings from the
beginning to the end of the 90 days, with starts on whole minutes. "one host" is an easy question: it fits at
once. The others are hard: they ask for nineteen twentieths of the most that ever fits, so that most of the 90
days has to be searched. The calendar's index is prepared before; preparing it is a figure of its own, and a
calendar's first question takes both. Times are pyperf's: the median, and in brackets the least. The second
line of each size is the processor's time, the least of five: what the same takes when nothing else runs.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyperf

from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Calendar, Host, Need, Rules, Spread, Taken
from reservations.index import index_of, prepare
from reservations.windows import Question, alternatives, most_units, openings

SIZES = ((100, 1_000), (1_000, 10_000), (3_000, 30_000), (10_000, 100_000))
DAYS = timedelta(days=90)
ZERO = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COUNT = 10
PART = {VCPU: 4, MEMORY_MB: 16 * 1024}
ALL = 10**6

NEEDS = {
    "one host": (Need({}, 1, whole_hosts=True), timedelta(days=1)),
    "whole hosts": (Need({}, ALL, whole_hosts=True), timedelta(days=3)),
    "parts": (Need(PART, ALL), timedelta(hours=12)),
    "parts apart": (Need(PART, ALL, spread=Spread.APART), timedelta(days=3)),
    "parts together": (Need(PART, ALL, spread=Spread.TOGETHER), timedelta(days=3)),
}


@functools.cache
def cloud(hosts: int, reservations: int) -> Calendar:
    """The same for the same sizes; the number of reservations is met within a few percent."""
    drawn = random.Random(1)
    machines = [
        Host(f"h{n}", f"h{n}", {VCPU: 128, MEMORY_MB: 512 * 1024, DISK_GB: 2000}) for n in range(hosts)
    ]
    lanes = [(host, host.id[-1] in "02468") for host in machines]
    lanes += [(host, False) for host, whole in lanes for _ in range(2) if not whole]
    spacing = len(lanes) * DAYS / MINUTE / reservations
    taken: list[Taken] = []
    for host, whole in lanes:
        minute = -spacing * drawn.random()
        while minute < DAYS / MINUTE:
            length = 10 + drawn.expovariate(1 / (0.75 * spacing))
            cores = drawn.randint(1, 42)
            amounts = None if whole else {VCPU: cores, MEMORY_MB: cores * 4096, DISK_GB: cores * 10}
            start = ZERO + int(minute) * MINUTE
            taken.append(Taken(host.id, start, start + int(length) * MINUTE, amounts, f"b{len(taken)}"))
            minute += length + drawn.expovariate(1 / (0.25 * spacing))
    rules = Rules(gap=MINUTE)
    return Calendar("made up", "none", "test", tuple(machines), tuple(taken), rules, ZERO, ZERO + DAYS)


@functools.cache
def question(size: tuple[int, int], name: str) -> Question:
    need, duration = NEEDS[name]
    asked = Question(need, duration, ZERO, ZERO + DAYS)
    units = -(-19 * most_units(cloud(*size), asked) // 20)
    return Question(need.of(units), duration, ZERO, ZERO + DAYS)


def preparing(size: tuple[int, int]) -> None:
    prepare(cloud(*size), MINUTE)


def asking(size: tuple[int, int], name: str) -> None:
    openings(cloud(*size), question(size, name), COUNT)


def compromising(size: tuple[int, int], name: str) -> None:
    alternatives(cloud(*size), question(size, name))


def main() -> None:
    runner = pyperf.Runner(
        processes=2, values=5, warmups=1, _argparser=argparse.ArgumentParser(description=__doc__)
    )
    runner.argparser.add_argument("--png", type=Path, help="plot the growth to this file")
    arguments = runner.parse_args()
    columns: dict[str, Callable[[tuple[int, int]], None]] = {"preparing": preparing}
    columns |= {name: functools.partial(asking, name=name) for name in NEEDS}
    columns["compromises"] = functools.partial(compromising, name="whole hosts")
    rows = []
    for size in SIZES:
        found = {
            name: runner.bench_func(f"{size[0]} hosts, {name}", function, size)
            for name, function in columns.items()
        }
        rows.append((size, found))
    # only the first of pyperf's processes sees all values
    if arguments.worker or any(bench is None for _, found in rows for bench in found.values()):
        return
    table(columns, rows)
    if arguments.png:
        plot(arguments.png, columns, rows)


def processor_milliseconds(function: Callable[[tuple[int, int]], None], size: tuple[int, int]) -> float:
    function(size)
    used = []
    for _ in range(5):
        begin = time.process_time()
        function(size)
        used.append(time.process_time() - begin)
    return 1000 * min(used)


def table(
    columns: Mapping[str, Callable[[tuple[int, int]], None]],
    rows: list[tuple[tuple[int, int], dict[str, Any]]],
) -> None:
    print("\nmilliseconds")
    print(f"{'hosts':>7} {'bookings':>9} {'segments':>9} " + " ".join(f"{name:>16}" for name in columns))
    for size, found in rows:
        calendar = cloud(*size)
        segments = len(index_of(calendar).host)
        times = [(1000 * bench.median(), 1000 * min(bench.get_values())) for bench in found.values()]
        print(
            f"{size[0]:>7} {len(calendar.taken):>9} {segments:>9} "
            + " ".join(f"{f'{median:.2f} ({least:.2f})':>16}" for median, least in times)
        )
        processor = [processor_milliseconds(function, size) for function in columns.values()]
        print(" " * 28 + " ".join(f"{each:>16.2f}" for each in processor))
    print(f"\nasked for at {SIZES[-1][0]} hosts, and openings found")
    for name in NEEDS:
        asked = question(SIZES[-1], name)
        count = len(openings(cloud(*SIZES[-1]), asked, COUNT))
        print(f"{name:>16}: {asked.need.units:>7} units, {count} openings")


def plot(file: Path, columns: Iterable[str], rows: list[tuple[tuple[int, int], dict[str, Any]]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    bookings = [len(cloud(*size).taken) for size, _ in rows]
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for name in columns:
        axes.plot(bookings, [1000 * found[name].median() for _, found in rows], marker="o", label=name)
    first = 1000 * rows[0][1]["parts"].median()
    axes.plot(bookings, [first * n / bookings[0] for n in bookings], "k:", label="in proportion to bookings")
    axes.set(xscale="log", yscale="log", xlabel="bookings in 90 days", ylabel="milliseconds (median)")
    axes.set_title("The first ten openings, and what comes before and after")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)
    print(f"written: {file}")


if __name__ == "__main__":
    main()
