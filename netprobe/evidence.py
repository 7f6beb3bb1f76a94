"""What a forecast of a path's rate rests on: on which rung of the ladder, which tests, whose errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from netprobe.conformal import Interval
from netprobe.likeness import PLAIN, Sort
from netprobe.measurement import Measurement
from netprobe.walk import LEAST_SCORED
from netprobe.weights import LogSpread


class Rung(StrEnum):
    """The ladder: how near to the path itself the evidence is."""

    SAME_SITE = "same-site"  # source and destination are one site: nothing crosses the network
    MEASURED = "measured"
    OTHER_DIRECTION = "other-direction"
    SITE_PATHS = "site-paths"  # other paths of the same two sites
    ROUND_TRIP = "round-trip"  # peers at a similar round-trip time
    DISTANCE = "distance"  # great-circle distance alone
    OUTSIDE = "outside"  # one end is no site of the federation: assumed


@dataclass(frozen=True)
class Choice:
    """The forecaster that a path got: its name, its mean error (natural logarithm) over `scored` past
    forecasts, and when the path's present level began (None: it always was)."""

    name: str
    error: float
    scored: int
    changed: datetime | None

    @property
    def chosen(self) -> bool:
        """Whether the history was long enough to choose."""
        return self.scored >= LEAST_SCORED


@dataclass(frozen=True)
class RungError:
    """How wrong a rung is: the quantiles of actual / said over the federation's measured paths, each said by
    that rung as if it had not been measured. `pairs`: how many pairs of sites these paths join."""

    ratio: LogSpread
    paths: int
    pairs: int


@dataclass(frozen=True)
class Evidence:
    """What is known of a path's rate (bit/s): on which rung, from which tests, of how many paths."""

    rung: Rung
    rate: LogSpread
    tests: tuple[Measurement, ...] = ()
    paths: int = 0
    # of a measured path: how it was forecast, and whose errors made the interval (None: too few anywhere)
    choice: Choice | None = None
    interval: Interval | None = None
    # half-width (natural logarithm) that the age of the newest test adds
    drift: float = 0.0
    # below "measured": how wrong the rung is where it can be checked; None where no path is measured
    error: RungError | None = None
    # tests dated in the future: left out, or taken as new where there are no others
    ahead: int = 0
    # of a measured path: how its tests were made; how many that were made otherwise are left out, and whether
    # the newest of those stand in for them
    sort: Sort = PLAIN
    unlike: int = 0
    stand_in: bool = False
