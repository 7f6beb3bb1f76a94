"""How often a comparison says what isn't so: meshes whose true differences are known, of difficult series.

    python -m benchmarks.report --alarms 50

Of each kind of series so many meshes of 20 paths are compared, whose spread is 2 to 15 % (natural logarithm).
Printed are: of paths that differ by 8 % (the margin is 10 %), the share that is called different, and of
meshes of such paths, the share with any, which the false discovery rate allows to be 5 %; the false share of
what is called different where half of a mesh's paths differ by 8 % and half by 20 to 60 %; of paths that
differ by 12 %, the share that is said to agree, which may be 5 %; and how many true differences of 20 % are
found.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np

from netprobe.measurement import Kind
from reports.compare.expected import Wanted
from reports.compare.mesh import compare_mesh
from reports.compare.model import Outcome
from reports.compare.observed import COLUMNS, Observed, Reading, Rows
from reports.compare.statistics import Floats
from reports.compare.ways import Quantity, Side, Way

PATHS, MARGIN = 20, 0.10
UNTIL = datetime(2026, 3, 31, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=30)
_HOUR = 3600.0
_WAY = Way("iperf3", "tcp", duration_seconds=20.0, rate="received")

Chance = np.random.Generator
# hours since the begin of one side's tests, and their deviations in units of the path's spread
Series = tuple[Floats, Floats]
# two sides of a path, from chance and the path's spread
Drawn = Callable[[Chance, float], tuple[Series, Series]]


def wandering(chance: Chance, count: int, correlation: float) -> Floats:
    """Of variance 1, each value depending on the one before (AR(1))."""
    found = np.empty(count)
    value = chance.normal()
    noise = math.sqrt(1 - correlation**2) * chance.normal(size=count)
    for index in range(count):
        value = correlation * value + noise[index]
        found[index] = value
    return found


def _hours(chance: Chance, every: float, hours: float = 720.0) -> Floats:
    return np.arange(chance.uniform(0, every), hours, every)


def _dependent(correlation: float, chance: Chance, spread: float) -> tuple[Series, Series]:
    """The scripts measure every five hours, the mesh every six."""
    one, two = (_hours(chance, every) for every in (5, 6))
    return (one, wandering(chance, len(one), correlation)), (two, wandering(chance, len(two), correlation))


def _sixty(correlation: float, chance: Chance, spread: float) -> tuple[Series, Series]:
    hours = np.arange(60.0) * 12
    return (hours, wandering(chance, 60, correlation)), (hours + 1, wandering(chance, 60, correlation))


def _few(correlation: float, chance: Chance, spread: float) -> tuple[Series, Series]:
    count = int(chance.integers(8, 16))
    one, two = (np.arange(float(count)) * 6 + chance.uniform(0, most) for most in (6, 1))
    return (one, wandering(chance, count, correlation)), (two, wandering(chance, count, correlation))


def _heavy(chance: Chance, spread: float) -> tuple[Series, Series]:
    """Student's t with two degrees of freedom has no variance."""
    one, two = (_hours(chance, every) for every in (5, 6))
    return (one, chance.standard_t(2, len(one))), (two, chance.standard_t(2, len(two)))


def _day_and_night(every: float, chance: Chance, spread: float) -> tuple[Series, Series]:
    """From eight to eighteen the path carries 10 to 60 % less."""
    drop = math.log(chance.uniform(0.4, 0.9)) / spread
    one, two = (_hours(chance, hours) for hours in (every, 6))
    both = [chance.normal(size=len(hours)) + drop * _busy(hours) for hours in (one, two)]
    return (one, both[0]), (two, both[1])


def _busy(hours: Floats) -> Floats:
    return ((hours % 24 >= 8) & (hours % 24 < 18)).astype(float)


def _unequal(in_common: bool, chance: Chance, spread: float) -> tuple[Series, Series]:
    """Hourly scripts, and a mesh that measures every six hours; the path wanders, or each side for itself."""
    one, two = (_hours(chance, every) for every in (1, 6))
    paths = [wandering(chance, 721, 0.95)] * 2 if in_common else [wandering(chance, 721, 0.95) for _ in "12"]
    first, second = (
        path[hours.astype(int)] + 0.5 * chance.normal(size=len(hours))
        for path, hours in zip(paths, (one, two), strict=True)
    )
    return (one, first), (two, second)


