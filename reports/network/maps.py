"""Heat maps of a federation, as SVG: who sends to whom, readable with three sites and with a hundred.

Written out, not by matplotlib: cells of one class are one shape, so that ten thousand of them take some
hundred kilobytes, and stay sharp in print. Colours stand for classes with round bounds, which a legend names;
what is not a value (failed, stale, not tested) has its own look, also in black and white.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from reports.colours import INK, PALE, ink_on
from reports.document import Picture
from reports.network.model import Ends, State

# Both keep their order for the colour-blind and in grey (matplotlib's viridis and cividis, dark is bad).
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
CIVIDIS = ("#fee838", "#ddc858", "#bbad6d", "#9a9376", "#7c7b78", "#60646f", "#424e6c", "#18376f", "#00224e")
_MISSING, _BAD = "#dcdce2", "#b3261e"
_MOST_CLASSES = 8
_STEPS: tuple[tuple[float, ...], ...] = (
    tuple(1 + number / 10 for number in range(90)),
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
_LOOKS = {State.FAILED: "failed", State.STALE: "stale", State.MISSING: "not tested"}
# Over so many sites a cell is too small to be pointed at: the table has what is in it.
_POINTED_AT = 30
_LEGEND_LEFT = 20


@dataclass(frozen=True)
class Spot:
    """One cell: a value, or a state that is none. `words` are shown when it is pointed at; a `marked` one has
    a corner."""

    value: float | None
    state: State
    words: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Scale:
    """How values become colours and words: `full` with a unit ("9.41 Gbit/s"), `short` for a cell ("9.4G");
    `colours` from the smallest value to the largest."""

    full: Callable[[float], str]
    short: Callable[[float], str]
    colours: Sequence[str]
    # what a marked cell is
    mark: str = ""
    looks: Mapping[State, str] | None = None


def heat_map(
    title: str, sites: Sequence[str], names: Callable[[str], str], spots: Mapping[Ends, Spot], scale: Scale
) -> Picture:
    """Rows send, columns receive; the legend below. `spots` has every ordered pair of `sites`."""
    count = len(sites)
    cell = 62 if count <= 6 else 46 if count <= 13 else 32 if count <= 24 else max(960 / count, 9)
    size = 11 if cell > 24 else max(cell * 0.78, 7)
    labels = [_short(names(site)) for site in sites]
    left = max(max((len(label) for label in labels), default=0) * size * 0.62 + 10, 72)
    # columns lean: what stands over the last one reaches out to the right
    top = left * 0.82 + 26
    bounds = classes([spot.value for spot in spots.values() if spot.value is not None])
    shown = {spot.state for spot in spots.values()}
    grid = cell * count
    width = max(left + grid + left * 0.6, 360)
    marked = any(spot.marked for spot in spots.values())
    legend, legend_height = _legend(bounds, scale, shown, marked, width - _LEGEND_LEFT)
    height = top + grid + legend_height + 12
    parts = [_text(0, 13, title, INK, 13, weight="600")]
    places = [(left + cell * column, top + cell * row) for row in range(count) for column in range(count)]
    every = [(source, destination) for source in sites for destination in sites]
    for label, number in zip(labels, range(count), strict=True):
        middle = cell * (number + 0.5)
        parts.append(_text(left - 6, top + middle + size * 0.35, label, INK, size, "end"))
        x, y = left + middle + size * 0.3, top - 5
        parts.append(_text(x, y, label, INK, size, turn=-55))
    parts.append(_text(left - 6, top - 6, "from ↓ to →", PALE, 9, "end"))
    parts += _cells(zip(every, places, strict=True), spots, bounds, scale, cell)
    parts += _words(zip(every, places, strict=True), spots, bounds, scale, cell)
    if count <= _POINTED_AT:
        parts += [
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" fill="transparent">'
            f"<title>{escape(spots[ends].words)}</title></rect>"
            for ends, (x, y) in zip(every, places, strict=True)
            if ends in spots and spots[ends].words
        ]
    parts.append(f'<g transform="translate({_LEGEND_LEFT} {top + grid + 16:.1f})">{"".join(legend)}</g>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" '
        f'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">{"".join(parts)}</svg>'
    )
    return Picture(Markup(svg), _described(title, spots))


def classes(values: Sequence[float]) -> tuple[float, ...]:
    """Round bounds from below the smallest value to above the largest, at most eight classes; zero is a class
    of its own, which comes first. Empty where there are no values."""
    known = [value for value in values if value > 0]
    zero = (0.0,) if any(value == 0 for value in values) else ()
    if not known:
        return zero
    low, high = min(known), max(known)
    for steps in _STEPS:
        found = _around(low, high, steps)
        if len(found) - 1 <= _MOST_CLASSES:
            return (*zero, *found)
    every = math.ceil((len(found) - 1) / _MOST_CLASSES)
    return (*zero, *found[::every], *([] if (len(found) - 1) % every == 0 else [found[-1] * 10**every]))


def _around(low: float, high: float, steps: Sequence[float]) -> list[float]:
    decades = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 2)
    every = sorted(float(f"{step:.6g}e{decade}") for decade in decades for step in steps)
    first = max(index for index, bound in enumerate(every) if bound <= low)
    last = next(index for index, bound in enumerate(every) if bound > high)
    return every[first : last + 1]


def place(bounds: Sequence[float], value: float) -> int:
    """Which class a value is in: 0 is the first."""
    return max(sum(bound <= value for bound in bounds) - 1, 0)


def _colour(bounds: Sequence[float], number: int, scale: Scale) -> str:
    """Colours of the classes are spread over all that there are."""
    many = max(len(bounds) - 1, 1)
    if many == 1:
        return scale.colours[0 if bounds[0] == 0 else len(scale.colours) // 2]
    return scale.colours[round(number * (len(scale.colours) - 1) / (many - 1))]


def _cells(
    placed: Iterable[tuple[Ends, tuple[float, float]]],
    spots: Mapping[Ends, Spot],
    bounds: Sequence[float],
    scale: Scale,
    cell: float,
) -> list[str]:
    fills: dict[str, list[str]] = defaultdict(list)
    strokes: dict[str, list[str]] = defaultdict(list)
    gap = 1.5 if cell > 20 else 0.6
    side = cell - gap
    for ends, (x, y) in placed:
        spot = spots.get(ends)
        if spot is None:
            continue
        square = f"M{x:.1f} {y:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z"
        middle = f"M{x + side / 2:.1f} {y + side / 2:.1f}"
        if spot.state is State.MEASURED and spot.value is not None:
            fills[_colour(bounds, place(bounds, spot.value), scale)].append(square)
        elif spot.state is State.FAILED:
            fills["#ffffff"].append(square)
            strokes[_BAD].append(_cross(x, y, side))
        elif spot.state is State.STALE:
            fills["#ffffff"].append(square)
            strokes[PALE].append(square + _plus(middle, side))
        else:
            fills[_MISSING].append(square)
        if spot.marked:
            fills[_BAD].append(_corner(x, y, side))
    # corners stand over what is below them
    order = sorted(fills, key=lambda colour: (colour == _BAD, colour))
    return [f'<path fill="{colour}" d="{"".join(fills[colour])}"/>' for colour in order] + [
        f'<path fill="none" stroke="{colour}" stroke-width="{max(cell / 28, 0.8):.1f}" d="{"".join(some)}"/>'
        for colour, some in sorted(strokes.items())
    ]


def _cross(x: float, y: float, side: float) -> str:
    near, far = side * 0.2, side * 0.6
    return f"M{x + near:.1f} {y + near:.1f}l{far:.1f} {far:.1f}m0 -{far:.1f}l-{far:.1f} {far:.1f}"


def _plus(middle: str, side: float) -> str:
    wide = side * 0.24
    return f"{middle}m-{wide / 2:.1f} 0h{wide:.1f}m-{wide / 2:.1f} -{wide / 2:.1f}v{wide:.1f}"


def _corner(x: float, y: float, side: float) -> str:
    far = side * 0.36
    return f"M{x + side:.1f} {y:.1f}v{far:.1f}l-{far:.1f} -{far:.1f}z"


def _words(
    placed: Iterable[tuple[Ends, tuple[float, float]]],
    spots: Mapping[Ends, Spot],
    bounds: Sequence[float],
    scale: Scale,
    cell: float,
) -> list[str]:
    """Figures in the cells: in all of them, or in none where they don't fit."""
    told = {
        ends: scale.short(spot.value)
        for ends, spot in spots.items()
        if spot.value is not None and spot.state is State.MEASURED
    }
    size = min(12.0, (cell - 5) / (0.64 * max((len(words) for words in told.values()), default=1)))
    if size < 6.5:
        return []
    found = []
    for ends, (x, y) in placed:
        if ends in told:
            fill = _colour(bounds, place(bounds, spots[ends].value or 0.0), scale)
            ink = ink_on(fill)
            found.append(_text(x + cell / 2, y + cell / 2 + size * 0.35, told[ends], ink, size, "middle"))
    return found


