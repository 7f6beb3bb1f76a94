"""Why a transfer took what nobody had forecast, where the archive knows."""

from __future__ import annotations

import math

from federation.units import format_age, format_bits_per_second
from netprobe.evidence import Rung
from reports.promises.transfers import Transfer

# what else than the path's own tests a forecast may rest on
_RESTED_ON = {
    Rung.OTHER_DIRECTION: "the other direction",
    Rung.SITE_PATHS: "other paths of its sites",
    Rung.ROUND_TRIP: "paths of a similar round trip",
    Rung.DISTANCE: "the distance alone",
    Rung.OUTSIDE: "nothing: it came from outside the federation",
}
# a rate that differs by more was another one
CHANGED = math.log(1.25)
OLD_SECONDS = 86_400.0
SHORT_SECONDS = 1.0


def reason(transfer: Transfer) -> str:
    """In words, the likeliest first; empty where nothing is known, or it was inside its interval."""
    if not transfer.judged or transfer.inside:
        return ""
    slower = transfer.log_error > 0
    if transfer.rung in _RESTED_ON:
        return f"the path was not measured: the forecast rested on {_RESTED_ON[transfer.rung]}"
    if transfer.last_rate and transfer.next_rate:
        step = math.log(transfer.next_rate / transfer.last_rate)
        if abs(step) > CHANGED and (step < 0) == slower:
            before, after = map(format_bits_per_second, (transfer.last_rate, transfer.next_rate))
            return f"tests around it differ: {before} in the one before, {after} in the one after"
    if slower and transfer.beside:
        others = "another transfer" if transfer.beside == 1 else f"{transfer.beside} other transfers"
        return f"it ran beside {others} of its sites"
    age = transfer.tests_age_seconds or transfer.last_age_seconds
    if age is not None and age > OLD_SECONDS:
        return f"the newest test was {format_age(age)} old"
    if transfer.seconds < SHORT_SECONDS:
        return "it was short: to connect weighs more than the rate"
    return ""
