"""What the broker promised and what came true, as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from federation.units import format_seconds
from reports.colours import PALE, TRACK
from reports.document import BAD, COLD, GOOD, Picture
from reports.drawing import drawing
from reports.promises import starts
from reports.promises.axes import dated, in_seconds
from reports.promises.backtest import evenly
from reports.promises.broker_tables import by_site, step_of
from reports.promises.sessions import Asked, Promise
from reports.promises.starts import Start

MOST_DOTS = 1500
MOST_SITES = 20
# within this of the promised start, the scale is a plain one
_LINEAR_SECONDS = 60.0
_STEPS = (60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)


def requests(asked: Sequence[Asked], since: datetime, until: datetime) -> Picture:
    """How many requests were answered YES and NO, by hour, day or week."""
    step, name = step_of(until - since)
    words = f"by {name}"
    counts = {
        yes: Counter(int((one.created - since) / step) for one in asked if one.yes is yes)
        for yes in (True, False)
    }
    bins = range(int((until - since) / step) + 1)
    with drawing(9.4, 2.5) as sheet:
        axes = sheet.axes()
        middles = [since + (n + 0.5) * step for n in bins]
        yes, no = ([counts[answer][n] for n in bins] for answer in (True, False))
        width = 0.85 * step
        axes.bar(middles, yes, width, color=COLD, label=f"YES ({sum(yes):,})")
        axes.bar(
            middles,
            no,
            width,
            bottom=yes,
            color=BAD,
            hatch="///",
            edgecolor="white",
            lw=0,
            label=f"NO ({sum(no):,})",
        )
        dated(axes, since, until)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y", color=TRACK, lw=0.8)
        axes.set_axisbelow(True)
        axes.set_ylabel(f"requests {words}")
        axes.set_ylim(0, 1.25 * max(max(map(sum, zip(yes, no, strict=True))), 1))
        axes.legend(frameon=False, ncols=2, loc="upper left", fontsize=8)
    return Picture(sheet.svg, f"Requests {words}, by answer")


def lateness(promises: Sequence[Promise], until: datetime) -> Picture:
    """How far each accepted session's start was from the promised one, by site, on one scale."""
    found = [(site, [one for one in some if one.started is not None]) for site, some in by_site(promises)]
    rows = [(site, some) for site, some in found if some][:MOST_SITES]
    with drawing(4.7, max(2.2, 1.1 + 0.42 * len(rows))) as sheet:
        axes = sheet.axes()
        axes.axvspan(-1e9, starts.GRACE.total_seconds(), color=TRACK, alpha=0.5, lw=0)
        axes.axvline(0, color=PALE, lw=1)
        dots: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for row, (_, some) in enumerate(rows):
            some = evenly(some, MOST_DOTS // len(rows))
            # side by side rather than one on the other, the same each time
            beside = np.linspace(-0.28, 0.28, len(some)) if len(some) > 1 else [0.0]
            for one, shift in zip(some, beside, strict=True):
                on_time = starts.start_of(one, until) is Start.ON_TIME
                dots[on_time].append((starts.lateness_seconds(one) or 0.0, row + float(shift)))
        for on_time, colour, marker in ((True, GOOD, "o"), (False, BAD, "D")):
            seconds, places = [x for x, _ in dots[on_time]], [y for _, y in dots[on_time]]
            axes.plot(seconds, places, marker, color=colour, ms=4, alpha=0.7, mew=0)
        seen = [seconds for some in dots.values() for seconds, _ in some]
        axes.set_xscale("symlog", linthresh=_LINEAR_SECONDS)
        axes.set_xlim(1.3 * min(min(seen), -_LINEAR_SECONDS), 1.3 * max(max(seen), 2 * _LINEAR_SECONDS))
        low, high = axes.get_xlim()
        steps = [
            step for step in (*(-step for step in reversed(_STEPS)), 0.0, *_STEPS) if low <= step <= high
        ]
        axes.xaxis.set_major_locator(FixedLocator(steps if len(steps) <= 7 else steps[::2]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: format_seconds(value) if value else "promised")
        )
        axes.tick_params(axis="x", labelsize=7.5)
        axes.set_yticks(range(len(rows)), [f"{site} ({len(some):,})" for site, some in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("start, from the promised one: early | late")
    note = (
        "Each dot a session. Green: on time, with a minute of grace and the offered interval; orange: late."
    )
    if sum(map(len, dots.values())) < sum(len(some) for _, some in found):
        note += " Not all are drawn."
    return Picture(sheet.svg, "Real starts against promised ones, by site", note)


def preparation(promises: Sequence[Promise]) -> Picture | None:
    """What preparations took against the 90 % that was promised; None where none is known."""
    found = [
        (max(one.prepare_seconds, 0.1), max(took, 0.1))
        for one in promises
        if not one.elsewhere and (took := starts.preparation_seconds(one)) is not None
    ]
    if not found:
        return None
    some = evenly(found, MOST_DOTS)
    ends = [value for pair in some for value in pair]
    low, high = min(ends) / 1.5, max(ends) * 1.5
    with drawing(4.7, 3.6) as sheet:
        axes = sheet.axes()
        axes.plot([low, high], [low, high], color=PALE, lw=1)
        for inside, colour, marker in ((True, GOOD, "o"), (False, BAD, "D")):
            these = [pair for pair in some if (pair[1] <= pair[0]) == inside]
            label = f"{'within' if inside else 'longer'} ({len(these):,})"
            xs, ys = [said for said, _ in these], [took for _, took in these]
            axes.plot(xs, ys, marker, color=colour, ms=4, alpha=0.7, mew=0, label=label)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        in_seconds(axes.xaxis, low, high)
        in_seconds(axes.yaxis, low, high)
        axes.tick_params(labelsize=7.5)
        axes.set(xlabel="promised (90 %)", ylabel="preparation took")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    note = "On the line, preparation took just as long as the promised 90 %; nine in ten should be below."
    return Picture(sheet.svg, "Preparation against its promised 90 % quantile", note)
