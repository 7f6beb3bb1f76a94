"""How honest are forecasts that know little? Transfers of a recorded lab, forecast from a few of the others.

    python benchmarks/few_transfers.py [--folder DIRECTORY] [--only NAME] [--known 0 1 2 3 5] [--splits 10]
    flock /tmp/quiet.lock python benchmarks/few_transfers.py --record FILE [--seed 1] [--transfers 165]

A recording holds tests of all 20 paths of the lab made like transfers, the same again with a window of 64 KiB
(held down), and transfers of 1 to 200 files. For each split so many transfers of each path are drawn that are
known, and all others are forecast: once by the plain tests, once by those that were held down alone.
The tests' own kinds of paths that change (tests/netprobe/data/forecast) are gone through as they came: each
transfer is forecast by all tests before it and the newest so many transfers of each path.

Errors are of ln(seconds). `inside`: within the 10 to 90 % interval, where 80 % are meant; `times`: how many
times the 10 % the 90 % quantile is (geometric mean). `interval`: the interval score, its width and ten times
what is outside by how far; `pinball`: the mean quantile loss of the three. Of both less is better, also where
wide intervals hold everything (Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and
estimation", section 6).

--record brings up a lab of its own (root, ten minutes) and writes what was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import os
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from federation.sites import Federation
from netprobe.cost import seconds_of
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement
from netprobe.quantiles import Quantiles
from netprobe.recorded import document, read_document

DATA = Path(__file__).parent.parent / "tests" / "netprobe" / "data"
WINDOW = "64 KiB"
# Larger ones than the path carries in that are not drawn.
MOST_SECONDS = 10.0
# Round trips are measured: no place is looked up.
NOWHERE = Federation("replay", {})
ROUND = timedelta(minutes=30)
Path_ = tuple[str, str]
# what was forecast of a transfer's seconds, and what it took
Held = tuple[Quantiles, float]


def read(file: Path) -> list[Measurement]:
    found = read_document(json.loads(gzip.decompress(file.read_bytes())))
    return sorted(found, key=lambda one: one.started)


def sizes_of(transfer: Measurement) -> list[float]:
    sizes = transfer.parameters.get("sizes") or [[1, transfer.figures["size_bytes"]]]
    return [size for count, size in sizes for _ in range(count)]


def forecast_all(
    known: Iterable[Measurement], wanted: Iterable[Measurement], now: datetime
) -> Iterator[Held]:
    """Each of `wanted` by what is known."""
    history, found = History.of(known), dict[Path_, Forecast]()
    for transfer in wanted:
        path = transfer.source, transfer.destination
        if path not in found:
            found[path] = forecast_from(history, NOWHERE, *path, now)
        yield seconds_of(found[path], sizes_of(transfer)), transfer.figures["seconds"]


def split(measured: Sequence[Measurement], plain: bool, known: int, seed: int) -> Iterator[Held]:
    """All transfers but `known` ones of each path, drawn by chance, by tests of one sort."""
    tests = [one for one in measured if one.kind is not Kind.TRANSFER and _counts(one, plain)]
    transfers = [one for one in measured if one.kind is Kind.TRANSFER and one.succeeded]
    random.Random(seed).shuffle(transfers)
    taken, rest = list[Measurement](), list[Measurement]()
    seen: dict[Path_, int] = defaultdict(int)
    for one in transfers:
        path = one.source, one.destination
        seen[path] += 1
        (taken if seen[path] <= known else rest).append(one)
    now = max(one.started for one in measured)
    return forecast_all([*tests, *taken], rest, now)


def _counts(test: Measurement, plain: bool) -> bool:
    return test.kind is not Kind.THROUGHPUT or ("window" not in test.parameters) == plain


def as_they_came(measured: Sequence[Measurement], known: int) -> Iterator[Held]:
    """Each transfer by what came before its round, of transfers the newest `known` of each path."""
    transfers = [one for one in measured if one.kind is Kind.TRANSFER and one.succeeded]
    rounds: list[list[Measurement]] = []
    for one in transfers:
        if not rounds or one.started - rounds[-1][0].started > ROUND:
            rounds.append([])
        rounds[-1].append(one)
    for number, wanted in enumerate(rounds):
        if number < known:
            continue
        before = [one for some in rounds[number - known : number] for one in some]
        begun = wanted[0].started
        tests = History.of(
            one for one in measured if one.kind is not Kind.TRANSFER and one.started < begun
        ).before(begun)
        yield from forecast_all(
            [*before, *(one for some in tests.by_path.values() for one in some)], wanted, begun
        )


def row(name: str, found: Sequence[Held]) -> str:
    far = [
        (math.log(said.p10 / took), math.log(said.p50 / took), math.log(said.p90 / took))
        for said, took in found
    ]
    low = sum(p10 > 0 for p10, _, _ in far) / len(far)
    high = sum(p90 < 0 for _, _, p90 in far) / len(far)
    times = math.exp(statistics.fmean(p90 - p10 for p10, _, p90 in far))
    error = statistics.median(abs(p50) for _, p50, _ in far)
    interval = statistics.fmean(p90 - p10 + 10 * (max(p10, 0.0) + max(-p90, 0.0)) for p10, _, p90 in far)
    pinball = statistics.fmean(
        max(-p * said, (1 - p) * said) for one in far for p, said in zip((0.1, 0.5, 0.9), one, strict=True)
    )
    return (
        f"{name:<34}{len(far):>6}{1 - low - high:>8.1%}{low:>8.1%}{high:>8.1%}{times:>8.2f}{error:>8.3f}"
        f"{interval:>10.3f}{pinball:>9.4f}"
    )


def replay(folder: Path, only: str | None, known: Sequence[int], splits: int) -> None:
    print(
        f"{'':<34}{'':>6}{'inside':>8}{'below':>8}{'above':>8}{'times':>8}{'error':>8}{'interval':>10}"
        f"{'pinball':>9}"
    )
    files = {file.name.partition(".")[0]: file for file in sorted(folder.glob("*.json.gz"))}
    for name, file in files.items():
        if only not in (None, name):
            continue
        measured = read(file)
        for plain in (True, False):
            for count in known:
                found = [one for n in range(splits) for one in split(measured, plain, count, 100 + n)]
                words = f"{name}, {'plain' if plain else 'held down'}, {count} known"
                print(row(words, found), flush=True)
    if only in (None, "changing"):
        measured = read(DATA / "forecast" / "forecast-lab.json.gz")
        for count in known:
            found = list(as_they_came(measured, count))
            print(row(f"paths that change, {count} known", found), flush=True)


def record(file: Path, seed: int, transfers: int) -> None:
    """What a lab of its own measures: tests of both sorts, then transfers over all paths in turn."""
    # only this needs the lab, and root
    from _lab import measure_held_down, measured_lab
    from transfer_accuracy import Job, draw_all, place_files, run

    from lab import state

    before = {name: os.environ.get(name) for name in (state.NAME_VARIABLE, "XDG_DATA_HOME")}
    with tempfile.TemporaryDirectory(prefix="fairlead-benchmark-") as directory:
        # never the lab that somebody has up
        os.environ |= {state.NAME_VARIABLE: f"few{os.getpid()}", "XDG_DATA_HOME": directory}
        try:
            with measured_lab(None) as lab:
                measure_held_down(lab, WINDOW)
                place_files(lab.federation.sites)

                def keep(job: Job, predicted: Quantiles | None, measured: Measurement) -> None:
                    lab.archive.add([measured])

                jobs = draw_all(lab, transfers, f"record {seed}", MOST_SECONDS)
                asyncio.run(run(lab, [(job, None) for job in jobs], keep))
                text = json.dumps(document(lab.archive.all()), separators=(",", ":"))
                file.write_bytes(gzip.compress(text.encode(), mtime=0))
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                os.environ |= {} if value is None else {name: value}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=DATA / "transfers", help="of recordings, *.json.gz")
    parser.add_argument("--only", help="one recording by its name, or 'changing'")
    parser.add_argument(
        "--known", type=int, nargs="+", default=[0, 1, 2, 3, 5], help="transfers of each path"
    )
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--record", type=Path, help="make such a recording")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transfers", type=int, default=165, help="that are recorded")
    asked = parser.parse_args()
    if asked.record:
        record(asked.record, asked.seed, asked.transfers)
        print(f"{asked.record}: {asked.record.stat().st_size / 1e3:.0f} kB")
    else:
        replay(asked.folder, asked.only, asked.known, asked.splits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
