"""The calendar of a cloud as a picture: what is taken of which host, by whom, until when; and in all."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from federation.files import write_whole
from reports.colours import ON_BRIGHT, ON_DARK
from reports.space_rows import Bar, Row, rows
from reservations.calendar import VCPU, Calendar, Sight
from reservations.free import total_free_steps

# Okabe and Ito's colours, which the colour-blind can tell apart; the first is for what is ours.
OURS = "#0072b2"
_HOLDERS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
_OTHERS = "#8c8c94"
_INK, _PALE, _TRACK, _NIGHT, _LINE, _TOTAL = "#1d1d26", "#6b6b76", "#f1f1f4", "#fafafc", "#d4d4da", "#c8d9e8"
_NOBODY = "holder not shown"
_WIDTH_INCHES, _ROW_INCHES, _TOTAL_INCHES = 12.0, 0.3, 0.85


@dataclass(frozen=True)
class Look:
    """Which colour each holder has; those without one of their own share the grey."""

    colours: Mapping[str, str]

    def of(self, bar_holder: str, ours: bool) -> str:
        return OURS if ours else self.colours.get(bar_holder, _OTHERS)


def draw(calendars: Sequence[Calendar], start: datetime, end: datetime, now: datetime, picture: Path) -> None:
    """Write the calendars, one under the other, from `start` to `end`: a .png or an .svg by the file's name.

    Raises OutsideError where it can't be written.
    """
    form = picture.suffix.lower().lstrip(".") or "png"
    write_whole(picture, rendered(calendars, start, end, now, form))


def rendered(
    calendars: Sequence[Calendar],
    start: datetime,
    end: datetime,
    now: datetime,
    form: str,
    names: Mapping[str, str] | None = None,
) -> bytes:
    """The picture as "png" or "svg"; the same calendars give the same bytes. `names`: of sites, by id."""
    known = [(calendar, rows(calendar, start, end)) for calendar in calendars]
    look = _look(calendars)
    heights = [1.3 + _ROW_INCHES * max(len(lines), 1) for _, lines in known]
    # text stays text in an SVG, and nothing random gets in
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fairlead", "font.size": 9}):
        figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) + 1.0), dpi=140, layout="constrained")
        FigureCanvasAgg(figure)
        # in one grid, so that an instant is at the same place in all of them
        ratios = [part for _, lines in known for part in (_TOTAL_INCHES, _ROW_INCHES * max(len(lines), 1))]
        if known:
            grid: Any = figure.subplots(len(ratios), 1, height_ratios=ratios, squeeze=False)
            for number, (calendar, lines) in enumerate(known):
                total, hosts = grid[2 * number : 2 * number + 2, 0]
                _draw_one(total, hosts, calendar, lines, look, (start, end, now))
                name = (names or {}).get(calendar.site, calendar.site)
                total.set_title(_title(name, calendar), color=_INK, fontsize=11, loc="left", pad=16)
        _legend(figure, look, known)
        stream = io.BytesIO()
        figure.savefig(stream, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return stream.getvalue()


def _look(calendars: Sequence[Calendar]) -> Look:
    """The six who hold most get colours, the largest first."""
    held: Counter[str] = Counter()
    for calendar in calendars:
        for taken in calendar.taken:
            if taken.ours is None:
                held[taken.holder or _NOBODY] += 1
    named = [holder for holder, _ in held.most_common() if holder != _NOBODY]
    return Look(dict(zip(named, _HOLDERS, strict=False)))


def _draw_one(
    total: Any,
    hosts: Any,
    calendar: Calendar,
    lines: list[Row],
    look: Look,
    times: tuple[datetime, datetime, datetime],
) -> None:
    start, end, now = times
    total.sharex(hosts)
    _total(total, calendar, times)
    for position, line in enumerate(lines):
        _row(hosts, position, line, look, start, end)
    hosts.set_ylim(len(lines) - 0.45, -0.55)
    hosts.set_yticks(range(len(lines)), [line.label for line in lines])
    hosts.tick_params(axis="y", length=0, colors=_INK)
    hosts.set_xlim(start, end)
    dates: Any = matplotlib.dates
    locator = dates.AutoDateLocator(minticks=4, maxticks=14)
    hosts.xaxis.set_major_locator(locator)
    hosts.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    for axes in (total, hosts):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_LINE)
        _weekends(axes, start, end)
        if start <= now <= end:
            axes.axvline(now, color=_INK, lw=1, ls=(0, (2, 2)), zorder=5)
    if start <= now <= end:
        total.annotate(
            "now",
            (now, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 1),
            textcoords="offset points",
            color=_INK,
            fontsize=8,
            va="bottom",
        )


def _title(name: str, calendar: Calendar) -> str:
    seen = {
        Sight.ALL: "",
        Sight.OWN: "; only our own bookings are shown: this cloud hides the others",
        Sight.NONE: "; this cloud shows no bookings",
    }[calendar.sight]
    return f"{name}: {calendar.kind}, as known {calendar.known_at:%Y-%m-%d %H:%M} UTC{seen}"


def _total(axes: Any, calendar: Calendar, times: tuple[datetime, datetime, datetime]) -> None:
    """How much of the cores is taken in all, step by step."""
    start, end, _ = times
    pool = sum(host.amounts.get(VCPU, 0) for host in calendar.hosts if host.bookable)
    instants, used = _taken(calendar, pool, start, end)
    instants.append(end)
    used.append(used[-1])
    axes.fill_between(instants, used, step="post", color=_TOTAL, lw=0)
    axes.step(instants, used, where="post", color=OURS, lw=1.2)
    top = max(pool, *used, 1)
    axes.set_ylim(0, top * 1.08)
    axes.axhline(pool, color=_PALE, lw=0.8)
    axes.set_yticks([0, pool], ["0", f"{pool:,} cores"])
    axes.tick_params(axis="y", length=0, labelsize=8, colors=_PALE)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _taken(calendar: Calendar, pool: int, start: datetime, end: datetime) -> tuple[list[Any], list[int]]:
    """From when on how many cores are taken. Bookings may overlap: no host is more than full."""
    if pool:
        steps = total_free_steps(calendar, start, end)
        return [step.start for step in steps], [pool - step.amounts.get(VCPU, 0) for step in steps]
    # its hosts are hidden: all that is known is what the bookings say
    changes: Counter[datetime] = Counter()
    for taken in calendar.taken:
        last = taken.end or end
        if taken.start < end and last > start:
            cores = 0 if taken.amounts is None else taken.amounts.get(VCPU, 0)
            changes[max(taken.start, start)] += cores
            changes[min(last, end)] -= cores
    instants, used, level = [start], [0], 0
    for instant in sorted(changes):
        level += changes[instant]
        instants.append(instant)
        used.append(level)
    return instants, used


def _row(axes: Any, position: int, line: Row, look: Look, start: datetime, end: datetime) -> None:
    number: Any = matplotlib.dates.date2num
    left, right = number(start), number(end)
    hatch = None if line.bookable else "////"
    track = Rectangle(
        (left, position - 0.4), right - left, 0.8, facecolor=_TRACK, edgecolor=_LINE, lw=0, hatch=hatch
    )
    axes.add_patch(track)
    by_colour: dict[str, list[Rectangle]] = {}
    for bar in line.bars:
        colour = look.of(bar.taken.holder or _NOBODY, bar.taken.ours is not None)
        by_colour.setdefault(colour, []).append(_rectangle(bar, position))
    for colour, patches in by_colour.items():
        axes.add_collection(
            PatchCollection(patches, facecolor=colour, edgecolor="white", linewidth=0.6, zorder=3)
        )
    for bar in line.bars:
        _name(axes, bar, position, right - left)


def _rectangle(bar: Bar, position: int) -> Rectangle:
    number: Any = matplotlib.dates.date2num
    begin, finish = number(bar.start), number(bar.end)
    foot = position + 0.4 - 0.8 * bar.top
    return Rectangle((begin, foot), finish - begin, 0.8 * (bar.top - bar.bottom))


def _name(axes: Any, bar: Bar, position: int, span: float) -> None:
    """The booking's name, where it has room in its piece."""
    number: Any = matplotlib.dates.date2num
    width = (number(bar.end) - number(bar.start)) / span
    text = bar.taken.name or ""
    # a letter at this size takes about half a hundredth of the picture's width
    room = int(width * 175)
    if not text or bar.top - bar.bottom < 0.6 or room < 5:
        return
    shown = text if len(text) <= room else f"{text[: room - 1]}…"
    middle = position + 0.4 - 0.4 * (bar.top + bar.bottom)
    axes.annotate(
        shown,
        (bar.start, middle),
        xytext=(3, 0),
        textcoords="offset points",
        va="center_baseline",
        color=ON_DARK if bar.taken.ours is not None else ON_BRIGHT,
        fontsize=7.5,
        zorder=4,
        annotation_clip=True,
        parse_math=False,
    )


