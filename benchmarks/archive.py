"""How fast the archive takes measurements in, and how long the questions take as it grows.

    python -m benchmarks.archive --rows 100000 1000000 10000000 --database sqlite:////tmp/large.db

At each size: the database is filled up to it by statements of its own (with indexes made afterwards). Then
`Archive.ingest` takes turns, batch by batch, with the driver's bare `executemany` of rows that were made
beforehand, into the same table: what else the machine does meanwhile meets both. Then every question of
forecasts and reports is timed, the best of three. A run goes on where an earlier one with the same database
ended.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine

from benchmarks._archive_filling import KINDS, SITES, filled, started
from federation.database import connect, upgrade, write
from netprobe import ingest
from netprobe.archive import Archive
from netprobe.archive_rows import COLUMNS, row
from netprobe.coverage import coverage
from netprobe.exchange import export, read
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes.perfsonar5_documents import read_document
from netprobe.meshes.psconfig import Expected
from netprobe.retention import Retention, prune

BATCH = 10_000
FAILING = 0.05
NAMES = [f"site-{number:02}" for number in range(SITES)]
PAIRS = [(a, b) for a in NAMES for b in NAMES if a != b]


def made(first: int, count: int, seed: int) -> Iterator[Measurement]:
    """Measurements as a mesh has them from number `first` on; the ids are of no order."""
    chance = random.Random(seed)
    for number in range(first, first + count):
        source, destination = PAIRS[number % len(PAIRS)]
        kind = Kind(KINDS[number // len(PAIRS) % len(KINDS)])
        failed = chance.random() < FAILING
        figures = {
            "bits_per_second": chance.uniform(1e8, 1e10),
            "rtt_seconds": chance.uniform(0.001, 0.3),
            "retransmits": float(chance.randrange(1000)),
        }
        yield Measurement(
            kind=kind,
            source=source,
            destination=destination,
            started=started(number),
            seconds=10.0,
            tool="iperf3" if kind is Kind.THROUGHPUT else "ping",
            origin=Origin.PERFSONAR,
            figures={} if failed else figures,
            parameters={"streams": 1, "ip_version": 4, "duration_seconds": 10.0, "rate": "received"},
            error="destination: connection refused" if failed else None,
            archive="mesh",
            id=f"{chance.getrandbits(128):032x}",
        )


def compared(engine: Engine, first: int, rows: int) -> dict[str, float]:
    """Rows a second of `Archive.ingest`, and of bare executemany (the same share of the rows each); and by a
    second of this process's processor time."""
    archive, spent, bare_spent = Archive(engine), [0.0, 0.0], [0.0, 0.0]
    source = made(first, 2 * rows, first)
    while (ours := list(islice(source, BATCH))) and (others := list(islice(source, BATCH))):
        prepared = [row(one, ingest.instant_for(engine.dialect.name)) for one in others]
        for clocks, action in (
            (spent, partial(list, archive.ingest(ours))),
            (bare_spent, partial(executemany, engine, prepared)),
        ):
            before = time.process_time()
            clocks[0] += timed(action)[0]
            clocks[1] += time.process_time() - before
    return {
        "rows_per_second": round(rows / spent[0]),
        "executemany_rows_per_second": round(rows / bare_spent[0]),
        "ratio": round(bare_spent[0] / spent[0], 3),
        "rows_per_processor_second": round(rows / spent[1]),
        "executemany_rows_per_processor_second": round(rows / bare_spent[1]),
        "ratio_of_processor_time": round(bare_spent[1] / spent[1], 3),
    }


def executemany(engine: Engine, rows: list[tuple[Any, ...]]) -> None:
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    values = ", ".join([mark] * len(COLUMNS))
    statement = f"INSERT INTO measurements ({', '.join(COLUMNS)}) VALUES ({values})"
    with write(engine) as connection:
        driver: Any = connection.connection.driver_connection
        driver.cursor().executemany(statement, rows)


def parsed(count: int) -> dict[str, float]:
    """Documents of a perfSONAR archive a second: JSON text into measurements, and those into rows."""
    text = json.dumps(_document())
    spent, found = timed(lambda: [read_document(json.loads(text), "mesh", None) for _ in range(count)])
    assert all(isinstance(one, Measurement) for one in found), found[0]
    rows, _ = timed(lambda: [row(one, ingest.instant_for("sqlite")) for one in found])
    return {
        "documents_read_per_second": round(count / spent),
        "rows_made_per_second": round(count / rows),
        "document_bytes": len(text),
    }


def _document() -> dict[str, Any]:
    """A throughput result as a perfSONAR 5 archive has it, without its intervals."""
    return {
        "meta": {"source": {"ip": "192.0.2.1"}, "destination": {"ip": "192.0.2.2"}, "ip_version": 4},
        "pscheduler": {
            "run_id": "https://a.example.org/pscheduler/tasks/1/runs/2",
            "start_time": "2026-03-01T12:00:00Z",
            "duration": 19,
            "tool": "iperf3",
            "participants": ["a.example.org", "b.example.org"],
        },
        "test": {
            "type": "throughput",
            "spec": {"source": "a.example.org", "dest": "b.example.org", "duration": "PT10S", "parallel": 1},
        },
        "result": {"succeeded": True, "throughput": 9.4e9, "retransmits": 12, "rtt": {"mean": 0.02}},
    }


