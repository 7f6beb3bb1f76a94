"""Forecasts of the past: what would have been said of a test or a transfer by what was known before it."""

from __future__ import annotations

from dataclasses import dataclass

from federation.sites import Federation
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measured import levels, track
from netprobe.measurement import Measurement
from netprobe.quantiles import Quantiles
from netprobe.round_trips import round_trip
from netprobe.weights import combine


@dataclass(frozen=True)
class Replayed:
    """What a path's own history said of one of its measurements just before it. Other paths are not looked
    at."""

    measurement: Measurement
    forecast: Forecast
    # what the forecast rested on
    known: History

    def rate(self, federation: Federation) -> Quantiles:
        """What was forecast of the rate (bit/s, after slow start) of a test: the path's, and where the test
        was made otherwise than transfers are, by how far such tests were off until then."""
        test, path = self.measurement, (self.measurement.source, self.measurement.destination)
        found = track(self.known, federation, *path, test.started)
        trip = round_trip(self.known, federation, *path, test.started)
        off = found.offset(test, trip.seconds) if found else None
        said = self.forecast.bits_per_second
        return said if off is None else combine(said, off.quantiles)

    def levels(self, federation: Federation, *tests: Measurement) -> list[float]:
        """Natural logarithms of the rates of the path's tests after slow start: what `rate` is of, and so
        what it is held against."""
        return list(levels(self.known, federation, tests, self.measurement.started))


def replay(whole: History, federation: Federation, measurement: Measurement) -> Replayed:
    """The forecast for `measurement` at the moment at which it began. Some ten milliseconds of processor."""
    path = measurement.source, measurement.destination
    known = whole.before(measurement.started, path)
    return Replayed(measurement, forecast_from(known, federation, *path, measurement.started), known)
