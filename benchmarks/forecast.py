"""How true are the forecasts? Every test and transfer of an archive, forecast by what was known before it.

    python benchmarks/forecast.py [--database URL | --folder DIRECTORY] [--seed 1] [--copies 2] [--first 16]

Without a source on made-up paths: steady, noisy, with bursts of load, with episodes of loss, one that halves,
day and night, and one that wanders. A folder holds documents of `iperf3 --json` (*.json, ends by address) and
files with {"measurements": [...]} as netprobe/data/recorded.json has them, for transfers;
both also as *.json.gz. benchmarks/forecast_lab.py makes such a folder from a lab whose conditions change.

An error is |ln(actual / forecast)|: 0.10 is about 10 %. Bias is the mean of ln(actual / forecast). Coverage
is the part of all actual values within the 80 % interval. Forecasts before a path's test number --first don't
count. Exit status 1 on made-up paths: some single forecaster has a smaller mean error than the choice, or the
coverage isn't within 75 to 85 %.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import statistics
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from _synthetic import synthetic

from federation.database import connect, upgrade
from federation.sites import Federation
from netprobe.archive import Archive
from netprobe.backtest import replay
from netprobe.bank import BANK
from netprobe.cost import seconds_for
from netprobe.history import History
from netprobe.ladder import usable
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.quantiles import Quantiles
from netprobe.recorded import read_document
from netprobe.tools import iperf3_document

OURS = "fairlead"
LEAST_COVERAGE, MOST_COVERAGE = 0.75, 0.85
NOWHERE = Federation("backtest", {})


@dataclass
class Score:
    """ln(actual / forecast) of one forecaster, and for those with an interval how many were inside."""

    misses: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return statistics.fmean(abs(miss) for miss in self.misses)

    @property
    def coverage(self) -> float | None:
        return statistics.fmean(self.inside) if self.inside else None

    def row(self, name: str) -> str:
        errors = sorted(abs(miss) for miss in self.misses)
        worst_tenth = errors[min(math.ceil(0.9 * len(errors)), len(errors)) - 1]
        inside = "" if self.coverage is None else f"{self.coverage:>9.1%}"
        figures = (statistics.median(errors), self.mean, worst_tenth)
        columns = "".join(f"{value:>9.3f}" for value in figures)
        return f"{name:<28}{len(errors):>7}{columns}{statistics.fmean(self.misses):>+9.3f}{inside}"


Scores = dict[str, Score]


def backtest(found: Iterable[Measurement], first: int) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Scores of tests and of transfers, by the source's name up to its last dash, then by forecaster."""
    rates: dict[str, Scores] = defaultdict(lambda: defaultdict(Score))
    times: dict[str, Scores] = defaultdict(lambda: defaultdict(Score))
    whole = History.of(found)
    for ends in sorted(set(whole.paths(Kind.THROUGHPUT))):
        group = ends[0].rpartition("-")[0] or "all"
        tests = usable(whole.path(Kind.THROUGHPUT, *ends))[::-1]
        seconds = [test.started.timestamp() for test in tests]
        values = [math.log(test.figures["bits_per_second"]) for test in tests]
        for n in range(max(first, 1), len(tests)):
            for name, predict in SINGLE.items():
                said = predict(seconds[:n], values[:n], seconds[n])
                rates[group][name].misses.append(values[n] - said)
            score(rates[group][OURS], replay(whole, NOWHERE, tests[n]).rate(NOWHERE), values[n])
        for transfer in whole.path(Kind.TRANSFER, *ends)[::-1]:
            known = bisect_left(seconds, transfer.started.timestamp())
            size, took = (transfer.figures.get(name, 0.0) for name in ("size_bytes", "seconds"))
            if known < max(first, 1) or not transfer.succeeded or size <= 0 or took <= 0:
                continue
            actual = math.log(took)
            for name in BY_BANDWIDTH:
                said = SINGLE[name](seconds[:known], values[:known], transfer.started.timestamp())
                times[group][f"bytes / {name}"].misses.append(actual - math.log(size * 8) + said)
            files = int(max(transfer.figures.get("files", 1.0), 1.0))
            path = replay(whole, NOWHERE, transfer).forecast
            expected = seconds_for(path, size, files)
            mine = times[group][OURS]
            mine.misses.append(actual - math.log(expected.p50))
            mine.inside.append(expected.p10 <= took <= expected.p90)
    return rates, times


def score(mine: Score, rate: Quantiles, actual: float) -> None:
    mine.misses.append(actual - math.log(rate.p50))
    mine.inside.append(math.log(rate.p10) <= actual <= math.log(rate.p90))