def asked(engine: Engine, rows: int) -> dict[str, tuple[float, float]]:
    """Seconds that each question takes, and seconds of this process's processor time."""
    archive, pair = Archive(engine), ("site-03", "site-11")
    end = started(rows)
    days = [(end - timedelta(days=7), end), (end - timedelta(days=1), end)]
    mesh = [Expected("task", "rtt", *path, (), (), {}, 3600.0, None, path[0]) for path in PAIRS]
    ids = [one.id for one in archive.recent(Kind.LATENCY, limit=1000)]
    every = Retention(remove_after=timedelta(0))
    questions: dict[str, Callable[[], Any]] = {
        "history of all paths (a forecast's)": archive.history,
        "history, 5 of a path": lambda: archive.history(5),
        "paths of a kind": lambda: archive.paths(Kind.THROUGHPUT),
        "last of every pair": lambda: archive.last_by_pair(Kind.THROUGHPUT),
        "newest 200 of a path": lambda: archive.recent(Kind.THROUGHPUT, *pair),
        "a path's last 7 days": lambda: archive.recent(Kind.THROUGHPUT, *pair, days[0][0], limit=10_000),
        "newest 200 into a site": lambda: archive.recent(Kind.THROUGHPUT, destination=pair[1]),
        "newest 200 of a kind": lambda: archive.recent(Kind.THROUGHPUT),
        "coverage of all paths, 1 day": lambda: coverage(engine, mesh, *days[1]),
        "version": archive.version,
        "1000 known ids": lambda: archive.known(ids),
        "1000 ids that are not": lambda: archive.known([f"{one}x" for one in ids]),
        "first 10,000 in order": lambda: sum(1 for _ in islice(archive.all(), 10_000)),
        "prune, counted only": lambda: prune(engine, every, started(rows // 100), dry_run=True),
        "holdings (fairlead archive info)": archive.holdings,
    }
    found = {}
    for name, question in questions.items():
        spent, used = [], []
        for _ in range(3):
            before = time.process_time()
            spent.append(timed(question)[0])
            used.append(time.process_time() - before)
        found[name] = round(min(spent), 5), round(min(used), 5)
        print(f"{rows:>10,} rows  {found[name]} s  {name}", file=sys.stderr)
    return found


def exchanged(engine: Engine, directory: Path, count: int) -> dict[str, Any]:
    """Seconds to write `count` rows to a file and to read them back into an empty database, and this
    process's largest memory since it began, after each."""
    found: dict[str, Any] = {}
    for ending in ("parquet", "csv"):
        path, other = directory / f"rows.{ending}", opened(f"sqlite:///{directory / ending}.db")
        rows = islice(Archive(engine).all(), count)
        wrote, _ = timed(partial(export, rows, path, datetime.now(UTC)))
        took, _ = timed(partial(list, Archive(other).ingest(read(path))))
        other.dispose()
        found[ending] = {
            "rows": count,
            "export_seconds": round(wrote, 1),
            "import_seconds": round(took, 1),
            "size_bytes": path.stat().st_size,
            "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    return found


def pruned(engine: Engine, rows: int) -> dict[str, Any]:
    """Seconds to thin out a tenth of what is there, and to remove a twentieth."""
    found = {}
    for name, policy, before in (
        ("thin", Retention(thin_after=timedelta(0), bucket=timedelta(days=1)), started(rows // 10)),
        ("remove", Retention(remove_after=timedelta(0)), started(rows // 20)),
    ):
        spent, done = timed(partial(prune, engine, policy, before))
        found[name] = {"seconds": round(spent, 1), "rows": done.removed + done.thinned}
    return found


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def opened(url: str) -> Engine:
    engine = connect(url)
    upgrade(engine)
    return engine


def main() -> None:
    """Print what was found, as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes, rising")
    parser.add_argument("--compare", type=int, default=100_000, help="rows to take in at each size")
    parser.add_argument("--exchange", type=int, default=0, help="rows to write to files and read, at the end")
    parser.add_argument("--prune", action="store_true", help="thin out and remove at the end")
    parser.add_argument("--database", help="an empty database, or an earlier run's; else a temporary SQLite")
    chosen = parser.parse_args()
    found: dict[str, Any] = {"parsing": parsed(20_000), "sizes": {}}
    with TemporaryDirectory(dir=None) as directory:
        engine = opened(chosen.database or f"sqlite:///{Path(directory) / 'archive.db'}")
        for rows in chosen.rows:
            spent, _ = timed(partial(filled, engine, rows))
            print(f"{rows:>10,} rows  filled in {spent:.0f} s", file=sys.stderr)
            found["sizes"][rows] = {
                "ingest": compared(engine, rows, chosen.compare),
                "seconds, and of the processor": asked(engine, rows),
                "size_bytes": Archive(engine).size_bytes(),
            }
        if chosen.exchange:
            found["files"] = exchanged(engine, Path(directory), chosen.exchange)
        if chosen.prune:
            found["prune"] = pruned(engine, chosen.rows[-1])
        engine.dispose()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
