"""Pairs in time: each test of one side with the nearest of the other."""

from __future__ import annotations

import numpy as np

from reports.compare.statistics import Floats, median


def nearest(first: Floats, second: Floats, within_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Indexes of tests that are each other's nearest, and no further apart; both sorted. Each is in one pair
    at most."""
    if not len(first) or not len(second):
        return np.empty(0, int), np.empty(0, int)
    there, back = _nearest(first, second), _nearest(second, first)
    mine = np.arange(len(first))
    mutual = (back[there] == mine) & (np.abs(first - second[there]) <= within_seconds)
    return mine[mutual], there[mutual]


def _nearest(places: Floats, among: Floats) -> np.ndarray:
    if len(among) == 1:
        return np.zeros(len(places), int)
    after = np.minimum(np.maximum(among.searchsorted(places), 1), len(among) - 1)
    before = after - 1
    return np.where(places - among[before] <= among[after] - places, before, after)


def usual_gap(times: Floats) -> float | None:
    """The median time from one test to the next; None for fewer than two."""
    return median(times[1:] - times[:-1]) if len(times) > 1 else None


def beside(starts: Floats, ends: Floats, among_starts: Floats, among_ends: Floats) -> Floats:
    """How many of the intervals `among` (each sorted by itself) meet each of these; one that is among them
    meets itself."""
    begun = np.searchsorted(among_starts, ends, "left")
    over = np.searchsorted(among_ends, starts, "right")
    return (begun - over).astype(float)
