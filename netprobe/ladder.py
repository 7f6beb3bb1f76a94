"""The fallback ladder: the nearest evidence of what a path carries, each rung named and as wide as it is
wrong."""

from __future__ import annotations

import math
from datetime import datetime

from federation.sites import Federation
from netprobe.evidence import Choice, Evidence, Rung, RungError
from netprobe.history import History
from netprobe.measured import Track, measured, track, usable
from netprobe.round_trips import RoundTrip, round_trip, segment_bytes
from netprobe.rungs import SAYS, evidence
from netprobe.weights import LogSpread

__all__ = [
    "Choice",
    "Evidence",
    "RoundTrip",
    "Rung",
    "RungError",
    "Track",
    "climb",
    "measured",
    "round_trip",
    "segment_bytes",
    "track",
    "usable",
]

# Assumed of a copy within a site: 1 to 8 Gbit/s.
LOCAL = LogSpread(2e9, math.log(2), math.log(4))


def climb(history: History, federation: Federation, source: str, destination: str, now: datetime) -> Evidence:
    """The evidence on the highest rung that has any. There always is one: the last assumes."""
    if source == destination:
        return Evidence(Rung.SAME_SITE, LOCAL)
    own = measured(history, federation, source, destination, now)
    if own is not None:
        return own
    found = (evidence(history, federation, (source, destination), rung, now) for rung in SAYS)
    return next(one for one in found if one is not None)
