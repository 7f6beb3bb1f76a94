"""What a comparison finds, as plain data: of one path, and of the whole mesh."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np

from netprobe.coverage import State
from reports.compare.statistics import BlandAltman, Floats, Paired, Shift, Summary, Unpaired
from reports.compare.trend import Step, Trend
from reports.compare.ways import Quantity, Side, Way
from reports.document import Made


class Likeness(StrEnum):
    """How a property of the two series stands."""

    SAME = "same"
    NORMALISED = "normalised"
    DIFFERS = "differs"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Trait:
    """One line of the table that says whether like is compared with like."""

    name: str
    scripted: str
    mesh: str
    likeness: Likeness
    remark: str = ""


class Cause(StrEnum):
    """What is wrong, or why two series differ."""

    WINDOW = "window-limited"
    CPU = "CPU-limited"
    LOSS = "loss-limited"
    SHAPED = "shaped"
    BUSY = "host busy"
    SLOW_START = "slow start in short tests"
    ONE_DIRECTION = "one-direction fault"
    SITE_WIDE = "site-wide change"
    ROUTE = "route change"
    CLOCK = "clock fault"
    MTU = "MTU"
    CHANGED = "level changed"


@dataclass(frozen=True)
class Finding:
    """A cause with its evidence, in words with figures. `explains`: a difference between the two sides."""

    cause: Cause
    text: str
    explains: bool
    side: Side | None = None


@dataclass(frozen=True)
class Series:
    """One side of a path: how it was measured, what came of it, and the tests themselves (seconds since 1970;
    values in bit/s, seconds, or a ratio)."""

    way: Way
    summary: Summary
    trend: Trend | None
    steps: tuple[Step, ...]
    times: Floats = field(repr=False)
    values: Floats = field(repr=False)


@dataclass(frozen=True)
class Cell:
    """How much of what was expected of one side of a path is there. `inferred`: nobody said how much was to
    be expected; it is by the side's own usual interval. `failures`: when tests failed."""

    side: Side
    state: State
    expected: int
    succeeded: int
    failed: int
    newest: datetime | None
    repeat_seconds: float | None
    inferred: bool
    last_error: str = ""
    failures: Floats = field(default_factory=lambda: np.empty(0), repr=False)


class Outcome(StrEnum):
    """The verdict."""

    DISAGREE = "disagree"
    UNSETTLED = "not settled"
    AGREE = "agree"
    TOO_FEW = "too few tests"
    ONE_SIDE = "one side only"


@dataclass(frozen=True)
class Comparison:
    """One direction of a pair and one quantity. Shifts are the mesh's over the scripted's, as logarithms, but
    for loss, which is a plain difference; `raw_shift` is before anything was normalised."""

    quantity: Quantity
    source: str
    destination: str
    scripted: Series | None
    mesh: Series | None
    cells: tuple[Cell, ...]
    traits: tuple[Trait, ...] = ()
    tolerance_seconds: float = 0.0
    # times of pairs, and both values
    pairs: Floats | None = field(default=None, repr=False)
    raw_shift: Shift | None = None
    shift: Shift | None = None
    margin: float = 0.0
    agreement: BlandAltman | None = None
    paired: Paired | None = None
    unpaired: Unpaired | None = None
    same_p: float = 1.0
    differs_p: float = 1.0
    # after Benjamini and Hochberg, over all paths of the quantity
    adjusted_p: float = 1.0
    more_tests: int = 0
    findings: tuple[Finding, ...] = ()
    outcome: Outcome = Outcome.TOO_FEW
    words: str = ""
    next_steps: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Pairs, where there are any; else tests of the side with fewer."""
        return 0 if self.pairs is None else len(self.pairs)

    def series(self, side: Side) -> Series | None:
        return self.scripted if side is Side.SCRIPTED else self.mesh

    @property
    def causes(self) -> tuple[Cause, ...]:
        return tuple(dict.fromkeys(one.cause for one in self.findings))


@dataclass(frozen=True)
class Report:
    """A comparison of two groups of series over a time. `remarks`: what is wrong with the data as a whole."""

    since: datetime
    until: datetime
    margin: float
    loss_margin: float
    rows: int
    first: datetime | None
    last: datetime | None
    comparisons: tuple[Comparison, ...]
    remarks: tuple[str, ...]
    made: Made
    names: dict[str, str] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> int:
        return sum(one.outcome is outcome for one in self.comparisons)

    def name(self, site: str) -> str:
        return self.names.get(site, site)
