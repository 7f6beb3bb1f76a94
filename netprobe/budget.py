"""How much the tests of a plan may move: bytes in 24 hours, and a share of what the link carries.

What a test will move is estimated from its length and the rate last measured on its path; what it has moved
is read from the archive, so that a watcher that was restarted still knows. Tests that don't fill a path cost
too little to count; a failed one moved nobody knows how much, and counts as nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.errors import InputError
from federation.units import parse_bits_per_second, parse_size_bytes
from netprobe.history import History
from netprobe.measurement import Kind, Measurement
from netprobe.plan_fields import only
from netprobe.tools import Test, Tool, _parameters

DAY_SECONDS = 86_400.0
DEFAULT_RATE = 1e9
DEFAULT_DURATION = 5.0
SCOPES = ("path", "site")


@dataclass(frozen=True)
class Budget:
    """A limit for each path (source, destination), or for each site: all that it sends and receives.

    `share` (0 to 1) is of what the link would carry in 24 hours at the rate last measured: a path's own, or
    the fastest of a site's. `assumed_rate` (bit/s) stands in where nothing was measured.
    """

    per: str
    bytes_per_day: float | None = None
    share: float | None = None
    assumed_rate: float = DEFAULT_RATE

    def limit(self, rate: float) -> float:
        """Bytes in 24 hours over a link that carries `rate` bit/s."""
        shared = float("inf") if self.share is None else self.share * rate / 8 * DAY_SECONDS
        return min(shared, float("inf") if self.bytes_per_day is None else self.bytes_per_day)

    def __str__(self) -> str:
        parts = []
        if self.bytes_per_day is not None:
            parts.append(f"{self.bytes_per_day / 1e9:g} GB in 24 h")
        if self.share is not None:
            parts.append(f"{self.share * 100:g} % of the link")
        return f"{' and '.join(parts)} per {self.per}"


def read_budget(table: Mapping[str, Any], where: str) -> Budget:
    """A budget from its table in a plan. Raises InputError that begins with `where`."""
    only(table, {"per", "bytes_per_day", "share", "assumed_rate"}, where)
    per = table.get("per", "path")
    if per not in SCOPES:
        raise InputError(f"{where} per: expected one of {', '.join(SCOPES)}, got {per!r}")
    share = table.get("share")
    if share is not None and not (
        isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= 1
    ):
        raise InputError(f"{where} share: expected a number above 0, at most 1 (0.02 is 2 %), got {share!r}")
    size, rate = table.get("bytes_per_day"), table.get("assumed_rate", "1 Gbit/s")
    if size is None and share is None:
        raise InputError(f"{where}: expected bytes_per_day, share, or both, got neither")
    try:
        limit = None if size is None else float(parse_size_bytes(size))
        assumed = parse_bits_per_second(rate)
    except InputError as problem:
        raise InputError(f"{where} {problem}") from problem
    return Budget(per, limit, None if share is None else float(share), assumed)


def estimate(tool: Tool, test: Test, rate: float) -> float:
    """Bytes that a test moves over a path of `rate` bit/s; 0 for a tool that doesn't fill it."""
    return _bytes(test.parameters, rate) if tool.exclusive else 0.0


def moved(result: Measurement) -> float:
    """Bytes that a test has moved, as far as its figures tell."""
    if result.kind is Kind.TRANSFER:
        return result.figures.get("size_bytes", 0.0)
    rate = result.figures.get("sent_bits_per_second", result.figures.get("bits_per_second", 0.0))
    return _bytes({**result.parameters, "bitrate": None}, rate)


def _bytes(parameters: Mapping[str, Any], rate: float) -> float:
    size = parameters.get("size_bytes")
    if isinstance(size, int | float) and not isinstance(size, bool):
        return float(size)
    duration = parameters.get("duration_seconds", parameters.get("duration", DEFAULT_DURATION))
    omitted = parameters.get("omit_seconds", parameters.get("omit", 0.0))
    known = {"duration": duration, "omit": omitted}
    seconds = sum(_parameters.seconds("test", known, name, 0.0) for name in known)
    paced = _parameters.bits_per_second("test", parameters, "bitrate")
    return (rate if paced is None else min(rate, paced)) * seconds / 8


Key = tuple[str, str, str]


@dataclass
class Ledger:
    """What has been moved over each path and by each site in the last 24 hours, and what they carry."""

    budgets: Sequence[Budget]
    moved: dict[Key, float] = field(default_factory=lambda: defaultdict(float))
    rates: dict[Key, float] = field(default_factory=dict)

    @classmethod
    def of(cls, budgets: Sequence[Budget], last_day: History, newest: History) -> Ledger:
        """From the last day's measurements, of which pulled ones don't count, and each path's newest."""
        ledger = cls(budgets)
        for (kind, source, destination), found in newest.by_path.items():
            rate = next((one.figures["bits_per_second"] for one in found if _has_rate(one)), None)
            if kind is Kind.THROUGHPUT and rate is not None:
                for key in keys_of(source, destination):
                    ledger.rates[key] = max(ledger.rates.get(key, 0.0), rate)
        for (kind, source, destination), found in last_day.by_path.items():
            if kind in (Kind.THROUGHPUT, Kind.TRANSFER):
                ours = sum(moved(one) for one in found if one.archive is None)
                for key in keys_of(source, destination):
                    ledger.moved[key] += ours
        return ledger

    def take(self, tool: Tool, test: Test) -> bool:
        """Book a test where every budget has room for it; False, and nothing is booked, where one hasn't."""
        keys = keys_of(test.source.site, test.destination.site)
        for budget in self.budgets:
            cost = self.cost(tool, test, budget.assumed_rate)
            for key in keys:
                limit = budget.limit(self.rates.get(key, budget.assumed_rate))
                if cost and key[0] == budget.per and self.moved[key] + cost > limit:
                    return False
        assumed = self.budgets[0].assumed_rate if self.budgets else DEFAULT_RATE
        self.book(keys, self.cost(tool, test, assumed))
        return True

    def cost(self, tool: Tool, test: Test, assumed_rate: float = DEFAULT_RATE) -> float:
        """Bytes that a test will move, by the rate last measured on its path."""
        path = ("path", test.source.site, test.destination.site)
        return estimate(tool, test, self.rates.get(path, assumed_rate))

    def book(self, keys: Iterable[Key], size_bytes: float) -> None:
        for key in keys:
            self.moved[key] += size_bytes


def keys_of(source: str, destination: str) -> tuple[Key, ...]:
    """What a test between two sites counts for: its path, and each of the sites."""
    return ("path", source, destination), ("site", source, ""), ("site", destination, "")


def _has_rate(one: Measurement) -> bool:
    return one.succeeded and one.figures.get("bits_per_second", 0.0) > 0
