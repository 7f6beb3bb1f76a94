"""One path's tests over time as a picture, with what is forecast from them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from federation.files import write_whole
from federation.units import format_bits_per_second
from netprobe.forecast import Forecast
from netprobe.ladder import usable
from netprobe.measurement import Measurement

# inches: for a page, and for a phone, where the page says which path it is
WIDE, NARROW = (8.0, 4.0), (3.7, 3.2)
_INK = "#1d1d26"
_TESTS = "#2a6f97"
_BEFORE = "#a9b4bd"
_FORECAST = "#e07a1f"
_FAILED = "#b3261e"


def draw_path(
    tests: Sequence[Measurement], forecast: Forecast, names: tuple[str, str], path: Path, now: datetime
) -> None:
    """Write a PNG: the path's throughput `tests` (any order), failures along the foot, the last change, and
    the forecast's 10, 50 and 90 % at `now`. `names` are the sites'. Raises OutsideError where it can't be
    written."""
    write_whole(path, rendered(tests, forecast, names, now, "png"))


def rendered(
    tests: Sequence[Measurement],
    forecast: Forecast,
    names: tuple[str, str],
    now: datetime,
    form: str,
    inches: tuple[float, float] = WIDE,
) -> bytes:
    """The picture as "png" or "svg", so wide and high; the same tests give the same bytes."""
    # text stays text in an SVG, and nothing random gets in
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fairlead"}):
        stream = io.BytesIO()
        figure = _drawn(tests, forecast, names, now, inches)
        figure.savefig(stream, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return stream.getvalue()


def _drawn(
    tests: Sequence[Measurement],
    forecast: Forecast,
    names: tuple[str, str],
    now: datetime,
    inches: tuple[float, float],
) -> Figure:
    figure = Figure(figsize=inches, dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    # matplotlib takes times, but its types don't say so
    axes: Any = figure.subplots()
    dates: Any = matplotlib.dates
    good = usable(tests)
    changed = forecast.changed
    old = [test for test in good if changed is not None and test.started < changed]
    for some, colour, label in (
        (old, _BEFORE, "tests before the change"),
        ([test for test in good if test not in old], _TESTS, "tests"),
    ):
        if some:
            rates = [test.figures["bits_per_second"] for test in some]
            axes.plot([test.started for test in some], rates, "o", color=colour, ms=4, label=label)
    failed = [test.started for test in tests if not test.succeeded]
    if failed:
        foot = axes.get_xaxis_transform()
        axes.plot(failed, [0.02] * len(failed), "x", color=_FAILED, transform=foot, label="failed tests")
    if changed is not None:
        axes.axvline(changed, color=_BEFORE, ls="--", lw=1)
    said = [("forecast, 80 %", "D", forecast.bits_per_second)]
    if forecast.freed is not None:
        # the tests were held down, and transfers are not
        said = [("next test, 80 %", "D", forecast.bits_per_second), ("transfers, 80 %", "s", forecast.freed)]
    for label, mark, rate in said:
        spread = [[rate.p50 - rate.p10], [rate.p90 - rate.p50]]
        axes.errorbar([now], [rate.p50], spread, fmt=mark, color=_FORECAST, capsize=4, label=label)
    axes.set_yscale("log")
    words = FuncFormatter(lambda value, _: format_bits_per_second(value))
    axes.yaxis.set_major_formatter(words)
    if _narrow(axes.get_ylim()):
        # there may be no power of ten: round rates, of which each can be written with three digits
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    wide = inches[0] >= WIDE[0]
    # 3 and 7: with fewer between them, some ranges have no ticks
    locator = dates.AutoDateLocator() if wide else dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    if wide:
        axes.set_title(f"{names[0]} to {names[1]}, one TCP stream", color=_INK, fontsize=11)
    axes.tick_params(which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        fontsize=8, frameon=False, ncols=4 if wide else 2, loc="upper left", bbox_to_anchor=(0, -0.08)
    )
    return figure


def _narrow(limits: tuple[float, float]) -> bool:
    """Whether a scale may hold no power of ten to be named."""
    return limits[1] < 20 * limits[0]
