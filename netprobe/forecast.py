"""What a path will carry: a distribution of achievable throughput, with where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from federation.clock import Clock
from federation.sites import Federation
from netprobe.archive import Archive
from netprobe.correction import learn
from netprobe.explain import explain
from netprobe.history import History
from netprobe.ladder import Rung, climb, round_trip, segment_bytes
from netprobe.quantiles import Quantiles
from netprobe.transfer_model import DEFAULT_MSS_BYTES
from netprobe.weights import LogSpread

__all__ = ["Forecast", "ForecastPath", "Forecaster", "Rung", "forecast_from", "from_outside"]

# Assumed for data from a host that belongs to no site: 5 to 500 Mbit/s over an ocean.
OUTSIDE = LogSpread(50e6, math.log(10), math.log(10))
OUTSIDE_RTT_SECONDS = 0.15
OUTSIDE_CORRECTION = Quantiles(1.0, 1.1, 1.5)


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
    # whether the correction's quantiles hold for the whole prediction: the rate's error is in them already
    correction_is_whole: bool = False
    # by how many times the half-widths that the rate's error adds to the seconds count, below and above
    rate_counts: tuple[float, float] = (1.0, 1.0)
    # the forecaster that the path got, None where its history is too short to choose one
    forecaster: str | None = None
    # when the path's rate last moved to another level (older tests are left out), None where it never did
    changed: datetime | None = None
    # how many times the rate of one stream several reach together
    gain: float = 1.0
    # what transfers reach (bit/s) where all tests were held down, as by a small window; None: what tests do
    freed: Quantiles | None = None

    @property
    def moving(self) -> Quantiles:
        """Bits per second of one stream that moves data."""
        return self.freed or self.bits_per_second


class ForecastPath(Protocol):
    """Anything that forecasts a path; `Forecaster` is the real one. May read the archive; never raises for a
    path that was not measured."""

    def __call__(self, source: str, destination: str) -> Forecast: ...


class Forecaster:
    """Forecasts from an archive's measurements. Blocks while it reads them, which it does again only when
    something was added; may be called from several threads."""

    def __init__(self, archive: Archive, federation: Federation, clock: Clock) -> None:
        self._archive = archive
        self._federation = federation
        self._clock = clock
        # replaced as a whole, so that a second thread sees the old one or the new one
        self._known: tuple[int, History] | None = None

    def path(self, source: str, destination: str) -> Forecast:
        """The forecast for one path (site ids); on the ladder's lowest rungs where nothing is known of it."""
        return forecast_from(self.history(), self._federation, source, destination, self._clock.now())

    __call__ = path

    def history(self) -> History:
        """What forecasts are made of, as the archive has it now."""
        version = self._archive.version()
        known = self._known
        if known is None or known[0] != version:
            history = (
                self._archive.history() if known is None else self._archive.history_after(known[1], known[0])
            )
            known = (version, history)
            self._known = known
        return known[1]


def forecast_from(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> Forecast:
    """The forecast for one path (site ids) by what `history` holds, whatever its measurements' times are."""
    evidence = climb(history, federation, source, destination, now)
    rtt = round_trip(history, federation, source, destination, now)
    correction = learn(history, federation, source, destination, evidence, now)
    words = explain(history, federation, source, destination, evidence, rtt, correction, now)
    ages = [(now - test.started).total_seconds() for test in evidence.tests]
    choice = evidence.choice
    return Forecast(
        source=source,
        destination=destination,
        bits_per_second=evidence.rate.quantiles,
        rtt_seconds=rtt.seconds,
        mss_bytes=segment_bytes(history, source, destination),
        rung=evidence.rung,
        tests=len(evidence.tests),
        newest_age_seconds=max(min(ages), 0.0) if ages else None,
        tools=tuple(sorted({test.tool for test in evidence.tests})),
        transfers=correction.transfers,
        correction=correction.ratio.quantiles,
        explanation=words,
        correction_is_whole=correction.interval is not None,
        rate_counts=correction.rate_counts,
        forecaster=choice.name if choice and choice.chosen else None,
        changed=choice.changed if choice else None,
        gain=correction.gain,
        freed=correction.freed.quantiles if correction.freed else None,
    )


def from_outside(destination: str) -> Forecast:
    """For data whose host belongs to no site of the federation: assumed, and very wide."""
    return Forecast(
        source="outside",
        destination=destination,
        bits_per_second=OUTSIDE.quantiles,
        rtt_seconds=OUTSIDE_RTT_SECONDS,
        mss_bytes=DEFAULT_MSS_BYTES,
        rung=Rung.OUTSIDE,
        tests=0,
        newest_age_seconds=None,
        tools=(),
        transfers=0,
        correction=OUTSIDE_CORRECTION,
        explanation="from outside the federation, nothing measured: 50 Mbit/s (5 to 500) assumed",
    )
