"""Is the ranking right? Random requests in the lab, each really tried at every site.

    python benchmarks/ranking.py [--requests 30] [--seed 1] [--database URL]

Uses the lab that is up, or brings one up and takes it down again (needs root and network namespaces), and
measures it where the archive is empty; a quiet machine measures best. For each request one to three random
files have replicas at two random sites, and those two sites have no room to compute (a job that may run where
its data lies needs no network, and no ranking). The broker answers as it always does. Then the data is moved
for real to every other site, from both replicas. The chosen site is compared with the best possible choice
of site and replicas, and with the site nearest to a replica on the map. Seconds are from first connect to
verified and synced; the job itself takes as long everywhere.
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
from netprobe.tools.transfer import fetch

IMAGE = "localhost/fairlead-ranking:1"
ROW = "{:>5} {:>6}  {:<22} {:<11} {:>7} {:<11} {:>7} {:>6}  {:<11} {:>7}"


def request_for(files: list[dict[str, Any]], holders: list[Site]) -> dict[str, Any]:
    """A request for a container over `files`, each with a replica at every one of `holders`."""
    return {
        "executable": {
            "kind": kinds.DOCKER_CONTAINER,
            "image": {"locations": [IMAGE]},
        },
        "data": [
            {
                "kind": kinds.SKAO_DATA,
                "meta": {"name": file["name"]},
                "skao": {
                    "namespace": "lab",
                    "objectname": file["name"],
                    "objecttype": "FILE",
                    "datasize": file["size_bytes"],
                    "checksum": {"type": "sha256", "value": file["sha256"]},
                    "replicas": [
                        {"rsename": site.rses[0], "dataurl": url_at(file, site)} for site in holders
                    ],
                },
            }
            for file in files
        ],
    }


def url_at(file: dict[str, Any], site: Site) -> str:
    return str(next(url for url in file["urls"] if site.serves(url)))


async def seconds_to_move(file: dict[str, Any], source: Site, destination: Site) -> float:
    with tempfile.TemporaryDirectory(prefix="fairlead-ranking-", dir="/var/tmp") as directory:
        moved = await fetch(
            destination.host,
            url_at(file, source),
            Path(directory) / "file",
            file["size_bytes"],
            f"sha256:{file['sha256']}",
            time_limit_seconds=300,
        )
    return moved.seconds


def kilometres(site: Site, holders: list[Site]) -> float:
    return min(site.place.distance_metres(holder.place) for holder in holders) / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--database", help="URL of the archive; a temporary one if not given")
    parser.add_argument("--requests", type=int, default=30)
    parser.add_argument("--most-bytes", type=int, default=60_000_000, help="of one file")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    build_checksum_image(IMAGE)
    try:
        with measured_lab(given.database) as measured:
            return compare(measured, given.requests, given.most_bytes, random.Random(given.seed))
    finally:
        remove_checksum_image(IMAGE)


def compare(measured: MeasuredLab, requests: int, most_bytes: int, chance: random.Random) -> int:
    """Print a row a request, and what they come to; 1 where the ranking misses its target."""
    federation = measured.federation
    files = [file for file in measured.files if file["size_bytes"] <= most_bytes]
    owner = Owner("admin", "admin", admin=True)

    print(
        ROW.format(
            "files", "MB", "replicas at", "chosen", "took s", "best", "took s", "ratio", "nearest", "took s"
        )
    )
    ratios, nearest_ratios = [], []
    for _ in range(requests):
        wanted, holders = draw(chance, files, federation)
        others = [site for site in federation if site not in holders]
        chosen = ask(federation, holders, wanted, measured.engine, owner)
        took = asyncio.run(try_all(wanted, holders, others))
        best = {
            site.id: sum(min(took[file["name"], holder.id, site.id] for holder in holders) for file in wanted)
            for site in others
        }
        actual = {
            site: sum(took[name, source, site] for name, source in moves.items())
            for site, moves in chosen.items()
        }
        first = next(iter(chosen))
        best_site = min(best, key=best.__getitem__)
        near = min(others, key=lambda site: kilometres(site, holders))
        near_holder = min(holders, key=lambda holder: holder.place.distance_metres(near.place))
        near_seconds = sum(took[file["name"], near_holder.id, near.id] for file in wanted)
        ratios.append(actual[first] / best[best_site])
        nearest_ratios.append(near_seconds / best[best_site])
        size = sum(file["size_bytes"] for file in wanted) / 1e6
        row = [len(wanted), f"{size:.1f}", ", ".join(holder.id for holder in holders)]
        row += [first, f"{actual[first]:.2f}", best_site, f"{best[best_site]:.2f}", f"{ratios[-1]:.2f}"]
        print(ROW.format(*row, near.id, f"{near_seconds:.2f}"), flush=True)
    mean, mean_near = statistics.mean(ratios), statistics.mean(nearest_ratios)
    print(
        f"{len(ratios)} requests: the chosen site took {mean:.3f} times the best possible on average"
        f" (worst {max(ratios):.2f}; within 1 % of the best {sum(ratio < 1.01 for ratio in ratios)} times);"
        f" by geographic distance {mean_near:.2f} times (worst {max(nearest_ratios):.2f})"
    )
    return 0 if mean <= 1.10 else 1


def draw(
    chance: random.Random, files: list[dict[str, Any]], federation: Federation
) -> tuple[list[dict[str, Any]], list[Site]]:
    """One to three files that two random sites both hold, and those sites."""
    while True:
        holders = chance.sample(list(federation), 2)
        shared = [file for file in files if all(site.id in file["sites"] for site in holders)]
        if shared:
            return chance.sample(shared, min(len(shared), chance.randint(1, 3))), holders


def ask(
    federation: Federation, holders: list[Site], files: list[dict[str, Any]], engine: Any, owner: Owner
) -> dict[str, dict[str, str]]:
    """What the broker offers, best first: for each site, which file it would bring from where."""
    busy = {
        site.id: dataclasses.replace(site, platform=None) if site in holders else site for site in federation
    }
    with tempfile.TemporaryDirectory(prefix="fairlead-ranking-") as directory:
        settings = Settings(database_url="", work_directory=Path(directory))
        broker = Broker(settings, Federation(federation.name, busy), engine, SystemClock(), online=False)
        answer = broker.request(request_for(files, holders), owner)
        for session in answer.sessions:
            # what is held would push the next request's start back
            broker.update_phase(session.uuid, Phase.REJECTED, owner)
    if not answer.yes:
        sys.exit("; ".join(note.text for note in answer.notes))
    offers = {}
    for session in answer.sessions:
        assert session.placement is not None
        names = {Path(move.url).name: str(move.source) for move in session.placement.staging.moves}
        offers[session.placement.site_id] = names
    return offers


async def try_all(
    files: list[dict[str, Any]], holders: list[Site], others: list[Site]
) -> dict[tuple[str, str, str], float]:
    """Seconds of every move that could be made, made one after the other: (file, source, destination)."""
    return {
        (file["name"], source.id, destination.id): await seconds_to_move(file, source, destination)
        for file in files
        for source in holders
        for destination in others
    }


if __name__ == "__main__":
    sys.exit(main())
