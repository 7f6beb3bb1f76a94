"""What forecasts learn from a session's server: how long its data took to come, from each source."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netprobe.measurement import Measurement
from netprobe.mover_http import shown
from netprobe.tools.transfer import Moved, group_measurement

_NAMES = uuid.UUID("18336e04-18d0-5a9c-b5ad-ac44c30d1050")


@dataclass(frozen=True)
class Came:
    """The data of a session as its server fetched it from `began` on: the bytes of each file, in their order,
    and the seconds that all files of a source took together."""

    began: datetime
    sizes: tuple[int, ...]
    seconds: Mapping[str, float]


def came_of(report: Mapping[str, Any], asked: datetime, now: datetime) -> Came | None:
    """What a report says of it; None where that can't be. The server was asked for when it was `asked`, so
    nothing of it was before, nor took longer than since then."""
    said = report.get("came")
    if not isinstance(said, dict):
        return None
    began, sizes, seconds = (said.get(name) for name in ("began", "sizes", "seconds"))
    if not isinstance(began, int | float) or not isinstance(sizes, list) or not isinstance(seconds, dict):
        return None
    if not all(isinstance(size, int) and size >= 0 for size in sizes):
        return None
    if not seconds or not all(_took(each, asked, now) for each in seconds.values()):
        return None
    # a server that has just booted may not know what time it is
    at = began if asked.timestamp() <= began <= now.timestamp() else asked.timestamp()
    took = {name: float(each) for name, each in seconds.items()}
    return Came(datetime.fromtimestamp(at, UTC), tuple(sizes), took)


def pulled_of(report: Mapping[str, Any], asked: datetime, now: datetime) -> float | None:
    """The seconds that its image took, 0: it was there; None where it doesn't say so, or that can't be."""
    said: Any = report.get("pulled")
    if said == 0 and not isinstance(said, bool):
        return 0.0
    return float(said) if _took(said, asked, now) else None


def measurements(
    came: Came, files: Sequence[Mapping[str, Any]], server_id: str, site_id: str
) -> tuple[Measurement, ...]:
    """One for each source, always of the same id; none where that isn't what the server was told to fetch.

    `files` are the session's, as `netprobe.mover_file.File` has them.
    """
    groups: dict[str, list[Moved]] = {}
    if len(files) != len(came.sizes) or {file["group"] for file in files} != set(came.seconds):
        return ()
    for file, size in zip(files, came.sizes, strict=True):
        if file["size_bytes"] not in (None, size):
            return ()
        sha256 = str(file["checksum"] or "").rpartition(":")[2]
        seconds = came.seconds[file["group"]]
        moved = Moved(shown(file["url"]), Path(file["path"]), size, sha256, seconds, None, None, {})
        groups.setdefault(file["group"], []).append(moved)
    return tuple(
        _named(group_measurement(moved, came.seconds[source], source, site_id, came.began), server_id)
        for source, moved in groups.items()
    )


def _named(found: Measurement, server_id: str) -> Measurement:
    name = str(uuid.uuid5(_NAMES, f"{server_id}/{found.source}"))
    known = {key: value for key, value in found.parameters.items() if value}
    return replace(found, id=name, parameters=known, raw=None)


def _took(seconds: Any, asked: datetime, now: datetime) -> bool:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return 0 < seconds <= (now - asked).total_seconds()