KINDS: dict[str, Drawn] = {
    "independent": partial(_dependent, 0.0),
    "60 tests a side": partial(_sixty, 0.0),
    "AR(1) 0.6": partial(_dependent, 0.6),
    "AR(1) 0.9": partial(_dependent, 0.9),
    "60 tests, AR(1) 0.6": partial(_sixty, 0.6),
    "60 tests, AR(1) 0.9": partial(_sixty, 0.9),
    "heavy tails": _heavy,
    "day and night": partial(_day_and_night, 5),
    "day and night, both every 6 h": partial(_day_and_night, 6),
    "1 h against 6 h": partial(_unequal, True),
    "1 h against 6 h, each for itself": partial(_unequal, False),
    "8 to 15 tests": partial(_few, 0.0),
    "8 to 15 tests, AR(1) 0.6": partial(_few, 0.6),
}


def outcomes(drawn: Drawn, chance: Chance, ratios: Sequence[float]) -> list[Outcome]:
    """The verdicts of a mesh whose paths truly differ by these ratios, up or down."""
    paths = {}
    for number, ratio in enumerate(ratios):
        spread = math.exp(chance.uniform(math.log(0.02), math.log(0.15)))
        sides = drawn(chance, spread)
        shift = math.log(ratio) * float(chance.choice([-1, 1]))
        path = (f"from-{number}", f"to-{number}")
        level = math.log(5e9)
        rows = {
            side: _rows(hours, level + spread * away + (shift if side is Side.MESH else 0.0))
            for side, (hours, away) in zip(Side, sides, strict=True)
        }
        paths[path] = Observed(*path, rows)
    reading = Reading(SINCE, UNTIL, {Kind.THROUGHPUT: paths}, {}, {side: {} for side in Side}, {}, 1)
    report = compare_mesh(reading, Wanted({}, {}), (Quantity.THROUGHPUT,), MARGIN, 0.001)
    verdicts = {(one.source, one.destination): one.outcome for one in report.comparisons}
    return [verdicts[path] for path in paths]


def _rows(hours: Floats, logarithms: Floats) -> Rows:
    values = np.full((len(hours), len(COLUMNS)), np.nan)
    for name, column in {
        "started": SINCE.timestamp() + _HOUR * hours,
        "seconds": 20.0,
        "bits_per_second": np.exp(logarithms),
        "overlapped": 0.0,
        "way": 0.0,
    }.items():
        values[:, COLUMNS.index(name)] = column
    return Rows(values, (_WAY,))


def counted(name: str, meshes: int) -> dict[str, float]:
    """What `--alarms` prints of one kind of series."""
    drawn, chance = KINDS[name], np.random.default_rng([meshes, list(KINDS).index(name)])
    inside, outside, far = (
        [outcomes(drawn, chance, [ratio] * PATHS) for _ in range(meshes)] for ratio in (1.08, 1.12, 1.2)
    )
    false = true = 0
    for _ in range(meshes):
        ratios = [1.08] * (PATHS // 2) + list(chance.uniform(1.2, 1.6, PATHS // 2))
        wrong = [one is Outcome.DISAGREE for one in outcomes(drawn, chance, ratios)]
        false, true = false + sum(wrong[: PATHS // 2]), true + sum(wrong[PATHS // 2 :])
    return {
        "8 %: different, paths": _share(inside, Outcome.DISAGREE),
        "8 %: different, meshes": sum(Outcome.DISAGREE in one for one in inside) / meshes,
        "mixed: false share": false / max(false + true, 1),
        "12 %: agree, paths": _share(outside, Outcome.AGREE),
        "20 %: found, paths": _share(far, Outcome.DISAGREE),
    }


def _share(found: Sequence[Sequence[Outcome]], which: Outcome) -> float:
    return sum(one is which for each in found for one in each) / (len(found) * PATHS)


def table(meshes: int) -> str:
    """Markdown, a line for each kind of series, in percent."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(counted, KINDS, [meshes] * len(KINDS)))
    lines = ["| series | " + " | ".join(rows[0]) + " |", "| --- |" + " ---: |" * len(rows[0])]
    for name, row in zip(KINDS, rows, strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in row.values()) + " |")
    return "\n".join(lines)