def _weekends(axes: Any, start: datetime, end: datetime) -> None:
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + timedelta(days=each) for each in range((end - midnight).days + 2)]
    for day, following in pairwise(days):
        if day.weekday() >= 5:
            axes.axvspan(max(day, start), min(following, end), color=_NIGHT, zorder=0)


def _legend(figure: Figure, look: Look, known: Sequence[tuple[Calendar, list[Row]]]) -> None:
    bars = [bar for _, lines in known for line in lines for bar in line.bars]
    handles = []
    if any(bar.taken.ours is not None for bar in bars):
        handles.append(Patch(color=OURS, label="ours"))
    holders = {bar.taken.holder or _NOBODY for bar in bars if bar.taken.ours is None}
    handles += [Patch(color=colour, label=name) for name, colour in look.colours.items() if name in holders]
    grey = holders - set(look.colours)
    if grey:
        handles.append(Patch(color=_OTHERS, label=_NOBODY if grey == {_NOBODY} else "others"))
    if any(not line.bookable for _, lines in known for line in lines):
        handles.append(Patch(facecolor=_TRACK, edgecolor=_LINE, hatch="////", label="can't be booked"))
    if handles:
        figure.legend(
            handles=handles, loc="outside lower left", ncols=min(len(handles), 8), frameon=False, fontsize=8.5
        )
