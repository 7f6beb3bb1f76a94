"""A measurement as a row of the archive, and back: the one place that builds a `Measurement` from fields."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from netprobe.measurement import Kind, Measurement, Origin

# The columns of a row, in the order of `row`.
COLUMNS = (
    "id",
    "kind",
    "source",
    "destination",
    "started",
    "seconds",
    "tool",
    "origin",
    "figures",
    "parameters",
    "source_address",
    "destination_address",
    "error",
    "context",
    "archive",
    "raw",
)
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def build(fields: Mapping[str, Any]) -> Measurement:
    """The measurement with these fields, typed as `Measurement` has them but for kind and origin, which may
    be text. What may be left out of a `Measurement` may be left out here, all but the id.

    KeyError where a field is missing, ValueError for a kind or origin that there isn't.
    """
    return Measurement(
        kind=Kind(fields["kind"]),
        source=fields["source"],
        destination=fields["destination"],
        started=fields["started"],
        seconds=fields["seconds"],
        tool=fields["tool"],
        origin=Origin(fields["origin"]),
        figures=fields["figures"],
        parameters=fields["parameters"],
        source_address=fields.get("source_address"),
        destination_address=fields.get("destination_address"),
        error=fields.get("error"),
        context=fields.get("context") or {},
        archive=fields.get("archive"),
        raw=fields.get("raw"),
        id=fields["id"],
    )


def row(
    measurement: Measurement, instant: Callable[[datetime], Any], nothing: str | None = None
) -> tuple[Any, ...]:
    """The values of `COLUMNS`: objects as JSON text, the time as `instant` makes it of one in UTC.

    `nothing` is what an empty context becomes.
    """
    context, raw = measurement.context, measurement.raw
    return (
        measurement.id,
        measurement.kind.value,
        measurement.source,
        measurement.destination,
        instant(measurement.started.astimezone(UTC)),
        measurement.seconds,
        measurement.tool,
        measurement.origin.value,
        _figures(measurement.figures),
        json_text(measurement.parameters) if measurement.parameters else "{}",
        measurement.source_address,
        measurement.destination_address,
        # neither database's text may hold NUL everywhere; tools' messages may
        measurement.error.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if measurement.error
        else measurement.error,
        json_text(context) if context else nothing,
        measurement.archive,
        None if raw is None else json_text(raw),
    )


def json_text(document: Mapping[str, Any]) -> str:
    """`document` as JSON, which has no infinity and no NaN: null stands in their place."""
    try:
        return _encode(dict(document))
    except ValueError:
        return _encode(_finite(dict(document)))


def _figures(figures: Mapping[str, float]) -> str:
    """A figure that isn't a number was not measured."""
    try:
        return _encode(dict(figures))
    except ValueError:
        return _encode({name: value for name, value in figures.items() if math.isfinite(value)})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
