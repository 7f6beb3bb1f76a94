"""A process that takes measurements in and says how many after every batch, until it is killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from federation.database import connect
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin


def endless() -> Iterator[Measurement]:
    """The same ones each time."""
    for number in count():
        yield Measurement(
            kind=Kind.LATENCY,
            source="a",
            destination="b",
            started=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number),
            seconds=1.0,
            tool="ping",
            origin=Origin.PERFSONAR,
            id=f"run-{number}",
        )


if __name__ == "__main__":
    taken = 0
    for rows, _ in Archive(connect(sys.argv[1])).ingest(endless()):
        taken += rows
        sys.stdout.write(f"{taken}\n")
        sys.stdout.flush()
