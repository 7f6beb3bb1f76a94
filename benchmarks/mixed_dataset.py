"""Is a dataset of which sites have parts priced as it is moved? Predicted against actual seconds, in the lab.

    python benchmarks/mixed_dataset.py [--datasets 20] [--learn 60] [--seed 1]

Uses the lab that is up, or brings one up and takes it down again (needs root and network namespaces). Each
dataset lies whole at one site and in part at one or two others, and is wanted at a fourth. It is priced by
the sums of its parts, as a request is; then its files are asked for, one by one, and brought by the mover.
Beside the prediction stands what it would be by the whole copy alone. Exit status 1 where fewer than six in
ten are inside their 10 to 90 % interval, or another site is used than was priced.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _lab import MeasuredLab, measured_lab
from transfer_accuracy import SIZES, Job, _name, draw_all, place_files, run

from broker.catalogues import File as CatalogueFile
from broker.catalogues import Resolved
from broker.model import DataItem, Part, Replica
from broker.sessions.unpacking import Unpacker
from federation.clock import SystemClock
from federation.sites import Site
from federation.units import format_size
from lab import state
from lab.catalogue import HTTP_PORT
from netprobe.cost import Item, Staging, grouped, plan_staging
from netprobe.forecast import Forecaster
from netprobe.measurement import Measurement
from netprobe.mover_file import File
from netprobe.quantiles import Quantiles
from netprobe.tools import transfer

LEAST_INSIDE = 0.6
KIND = "shelf-data-resource"
# the fewest and the most in one
FILES = 20, 200
SOME_SIZES = [size for size in SIZES if 100_000 < size < 4_000_000]


@dataclass(frozen=True)
class Dataset:
    """Where each file lies (the first site has all), and where it is wanted."""

    destination: str
    files: tuple[tuple[int, tuple[str, ...]], ...]


class Shelf:
    """A catalogue of one dataset."""

    kinds: Sequence[str] = (KIND,)

    def __init__(self, lab: MeasuredLab, dataset: Dataset) -> None:
        self._found = [
            CatalogueFile(f"{number}.dat", size, tuple(Replica(url(lab, one, size), one) for one in sites))
            for number, (size, sites) in enumerate(dataset.files)
        ]

    def resolve(self, uuid: str, name: str, resource: object, path: str) -> Resolved:
        raise NotImplementedError("the items are made already: nothing is to be resolved")

    def files(self, item: DataItem, site: Site, seconds: float) -> Sequence[CatalogueFile]:
        return self._found


def url(lab: MeasuredLab, site: str, size: int) -> str:
    return f"http://{lab.federation[site].iperf3_address}:{HTTP_PORT}/{_name(size)}"


def draw(drawn: random.Random, sites: Sequence[str]) -> Dataset:
    destination, whole, *others = drawn.sample(sites, 4)
    others = others[: drawn.choice((1, 2))]
    files = []
    for _ in range(drawn.randint(*FILES)):
        here = tuple(one for one in others if drawn.random() < 0.6)
        files.append((drawn.choice(SOME_SIZES), (whole, *here)))
    return Dataset(destination, tuple(files))


def item_of(dataset: Dataset) -> DataItem:
    """As a catalogue resolves it: by the sums of files that lie at the same sites."""
    found: dict[tuple[str, ...], list[int]] = {}
    for size, sites in dataset.files:
        found.setdefault(sites, []).append(size)
    parts = tuple(
        Part(sum(sizes), len(sizes), tuple(Replica(f"shelf://{one}", one) for one in sites))
        for sites, sizes in found.items()
    )
    replicas = tuple(dict.fromkeys(one for part in parts for one in part.replicas))
    size_bytes = sum(size for size, _ in dataset.files)
    files = len(dataset.files)
    return DataItem("u", "mixed", size_bytes, replicas, kind=KIND, files=files, unpacked=True, parts=parts)


def planned(parts: Sequence[Part], destination: str, forecaster: Forecaster) -> Staging:
    items = [
        Item("u", one.size_bytes, [(r.url, r.site_id) for r in one.replicas], one.files) for one in parts
    ]
    return plan_staging(items, destination, forecaster.path)


def bring(lab: MeasuredLab, dataset: Dataset, item: DataItem, staging: Staging) -> tuple[float, bool]:
    """Seconds that it took, and whether it came from where it was priced. What was moved goes into the
    archive, as that of a session does."""
    site = lab.federation[dataset.destination]
    unpacker = Unpacker(
        {KIND: Shelf(lab, dataset)}, Forecaster(lab.archive, lab.federation, SystemClock()).path
    )
    wanted = unpacker.files(item, staging.moves[0], site)
    moved = {(one.source, one.files, one.size_bytes) for one in grouped([move for _, move in wanted])}
    with tempfile.TemporaryDirectory(dir=state.state_dir(), prefix="benchmark-") as directory:
        files = [
            File(move.url, str(Path(directory) / str(n)), move.size_bytes, None, move.source or "")
            for n, (_, move) in enumerate(wanted)
        ]
        started = SystemClock().now()
        batch = asyncio.run(transfer.fetch_all(site.host, files))
    for source, group in batch.groups.items():
        here = [one for (_, move), one in zip(wanted, batch.files, strict=True) if move.source == source]
        lab.archive.add([transfer.group_measurement(here, group.seconds, source, site.id, started, None)])
    seconds = max(group.seconds for group in batch.groups.values())
    return seconds, moved == {(one.source, one.files, one.size_bytes) for one in staging.groups}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--learn", type=int, default=60, help="transfers that are made before, to learn from")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    inside, agreed, errors, before = 0, 0, list[float](), list[float]()
    with measured_lab(None) as lab:

        def learnt(job: Job, predicted: Quantiles | None, measured: Measurement) -> None:
            lab.archive.add([measured])

        place_files(lab.federation.sites)
        learning = draw_all(lab, asked.learn, f"learn {asked.seed}", 10.0)
        asyncio.run(run(lab, [(job, None) for job in learning], learnt))
        drawn = random.Random(asked.seed)
        for _ in range(asked.datasets):
            dataset = draw(drawn, list(lab.federation.sites))
            item = item_of(dataset)
            forecaster = Forecaster(lab.archive, lab.federation, SystemClock())
            staging = planned(item.parts, dataset.destination, forecaster)
            whole = Part(item.size_bytes or 0, item.files, item.parts[0].replicas[:1])
            alone = planned([whole], dataset.destination, forecaster).seconds.p50
            seconds, same = bring(lab, dataset, item, staging)
            said = staging.seconds
            inside += said.p10 <= seconds <= said.p90
            agreed += same
            errors.append(abs(said.p50 / seconds - 1))
            before.append(abs(alone / seconds - 1))
            sources = "+".join(f"{one.files} {one.source}" for one in staging.groups)
            print(
                f"{format_size(item.size_bytes or 0):>8} to {dataset.destination} ({sources}): "
                f"{said.p10:.2f} / {said.p50:.2f} / {said.p90:.2f} s, actual {seconds:.2f} s"
                f"{'' if said.p10 <= seconds <= said.p90 else ' OUT'}; by the whole copy alone {alone:.2f} s",
                flush=True,
            )
    met = inside >= LEAST_INSIDE * asked.datasets and agreed == asked.datasets
    now, then = statistics.median(errors), statistics.median(before)
    print(
        f"{asked.datasets} datasets: {inside} inside 10 to 90 %, {agreed} from where they were priced; "
        f"median error {now:.1%} (by the whole copy alone {then:.1%}): {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