def _legend(
    bounds: Sequence[float], scale: Scale, shown: Iterable[State], marked: bool, width: float
) -> tuple[list[str], float]:
    """Swatches in rows, with their ranges; and how high they are."""
    entries: list[tuple[str, str]] = []
    numbers = range(max(len(bounds) - 1, 1)) if bounds else ()
    for number in numbers:
        colour = _colour(bounds, number, scale)
        if bounds[number] == 0:
            words = "none"
        elif number + 1 < len(bounds):
            words = f"{scale.full(bounds[number])} to {scale.full(bounds[number + 1])}"
        else:
            words = f"from {scale.full(bounds[number])}"
        entries.append((f'<path fill="{colour}" d="M0 0h13v13h-13z"/>', words))
    looks = scale.looks or _LOOKS
    for state in (State.FAILED, State.STALE, State.MISSING):
        if state in shown:
            entries.append((_look(state), looks[state]))
    if marked:
        entries.append(
            (
                f'<path fill="{_MISSING}" d="M0 0h13v13h-13z"/><path fill="{_BAD}" d="M13 0v7l-7 -7z"/>',
                scale.mark,
            )
        )
    parts = []
    wide = max((len(words) for _, words in entries), default=0) * 6.4 + 26
    columns = max(int(width // wide), 1)
    for index, (swatch, words) in enumerate(entries):
        x, y = wide * (index % columns), 19 * (index // columns)
        parts.append(f'<g transform="translate({x:.0f} {y})">{swatch}{_text(18, 11, words, INK, 10)}</g>')
    return parts, 19.0 * math.ceil(len(entries) / columns) + 8


def _look(state: State) -> str:
    if state is State.MISSING:
        return f'<path fill="{_MISSING}" d="M0 0h13v13h-13z"/>'
    if state is State.FAILED:
        return f'<path fill="none" stroke="{_BAD}" d="{_cross(0, 0, 13)}"/>'
    return f'<path fill="none" stroke="{PALE}" d="M0 0h13v13h-13z{_plus("M6.5 6.5", 13)}"/>'


def _described(title: str, spots: Mapping[Ends, Spot]) -> str:
    count = {state: sum(spot.state is state for spot in spots.values()) for state in State}
    told = ", ".join(f"{number:,} {state.value}" for state, number in count.items() if number)
    return f"{title}: {told or 'nothing'}. The tables have the figures."


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _text(
    x: float,
    y: float,
    words: str,
    colour: str,
    size: float,
    anchor: str = "start",
    turn: float | None = None,
    weight: str = "",
) -> str:
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn is not None else ""
    bold = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" fill="{colour}" text-anchor="{anchor}"'
        f"{turned}{bold}>{escape(words)}</text>"
    )
