"""The report's pictures: use day by day, by hour of the week, and the calendar of the time ahead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import matplotlib as mpl
import matplotlib.dates
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from federation.units import format_count
from reports.colours import INK, PALE, TRACK, ink_on
from reports.document import COLD, FAIR, Picture
from reports.drawing import drawing
from reports.space_calendar import rendered
from reports.space_use.frames import by_day, hour_of_week
from reports.space_use.model import Reading
from reports.space_use.series import Basis, Series, ratio
from reservations.calendar import VCPU, Calendar

_TAKEN = "#0072b2"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# more than this can't be compared at a glance, and have their rows in the tables
MOST = 12
# more than this are no picture any more, and megabytes
MOST_BOOKINGS = 1500

_date: Any = matplotlib.dates
_IN_CELL: Any = {"ha": "center", "va": "center", "fontsize": 7}
# in steps of 5 %: few enough to stay lines and areas, where a picture in the picture would not print
_SCALE = mpl.colormaps["YlGnBu"].resampled(20)


def day_by_day(shown: Sequence[tuple[str, Series, Series]], now: datetime) -> Picture:
    """A row for each cloud: what share of its cores was taken each day, and is booked; all on one scale."""
    with drawing(9.6, 0.9 + 0.9 * len(shown)) as sheet:
        rows: Any = np.atleast_1d(sheet.axes(len(shown), 1, sharex=True))
        for axes, (name, past, ahead) in zip(rows, shown, strict=True):
            for series in (past, ahead):
                _bars(axes, series)
            _frame(axes, name, past, ahead)
            axes.axvline(now, color=INK, lw=1, ls=(0, (2, 2)))
        rows[0].annotate(
            "now",
            (now, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 2),
            textcoords="offset points",
            fontsize=8,
        )
        locator = _date.AutoDateLocator(minticks=5, maxticks=16)
        rows[-1].xaxis.set_major_locator(locator)
        rows[-1].xaxis.set_major_formatter(_date.ConciseDateFormatter(locator))
        kinds = {
            kind
            for _, past, ahead in shown
            for series in (past, ahead)
            for kind in np.unique(series.basis).tolist()
        }
        handles = [
            patch
            for basis, patch in (
                ({Basis.SOURCE, Basis.RECORD}, Patch(color=_TAKEN, label="taken")),
                (
                    {Basis.AT_LEAST},
                    Patch(facecolor=COLD, hatch="...", edgecolor="white", label="taken, at least"),
                ),
                ({Basis.BOOKED}, Patch(color=FAIR, label="booked")),
                ({Basis.UNKNOWN}, Patch(facecolor=TRACK, hatch="////", edgecolor="white", label="not known")),
            )
            if kinds & basis
        ]
        sheet.figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False)
    alt = "Share of cores taken, day by day (UTC): " + "; ".join(
        f"{name}: {_percent(past.share())} taken, {_percent(ahead.share())} booked"
        for name, past, ahead in shown
    )
    return Picture(
        sheet.svg,
        alt,
        "Share of the cores, mean of each day (UTC); every row goes from 0 to 100 %. A grey line above a "
        "day: so much of it is not known.",
    )


def _bars(axes: Any, series: Series) -> None:
    for _, at in by_day(series.grid):
        known = series.known[at]
        begin = series.grid.start + at.start * timedelta(hours=1)
        width = timedelta(hours=at.stop - at.start)
        if not known.any():
            axes.bar(begin, 1, width, align="edge", color=TRACK, hatch="////", edgecolor="white", lw=0)
            continue
        share = ratio(np.nansum(series.taken[VCPU][at]), np.nansum(series.total[VCPU][at])) or 0.0
        basis = series.basis[at]
        colour, hatch = (
            (FAIR, None)
            if (basis == Basis.BOOKED).any()
            else (COLD, "...")
            if (basis == Basis.AT_LEAST).any()
            else (_TAKEN, None)
        )
        axes.bar(begin, share, width, align="edge", color=colour, hatch=hatch, edgecolor="white", lw=0.4)
        # how much of the day isn't known, as a line above
        if not known.all():
            axes.plot([begin, begin + width * (1 - known.mean())], [1.06, 1.06], color=PALE, lw=1.5)


def _frame(axes: Any, name: str, past: Series, ahead: Series) -> None:
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 1], ["0", "100 %"])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=TRACK, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_title(
        f"{name}:  {_percent(past.share())} taken,  {_percent(ahead.share())} booked ahead", fontsize=9, pad=3
    )


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}".replace("%", " %")


def week(title: str, series: Series, figures: bool) -> Picture:
    """7 x 24 cells: the mean share of cores taken in each hour of the week (UTC)."""
    shares = hour_of_week(series)
    width, height = (9.6, 3.1) if figures else (3.5, 1.9)
    with drawing(width, height) as sheet:
        axes = sheet.axes()
        axes.set_facecolor(TRACK)
        image = axes.pcolormesh(shares, cmap=_SCALE, vmin=0, vmax=1, edgecolors="white", linewidth=0.4)
        axes.invert_yaxis()
        labelled = range(0, 24, 1 if figures else 6)
        axes.set_xticks([hour + 0.5 for hour in labelled], [f"{hour:02}" for hour in labelled])
        axes.set_yticks([day + 0.5 for day in range(7)], _DAYS)
        axes.tick_params(length=0)
        axes.set_title(title)
        axes.set_xlabel("hour of the day (UTC)" if figures else "")
        for day in range(7) if figures else ():
            for hour in range(24):
                share = shares[day, hour]
                known = bool(np.isfinite(share))
                axes.text(
                    hour + 0.5,
                    day + 0.5,
                    f"{share * 100:.0f}" if known else "–",
                    color=ink_on(to_hex(_SCALE(share))) if known else INK,
                    **_IN_CELL,
                )
        bar = sheet.figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1], pad=0.01, fraction=0.03)
        bar.ax.set_yticklabels(["0", "50", "100 %"])
        bar.outline.set_visible(False)
    return Picture(sheet.svg, f"{title}: {_week_words(shares)}")


def _week_words(shares: Any) -> str:
    if not np.isfinite(shares).any():
        return "nothing is known"
    fullest, emptiest = np.nanargmax(shares), np.nanargmin(shares)
    words = [
        f"{what} {_DAYS[at // 24]} {at % 24:02}:00 ({_percent(float(shares.flat[at]))})"
        for what, at in (("fullest", int(fullest)), ("emptiest", int(emptiest)))
    ]
    return ", ".join(words)


def week_words(series: Series) -> str:
    """ "fullest Tue 14:00 (82 %), emptiest Sun 04:00 (12 %)" """
    return _week_words(hour_of_week(series))


def calendar(name: str, shown: Calendar, ahead: Series, reading: Reading) -> Picture:
    """What is taken of each host ahead, by whom; of a cloud with very many bookings their sum."""
    bookings = sum(
        part.start < reading.ahead and (part.end is None or part.end > reading.now) for part in shown.taken
    )
    if bookings > MOST_BOOKINGS:
        hosts = format_count(len(shown.hosts), "host")
        return _sum(name, ahead, f"{bookings:,} bookings on {hosts}, summed up.")
    svg = rendered([shown], reading.now, reading.ahead, reading.now, "svg", reading.names).decode()
    # within HTML it has neither an XML declaration nor a document type
    inside = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # our own drawing: matplotlib escapes the text in it
    return Picture(Markup(inside), f"Calendar of {name}: what is taken of each host, until when and by whom")


def _sum(name: str, ahead: Series, note: str) -> Picture:
    with drawing(9.6, 2.4) as sheet:
        axes = sheet.axes()
        hours, taken, total = ahead.grid.hours, ahead.taken[VCPU], ahead.total[VCPU]
        axes.fill_between(hours, taken, step="post", color=FAIR, lw=0)
        axes.step(hours, total, where="post", color=PALE, lw=1)
        top = float(np.nanmax(total)) if np.isfinite(total).any() else 1.0
        axes.set_ylim(0, top * 1.08)
        axes.set_yticks([0, top], ["0", f"{top:,.0f} cores"])
        axes.margins(x=0)
        locator = _date.AutoDateLocator(minticks=4, maxticks=14)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(_date.ConciseDateFormatter(locator))
    alt = f"Cores of {name} that are booked: {_percent(ahead.share())} of all on average"
    return Picture(sheet.svg, alt, f"{note} What lies above the filled area is free.")
