"""Recorded measurements of the lab: what the built-in simulated federation knows of its network.

They were really measured, on the lab's five sites, by `fairlead probe run examples/lab-plan.toml` on a quiet
machine. All that came of that run is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

from netprobe.archive import Archive
from netprobe.archive_rows import build
from netprobe.measurement import Measurement

# The newest one is this old once loaded.
NEWEST_AGE = timedelta(minutes=3)


def load_recorded(archive: Archive, now: datetime) -> int:
    """Put the recorded measurements into `archive`, shifted so that the newest is a few minutes old.

    The number of new ones: 0 where they are in it already, which then keep their times.
    """
    found = recorded()
    newest = max(measurement.started for measurement in found)
    shift = now - NEWEST_AGE - newest
    return archive.add(replace(measurement, started=measurement.started + shift) for measurement in found)


def recorded() -> list[Measurement]:
    """The measurements as they were taken."""
    text = files("netprobe").joinpath("data/recorded.json").read_text(encoding="utf-8")
    return read_document(json.loads(text))


def read_document(written: Mapping[str, Any]) -> list[Measurement]:
    """The measurements of what `document` made. Raises KeyError or ValueError where it is something else."""
    return [_read(one) for one in written["measurements"]]


def document(measurements: Iterable[Measurement]) -> dict[str, Any]:
    """What `read_document` reads back: without the raw documents and addresses."""
    return {"measurements": [_written(measurement) for measurement in measurements]}


def _written(measurement: Measurement) -> dict[str, Any]:
    return {
        "id": measurement.id,
        "kind": measurement.kind.value,
        "source": measurement.source,
        "destination": measurement.destination,
        "started": measurement.started.isoformat(),
        "seconds": round(measurement.seconds, 3),
        "tool": measurement.tool,
        "origin": measurement.origin.value,
        "figures": dict(measurement.figures),
        "parameters": dict(measurement.parameters),
        "error": measurement.error,
    }


def _read(document: dict[str, Any]) -> Measurement:
    return build({**document, "started": datetime.fromisoformat(document["started"])})
