"""Where the sites, their names and the paths between them stand in a map, so that each can be told from the
others. The layout depends on the catalogue alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from federation.sites import Place
from reports.pages.atlas import Point, View, view_of

_ROUNDS = 120
# sites nearer than this to each other, in parts of what they are to be apart, are a crowd if they are so many
_NEAR, _CROWD = 0.7, 6
# how wide letters are, in parts of their height, in the bold of what browsers take for a page's text
_THIN, _BROAD = frozenset("iljftrI.,:;'!|()[]- "), frozenset("mwMWOQCDGNHU@%&")
_THIN_LETTER, _LETTER, _BROAD_LETTER = 0.4, 0.64, 0.86
# where a name may stand, in turns clockwise from the right: right and left are read best
_TURNS = (0.0, 0.5, 0.875, 0.625, 0.125, 0.375, 0.75, 0.25)
_GOLDEN = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True)
class Size:
    """A picture's width, and how large what is in it is; all in the picture's units."""

    width: float
    # height in parts of the width, at least
    flattest: float
    letters: float
    dot: float
    # of those in a crowd
    small_dot: float
    tip: float
    # between the middles of two sites, at least
    apart: float


# for a window, and for a phone
WIDE = Size(width=960, flattest=0.46, letters=14, dot=6, small_dot=3.5, tip=8, apart=40)
NARROW = Size(width=360, flattest=0.66, letters=13, dot=5, small_dot=2.5, tip=6, apart=28)


@dataclass(frozen=True)
class Name:
    """Where a site's name stands: `at` is the middle of its left side; `far`: a line leads to its site."""

    at: Point
    width: float
    height: float
    far: bool

    def anchored(self, point: Point) -> tuple[str, float]:
        """SVG's text-anchor, and its x: at the side of `point`, for browsers' letters are of other widths."""
        if self.at.x + self.width <= point.x:
            return "end", self.at.x + self.width
        if self.at.x >= point.x:
            return "start", self.at.x
        return "middle", self.at.x + self.width / 2

    def overlap(self, left: float, top: float, right: float, bottom: float) -> float:
        """The area that it shares with a box."""
        across = min(right, self.at.x + self.width) - max(left, self.at.x)
        along = min(bottom, self.at.y + self.height / 2) - max(top, self.at.y - self.height / 2)
        return across * along if across > 0 and along > 0 else 0.0


@dataclass(frozen=True)
class Mark:
    """A site in the map. `true`: where it is on Earth, if it had to stand beside that. `name` None: it is one
    of a crowd, which has one name for all."""

    at: Point
    dot: float
    true: Point | None
    name: Name | None


@dataclass(frozen=True)
class Curve:
    """A path from one mark to another, bent to its right, so that both directions show: an SVG path, the tip
    of an arrow, and the middle."""

    line: str
    tip: str
    middle: Point


@dataclass(frozen=True)
class Layout:
    """A map without what was measured. `marks` in the order of the sites; `crowds`: sites, by their numbers,
    that are too near to each other for their names, and where it is said how many they are."""

    view: View
    size: Size
    marks: tuple[Mark, ...]
    crowds: tuple[tuple[tuple[int, ...], Name], ...]

    def curve(self, source: int, destination: int) -> Curve:
        """The path between two of the marks, by their numbers."""
        return _curve(self.marks[source], self.marks[destination], self.size)


@lru_cache(maxsize=16)
def laid_out(sites: tuple[tuple[str, Place], ...], size: Size) -> Layout:
    """The map of these sites (at least one): names and places."""
    view = view_of([place for _, place in sites], size.width, size.flattest)
    true = [view.point(place) for _, place in sites]
    crowds = crowded(true, size)
    of = {number: crowd for crowd, numbers in enumerate(crowds) for number in numbers}

    def apart(one: int, other: int) -> float:
        together = one in of and of[one] == of.get(other)
        return 2 * size.small_dot + 2 if together else size.apart

    found = spread(true, apart, view.width, view.height, size.dot * 2)
    dots = [size.small_dot if number in of else size.dot for number in range(len(sites))]
    named = [
        (found[number], size.dot, name) for number, (name, _) in enumerate(sites) if number not in of
    ] + [(*_middle([found[number] for number in numbers]), crowd_name(numbers)) for numbers in crowds]
    names = _named(named, list(zip(found, dots, strict=True)), size, view)
    rest = iter(names)
    marks = (
        Mark(at, dot, where if at.distance(where) > dot else None, None if number in of else next(rest))
        for number, (at, where, dot) in enumerate(zip(found, true, dots, strict=True))
    )
    return Layout(view, size, tuple(marks), tuple(zip(crowds, rest, strict=True)))


def crowd_name(numbers: Sequence[int]) -> str:
    """What stands beside a crowd, for the names that don't."""
    return f"{len(numbers)} sites, see below"


def crowded(points: Sequence[Point], size: Size) -> tuple[tuple[int, ...], ...]:
    """Those of many points that are too near to each other to have their names beside them; but not all of
    them: there is no closer look at all."""
    near = size.apart * _NEAR
    left, found = set(range(len(points))), []
    while left:
        crowd, edge = set(), [min(left)]
        while edge:
            one = edge.pop()
            if one not in crowd:
                crowd.add(one)
                edge += [other for other in left if points[one].distance(points[other]) < near]
        left -= crowd
        across = max(points[one].x for one in crowd) - min(points[one].x for one in crowd)
        if _CROWD <= len(crowd) < len(points) and across < size.width / 3:
            found.append(tuple(sorted(crowd)))
    return tuple(found)


