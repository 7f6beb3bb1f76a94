"""A measurement as a row of the archive, and back: the one place that builds a `Measurement` from fields."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

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
_KINDS = {kind.value: kind for kind in Kind}
_ORIGINS = {origin.value: origin for origin in Origin}
# ten times as fast as the standard library's, and as exact: also with integers of any size
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


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


def built(values: Sequence[Any]) -> Measurement:
    """The measurement of a row of the archive: its number, then the values of `COLUMNS` as `row` has them, of
    which the last, `raw`, may be left out."""
    context, raw = values[14], values[16] if len(values) > 16 else None
    started = values[5]
    return Measurement(
        _KINDS[values[2]],
        values[3],
        values[4],
        # text in SQLite
        datetime.fromisoformat(f"{started}+00:00") if isinstance(started, str) else started.astimezone(UTC),
        values[6],
        values[7],
        _ORIGINS[values[8]],
        json_value(values[9]),
        json_value(values[10]),
        values[11],
        values[12],
        values[13],
        {} if context is None else json_value(context),
        values[15],
        None if raw is None else json_value(raw),
        values[1],
    )


def row(
    measurement: Measurement, instant: Callable[[datetime], Any], nothing: str | None = None
) -> tuple[Any, ...]:
    """The values of `COLUMNS`: objects as JSON text, the time as `instant` makes it of one in UTC.

    `nothing` is what an empty context becomes.
    """
    started, error = measurement.started, measurement.error
    figures, parameters = measurement.figures, measurement.parameters
    context, raw = measurement.context, measurement.raw
    return (
        measurement.id,
        measurement.kind.value,
        measurement.source,
        measurement.destination,
        instant(started if started.tzinfo is UTC else started.astimezone(UTC)),
        measurement.seconds,
        measurement.tool,
        measurement.origin.value,
        _figures(figures) if figures else "{}",
        json_text(parameters) if parameters else "{}",
        measurement.source_address,
        measurement.destination_address,
        _storable(error) if error else error,
        json_text(context) if context else nothing,
        measurement.archive,
        None if raw is None else json_text(raw),
    )


def json_text(document: Mapping[str, Any]) -> str:
    """`document` as JSON, which has no infinity and no NaN: null stands in their place."""
    try:
        return _encode(document).decode()
    except (TypeError, ValueError, RecursionError):
        # another Mapping than a dict, numbers and keys of other libraries, half of a surrogate pair
        return json.dumps(_finite(document), separators=(",", ":"), allow_nan=False)


def json_value(text: str) -> Any:
    """What `json_text` made a text of. ValueError, TypeError or RecursionError where the text is no JSON."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # half of a surrogate pair, which is escaped
        return json.loads(text, parse_constant=_no_constant)


def _storable(text: str) -> str:
    """A tool may say anything; a database's text has no NUL and no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _figures(figures: Mapping[str, float]) -> str:
    """A figure that isn't a number was not measured."""
    text = json_text(figures)
    if "null" not in text:
        return text
    return json_text({name: value for name, value in figures.items() if math.isfinite(value)})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


# The texts of a row: name -> (may be nothing, as many characters at most as the archive's column has).
_TEXTS = {
    "id": (False, 64),
    "source": (False, 64),
    "destination": (False, 64),
    "tool": (False, 64),
    "source_address": (True, 255),
    "destination_address": (True, 255),
    "error": (True, None),
    "archive": (True, 255),
}


def checked(fields: Mapping[str, Any]) -> Measurement:
    """The measurement of a row that somebody else may have written: objects as JSON text, `started` a time or
    text (ISO 8601, with an offset), `seconds` a number or text.

    ValueError, with the name of the field and what was expected, where it isn't one.
    """
    typed = dict(fields)
    for name, (may_be_nothing, longest) in _TEXTS.items():
        _check_text(name, fields[name], may_be_nothing, longest)
    for name in ("figures", "parameters", "context"):
        typed[name] = _object(name, fields[name])
    typed["raw"] = None if fields["raw"] is None else _object("raw", fields["raw"])
    for name, value in typed["figures"].items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"figures: {name}: expected a number, got {value!r:.40}")
    typed["started"] = _instant(fields["started"])
    typed["seconds"] = _seconds(fields["seconds"])
    for name, allowed in (("kind", Kind), ("origin", Origin)):
        if fields[name] not in list(allowed):
            raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {fields[name]!r:.40}")
    return build(typed)


def _check_text(name: str, value: Any, may_be_nothing: bool, longest: int | None) -> None:
    if value is None and may_be_nothing:
        return
    if not isinstance(value, str) or (not value and not may_be_nothing):
        raise ValueError(f"{name}: expected text, got {value!r:.40}")
    if longest is not None and len(value) > longest:
        raise ValueError(f"{name}: expected {longest} characters at most, got {len(value)}")
    if "\0" in value:
        raise ValueError(f"{name}: expected text without NUL")


def _object(name: str, value: Any) -> dict[str, Any]:
    try:
        found = json_value(value)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected a JSON object, got {value!r:.40}")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _instant(value: Any) -> datetime:
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError("no offset")
        return found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(
            f"started: expected a time with an offset (ISO 8601), got {str(value)!r:.40}"
        ) from None


def _seconds(value: Any) -> float:
    try:
        found = float(value)
    except (ValueError, TypeError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"seconds: expected a number, got {value!r:.40}")
    return found
