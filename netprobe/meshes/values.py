"""Reading documents of which nothing may be taken for granted: each reader gives the value, or None."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from federation.errors import one_line

_ISO = re.compile(
    r"(-?)P(?!$)(?:(\d{1,9}(?:\.\d{1,12})?)W)?(?:(\d{1,9}(?:\.\d{1,12})?)D)?"
    r"(?:T(?=\d)(?:(\d{1,9}(?:\.\d{1,12})?)H)?(?:(\d{1,9}(?:\.\d{1,12})?)M)?(?:(\d{1,12}(?:\.\d{1,12})?)S)?)?",
    re.ASCII,
)
_ISO_SECONDS = (604_800.0, 86_400.0, 3600.0, 60.0, 1.0)
# deeper than any document of a measurement; what is nested further is cut off
_DEPTH = 40


def mapping(document: Any, *keys: str) -> Mapping[str, Any]:
    """The object at the end of `keys`, empty where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """The list, empty where it is none."""
    return value if isinstance(value, list) else ()


def number(value: Any) -> float | None:
    """A finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> float | None:
    """A number that isn't less than nothing."""
    found = number(value)
    return None if found is None or found < 0 else found


def seconds(value: Any) -> float | None:
    """Seconds: a number, or an ISO 8601 duration without years and months ("PT0.000035S", "P0D")."""
    if not isinstance(value, str):
        return number(value)
    match = _ISO.fullmatch(value)
    if match is None:
        return None
    total = sum(
        float(part) * unit for part, unit in zip(match.groups()[1:], _ISO_SECONDS, strict=True) if part
    )
    return -total if match[1] else total


def text(value: Any) -> str | None:
    """Text in one line, without what no database takes; None where nothing is left."""
    if not isinstance(value, str):
        return None
    return one_line(_storable(value)) or None


def instant(value: Any) -> datetime | None:
    """An ISO 8601 instant in UTC; one without an offset is taken for UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def address(value: Any) -> str | None:
    """An IP address as it is usually written; None for anything else, names too."""
    if not isinstance(value, str):
        return None
    try:
        return str(ipaddress.ip_address(value.strip("[]").partition("%")[0]))
    except ValueError:
        return None


def version_of(ip: str | None) -> int | None:
    """4 or 6."""
    return None if ip is None else ipaddress.ip_address(ip).version


def storable(value: Any, depth: int = _DEPTH) -> Any:
    """The JSON value as every database takes it: finite numbers, no NUL, no halves of surrogates."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping | list) and depth == 0:
        return None
    if isinstance(value, Mapping):
        return {_storable(str(key)): storable(part, depth - 1) for key, part in value.items()}
    if isinstance(value, list):
        return [storable(part, depth - 1) for part in value]
    return value


def _storable(value: str) -> str:
    return value.replace("\0", "").encode("utf-8", "replace").decode()
