"""Bringing a session's data to its site, with what was forecast kept beside what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from broker.model import DataItem, Level, Note
from broker.platforms import Platform
from broker.platforms import Progress as Moved
from broker.platforms.staging import OUTSIDE
from broker.sessions.limits import within
from federation.clock import Clock
from federation.units import format_seconds, format_size
from netprobe.cost import Group, Staging, grouped
from netprobe.measurement import Measurement

# a transfer may take so many times its forecast (90 %), and this many seconds in any case
PATIENCE = 10.0
LEAST_LIMIT = 900.0


async def stage(
    clock: Clock, platform: Platform, job_id: str, data: Sequence[DataItem], staging: Staging, progress: Moved
) -> tuple[Mapping[str, Path], list[tuple[Measurement, Note]]]:
    """Where each item lies at the site, by uuid; and for each path that some crossed, the measurement and a
    note of it.

    Raises PlatformError.
    """
    items = {item.uuid: item for item in data}
    wanted = [(items[move.key], move) for move in staging.moves]
    if not wanted:
        return {}, []
    limit = max(PATIENCE * staging.seconds.p90, LEAST_LIMIT)
    what = wanted[0][0].name if len(wanted) == 1 else f"{len(wanted)} files"
    staged = await within(clock, limit, f"moving {what}", platform.stage(job_id, wanted, progress))
    groups = {group.source or OUTSIDE: group for group in staging.groups or grouped(staging.moves)}
    moved = [with_prediction(one, groups.get(one.source)) for one in staged.measurements]
    return staged.paths, [(one, _moved_note(one, items, staging)) for one in moved]


def with_prediction(measurement: Measurement, group: Group | None) -> Measurement:
    """The measurement with what had been forecast for it, so that the next forecast can learn from it; as it
    is where it has that, or not all of the group was moved."""
    figures = measurement.figures
    if group is None or figures.get("files") != group.files:
        return measurement
    seconds = group.seconds
    predicted = {
        "predicted_seconds": seconds.p50,
        "predicted_seconds_p10": seconds.p10,
        "predicted_seconds_p90": seconds.p90,
    }
    return replace(measurement, figures={**predicted, **figures})


def _moved_note(measurement: Measurement, items: Mapping[str, DataItem], staging: Staging) -> Note:
    figures = measurement.figures
    seconds = figures.get("seconds", measurement.seconds)
    outside = measurement.source == OUTSIDE
    keys = [move.key for move in staging.moves if (move.source or OUTSIDE) == measurement.source]
    values = {
        "name": items[keys[0]].name if len(keys) == 1 else f"{figures.get('files', 1.0):.0f} files",
        "size": format_size(figures.get("size_bytes", 0.0)),
        "source": "outside the federation" if outside else measurement.source,
        "destination": measurement.destination,
        "seconds": f"{seconds:.3f}",
        "actual": format_seconds(seconds),
    }
    text = "{name} ({size}) moved from {source} to {destination} in {actual}"
    if "predicted_seconds" in figures:
        values |= {
            "predicted_seconds": f"{figures['predicted_seconds']:.3f}",
            "p10": format_seconds(figures["predicted_seconds_p10"]),
            "p50": format_seconds(figures["predicted_seconds"]),
            "p90": format_seconds(figures["predicted_seconds_p90"]),
        }
        text += "; the forecast was {p50} ({p10} to {p90}, 10 to 90 %)"
    return Note("moved", text, values, Level.INFO)
