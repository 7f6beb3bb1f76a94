"""How long moving data takes, for people: as a heat map and as a table."""

from __future__ import annotations

from statistics import median
from typing import Any

import pandas as pd

from federation.units import format_size
from reports.document import Column, Picture, Section, Table
from reports.network.maps import CIVIDIS, Scale, Spot, heat_map
from reports.network.model import Network, State
from reports.network.moving import WEEK_SECONDS, Moves, Moving
from reports.network.tables import count

# Of so many sites maps are small.
SMALL = 8
_UNITS = ((365.25 * 86_400, "y"), (86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_GIB = 2**30


def over_a_week(moves: Moves) -> list[Moving]:
    """The paths on which the largest size usually takes more than a week, as far as they were measured."""
    return [one for one in moves.paths.values() if one.measured and one.seconds[-1].p50 > WEEK_SECONDS]


def section(network: Network, moves: Moves) -> Section:
    """What the network means: the largest size as a heat map, all sizes as a table."""
    largest = format_size(moves.sizes[-1])
    known = sum(one.measured for one in moves.paths.values())
    slow = len(over_a_week(moves))
    text = [
        f"{largest} usually takes more than a week on {slow:,} of the {known:,} paths that were measured."
        if known
        else "No path's throughput was measured: all of these are guesses from round trips and distances.",
        "These are the forecasts by which the broker ranks offers: of the path's own tests (the newest "
        f"{moves.tests} of each path), cleared of slow start, through the model of a transfer with what real "
        "transfers taught. Assumed: one file of that size, one TCP stream, nothing else on the way, and "
        "disks that keep up. A path that wasn't measured is forecast from others, which its row names.",
    ]
    return Section(
        "How long moving data takes",
        tuple(text),
        (_map(network, moves),),
        (table(network, moves), *([price_table(network, moves)] if moves.prices else [])),
        # beside a small map there is room for more
        new_page=len(network.sites) > SMALL,
    )


def _map(network: Network, moves: Moves) -> Picture:
    # classes are round in the unit that fits most of them
    usual = median([one.seconds[-1].p50 for one in moves.paths.values()])
    unit, letter = next((one for one in _UNITS if usual >= 2 * one[0]), _UNITS[-1])

    def spot(one: Moving) -> Spot:
        last = one.seconds[-1]
        words = f"{network.path(one.ends)}: {span(last.p50)} ({span(last.p10)} to {span(last.p90)})"
        if not one.measured:
            return Spot(None, State.MISSING, f"{words}, not measured: by {one.rung.value}")
        return Spot(last.p50 / unit, State.MEASURED, words, last.p50 > WEEK_SECONDS)

    scale = Scale(
        lambda value: f"{value:g} {letter}",
        lambda value: span(value * unit).replace(" min", "m").replace(" ", ""),
        CIVIDIS,
        "more than a week",
        {State.MISSING: "not measured"},
    )
    title = f"Time to move {format_size(moves.sizes[-1])}, usually"
    spots = {ends: spot(one) for ends, one in moves.paths.items()}
    return heat_map(title, network.sites, network.name, spots, scale)


def table(network: Network, moves: Moves) -> Table:
    """Hours of every path and size, the slowest first."""
    rows = []
    for one in moves.paths.values():
        row: dict[str, Any] = {
            "path": network.path(one.ends),
            "source": one.source,
            "destination": one.destination,
        }
        for size, seconds in zip(moves.sizes, one.seconds, strict=True):
            for quantile in ("p10", "p50", "p90"):
                row[f"{size}_bytes_seconds_{quantile}"] = getattr(seconds, quantile)
        last = one.seconds[-1]
        row |= {
            "over_a_week": _over_a_week(last.p50, last.p90),
            "rests_on": one.rung.value,
            "tests": one.tests,
            "newest_age_seconds": one.age_seconds,
            "transfers": one.transfers,
        }
        rows.append(row)
    largest = f"{moves.sizes[-1]}_bytes_seconds_p50"
    rows.sort(key=lambda row: (-row[largest], row["source"], row["destination"]))
    times = [
        Column(f"{size}_bytes_seconds_{quantile}", head, span, numeric=True)
        for size in moves.sizes
        for quantile, head in (("p50", format_size(size)), ("p10", "at best"), ("p90", "at worst"))
    ]
    return Table(
        "moving",
        "How long each size takes: usually, and in the quickest and the slowest tenth of cases",
        pd.DataFrame(rows),
        (
            Column("path", "path"),
            *times,
            Column("over_a_week", "over a week"),
            Column("rests_on", "rests on"),
            Column("tests", "tests", count, numeric=True),
        ),
        "The slowest first. At best and at worst: one in ten is quicker, one in ten slower. Over a week: "
        f"{format_size(moves.sizes[-1])} usually; may be: the slowest tenth.",
        printed=30,
    )


def price_table(network: Network, moves: Moves) -> Table:
    """What each site charges for data that is brought to it, the dearest first."""
    rows: list[dict[str, Any]] = [
        {
            "name": network.name(site),
            "site": site,
            "per_gib": moves.prices.get(site, 0.0),
            **{f"{size}_bytes_price": moves.prices.get(site, 0.0) * size / _GIB for size in moves.sizes},
        }
        for site in network.sites
    ]
    rows.sort(key=lambda row: (-row["per_gib"], row["site"]))
    return Table(
        "prices",
        "What it costs to bring data to a site",
        pd.DataFrame(rows),
        (
            Column("name", "to"),
            *(
                Column(f"{size}_bytes_price", format_size(size), lambda price: f"{price:,.2f}", numeric=True)
                for size in moves.sizes
            ),
        ),
        "By the sites' tariffs, in the federation's own currency, from wherever it comes.",
    )


def _over_a_week(middle: float, late: float) -> str:
    return "yes" if middle > WEEK_SECONDS else "may be" if late > WEEK_SECONDS else "no"


def span(seconds: float) -> str:
    """A time in one unit, two digits: "34 min", "5.2 h", "12 d", "4.6 y"."""
    for unit, name in _UNITS[:-1]:
        if seconds >= 1.995 * unit or (unit == 60 and seconds >= 60):
            value = seconds / unit
            return f"{value:,.{0 if value >= 9.95 else 1}f} {name}"
    return f"{seconds:.0f} s"
