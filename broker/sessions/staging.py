"""Bringing one data item to a session's site, with what was forecast kept beside what it took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from broker.model import DataItem, Level, Note
from broker.platforms import Platform, Progress
from broker.sessions.limits import within
from federation.clock import Clock
from federation.units import format_seconds, format_size
from netprobe.cost import Move
from netprobe.measurement import Measurement

# a transfer may take so many times its forecast (90 %), and this many seconds in any case
PATIENCE = 10.0
LEAST_LIMIT = 900.0


async def stage(
    clock: Clock, platform: Platform, job_id: str, item: DataItem, move: Move, progress: Progress
) -> tuple[Path, tuple[Measurement, Note] | None]:
    """Where the item lies at the site; and, where it crossed a network, the measurement and a note of it.

    Raises PlatformError.
    """
    limit = max(PATIENCE * move.seconds.p90, LEAST_LIMIT)
    work = platform.stage(job_id, item, move, progress)
    path, measurement = await within(clock, limit, f"moving {item.name}", work)
    if measurement is None:
        return path, None
    return path, (with_prediction(measurement, move), _moved_note(item, move, measurement))


def with_prediction(measurement: Measurement, move: Move) -> Measurement:
    """The measurement with what had been forecast for it, so that the next forecast can learn from it."""
    predicted = {
        "predicted_seconds": move.seconds.p50,
        "predicted_seconds_p10": move.seconds.p10,
        "predicted_seconds_p90": move.seconds.p90,
    }
    return replace(measurement, figures={**predicted, **measurement.figures})


def _moved_note(item: DataItem, move: Move, measurement: Measurement) -> Note:
    seconds = measurement.figures.get("seconds", measurement.seconds)
    values = {
        "name": item.name,
        "size": format_size(measurement.figures.get("size_bytes", move.size_bytes)),
        "source": move.source or "outside the federation",
        "destination": move.destination,
        "seconds": f"{seconds:.3f}",
        "actual": format_seconds(seconds),
        "predicted_seconds": f"{move.seconds.p50:.3f}",
        "p10": format_seconds(move.seconds.p10),
        "p50": format_seconds(move.seconds.p50),
        "p90": format_seconds(move.seconds.p90),
    }
    text = (
        "{name} ({size}) moved from {source} to {destination} in {actual}; "
        "the forecast was {p50} ({p10} to {p90}, 10 to 90 %)"
    )
    return Note("moved", text, values, Level.INFO)
