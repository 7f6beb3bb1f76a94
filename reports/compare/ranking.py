"""What stands first in a report: the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netprobe.coverage import State
from reports.compare.model import Cause, Comparison, Outcome, Report
from reports.compare.ways import Quantity, Side

_ORDER = (Outcome.DISAGREE, Outcome.UNSETTLED, Outcome.ONE_SIDE, Outcome.TOO_FEW, Outcome.AGREE)


def ranked(report: Report) -> list[Comparison]:
    """Disagreements by size, then paths with a fault that both sides see, what isn't settled, what can't be
    compared, and at last what agrees."""

    def place(one: Comparison) -> tuple[int, float, str, str, str]:
        rank = 2 * _ORDER.index(one.outcome)
        if faulty(one) and one.outcome is Outcome.AGREE:
            rank = 1
        size = abs(one.shift.estimate) if one.shift is not None else 0.0
        return rank, -size, one.source, one.destination, one.quantity

    return sorted(report.comparisons, key=place)


def faulty(one: Comparison) -> bool:
    """Whether something is wrong with the path though both sides agree: all but what is only short tests'."""
    return any(finding.cause is not Cause.SLOW_START for finding in one.findings)


def coverage(report: Report) -> dict[Quantity, dict[Side, dict[State, int]]]:
    """How many paths of each quantity and side are in each state. A path counts once, whatever its series."""
    seen: set[tuple[Quantity, Side, str, str]] = set()
    found: dict[Quantity, dict[Side, dict[State, int]]] = {}
    for one in report.comparisons:
        for cell in one.cells:
            key = (one.quantity, cell.side, one.source, one.destination)
            if key not in seen:
                seen.add(key)
                states = found.setdefault(one.quantity, {}).setdefault(cell.side, dict.fromkeys(State, 0))
                states[cell.state] += 1
    return found


def counts(report: Report) -> dict[Outcome, int]:
    return {outcome: report.count(outcome) for outcome in Outcome}


def causes(some: Iterable[Comparison]) -> Counter[Cause]:
    return Counter(cause for one in some for cause in one.causes)


def headline(report: Report) -> str:
    """The report in a sentence or two."""
    total = len(report.comparisons)
    if not total:
        return "There is nothing to compare."
    found = counts(report)
    agreed = found[Outcome.AGREE]
    text = f"{agreed:,} of {total:,} comparisons agree within {100 * report.margin:g} %"
    if found[Outcome.DISAGREE]:
        disagreeing = [one for one in report.comparisons if one.outcome is Outcome.DISAGREE]
        explained = sum(not one.next_steps for one in disagreeing)
        text += f"; {found[Outcome.DISAGREE]:,} disagree, {explained:,} of them for a reason that is named"
    else:
        text += "; none disagrees"
    open_ones = total - agreed - found[Outcome.DISAGREE]
    text += f"; {open_ones:,} can't be judged." if open_ones else "."
    wrong = sum(faulty(one) for one in report.comparisons if one.outcome is Outcome.AGREE)
    if wrong:
        text += f" On {wrong:,} both sides agree that something is wrong."
    return text
