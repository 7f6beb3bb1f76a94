"""What differs between releases in Slurm's JSON, of slurmrestd and of its commands alike.

Numbers are plain or {"set", "infinite", "number"}, states a text or a list, with flags in it or beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def of(document: Any, *keys: str) -> Any:
    """What stands at a path of keys; None where something on the way is missing or no object."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def number(value: Any) -> int | None:
    """A number of any release; None where it is not set, or has no limit."""
    if isinstance(value, Mapping):
        usable = value.get("set", True) and not value.get("infinite", False)
        value = value.get("number") if usable else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def instant(value: Any) -> datetime | None:
    """Seconds since 1970; None for those that Slurm doesn't know."""
    seconds = number(value)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        return None


def words(*values: Any) -> tuple[str, ...]:
    """States and flags, which are texts or lists of them, in capitals and each once."""
    found: list[str] = []
    for value in values:
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each:
                found.append(each.upper())
    return tuple(dict.fromkeys(found))


def text(value: Any) -> str | None:
    """A text, or a list of them as Slurm's commands join it; None for an empty one, and for no text."""
    if isinstance(value, list):
        value = ",".join(str(each) for each in value)
    return str(value) if value not in (None, "") else None
