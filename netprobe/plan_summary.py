"""What a watched plan will do: how often, how many tests and rounds, and how much it moves in a day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from netprobe.budget import DAY_SECONDS, Budget, Key, Ledger, keys_of
from netprobe.plan import Block, Plan, Planned, rounds
from netprobe.watch import next_due, period


@dataclass(frozen=True)
class BlockSummary:
    """One block; `bytes_per_day` as if its calendars were always open, 0 where it isn't watched.

    `due` is when its tests may begin: the present instant where they may now, None where they never may.
    """

    where: str
    tool: str
    tests: int
    every_seconds: float | None
    bytes_per_day: float
    due: datetime | None


@dataclass(frozen=True)
class BudgetSummary:
    """A budget, and the path or site of which it will have most to refuse."""

    budget: Budget
    heaviest: str
    bytes_per_day: float
    limit_bytes: float


@dataclass(frozen=True)
class PlanSummary:
    """All blocks together; `rounds` if all were due at once."""

    rounds: int
    blocks: tuple[BlockSummary, ...]
    budgets: tuple[BudgetSummary, ...]


def summarise(plan: Plan, planned: Sequence[Planned], ledger: Ledger, now: datetime) -> PlanSummary:
    """`ledger` knows the rates last measured. Bytes are the most: calendars and budgets allow fewer."""
    per_key: dict[Key, float] = defaultdict(float)
    per_block: dict[int, float] = defaultdict(float)
    for one in planned:
        every = plan.blocks[one.block].every_seconds
        if every is not None:
            size = ledger.cost(one.tool, one.test) * DAY_SECONDS / every
            per_block[one.block] += size
            for key in keys_of(one.test.source.site, one.test.destination.site):
                per_key[key] += size
    blocks = tuple(
        BlockSummary(
            where=block.where,
            tool=block.tool,
            tests=sum(one.block == index for one in planned),
            every_seconds=block.every_seconds,
            bytes_per_day=per_block[index],
            due=_due(block, now),
        )
        for index, block in enumerate(plan.blocks)
    )
    budgets = [_heaviest(budget, per_key, ledger) for budget in plan.budgets]
    found = rounds(planned, plan.parallel, plan.bottlenecks)
    return PlanSummary(len(found), blocks, tuple(one for one in budgets if one is not None))


def _due(block: Block, now: datetime) -> datetime | None:
    if block.every_seconds is None:
        return None
    begun = period(block, now).begins <= now and all(one.is_open(now) for one in block.calendars)
    return now if begun else next_due(block, now)


def _heaviest(budget: Budget, per_key: dict[Key, float], ledger: Ledger) -> BudgetSummary | None:
    limits = {
        key: budget.limit(ledger.rates.get(key, budget.assumed_rate))
        for key in per_key
        if key[0] == budget.per
    }
    if not limits:
        return None
    worst = max(limits, key=lambda key: per_key[key] / limits[key])
    name = " to ".join(part for part in worst[1:] if part)
    return BudgetSummary(budget, name, per_key[worst], limits[worst])