def _middle(points: Sequence[Point]) -> tuple[Point, float]:
    """The middle of points, and how far they are from it at most."""
    middle = Point(sum(each.x for each in points) / len(points), sum(each.y for each in points) / len(points))
    return middle, max(middle.distance(each) for each in points)


def spread(
    points: Sequence[Point], apart: Callable[[int, int], float], width: float, height: float, margin: float
) -> list[Point]:
    """The points moved as little as it takes for none to be nearer to another than `apart` says of the two,
    within the picture and its margin; where they are too many for that, as far apart as they get."""
    found = list(points)
    for _ in range(_ROUNDS):
        moved = False
        for one in range(len(found)):
            for other in range(one):
                lacking = apart(one, other) - found[one].distance(found[other])
                if lacking > 1e-6:
                    x, y = _direction(found[other], found[one], one)
                    # a little more than it takes, so that it comes to an end
                    half = lacking / 2 + 0.01
                    found[one] = found[one].moved(x * half, y * half)
                    found[other] = found[other].moved(-x * half, -y * half)
                    moved = True
        found = [_within(point, width, height, margin) for point in found]
        if not moved:
            break
    return found


def _direction(start: Point, end: Point, number: int) -> tuple[float, float]:
    """Of length 1. Points in one place part in as many directions as there are of them."""
    length = start.distance(end)
    if length < 1e-9:
        return math.cos(number * _GOLDEN), math.sin(number * _GOLDEN)
    return (end.x - start.x) / length, (end.y - start.y) / length


def _within(point: Point, width: float, height: float, margin: float) -> Point:
    return Point(min(max(point.x, margin), width - margin), min(max(point.y, margin), height - margin))


def _named(
    wanted: Sequence[tuple[Point, float, str]], dots: Sequence[tuple[Point, float]], size: Size, view: View
) -> list[Name]:
    """A place for each name, around a point at a distance, that meets as little as possible of the others, of
    the sites and of the rim."""
    near = [sum(dot.distance(point) < 4 * size.apart for dot, _ in dots) for point, _, _ in wanted]
    found: dict[int, Name] = {}
    # who has most neighbours chooses first
    for number in sorted(range(len(wanted)), key=lambda each: -near[each]):
        choices = _places(*wanted[number], size)
        found[number] = min(choices, key=lambda name: _meets(name, dots, found, view))
    return [found[number] for number in range(len(wanted))]


def _places(point: Point, around: float, text: str, size: Size) -> list[Name]:
    """Where a name may stand, the best place first."""
    width, height = _text_width(text) * size.letters, size.letters * 1.25
    found = []
    for step, distance in enumerate((around + 4, around + 18, around + 36)):
        for turn in _TURNS:
            x, y = math.cos(turn * math.tau), math.sin(turn * math.tau)
            middle = point.moved(x * distance + x * width / 2, y * (distance + height / 2))
            found.append(Name(middle.moved(-width / 2, 0), width, height, step > 0))
    return found


def _text_width(text: str) -> float:
    """In parts of the letters' height."""
    thin, broad = sum(letter in _THIN for letter in text), sum(letter in _BROAD for letter in text)
    return thin * _THIN_LETTER + broad * _BROAD_LETTER + (len(text) - thin - broad) * _LETTER


def _meets(name: Name, dots: Sequence[tuple[Point, float]], others: dict[int, Name], view: View) -> float:
    total = sum(
        name.overlap(at.x - dot - 1, at.y - dot - 1, at.x + dot + 1, at.y + dot + 1) for at, dot in dots
    )
    for other in others.values():
        half = other.height / 2
        total += name.overlap(other.at.x, other.at.y - half, other.at.x + other.width, other.at.y + half)
    outside = name.width * name.height - name.overlap(2, 2, view.width - 2, view.height - 2)
    # what is nothing but for rounding is nothing: the first of equals is the best place
    return round(total + 4 * outside, 1)


def _curve(source: Mark, destination: Mark, size: Size) -> Curve:
    start, end = source.at, destination.at
    length = max(start.distance(end), 1.0)
    x, y = _direction(start, end, 0)
    bend = min(max(0.12 * length, 5.0), 44.0)
    control = Point((start.x + end.x) / 2 - y * bend, (start.y + end.y) / 2 + x * bend)
    out, back = _direction(start, control, 0), _direction(end, control, 0)
    first = start.moved(out[0] * (source.dot + 2), out[1] * (source.dot + 2))
    point = end.moved(back[0] * (destination.dot + 2), back[1] * (destination.dot + 2))
    foot = point.moved(back[0] * size.tip, back[1] * size.tip)
    wing = 0.5 * size.tip
    left, right = foot.moved(back[1] * wing, -back[0] * wing), foot.moved(-back[1] * wing, back[0] * wing)
    middle = Point((first.x + 2 * control.x + foot.x) / 4, (first.y + 2 * control.y + foot.y) / 4)
    line = f"M{_pair(first)}Q{_pair(control)} {_pair(foot)}"
    return Curve(line, f"M{_pair(point)}L{_pair(left)} {_pair(right)}z", middle)


def _pair(point: Point) -> str:
    return f"{point.x:.1f},{point.y:.1f}"
