"""How long a comparison of a large mesh takes, and how often it cries wolf.

    python -m benchmarks.report --sites 100 --rows 1000000 --database sqlite:////tmp/report.db
    python -m benchmarks.report --clean 50
    python -m benchmarks.report --alarms 50
    python -m benchmarks.report --planted
    python -m benchmarks.report --planted 20

The first makes an archive of throughput tests of every ordered pair, half of them scripted and half the
mesh's, over thirty days, and runs `fairlead report compare` on it in a process of its own: seconds, and the
most memory of it and of its children together. The second compares so many meshes of 20 paths in which
nothing is wrong, and counts those with any false "disagree" or change of level, beside the stated rate. The
third does so for harder ones (see `benchmarks.report_alarms`). The fourth prints what was planted in a mesh,
and what was named; and with a number, in how many of so many meshes, each of another chance, it was right.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import report_alarms, report_planted
from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from reports.compare.expected import Wanted
from reports.compare.mesh import SHARE_FALSE, compare_mesh
from reports.compare.model import Cause, Outcome
from reports.compare.reading import read
from reports.compare.ways import Quantity
from tests.reports.compare.planted import SINCE, UNTIL, clean

END = datetime(2026, 3, 31, tzinfo=UTC)
DAYS = 30


def made(sites: int, rows: int) -> Iterator[Measurement]:
    """Rows in the order of their times, as an archive gets them."""
    chance = np.random.default_rng(1)
    names = [f"site-{number:03}" for number in range(sites)]
    pairs = [(one, two) for one in names for two in names if one != two]
    levels = {pair: math.exp(chance.uniform(math.log(1e8), math.log(4e10))) for pair in pairs}
    # one path in twenty has something wrong
    wrong = {pair: 0.6 if chance.random() < 0.05 else 1.0 for pair in pairs}
    gap = timedelta(days=DAYS) / rows
    for number in range(rows):
        source, destination = pair = pairs[number // 2 % len(pairs)]
        ours = number % 2 == 0
        rate = levels[pair] * math.exp(chance.normal(0, 0.05)) * (wrong[pair] if ours else 1.0)
        figures = {"bits_per_second": rate, "sent_bits_per_second": rate * 1.001, "rtt_seconds": 0.05}
        figures |= {"mss_bytes": 1448.0, "retransmits": float(chance.integers(100))}
        yield Measurement(
            Kind.THROUGHPUT,
            source,
            destination,
            END - timedelta(days=DAYS) + number * gap,
            20.0,
            "iperf3",
            Origin.SCRIPTED if ours else Origin.PERFSONAR,
            figures,
            {"streams": 1, "ip_version": 4, "duration_seconds": 20.0, "protocol": "tcp"}
            | {"rate": "received" if ours else "sent"},
            source_address=f"192.0.2.{number % 250}",
            error="destination: connection refused" if chance.random() < 0.02 else None,
            context={"iperf3": "3.18", "source": {"processors_percent": 12.0}} if ours else {},
            archive=None if ours else "mesh",
            id=f"{number:032x}",
        )


def large(sites: int, rows: int, database: str | None, formats: str) -> dict[str, object]:
    with TemporaryDirectory() as folder:
        url = database or f"sqlite:///{folder}/report.db"
        engine = connect(url)
        upgrade(engine)
        archive = Archive(engine)
        if archive.version() < rows:
            for done, _ in zip(archive.ingest(made(sites, rows)), range(10**9), strict=False):
                print(f"filling: {done[0]:,} rows", file=sys.stderr, end="\r")
        engine.dispose()
        command = [sys.executable, "-m", "fairlead", "report", "compare", "--since", "30d"]
        command = [
            *command,
            "--until",
            END.isoformat(),
            "--database",
            url,
            "--format",
            formats,
            "--out",
            folder,
        ]
        begun = time.monotonic()
        spent, most = _watched(command)
        sizes = {one.name: one.stat().st_size for one in sorted(Path(folder).glob("compare*"))}
        return {
            "rows": rows,
            "sites": sites,
            "seconds": round(time.monotonic() - begun, 1),
            "processor_seconds": round(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]), 1),
            "status": spent,
            "most_memory_bytes": most,
            "files": sizes,
            "processors": os.cpu_count(),
        }


def _watched(command: list[str]) -> tuple[int, int]:
    """Exit status, and the most memory of all its processes (pages in common count once)."""
    process = os.posix_spawn(command[0], command, os.environ)
    most = 0
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), most
        most = max(most, sum(_share(one) for one in [process, *_children(process)]))
        time.sleep(0.2)


def _children(process: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _share(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def alarms(meshes: int) -> dict[str, object]:
    """Meshes with a false disagreement, with a false change, and paths in all."""
    disagree = changed = agreed = paths = 0
    for seed in range(meshes):
        with TemporaryDirectory() as folder:
            engine = connect(f"sqlite:///{folder}/archive.db")
            upgrade(engine)
            Archive(engine).add(clean(seed))
            reading = read(engine, (Kind.THROUGHPUT,), SINCE, UNTIL)
            engine.dispose()
        report = compare_mesh(reading, Wanted({}, {}), (Quantity.THROUGHPUT,), 0.10, 0.001)
        paths += len(report.comparisons)
        disagree += report.count(Outcome.DISAGREE) > 0
        agreed += report.count(Outcome.AGREE)
        false = {Cause.CHANGED, Cause.SITE_WIDE, Cause.ROUTE}
        changed += any(false & set(one.causes) for one in report.comparisons)
    return {
        "meshes": meshes,
        "paths": paths,
        "stated_share": SHARE_FALSE,
        "meshes_with_false_disagreement": disagree,
        "meshes_with_false_change": changed,
        "paths_that_agree": agreed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", help="kept, and used again; else a temporary one")
    parser.add_argument("--format", default="html,md,csv,parquet,json")
    parser.add_argument("--clean", type=int, help="count false alarms over so many clean meshes instead")
    parser.add_argument("--alarms", type=int, help="count them over so many meshes of each difficult kind")
    parser.add_argument(
        "--planted",
        type=int,
        nargs="?",
        const=1,
        help="print what is named of what was planted, in so many meshes",
    )
    chosen = parser.parse_args()
    if chosen.clean:
        print(json.dumps(alarms(chosen.clean), indent=2))
    elif chosen.alarms:
        print(report_alarms.table(chosen.alarms))
    elif chosen.planted:
        print(report_planted.table(chosen.planted))
    else:
        print(json.dumps(large(chosen.sites, chosen.rows, chosen.database, chosen.format), indent=2))


if __name__ == "__main__":
    main()
