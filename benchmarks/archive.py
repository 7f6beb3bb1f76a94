"""How fast the archive takes measurements in, and how long a forecast waits for it when it is large.

    python -m benchmarks.archive --rows 10000000 --database sqlite:////tmp/large.db

The ceiling is the driver's bare `executemany` of rows that were made beforehand, into an equal table with
the same indexes. Ours and the ceiling take turns, batch by batch, in one run: what else the machine does
meanwhile meets both. Then the archive is filled, and the questions of forecasts and reports are timed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from federation.database import connect, upgrade, write
from netprobe import ingest
from netprobe.archive import Archive
from netprobe.archive_rows import row
from netprobe.measurement import Kind, Measurement, Origin

START = datetime(2020, 1, 1, tzinfo=UTC)
BATCH = 10_000
SITES = 20
FAILING = 0.05


def made(count: int, seed: int = 1) -> Iterator[Measurement]:
    """Measurements as a mesh of 20 sites has them: 380 paths, three kinds, one in twenty failed."""
    chance = random.Random(seed)
    names = [f"site-{number:02}" for number in range(SITES)]
    pairs = [(a, b) for a in names for b in names if a != b]
    for number in range(count):
        source, destination = pairs[number % len(pairs)]
        kind = (Kind.THROUGHPUT, Kind.LATENCY, Kind.LATENCY, Kind.LOSS)[number // len(pairs) % 4]
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
            started=START + timedelta(seconds=10 * number),
            seconds=10.0,
            tool="iperf3" if kind is Kind.THROUGHPUT else "ping",
            origin=Origin.PERFSONAR,
            figures={} if failed else figures,
            parameters={"streams": 1, "ip_version": 4, "duration_seconds": 10.0, "rate": "received"},
            error="destination: connection refused" if failed else None,
            archive="mesh",
            id=str(UUID(int=chance.getrandbits(128), version=4)),
        )


def compared(ours: Engine, bare: Engine, rows: int) -> dict[str, float]:
    """Rows a second of `Archive.ingest`, and of bare executemany; a second of ours alone (a processor's time
    of this process) beside one of the clock."""
    archive, spent, bare_spent = Archive(ours), [0.0, 0.0], [0.0, 0.0]
    source = made(rows)
    while batch := list(islice(source, BATCH)):
        prepared = [row(one, ingest.instant_for(bare.dialect.name)) for one in batch]
        for clocks, action in (
            (spent, lambda batch=batch: list(archive.ingest(batch))),
            (bare_spent, lambda prepared=prepared: executemany(bare, prepared)),
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
    }


def executemany(engine: Engine, rows: list[tuple[Any, ...]]) -> None:
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    values = ", ".join([mark] * len(ingest.COLUMNS))
    statement = f"INSERT INTO measurements ({', '.join(ingest.COLUMNS)}) VALUES ({values})"
    with write(engine) as connection:
        connection.connection.cursor().executemany(statement, rows)


def asked(archive: Archive) -> dict[str, float]:
    """Seconds that each question takes."""
    pair = ("site-03", "site-11")
    questions: dict[str, Callable[[], Any]] = {
        "history of all paths (a forecast's)": archive.history,
        "paths of a kind": lambda: archive.paths(Kind.THROUGHPUT),
        "last of every pair": lambda: archive.last_by_pair(Kind.THROUGHPUT),
        "newest 200 of a path": lambda: archive.recent(Kind.THROUGHPUT, *pair),
        "newest 200 into a site": lambda: archive.recent(Kind.THROUGHPUT, destination=pair[1]),
        "newest 200 of a kind": lambda: archive.recent(Kind.THROUGHPUT),
        "version": archive.version,
        "holdings (fairlead archive info)": archive.holdings,
    }
    return {name: min(timed(question)[0] for _ in range(2)) for name, question in questions.items()}


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def opened(url: str) -> Engine:
    engine = connect(url)
    upgrade(engine)
    return engine


def main() -> None:
    """Print what was found, as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to fill the archive up to")
    parser.add_argument("--compare", type=int, default=200_000, help="rows for the comparison")
    parser.add_argument(
        "--database", help="an empty database for the archive; left out: SQLite in a temporary file"
    )
    parser.add_argument("--bare", help="and one for the ceiling")
    chosen = parser.parse_args()
    with TemporaryDirectory() as directory:
        ours = opened(chosen.database or f"sqlite:///{Path(directory) / 'ours.db'}")
        bare = opened(chosen.bare or f"sqlite:///{Path(directory) / 'bare.db'}")
        found: dict[str, Any] = compared(ours, bare, chosen.compare)
        archive = Archive(ours)
        seconds, total = 0.0, chosen.compare
        filling = made(chosen.rows - chosen.compare, seed=2)
        while batch := list(islice(filling, 10 * BATCH)):
            spent, taken = timed(lambda batch=batch: list(archive.ingest(batch)))
            seconds, total = seconds + spent, total + sum(added for _, added in taken)
            print(f"{total} rows, {len(batch) / spent:.0f} a second", file=sys.stderr)
        found |= {
            "rows": total,
            "filled_rows_per_second": round((total - chosen.compare) / seconds) if seconds else None,
        }
        found["seconds"] = {name: round(value, 5) for name, value in asked(archive).items()}
        found["size_bytes"] = archive.size_bytes()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
