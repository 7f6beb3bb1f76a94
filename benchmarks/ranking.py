"""Is the ranking right? Random requests in the lab, each really tried at every site.

    python benchmarks/ranking.py [--requests 30] [--seed 1] [--database URL]

Uses the lab that is up, or brings one up and takes it down again (needs root and network namespaces), and
measures it where the archive is empty; a quiet machine measures best. Each request is for one to three random
files, each with one or two of its replicas, and three random sites have room to compute. The broker answers
as it always does. Then every move that could be made is made for real. The site that the broker chose, with
the replicas that it chose, is compared with the best possible choice of both, and with the site that is
nearest to the replicas on the map (kilometres, weighted by size). Seconds are from first connect to verified
and synced, and the same move is made only once; the job itself takes as long everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from _lab import MeasuredLab, measured_lab

from broker.contract import kinds
from broker.model import Phase
from broker.records import Owner
from broker.service import Broker
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from federation.clock import SystemClock
from federation.settings import Settings
from federation.sites import Federation, Site
from lab import state
from netprobe.tools.transfer import fetch

IMAGE = "localhost/fairlead-ranking:1"
ROW = "{:>5} {:>6}  {:<33} {:<11} {:>7} {:<11} {:>7} {:>6}  {:<11} {:>7}"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A file of a request, and the sites whose replicas of it are named."""

    file: dict[str, Any]
    holders: list[Site]

    @property
    def name(self) -> str:
        return str(self.file["name"])

    def url_at(self, site: Site) -> str:
        return str(next(url for url in self.file["urls"] if site.serves(url)))


