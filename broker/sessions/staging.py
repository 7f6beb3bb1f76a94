"""Bringing a session's data to its site, with what was forecast kept beside what it took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from broker.model import DataItem, Level, Note
from broker.platforms import Platform
from broker.platforms import Progress as Moved
from broker.platforms.staging import OUTSIDE
from broker.sessions.limits import within
from broker.sessions.unpacking import where
from federation.clock import Clock
from federation.units import format_seconds, format_size
from netprobe.cost import Group, Move, Staging, grouped
from netprobe.forecast import Forecast
from netprobe.measurement import Measurement

# the files of an item, with the move of each
Unpack = Callable[[DataItem, Move], Sequence[tuple[DataItem, Move]]]
# a transfer may take so many times its forecast (90 %), and this many seconds in any case
PATIENCE = 10.0
LEAST_LIMIT = 900.0


async def stage(
    clock: Clock,
    platform: Platform,
    job_id: str,
    data: Sequence[DataItem],
    staging: Staging,
    unpack: Unpack,
    progress: Moved,
) -> tuple[Mapping[str, Path], list[tuple[Measurement, Note]]]:
    """Where each item lies at the site, by uuid; and for each path that some crossed, the measurement and a
    note of it.

    Raises PlatformError.
    """
    items = {item.uuid: item for item in data}
    if not staging.moves:
        return {}, []
    wanted = await asyncio.to_thread(
        lambda: [each for move in _each_item(staging) for each in unpack(items[move.key], move)]
    )
    limit = max(PATIENCE * staging.seconds.p90, LEAST_LIMIT)
    what = wanted[0][0].name if len(wanted) == 1 else f"{len(wanted)} files"
    staged = await within(clock, limit, f"moving {what}", platform.stage(job_id, wanted, progress))
    return where(wanted, staged.paths), told(staged.measurements, data, staging)


def told(
    measurements: Sequence[Measurement], data: Sequence[DataItem], staging: Staging
) -> list[tuple[Measurement, Note]]:
    """Each with what had been forecast for it, and a note of both."""
    items = {item.uuid: item for item in data}
    groups = {group.source or OUTSIDE: group for group in staging.groups or grouped(staging.moves)}
    # of one path there is one forecast
    forecasts = {move.source or OUTSIDE: move.forecast for move in staging.moves}
    moved = [with_prediction(one, groups.get(one.source), forecasts.get(one.source)) for one in measurements]
    return [(one, _moved_note(one, items, staging)) for one in moved]


def _each_item(staging: Staging) -> list[Move]:
    """One move for each item: the files of one that comes in parts are asked for once."""
    return list({move.key: move for move in staging.moves}.values())


def with_prediction(
    measurement: Measurement, group: Group | None, forecast: Forecast | None = None
) -> Measurement:
    """The measurement with what had been forecast for it, so that the next forecast can learn from it; as it
    is where it has that, or not all of the group was moved. What the forecast rested on is in its context."""
    figures = measurement.figures
    if group is None or figures.get("files") != group.files:
        return measurement
    seconds = group.seconds
    predicted = {
        "predicted_seconds": seconds.p50,
        "predicted_seconds_p10": seconds.p10,
        "predicted_seconds_p90": seconds.p90,
    }
    if forecast is None:
        return replace(measurement, figures={**predicted, **figures})
    grounds = {
        "rung": forecast.rung.value,
        "tests": forecast.tests,
        "newest_age_seconds": forecast.newest_age_seconds,
        "transfers": forecast.transfers,
    }
    context = {**measurement.context, "forecast": grounds}
    return replace(measurement, figures={**predicted, **figures}, context=context)


def _named(names: Sequence[str], files: int) -> str:
    if len(names) != 1:
        return f"{files} files"
    return names[0] if files == 1 else f"{names[0]} ({files} files)"


def _moved_note(measurement: Measurement, items: Mapping[str, DataItem], staging: Staging) -> Note:
    figures = measurement.figures
    seconds = figures.get("seconds", measurement.seconds)
    outside = measurement.source == OUTSIDE
    here = [move.key for move in staging.moves if (move.source or OUTSIDE) == measurement.source]
    keys = list(dict.fromkeys(here))
    values = {
        "name": _named([items[key].name for key in keys], int(figures.get("files", 1))),
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
