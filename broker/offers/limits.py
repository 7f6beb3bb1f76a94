"""Whether figures keep the request's limits, and which limits they would keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from broker.model import Figure, Level, Limit, Note, Placement, Request
from broker.offers.changes import Change, other_limit
from broker.offers.price import PATH_THROUGHPUT, Bill

# as many digits as a person reads
DIGITS = 6


@dataclass(frozen=True)
class Broken:
    """A limit that isn't kept: the reason, and the change with which it would be; None: no change helps."""

    limit: Limit
    note: Note
    change: Change | None


def broken(request: Request, figures: Bill | Placement, site: str) -> list[Broken]:
    """Every limit of the request that the figures of a session at `site` don't keep."""
    return [
        *_of(request.cost_limits, figures.costs, "/costs", site),
        *_of(request.metric_limits, figures.metrics, "/metrics", site),
    ]


def _of(limits: Iterable[Limit], figures: Sequence[Figure], family: str, site: str) -> list[Broken]:
    known = {figure.type: figure for figure in figures}
    found = [
        _unknown(limit, figures, family, site)
        if limit.type not in known
        else _broken(limit, known[limit.type], family, site)
        for limit in limits
        # a limit without bounds limits nothing
        if (limit.minimum, limit.maximum) != (None, None)
    ]
    return [each for each in found if each is not None]


def _unknown(limit: Limit, figures: Sequence[Figure], family: str, site: str) -> Broken | None:
    if limit.type == PATH_THROUGHPUT and family == "/metrics":
        return None  # no data crosses the network: no path can be too slow
    text = "{site} states no {type}, so its limit can't be kept: leave that limit out; stated are {known}"
    values = {"site": site, "type": limit.type, "known": ", ".join(figure.type for figure in figures)}
    note = Note("limit-unknown", text, values, Level.ERROR, limit.path or family)
    return Broken(limit, note, other_limit(f"leave the limit of {limit.type} out", limit, None))


def _broken(limit: Limit, figure: Figure, family: str, site: str) -> Broken | None:
    if limit.maximum is not None and not figure.maximum <= limit.maximum:
        text = "{site}: {type} is up to {value}, more than the limit {limit}"
        value, asked, verb, path = figure.maximum, limit.maximum, "raise", "/max"
        figure_that_does = _rounded(value, ROUND_CEILING)
        new = replace(limit, maximum=float(figure_that_does))
    elif limit.minimum is not None and not figure.minimum >= limit.minimum:
        text = "{site}: {type} may be just {value}, less than the limit {limit}"
        value, asked, verb, path = figure.minimum, limit.minimum, "lower", "/min"
        figure_that_does = _rounded(value, ROUND_FLOOR)
        new = replace(limit, minimum=float(figure_that_does))
    else:
        return None
    values = {"site": site, "type": limit.type, "value": figure_that_does, "limit": f"{asked:.{DIGITS}g}"}
    path = f"{limit.path}{path}" if limit.path else family
    if not math.isfinite(value):
        note = Note("limit-broken", text + ": leave that limit out", values, Level.ERROR, path)
        return Broken(limit, note, other_limit(f"leave the limit of {limit.type} out", limit, None))
    note = Note("limit-broken", text + ": " + verb + " the limit to {value}", values, Level.ERROR, path)
    words = f"{verb} the limit of {limit.type} to {figure_that_does}"
    return Broken(limit, note, other_limit(words, limit, new))


def _rounded(value: float, rounding: str) -> str:
    """To so many digits that a person reads, and to the side on which the limit is kept.

    Of the value as it is written: 0.0125 is a little more to a computer, and would become 0.0125001.
    """
    if not math.isfinite(value):
        return "unknown"
    digits = Context(prec=DIGITS, rounding=rounding).create_decimal(Decimal(repr(value))).normalize()
    return f"{digits:f}" if -DIGITS <= digits.adjusted() <= 2 * DIGITS else str(digits)
