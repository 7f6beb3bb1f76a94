"""Pictures of a comparison as SVG: units, direct labels, colours that the colour-blind can tell apart.

Written out, not by matplotlib: a hundred small figures in a page must take no time, and stay sharp in print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise

import numpy as np

from netprobe.coverage import State
from reports.colours import ink_on
from reports.compare.model import Comparison, Outcome, Report
from reports.compare.ranking import coverage
from reports.compare.statistics import Floats
from reports.compare.trend import Step
from reports.compare.verdicts import amount, form
from reports.compare.ways import Quantity, Side

# Okabe and Ito's colours
COLOURS = {Side.SCRIPTED: "#0072b2", Side.MESH: "#d08700"}
# of words: dark enough to be read
_INKS = {Side.SCRIPTED: "#0072b2", Side.MESH: "#8f5d00"}
STATES = {State.OK: "#009e73", State.STALE: "#e8d82f", State.FAILED: "#d55e00", State.MISSING: "#c4c4cf"}
OUTCOMES = {
    Outcome.AGREE: "#009e73",
    Outcome.DISAGREE: "#d55e00",
    Outcome.UNSETTLED: "#e69f00",
    Outcome.TOO_FEW: "#56b4e9",
    Outcome.ONE_SIDE: "#8c8c94",
}
_INK, _PALE, _LINE = "#1d1d26", "#63636e", "#d9d9e0"
_MOST_POINTS = 600


def series(report: Report, one: Comparison) -> str:
    """Both sides' tests over time, on one scale: no lines, so that a gap is a gap. Below, for each side, what
    there is of each part of the time: tests, only failures, or nothing."""
    width, height, left, right = 640, 250, 78, 92
    begin, end = report.since.timestamp(), report.until.timestamp()
    plot = (left, 12, width - right, 176)
    values = [found.values for side in Side if (found := one.series(side))]
    if not values:
        return ""
    low, high = _range(np.concatenate(values), one.quantity)
    logarithmic = one.quantity is not Quantity.LOSS

    def across(time: float) -> float:
        return plot[0] + (time - begin) / max(end - begin, 1) * (plot[2] - plot[0])

    def up(value: float) -> float:
        share = _share(value, low, high, logarithmic)
        return plot[3] - share * (plot[3] - plot[1])

    parts = [*_value_axis(one.quantity, low, high, plot, up), *_time_axis(report, plot, across, height - 12)]
    labels: list[tuple[float, str, Side]] = []
    for side in Side:
        found = one.series(side)
        if found is None:
            continue
        for start, stop in _levels(found.steps, len(found.values)):
            level = up(float(np.median(found.values[start:stop])))
            x1, x2 = across(found.times[start]), across(found.times[stop - 1])
            parts.append(
                f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{level:.1f}" y2="{level:.1f}" '
                f'stroke="{COLOURS[side]}" stroke-width="1.5" opacity=".7"/>'
            )
        chosen = _some(len(found.values))
        parts += [_mark(side, across(found.times[index]), up(found.values[index])) for index in chosen]
        labels.append(
            (up(found.summary.median), f"{side.value} {form(one.quantity, found.summary.median)}", side)
        )
    parts += _labels(labels, plot[2] + 6)
    for row, side in enumerate(Side):
        parts += _strip(report, one, side, plot, across, 190 + 18 * row)
    return _svg(width, height, parts, f"{one.source} to {one.destination}: {one.quantity} over time")


def agreement(one: Comparison) -> str:
    """Bland and Altman: the ratio of each pair against its middle, with bias, limits and the margin."""
    if one.pairs is None or one.agreement is None or one.shift is None or len(one.pairs) < 3:
        return ""
    width, height = 360, 250
    plot = (58, 12, width - 74, 200)
    loss = one.quantity is Quantity.LOSS
    first, second = one.pairs[:, 1], one.pairs[:, 2]
    ratio = second - first if loss else np.log(second / first)
    middle = (first + second) / 2 if loss else np.sqrt(first * second)
    reach = 1.15 * max(
        float(np.quantile(np.abs(ratio), 0.98)),
        abs(one.agreement.limits[0]),
        abs(one.agreement.limits[1]),
        one.margin,
    )
    low, high = _range(middle, one.quantity)

    def across(value: float) -> float:
        return plot[0] + _share(value, low, high, not loss) * (plot[2] - plot[0])

    def up(value: float) -> float:
        return (plot[1] + plot[3]) / 2 - max(min(value / reach, 1), -1) * (plot[3] - plot[1]) / 2

    parts = [
        f'<rect x="{plot[0]}" width="{plot[2] - plot[0]}" y="{up(one.margin):.1f}" '
        f'height="{up(-one.margin) - up(one.margin):.1f}" fill="#009e73" opacity=".13"/>',
        _text(plot[0] + 4, up(one.margin) - 3, "margin", "#00684c", 9),
    ]
    for value, dash in ((0.0, ""), (one.agreement.limits[0], "4 3"), (one.agreement.limits[1], "4 3")):
        parts.append(_rule(plot, up(value), _PALE, dash))
    parts.append(_rule(plot, up(one.agreement.bias), "#cc79a7", "", 2))
    parts += [
        f'<circle cx="{across(middle[index]):.1f}" cy="{up(ratio[index]):.1f}" r="2.2" fill="{_INK}" '
        'opacity=".45"/>'
        for index in _some(len(ratio))
    ]
    told = [
        (up(value), f"{name}{amount(one, value)}")
        for name, value in (
            ("+2 sd ", one.agreement.limits[1]),
            ("bias ", one.agreement.bias),
            ("−2 sd ", one.agreement.limits[0]),
        )
    ]
    parts += [_text(plot[2] + 4, y + 3, words, _INK, 9) for y, words in _spread(told, 11)]
    ticks = _ticks(low, high, not loss, 3)
    parts += [
        _text(across(tick), plot[3] + 14, form(one.quantity, tick), _PALE, 9, "middle") for tick in ticks
    ]
    parts.append(_text((plot[0] + plot[2]) / 2, plot[3] + 30, "middle of a pair", _PALE, 9, "middle"))
    for value in (-reach / 1.15, 0.0, reach / 1.15):
        words = amount(one, value) if value else "equal"
        parts.append(_text(plot[0] - 4, up(value) + 3, words, _PALE, 9, "end"))
    return _svg(
        width, height, parts, f"{one.source} to {one.destination}: the mesh over scripted, pair by pair"
    )


def forest(some: Sequence[Comparison], names: Callable[[str], str]) -> str:
    """How much more or less the mesh sees on each path: estimate, 90 % interval, and the margin behind."""
    compared = [one for one in some if one.shift is not None and math.isfinite(one.shift.error)]
    shown = [one for one in compared if one.quantity is not Quantity.LOSS][:20]
    if not shown:
        return ""
    width, row, left, right = 760, 20, 250, 190
    height = row * len(shown) + 34
    ends = [one.shift.interval(0.9) for one in shown if one.shift]
    # beyond a factor of four a point stands at the edge, and its figure says how far
    reach = min(1.1 * max(*(abs(end) for pair in ends for end in pair), 1.5 * shown[0].margin), math.log(4))

    def across(value: float) -> float:
        return left + (max(min(value / reach, 1), -1) + 1) / 2 * (width - left - right)

    margin = shown[0].margin
    parts = [
        f'<rect x="{across(-margin):.1f}" width="{across(margin) - across(-margin):.1f}" y="0" '
        f'height="{row * len(shown)}" fill="#009e73" opacity=".13"/>',
        f'<line x1="{across(0):.1f}" x2="{across(0):.1f}" y1="0" y2="{row * len(shown)}" stroke="{_PALE}"/>',
    ]
    for index, (one, (low, high)) in enumerate(zip(shown, ends, strict=True)):
        y, colour = row * (index + 0.5), OUTCOMES[one.outcome]
        estimate = one.shift.estimate if one.shift else 0.0
        name = f"{names(one.source)} → {names(one.destination)}"
        name += "" if one.quantity is Quantity.THROUGHPUT else f", {one.quantity}"
        parts += [
            _text(left - 8, y + 4, _short(name), _INK, 11, "end"),
            f'<line x1="{across(low):.1f}" x2="{across(high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
            'stroke-width="3"/>',
            _beyond(across(estimate), y, colour, estimate > 0)
            if abs(estimate) > reach
            else f'<circle cx="{across(estimate):.1f}" cy="{y}" r="4" fill="{colour}"/>',
            _text(width - right + 8, y + 4, f"{amount(one, estimate)}  {_why(one)}", _INK, 11),
        ]
    for value in (-reach / 1.1, -margin, 0.0, margin, reach / 1.1):
        if abs(value) in (0.0, margin) and reach > 8 * margin and value:
            continue
        words = amount(shown[0], value) if value else "equal"
        parts.append(_text(across(value), height - 18, words, _PALE, 11, "middle"))
    parts.append(
        _text(across(0), height - 4, "the mesh over scripted; band: the margin", _PALE, 10, "middle")
    )
    return _svg(width, height, parts, "How much more or less the mesh sees")


def covered(report: Report) -> str:
    """Bars of how many paths of each quantity and side are in each state, with the figures in them."""
    rows = [
        (quantity, side, states)
        for quantity, sides in coverage(report).items()
        for side, states in sides.items()
    ]
    if not rows:
        return ""
    width, left = 760, 170
    height = 26 * len(rows) + 22
    total = max(sum(states.values()) for _, _, states in rows)
    parts = []
    for index, (quantity, side, states) in enumerate(rows):
        x, y = float(left), 26 * index
        parts.append(_text(left - 8, y + 15, f"{quantity}, {side.value}", _INK, 11, "end"))
        for state, colour in STATES.items():
            wide = states[state] / total * (width - left - 4)
            if states[state]:
                parts.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="20" fill="{colour}"/>')
                if wide > 20:
                    words = f"{states[state]:,}"
                    parts.append(_text(x + wide / 2, y + 14, words, ink_on(colour), 11, "middle"))
            x += wide
    x = float(left)
    for state, colour in STATES.items():
        parts.append(f'<rect x="{x}" y="{height - 14}" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(x + 15, height - 4, state.value, _INK, 11))
        x += 90
    return _svg(width, height, parts, "Coverage: paths by state")


def _beyond(x: float, y: float, colour: str, right: bool) -> str:
    """An arrow: further out than the picture goes."""
    way = 8 if right else -8
    return f'<path d="M{x - way:.1f} {y - 5}l{way} 5l{-way} 5z" fill="{colour}"/>'


def _why(one: Comparison) -> str:
    if one.outcome is Outcome.DISAGREE:
        reason = next((each.cause.value for each in one.findings if each.explains), "unexplained")
        return reason if len(reason) < 20 else "slow start"
    return one.outcome.value


def _strip(
    report: Report,
    one: Comparison,
    side: Side,
    plot: tuple[int, int, int, int],
    across: Callable[[float], float],
    y: int,
) -> list[str]:
    """One bar a bin: what there is of it."""
    cell = next((each for each in one.cells if each.side is side), None)
    if cell is None:
        return []
    begin, end = report.since.timestamp(), report.until.timestamp()
    repeat = cell.repeat_seconds or (end - begin) / 30
    bins = max(1, min(120, int((end - begin) / max(repeat * 1.5, 1))))
    found = one.series(side)
    times: Floats = found.times if found is not None else np.empty(0)
    good, _ = np.histogram(times, bins, (begin, end))
    bad, _ = np.histogram(cell.failures, bins, (begin, end))
    last = cell.newest.timestamp() if cell.newest else begin
    parts = [_text(plot[0] - 6, y + 9, side.value, _PALE, 9, "end")]
    wide = (plot[2] - plot[0]) / bins
    for index in range(bins):
        if good[index]:
            state = State.OK
        elif bad[index]:
            state = State.FAILED
        else:
            # nothing since: what is known of it is old
            stale = cell.newest and begin + index * (end - begin) / bins > last and cell.state is State.STALE
            state = State.STALE if stale else State.MISSING
        x = plot[0] + index * wide
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{wide + 0.2:.2f}" height="11" fill="{STATES[state]}"/>'
        )
    words = f"{cell.succeeded} of {cell.expected}" if cell.expected else f"{cell.succeeded}"
    words += f", {cell.failed} failed" if cell.failed else ""
    return [*parts, _text(plot[2] + 6, y + 9, words, _INK, 9)]


def _levels(steps: Iterable[Step], count: int) -> list[tuple[int, int]]:
    starts = [0, *(step.start for step in steps), count]
    return [(one, two) for one, two in pairwise(starts) if two > one]


def _mark(side: Side, x: float, y: float) -> str:
    """Circles and triangles: told apart without colour, too."""
    colour = COLOURS[side]
    if side is Side.SCRIPTED:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.3" fill="{colour}" opacity=".75"/>'
    return f'<path d="M{x:.1f} {y - 3:.1f}l2.8 5h-5.6z" fill="{colour}" opacity=".75"/>'


def _range(values: Floats, quantity: Quantity) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if quantity is Quantity.LOSS:
        return 0.0, max(high, 1e-4) * 1.1
    # at least a factor of 1.5, so that noise doesn't look like much
    room = max(math.sqrt(1.5 * low / high), 1.06)
    return low / room, high * room


def _share(value: float, low: float, high: float, logarithmic: bool) -> float:
    if logarithmic:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _ticks(low: float, high: float, logarithmic: bool, most: int) -> list[float]:
    if not logarithmic:
        return [low + (high - low) / 1.1 * index / 2 for index in range(3)]
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(1 + n / 10 for n in range(90))):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 2:
            return ticks[:: math.ceil(len(ticks) / most)]
    return [low, high]


def _value_axis(
    quantity: Quantity, low: float, high: float, plot: tuple[int, int, int, int], up: Callable[[float], float]
) -> list[str]:
    parts = []
    for tick in _ticks(low, high, quantity is not Quantity.LOSS, 5):
        parts += [
            _rule(plot, up(tick), _LINE, ""),
            _text(plot[0] - 6, up(tick) + 3, form(quantity, tick), _PALE, 9, "end"),
        ]
    return parts


def _time_axis(
    report: Report, plot: tuple[int, int, int, int], across: Callable[[float], float], y: float
) -> list[str]:
    days = (report.until - report.since).total_seconds() / 86_400
    every = next((one for one in (1 / 24, 0.25, 1, 2, 5, 10, 30, 90, 365) if days / one <= 7), 365)
    start = datetime.combine(report.since.date(), datetime.min.time(), UTC)
    parts = []
    while start <= report.until:
        if start >= report.since:
            x = across(start.timestamp())
            if x < plot[2] - 8:
                words = f"{start:%H:%M}" if every < 1 and start.hour else f"{start.day} {start:%b}"
                parts.append(
                    f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{plot[3]}" y2="{plot[3] + 4}" stroke="{_PALE}"/>'
                )
                parts.append(_text(x, y, words, _PALE, 9, "middle"))
        start += timedelta(days=every)
    return parts


def _labels(labels: list[tuple[float, str, Side]], x: float) -> list[str]:
    placed = _spread([(y, words) for y, words, _ in labels], 24)
    sides = {words: side for _, words, side in labels}
    parts = []
    for y, words in placed:
        name, _, value = words.partition(" ")
        parts.append(_text(x, y - 2, name, _INKS[sides[words]], 10))
        parts.append(_text(x, y + 9, value, _INKS[sides[words]], 10))
    return parts


def _spread(labels: list[tuple[float, str]], apart: float) -> list[tuple[float, str]]:
    """Moved down where they would cover each other."""
    found: list[tuple[float, str]] = []
    for y, words in sorted(labels):
        found.append((max(y, found[-1][0] + apart) if found else y, words))
    return found


def _some(count: int) -> Sequence[int]:
    """At most 600 points, evenly spaced."""
    if count <= _MOST_POINTS:
        return range(count)
    return [int(one) for one in np.linspace(0, count - 1, _MOST_POINTS)]


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:38]}…"


def _rule(plot: tuple[int, int, int, int], y: float, colour: str, dash: str, wide: float = 1) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{plot[0]}" x2="{plot[2]}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
        f'stroke-width="{wide}"{dashed}/>'
    )


def _text(x: float, y: float, words: str, colour: str, size: int, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def _svg(width: int, height: int, parts: Iterable[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
