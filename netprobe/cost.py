"""What moving data costs: from sizes and forecasts to seconds, as quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netprobe.forecast import Forecast
from netprobe.quantiles import Quantiles


@dataclass(frozen=True)
class Item:
    """A file to bring somewhere. `replicas` are (url, site id or None where no site is known to hold it)."""

    key: str
    size_bytes: int
    replicas: Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Move:
    """One file over one path. `source` None: from outside the federation, where nothing was measured."""

    key: str
    url: str
    source: str | None
    destination: str
    size_bytes: int
    seconds: Quantiles
    forecast: Forecast


@dataclass(frozen=True)
class Staging:
    """Everything moved to one site for one session, one file after the other; `seconds` is of the whole."""

    destination: str
    moves: tuple[Move, ...]
    seconds: Quantiles
    size_bytes: int
