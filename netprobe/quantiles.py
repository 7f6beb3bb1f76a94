"""A small distribution: the 10 %, 50 % and 90 % quantiles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantiles:
    """10 %, 50 % and 90 % quantiles of one quantity; p10 <= p50 <= p90."""

    p10: float
    p50: float
    p90: float

    def __post_init__(self) -> None:
        if not self.p10 <= self.p50 <= self.p90:
            raise ValueError(f"quantiles out of order: {self.p10}, {self.p50}, {self.p90}")

    def __add__(self, other: Quantiles) -> Quantiles:
        """Of the sum of two quantities that rise and fall together; of independent ones it is wider than
        need be."""
        return Quantiles(self.p10 + other.p10, self.p50 + other.p50, self.p90 + other.p90)