class Moves:
    """Seconds of real moves: (file name, source, destination)."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], float] = {}

    def seconds(self, wanted: Wanted, source: Site, destination: Site) -> float:
        key = (wanted.name, source.id, destination.id)
        if key not in self._known:
            self._known[key] = asyncio.run(self._make(wanted, source, destination))
        return self._known[key]

    async def _make(self, wanted: Wanted, source: Site, destination: Site) -> float:
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=state.state_dir()) as directory:
            moved = await fetch(
                destination.host,
                wanted.url_at(source),
                Path(directory) / "file",
                wanted.file["size_bytes"],
                f"sha256:{wanted.file['sha256']}",
                time_limit_seconds=300,
            )
        return moved.seconds


def request_for(files: list[Wanted]) -> dict[str, Any]:
    return {
        "executable": {"kind": kinds.DOCKER_CONTAINER, "image": {"locations": [IMAGE]}},
        "data": [
            {
                "kind": kinds.SKAO_DATA,
                "meta": {"name": wanted.name},
                "skao": {
                    "namespace": "lab",
                    "objectname": wanted.name,
                    "objecttype": "FILE",
                    "datasize": wanted.file["size_bytes"],
                    "checksum": {"type": "sha256", "value": wanted.file["sha256"]},
                    "replicas": [
                        {"rsename": site.rses[0], "dataurl": wanted.url_at(site)} for site in wanted.holders
                    ],
                },
            }
            for wanted in files
        ],
    }


def draw(
    chance: random.Random, files: list[dict[str, Any]], federation: Federation
) -> tuple[list[Wanted], list[Site]]:
    """One to three random files with one or two of their replicas each, and three sites to compute at."""
    chosen = []
    for file in chance.sample(files, chance.randint(1, 3)):
        holders = chance.sample(file["sites"], min(len(file["sites"]), chance.randint(1, 2)))
        chosen.append(Wanted(file, [federation[site] for site in holders]))
    return chosen, chance.sample(list(federation), 3)


def ask(measured: MeasuredLab, sites: list[Site], files: list[Wanted]) -> tuple[str, dict[str, str]]:
    """The site that the broker puts first, and for each file where it would bring it from."""
    ids = {site.id for site in sites}
    able = {
        site.id: site if site.id in ids else dataclasses.replace(site, platform=None)
        for site in measured.federation
    }
    owner = Owner("admin", "admin", admin=True)
    with tempfile.TemporaryDirectory(prefix="fairlead-ranking-") as directory:
        settings = Settings(database_url="", work_directory=Path(directory))
        federation = Federation(measured.federation.name, able)
        broker = Broker(settings, federation, measured.engine, SystemClock(), online=False)
        answer = broker.request(request_for(files), owner)
        for session in answer.sessions:
            # what is held would push the next request's start back
            broker.update_phase(session.uuid, Phase.REJECTED, owner)
    if not answer.yes:
        sys.exit("; ".join(note.text for note in answer.notes))
    first = answer.sessions[0].placement
    assert first is not None
    return first.site_id, {Path(move.url).name: str(move.source) for move in first.staging.moves}


def kilometres(site: Site, files: list[Wanted]) -> float:
    """How far the files are from the site on the map, each from its nearest replica, weighted by size."""
    return sum(
        wanted.file["size_bytes"]
        * min(site.place.distance_metres(holder.place) for holder in wanted.holders)
        / 1000
        for wanted in files
    ) / sum(wanted.file["size_bytes"] for wanted in files)


def nearest_seconds(site: Site, files: list[Wanted], moves: Moves) -> float:
    """What the site costs when each file comes from the replica that is nearest on the map."""
    return sum(
        moves.seconds(
            wanted, min(wanted.holders, key=lambda holder: holder.place.distance_metres(site.place)), site
        )
        for wanted in files
    )


def compare(measured: MeasuredLab, requests: int, most_bytes: int, chance: random.Random) -> int:
    """Print a row a request, and what they come to; 1 where the ranking misses its target."""
    federation, moves = measured.federation, Moves()
    small = [file for file in measured.files if file["size_bytes"] <= most_bytes]
    print(
        ROW.format(
            "files", "MB", "compute at", "chosen", "took s", "best", "took s", "ratio", "nearest", "took s"
        )
    )
    ratios, nearest_ratios = [], []
    for _ in range(requests):
        files, sites = draw(chance, small, federation)
        chosen, sources = ask(measured, sites, files)
        best = {
            site.id: sum(min(moves.seconds(one, holder, site) for holder in one.holders) for one in files)
            for site in sites
        }
        actual = sum(moves.seconds(one, federation[sources[one.name]], federation[chosen]) for one in files)
        best_site = min(best, key=best.__getitem__)
        near = min(sites, key=lambda site: kilometres(site, files))
        near_seconds = nearest_seconds(near, files, moves)
        ratios.append(actual / best[best_site])
        nearest_ratios.append(near_seconds / best[best_site])
        size = sum(one.file["size_bytes"] for one in files) / 1e6
        row = [len(files), f"{size:.1f}", ", ".join(site.id for site in sites)]
        row += [chosen, f"{actual:.2f}", best_site, f"{best[best_site]:.2f}", f"{ratios[-1]:.2f}"]
        print(ROW.format(*row, near.id, f"{near_seconds:.2f}"), flush=True)
    mean, mean_near = statistics.mean(ratios), statistics.mean(nearest_ratios)
    print(
        f"{len(ratios)} requests: the chosen site took {mean:.3f} times the best possible on average"
        f" (worst {max(ratios):.2f}; within 1 % of the best {sum(ratio < 1.01 for ratio in ratios)} times);"
        f" by geographic distance {mean_near:.2f} times (worst {max(nearest_ratios):.2f})"
    )
    return 0 if mean <= 1.10 else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", help="URL of the archive; a temporary one if not given")
    parser.add_argument("--requests", type=int, default=30)
    parser.add_argument("--most-bytes", type=int, default=64_000_000, help="of one file")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    build_checksum_image(IMAGE)
    try:
        with measured_lab(given.database) as measured:
            return compare(measured, given.requests, given.most_bytes, random.Random(given.seed))
    finally:
        remove_checksum_image(IMAGE)


if __name__ == "__main__":
    sys.exit(main())
