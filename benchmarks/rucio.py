"""A dataset of many files in a real Rucio to an offer: how long, and how much of it Rucio itself takes.

    python benchmarks/rucio.py [--files 1000] [--rounds 9]

Rucio (from its own environment, with SQLite) runs on loopback; half of the rounds ask for a dataset that one
site has all of, half for one that comes in parts. Prints medians. Exit status: 0 when the first takes less
than a second (median), else 1.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from broker.catalogues import rucio as catalogue
from broker.records import Owner
from broker.service import Broker
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.settings import Settings
from federation.sites import Federation, Place, Platform, Policy, Site
from tests.broker.conftest import KINDS
from tests.rucio.proxy import proxy
from tests.rucio.server import Admin, rucio
from tests.rucio.storage import described

LIMIT_SECONDS = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    # a figure is wanted on slow machines, too
    catalogue.RESOLVE_SECONDS = 60.0
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as name, rucio(Path(name) / "rucio") as server:
        admin = server.admin()
        fill(admin, chosen.files)
        with proxy(server.url) as between:
            broker = a_broker(Path(name), {**server.options, "url": between.url})
            medians = {}
            for dataset in ("whole", "parts"):
                totals, shares, questions = [], [], 0
                ask(broker, dataset)
                for _ in range(chosen.rounds):
                    between.asked.clear()
                    between.seconds = 0.0
                    started = time.perf_counter()
                    ask(broker, dataset)
                    totals.append(time.perf_counter() - started)
                    shares.append(between.seconds)
                    questions = len(between.asked)
                medians[dataset] = statistics.median(totals)
                print(
                    f"{dataset}: {chosen.files} files to offers in {medians[dataset] * 1000:.0f} ms (median "
                    f"of {chosen.rounds}; {min(totals) * 1000:.0f} to {max(totals) * 1000:.0f}), {questions} "
                    f"questions, {statistics.median(shares) * 1000:.0f} ms of it in Rucio"
                )
        admin.close()
    return 0 if medians["whole"] < LIMIT_SECONDS else 1


def fill(admin: Admin, files: int) -> None:
    admin.scope("sky")
    for rse in ("A1", "B", "C"):
        admin.rse(rse, 9)
    names = [f"obs/{number:06}.fits" for number in range(files)]
    some = described("sky", names)
    admin.replicas("A1", some[: files * 3 // 4])
    admin.replicas("B", some[files // 2 :])
    admin.replicas("C", some[: files // 4])
    admin.collection("DATASET", "sky", "parts", names)
    whole = [f"whole/{number:06}.fits" for number in range(files)]
    for rse, count in (("A1", files), ("B", files), ("C", files // 2)):
        admin.replicas(rse, described("sky", whole)[:count])
    admin.collection("DATASET", "sky", "whole", whole)


def a_broker(directory: Path, options: dict[str, Any]) -> Broker:
    platform = Platform("simulated", 64, 256, 10_000)
    # all storage is at this machine's own address
    policy = Policy(allowed_networks=("127.0.0.0/8",))
    sites = {
        name: Site(name, name, Place(10.0 * number, 0.0), rses=(rse,), platform=platform, policy=policy)
        for number, (name, rse) in enumerate((("a", "A1"), ("b", "B"), ("c", "C")))
    }
    engine = connect(f"sqlite:///{directory}/broker.db")
    upgrade(engine)
    settings = Settings(f"sqlite:///{directory}/broker.db", directory / "work")
    federation = Federation("benchmark", sites, {"rucio": options})
    return Broker(settings, federation, engine, SystemClock(), online=True)


def ask(broker: Broker, dataset: str) -> None:
    document = {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": ["docker.io/library/alpine:3"]},
        },
        "data": [
            {
                "kind": f"{KINDS}data/rucio-data-resource.yaml",
                "rucio": {"scope": "sky", "object": dataset},
            }
        ],
    }
    answer = broker.request(document, Owner("00000000-0000-0000-0000-000000000000", "benchmark"))
    assert answer.yes, answer.notes


if __name__ == "__main__":
    raise SystemExit(main())
