"""What forecasts of transfers were worth, as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.colours import INK, PALE, TRACK
from reports.document import BAD, COLD, GOOD, Picture
from reports.drawing import drawing
from reports.promises import scoring
from reports.promises.accuracy_tables import below
from reports.promises.axes import dated, in_seconds
from reports.promises.backtest import evenly
from reports.promises.transfers import Transfer

# more dots are a blot, and a large file; more intervals hide the dots
MOST_DOTS, MOST_INTERVALS = 1500, 150
LABELLED = 3


def against(transfers: Sequence[Transfer]) -> Picture:
    """Forecast and actual seconds of `judged` transfers, on the same logarithmic scale."""
    some = evenly(transfers, MOST_DOTS)
    with drawing(4.7, 4.6) as sheet:
        axes = sheet.axes()
        said = [one.forecast for one in some if one.forecast is not None]
        ends = [one.seconds for one in some] + [value for one in said for value in (one.p10, one.p90)]
        low, high = min(ends) / 1.3, max(ends) * 1.3
        axes.plot([low, high], [low, high], color=PALE, lw=1, zorder=1)
        for inside, colour, label in ((True, GOOD, "inside its interval"), (False, BAD, "outside")):
            these = [one for one in some if one.inside == inside]
            if not these:
                continue
            forecasts = [one.forecast for one in these if one.forecast is not None]
            middle = [one.p50 for one in forecasts]
            actual = [one.seconds for one in these]
            if len(some) <= MOST_INTERVALS:
                starts, stops = [one.p10 for one in forecasts], [one.p90 for one in forecasts]
                axes.hlines(actual, starts, stops, color=colour, lw=1, alpha=0.35, zorder=2)
            marker = "o" if inside else "D"
            style = {"ms": 4, "alpha": 0.75, "zorder": 3, "mew": 0}
            axes.plot(middle, actual, marker, color=colour, label=f"{label} ({len(these):,})", **style)
        worst = sorted((one for one in some if not one.inside), key=lambda one: -abs(one.log_error))
        for one in _apart(worst, low, high):
            _label(axes, one, low, high)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        axes.set_box_aspect(1)
        axes.set(xlabel="forecast (median)", ylabel="took")
        in_seconds(axes.xaxis, low, high)
        in_seconds(axes.yaxis, low, high)
        axes.legend(frameon=False, loc="upper left", fontsize=8)
    note = "Each dot a transfer; on the line, what was forecast came true."
    if len(some) <= MOST_INTERVALS:
        note += " Bars: the 80 % interval."
    if len(some) < len(transfers):
        note += f" {len(some):,} of {len(transfers):,} are drawn."
    return Picture(sheet.svg, f"Forecast and actual seconds of {len(transfers)} transfers, log scales", note)


def calibration(transfers: Sequence[Transfer]) -> Picture:
    """How often it took less than each quantile that was forecast."""
    with drawing(4.7, 4.6) as sheet:
        axes = sheet.axes()
        axes.plot([0, 1], [0, 1], color=PALE, lw=1, zorder=1)
        for name, promised in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
            found = below(transfers, name)
            right = found.low <= promised <= found.high
            colour, marker = (GOOD, "o") if right else (BAD, "D")
            axes.vlines(promised, found.low, found.high, color=colour, lw=2, zorder=2)
            axes.plot([promised], [found.value], marker, color=colour, ms=8, zorder=3)
            side = -1 if promised > 0.8 else 1
            words = f"{name.upper()}: {scoring.percent(found.value)}"
            axes.annotate(
                words,
                (promised, found.value),
                (9 * side, -4),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="top",
                fontsize=9,
            )
        per_cent = FuncFormatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0.1, 0.5, 0.9), yticks=(0.1, 0.5, 0.9))
        axes.set_box_aspect(1)
        axes.xaxis.set_major_formatter(per_cent)
        axes.yaxis.set_major_formatter(per_cent)
        axes.grid(color=TRACK, lw=0.8)
        axes.set(xlabel="promised to be below", ylabel="were below")
    note = "Bars: 95 % intervals. On the line: as often as promised."
    return Picture(sheet.svg, "How often transfers took less than each quantile of their forecasts", note)


def over_time(transfers: Sequence[Transfer], since: datetime, until: datetime) -> Picture:
    """actual / forecast of each `judged` transfer, and the middle of each tenth of the time."""
    some = evenly(transfers, MOST_DOTS)
    with drawing(9.4, 2.9) as sheet:
        axes = sheet.axes()
        axes.axhline(1, color=PALE, lw=1)
        for inside, colour, marker in ((True, GOOD, "o"), (False, BAD, "D")):
            these = [one for one in some if one.inside == inside]
            ratios = [math.exp(one.log_error) for one in these]
            times = [one.started for one in these]
            axes.plot(times, ratios, marker, color=colour, ms=3.5, alpha=0.6, mew=0)
        middles, lows, highs = [], [], []
        for when, part in _tenths(transfers, since, until):
            if len(part) >= 5:
                logs = sorted(one.log_error for one in part)
                middles.append((when, math.exp(logs[len(logs) // 2])))
                lows.append(math.exp(logs[int(0.1 * (len(logs) - 1))]))
                highs.append(math.exp(logs[math.ceil(0.9 * (len(logs) - 1))]))
        if middles:
            times = [when for when, _ in middles]
            axes.vlines(times, lows, highs, color=INK, lw=1.5, alpha=0.5)
            axes.plot(times, [value for _, value in middles], "_-", color=INK, ms=12, mew=2, lw=1)
        axes.set_yscale("log")
        ratio = FuncFormatter(lambda value, _: f"{value:g}×")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ratio)
        axes.yaxis.set_minor_formatter(NullFormatter())
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.5), max(high, 2))
        axes.grid(axis="y", color=TRACK, lw=0.8)
        dated(axes, since, until)
        axes.set_ylabel("took / forecast")
    note = (
        "1× came true. Black: median, and 10 to 90 %, of each tenth of the time with five transfers or more."
    )
    return Picture(sheet.svg, "Actual over forecast seconds, over time", note)


def _tenths(
    transfers: Sequence[Transfer], since: datetime, until: datetime
) -> list[tuple[datetime, list[Transfer]]]:
    length = (until - since) / 10
    return [
        (
            since + (n + 0.5) * length,
            [one for one in transfers if since + n * length <= one.started < since + (n + 1) * length],
        )
        for n in range(10)
    ]


def _apart(some: Sequence[Transfer], low: float, high: float) -> list[Transfer]:
    """The first few of which no label would cover another's."""
    room = (high / low) ** 0.05
    found: list[Transfer] = []
    for one in some[: 4 * LABELLED]:
        if len(found) < LABELLED and all(
            abs(math.log(one.seconds / each.seconds)) > math.log(room) for each in found
        ):
            found.append(one)
    return found


def _label(axes: Any, one: Transfer, low: float, high: float) -> None:
    assert one.forecast is not None
    # to the side on which there is room
    left = one.forecast.p50 > math.sqrt(low * high)
    axes.annotate(
        f"{one.source} to {one.destination}",
        (one.forecast.p50, one.seconds),
        (-6 if left else 6, 4),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=7.5,
        color=INK,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        zorder=4,
    )


def verdict_colour(inside: scoring.Share) -> str:
    """Of a share of transfers inside their 80 % intervals."""
    if inside.count < scoring.LEAST:
        return COLD
    return BAD if inside.high < scoring.PROMISED else GOOD
