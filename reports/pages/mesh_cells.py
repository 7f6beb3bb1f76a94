"""What the map and the table say of each path: its figure, its colour, how old it is, whether it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from netprobe.weights import HALF_LIFE_SECONDS
from reports.matrix import Cell, State

# colours, from the worst to the best
SHADES = 5
# what was measured longer ago than this is told apart: it counts for a sixteenth of what is new
OLD_SECONDS = 4 * HALF_LIFE_SECONDS


@dataclass(frozen=True)
class Shown:
    """One path. `shade` 1 to SHADES, the best is the highest; None: nothing was measured."""

    cell: Cell
    text: str
    shade: int | None

    @property
    def old(self) -> bool:
        return self.cell.newest_age_seconds is not None and self.cell.newest_age_seconds > OLD_SECONDS

    @property
    def failing(self) -> bool:
        """Whether the newest test failed."""
        return self.cell.error is not None

    @property
    def tested(self) -> bool:
        return self.cell.state in (State.MEASURED, State.FAILED)

    @property
    def ends(self) -> tuple[str, str]:
        return self.cell.source, self.cell.destination


@dataclass(frozen=True)
class Scale:
    """Equal steps of the logarithm between the least and the most of what was measured."""

    low: float
    high: float
    # whether little is good
    inverted: bool

    def shade(self, value: float) -> int:
        if self.high <= self.low:
            return SHADES
        part = math.log(value / self.low) / math.log(self.high / self.low)
        step = min(int(part * SHADES), SHADES - 1)
        return SHADES - step if self.inverted else step + 1

    def steps(self) -> list[tuple[int, float, float]]:
        """(shade, from, to) for the legend, the worst first."""
        if self.high <= self.low:
            return [(SHADES, self.low, self.high)]
        ratio = (self.high / self.low) ** (1 / SHADES)
        bounds = [self.low * ratio**number for number in range(SHADES + 1)]
        found = [(self.shade(math.sqrt(low * high)), low, high) for low, high in pairwise(bounds)]
        return sorted(found)


def scale_of(cells: Iterable[Cell], inverted: bool) -> Scale | None:
    """The scale of what was measured; None where nothing was."""
    values = [cell.value for cell in cells if cell.value]
    return Scale(min(values), max(values), inverted) if values else None


def shown(cell: Cell, scale: Scale | None, words: Callable[[float], str]) -> Shown:
    """One path as it is shown on this scale; `words` are those for its figure."""
    if cell.state is State.MEASURED and cell.value and scale is not None:
        return Shown(cell, words(cell.value), scale.shade(cell.value))
    text = {State.FAILED: "failed", State.SELF: ""}.get(cell.state, "not tested")
    return Shown(cell, text, None)
