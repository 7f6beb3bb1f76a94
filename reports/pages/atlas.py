"""Places of the Earth on a flat picture: the projection, what part of the world is shown, and its land."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from federation.sites import Place

# degrees of longitude, and of the projection's latitude, that a picture shows at least: the land is no finer
_LEAST_DEGREES = 20.0
# of what the sites take: room around them
_MARGIN = 0.16
# a picture's height in parts of its width, at most
_TALLEST = 0.78
_POLE = 90.0
# degrees east or west: no land of one copy of the world is beyond that
_EDGE = 200.0


@dataclass(frozen=True)
class Point:
    """A point of a picture: right and down, in its own units."""

    x: float
    y: float

    def distance(self, other: Point) -> float:
        return math.hypot(other.x - self.x, other.y - self.y)

    def moved(self, x: float, y: float) -> Point:
        return Point(self.x + x, self.y + y)


@dataclass(frozen=True)
class View:
    """A picture of a part of the world. `west` and `north`: its upper left corner, in degrees of the
    projection; `scale`: units for each of these degrees."""

    west: float
    north: float
    scale: float
    width: float
    height: float

    def point(self, place: Place) -> Point:
        """Where a place is in the picture."""
        east = self.west + (place.longitude - self.west) % 360.0
        return Point((east - self.west) * self.scale, (self.north - northing(place.latitude)) * self.scale)

    def land_shifts(self) -> list[float]:
        """Right shifts, in degrees, of the copies of the world that are in the picture."""
        east = self.west + self.width / self.scale
        return [turn for turn in (-360.0, 0.0, 360.0) if turn - _EDGE < east and turn + _EDGE > self.west]


def northing(latitude: float) -> float:
    """Degrees of latitude on the map, by the Patterson cylindrical projection (Patterson, Šavrič and Jenny,
    2015, equation 1); cylindrical, so that the map can be cut and cropped anywhere."""
    phi = math.radians(latitude)
    square = phi * phi
    y = phi * (1.0148 + square**2 * (0.23185 + square * (-0.14499 + square * 0.02406)))
    return math.degrees(y)


def view_of(places: Sequence[Place], width: float, flattest: float) -> View:
    """The part of the world that has all of `places` (at least one) in it, cut where none is near.

    `flattest`: its height in parts of its width, at least.
    """
    west, degrees = _range_of_longitudes([place.longitude for place in places])
    norths = [northing(place.latitude) for place in places]
    middle, upright = (max(norths) + min(norths)) / 2, max(norths) - min(norths)
    span = min(
        max(degrees * (1 + 2 * _MARGIN), upright * (1 + 2 * _MARGIN) / _TALLEST, _LEAST_DEGREES), 360.0
    )
    ratio = min(max(upright * (1 + 2 * _MARGIN) / span, flattest), _TALLEST)
    height = span * ratio
    # no picture shows what is beyond a pole, unless the world is too small for it
    pole = northing(_POLE)
    north = max(min(middle + height / 2, pole), height - pole) if height < 2 * pole else height / 2
    scale = width / span
    # so that the copies of the world beside 0 are all that can be seen
    left = (west + degrees / 2 - span / 2 + 180.0) % 360.0 - 180.0
    return View(left, north, scale, width, height * scale)


def _range_of_longitudes(longitudes: Sequence[float]) -> tuple[float, float]:
    """The westernmost, and the degrees from there to the easternmost: around the widest gap between them."""
    around = sorted({longitude % 360.0 for longitude in longitudes})
    gaps = [after - before for before, after in pairwise([*around, around[0] + 360.0])]
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    return around[(widest + 1) % len(around)], 360.0 - gaps[widest]


@cache
def land() -> str:
    """The land as an SVG path, in tenths of a degree of the projection: right is east, down is south."""
    rings = json.loads(files("reports.pages").joinpath("data", "land.json").read_text("utf-8"))["rings"]
    return "".join(_ring(ring) for ring in rings)


def _ring(ring: Sequence[int]) -> str:
    """One ring, relative from point to point, which takes half as much."""
    points = [
        (east, -round(northing(north / 10) * 10)) for east, north in zip(ring[::2], ring[1::2], strict=True)
    ]
    steps = [f"{bx - ax},{by - ay}" for (ax, ay), (bx, by) in pairwise(points)]
    return f"M{points[0][0]},{points[0][1]}l{' '.join(steps)}z".replace(",-", "-").replace(" -", "-")