Predict = Callable[[Sequence[float], Sequence[float], float], float]


def mean_rate(times: Sequence[float], values: Sequence[float], now: float) -> float:
    """The plain mean of all rates."""
    return math.log(statistics.fmean(math.exp(value) for value in values))


SINGLE: dict[str, Predict] = {
    "mean rate": mean_rate,
    **{member.name: member.predict for member in BANK},
}
BY_BANDWIDTH = ("last test", "mean rate", "median of 5")


def show(title: str, groups: dict[str, Scores]) -> Scores:
    """Print the scores of all groups together, then ours beside the best single one of each group."""
    total: Scores = defaultdict(Score)
    for scores in groups.values():
        for name, one in scores.items():
            total[name].misses += one.misses
            total[name].inside += one.inside
    if not total:
        return total
    print(f"\n{title}")
    print(f"{'':<28}{'number':>7}{'median':>9}{'mean':>9}{'90 %':>9}{'bias':>9}{'coverage':>9}")
    for name in sorted(total, key=lambda name: total[name].mean):
        print(total[name].row(name))
    if len(groups) > 1:
        print("by kind of path: mean error, coverage; and the best single one")
        for group, scores in groups.items():
            best = min((name for name in scores if name != OURS), key=lambda name: scores[name].mean)
            mine = scores[OURS]
            print(f"  {group:<14}{mine.mean:>8.3f}{mine.coverage:>8.1%}   {best} {scores[best].mean:.3f}")
    return total


def from_folder(folder: Path) -> list[Measurement]:
    found: list[Measurement] = []
    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.json.gz")]):
        try:
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
            document = json.loads(text)
        except (ValueError, EOFError, gzip.BadGzipFile) as error:
            print(f"{path}: left out: no JSON: {error}", file=sys.stderr)
            continue
        if isinstance(document, dict) and "measurements" in document:
            found += read_document(document)
        else:
            found += from_iperf3(text, path)
    return found


def from_iperf3(text: str, path: Path) -> list[Measurement]:
    """The test of an iperf3 document; none where it failed, or doesn't say when or between whom it was."""
    document = iperf3_document.parse(text)
    start = document.get("start") or {}
    client, server = iperf3_document.addresses(document)
    told, when = start.get("test_start") or {}, (start.get("timestamp") or {}).get("timesecs")
    figures = iperf3_document.figures(document)
    if document.get("error") or client is None or server is None or when is None or not figures:
        print(f"{path}: left out: {document.get('error') or 'no addresses, time or rate'}", file=sys.stderr)
        return []
    ends = (server, client) if told.get("reverse") else (client, server)
    parameters = {
        "streams": told.get("num_streams", 1),
        "omit": float(told.get("omit", 0)),
        "duration": float(told.get("duration", 0)),
        "udp": told.get("protocol") == "UDP",
    }
    started = datetime.fromtimestamp(when, UTC)
    seconds = parameters["duration"]
    return [
        Measurement(Kind.THROUGHPUT, *ends, started, seconds, "iperf3", Origin.SCRIPTED, figures, parameters)
    ]


def from_archive(url: str) -> list[Measurement]:
    engine = connect(url)
    upgrade(engine)
    return list(Archive(engine).all())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--database", help="URL of an archive")
    source.add_argument("--folder", type=Path, help="iperf3 documents and transfer records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--copies", type=int, default=2, help="made-up paths of each kind")
    parser.add_argument("--first", type=int, default=16, help="tests of a path before forecasts count")
    chosen = parser.parse_args()
    if chosen.database:
        found = from_archive(chosen.database)
    elif chosen.folder:
        found = from_folder(chosen.folder)
    else:
        found = list(synthetic(chosen.seed, chosen.copies))
    return report(found, chosen.first, strict=not (chosen.database or chosen.folder))


def report(found: Iterable[Measurement], first: int, strict: bool) -> int:
    """Print the backtest. Exit status 1: nothing to forecast, or (`strict`) a forecast that isn't good."""
    rates, times = backtest(found, first)
    totals = [show("Throughput of the next test", rates), show("Seconds of the next transfer", times)]
    if not any(totals):
        print(f"no path has more than {first} tests: expected some, or a smaller --first")
        return 1
    return 1 if strict and not all(good(total) for total in totals if total) else 0


def good(total: Scores) -> bool:
    mine = total[OURS]
    covered = mine.coverage is not None and LEAST_COVERAGE <= mine.coverage <= MOST_COVERAGE
    return covered and all(mine.mean <= other.mean for other in total.values())


if __name__ == "__main__":
    sys.exit(main())
