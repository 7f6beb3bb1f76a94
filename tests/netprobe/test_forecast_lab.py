"""Forecasts of what was really measured while conditions changed: every third test of ten lab paths."""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

from federation.sites import Federation
from netprobe.bank import BANK
from netprobe.forecast import forecast_from
from netprobe.history import History
from netprobe.ladder import usable
from netprobe.measurement import Kind
from netprobe.recorded import read_document

RECORDED = Path(__file__).parent / "data" / "forecast" / "forecast-lab.json.gz"
NOWHERE = Federation("lab", {})
FIRST, EVERY = 16, 3


@cache
def backtest() -> tuple[dict[str, float], dict[str, float], float]:
    """Mean |ln(actual / forecast)| of each single forecaster and of ours, ours by path, and how many
    were inside (a fraction)."""
    whole = History.of(read_document(json.loads(gzip.decompress(RECORDED.read_bytes()))))
    errors, by_path, inside = defaultdict(list), defaultdict(list), []
    for path in whole.paths(Kind.THROUGHPUT):
        tests = usable(whole.path(Kind.THROUGHPUT, *path))[::-1]
        times = [test.started.timestamp() for test in tests]
        values = [math.log(test.figures["bits_per_second"]) for test in tests]
        for n in range(FIRST, len(tests), EVERY):
            for member in BANK:
                said = member.predict(times[:n], values[:n], times[n])
                errors[member.name].append(abs(values[n] - said))
            rate = forecast_from(History.of(tests[:n]), NOWHERE, *path, tests[n].started).bits_per_second
            mine = abs(values[n] - math.log(rate.p50))
            errors["fairlead"].append(mine)
            by_path[path[0]].append(mine)
            inside.append(math.log(rate.p10) <= values[n] <= math.log(rate.p90))
    return (
        {name: fmean(some) for name, some in errors.items()},
        {name: fmean(some) for name, some in by_path.items()},
        fmean(inside),
    )


def test_the_choice_is_better_than_every_single_forecaster() -> None:
    errors, _, _ = backtest()
    mine = errors.pop("fairlead")
    assert mine < min(errors.values()), (mine, errors)


def test_eight_of_ten_are_inside() -> None:
    _, _, inside = backtest()
    assert 0.75 <= inside <= 0.85


@pytest.mark.parametrize(
    ("path", "at_most"), [("quiet-0", 0.005), ("halves-0", 0.03), ("daynight-0", 0.06), ("rerouted-0", 0.08)]
)
def test_what_can_be_foreseen_is(path: str, at_most: float) -> None:
    _, by_path, _ = backtest()
    assert by_path[path] <= at_most
