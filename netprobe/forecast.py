"""What a path will carry: a distribution of achievable throughput, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from netprobe.quantiles import Quantiles


class Rung(StrEnum):
    """The ladder: how near to the path itself the evidence is. Each rung down is wider than the one above."""

    SAME_SITE = "same-site"  # source and destination are one site: nothing crosses the network
    MEASURED = "measured"
    OTHER_DIRECTION = "other-direction"
    SITE_PATHS = "site-paths"  # other paths of the same two sites
    ROUND_TRIP = "round-trip"  # peers at a similar round-trip time
    DISTANCE = "distance"  # great-circle distance alone


@dataclass(frozen=True)
class Forecast:
    """Achievable throughput from `source` to `destination` (site ids), for one bulk TCP stream."""

    source: str
    destination: str
    bits_per_second: Quantiles
    rtt_seconds: float
    mss_bytes: float
    rung: Rung
    # throughput tests behind it, the age of the newest in seconds (None: none), and the tools that made them
    tests: int
    newest_age_seconds: float | None
    tools: tuple[str, ...]
    # real transfers on this path that corrected the forecast, and the ratio actual / predicted seconds learnt
    transfers: int
    correction: Quantiles
    # one sentence with figures that a person can check
    explanation: str


class ForecastPath(Protocol):
    """Anything that forecasts a path; `Forecaster` is the real one. May read the archive; never raises for a
    path that was not measured."""

    def __call__(self, source: str, destination: str) -> Forecast: ...
