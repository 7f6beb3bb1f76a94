"""Verdicts: a word for each path, and a sentence with the figures that it rests on."""

from __future__ import annotations

import math
from dataclasses import replace

from federation.units import format_bits_per_second, format_count, format_seconds, format_share
from reports.compare.model import Comparison, Finding, Likeness, Outcome
from reports.compare.rules import Seen
from reports.compare.statistics import LEAST
from reports.compare.ways import Quantity

ALPHA = 0.05


def settled(one: Comparison, adjusted_p: float) -> Comparison:
    """With the outcome. Disagreement is claimed by the adjusted p against "no more than the margin apart",
    agreement by two one-sided tests: that no difference was found is no agreement."""
    if one.scripted is None or one.mesh is None:
        outcome = Outcome.ONE_SIDE
    elif _count(one) < LEAST:
        outcome = Outcome.TOO_FEW
    elif adjusted_p < ALPHA:
        outcome = Outcome.DISAGREE
    else:
        outcome = Outcome.AGREE if one.same_p < ALPHA else Outcome.UNSETTLED
    return replace(one, outcome=outcome, adjusted_p=adjusted_p)


def words(one: Comparison, findings: tuple[Finding, ...], next_steps: tuple[str, ...]) -> Comparison:
    """With the findings and the sentence; where nothing explains a disagreement, with `next_steps` (see
    `tries`)."""
    reason = next((each for each in findings if each.explains), None)
    if reason is not None or one.outcome is not Outcome.DISAGREE:
        next_steps = ()
    if one.outcome is Outcome.ONE_SIDE:
        text = _one_side(one)
    elif one.outcome is Outcome.TOO_FEW:
        text = f"too few tests for a verdict: {_basis(one)}, {one.more_tests} more are needed ({_shift(one)})"
    elif one.outcome is Outcome.AGREE:
        text = f"agree within {margin(one)}: {_shift(one)}; {_basis(one)}"
    elif one.outcome is Outcome.UNSETTLED:
        text = (
            f"not settled: {_shift(one)}, margin {margin(one)}; {_basis(one)}, about {one.more_tests:,} more"
        )
    elif reason is not None:
        text = f"disagree: {_shift(one)}, because {reason.cause.value}: {reason.text}"
    else:
        text = f"disagree: {_shift(one)}, unexplained; try next: {next_steps[0]}"
    return replace(one, findings=findings, words=text, next_steps=next_steps)


def margin(one: Comparison) -> str:
    """As it was applied to this path: "10 %"."""
    if one.quantity is Quantity.LOSS:
        return f"{one.margin:.2%}".replace("%", " %")
    return (
        f"{math.expm1(one.margin):.3g}".rstrip()
        if one.margin > 1
        else f"{100 * math.expm1(one.margin):.3g} %"
    )


def amount(one: Comparison, estimate: float) -> str:
    """A shift with its unit: "+4.2 %", "×12" from three times on, "÷12"; of loss in points of percent."""
    if one.quantity is Quantity.LOSS:
        return _signed(f"{100 * estimate:+.3f}")
    if abs(estimate) > math.log(3):
        factor = math.exp(min(abs(estimate), 50))
        return f"{'×' if estimate > 0 else '÷'}{factor:{'.1f' if factor < 10 else ',.0f'}}"
    value = 100 * math.expm1(estimate)
    return _signed(f"{value:+.{0 if abs(value) >= 20 else 1}f}")


def _signed(number: str) -> str:
    """Nothing has no sign."""
    return f"{number.replace('-', '−') if number.strip('+-0.') else number[1:]} %"


def form(quantity: Quantity, value: float) -> str:
    """A value with its unit."""
    if quantity is Quantity.THROUGHPUT:
        return format_bits_per_second(value)
    return format_seconds(value) if quantity is Quantity.LATENCY else format_share(value)


def _count(one: Comparison) -> int:
    if one.count >= LEAST or one.scripted is None or one.mesh is None:
        return one.count
    return min(one.scripted.summary.count, one.mesh.summary.count)


def _shift(one: Comparison) -> str:
    if one.shift is None:
        return "nothing to compare"
    text = f"the mesh sees {amount(one, one.shift.estimate)}"
    if one.quantity is Quantity.LOSS:
        text += " of packets lost"
    if math.isfinite(one.shift.error):
        low, high = one.shift.interval(0.9)
        text += f" (90 %: {amount(one, low)} to {amount(one, high)})"
    return text


def _basis(one: Comparison) -> str:
    if one.count >= LEAST:
        return format_count(one.count, "pair")
    if one.scripted is None or one.mesh is None:
        return "nothing"
    scripted = format_count(one.scripted.summary.count, "scripted test")
    counts = f"{scripted} and {one.mesh.summary.count:,} of the mesh"
    return f"{counts}, {one.count} of them at the same time"


def _one_side(one: Comparison) -> str:
    parts = []
    for cell in one.cells:
        series = one.series(cell.side)
        if series is not None:
            parts.append(
                f"{cell.side.value}: {format_count(series.summary.count, 'test')}, "
                f"median {form(one.quantity, series.summary.median)}"
            )
        elif cell.failed:
            parts.append(f"{cell.side.value}: all {cell.failed} failed, last: {cell.last_error}")
        else:
            parts.append(
                f"{cell.side.value}: nothing" + (f" of {cell.expected} expected" if cell.expected else "")
            )
    return "can't be compared; " + "; ".join(parts)


def tries(one: Comparison, seen: Seen | None) -> tuple[str, ...]:
    """What would tell more, the most telling first: what isn't known, and then what differs."""
    found = []
    if seen is not None and one.quantity is Quantity.THROUGHPUT:
        if seen.rtt_seconds is None:
            found.append("measure the round trip (tool ping): windows and slow start can't be judged without")
        if seen.loss is None:
            found.append("measure loss (ping, or the mesh's latencybg)")
    differing = [trait.name for trait in one.traits if trait.likeness is Likeness.DIFFERS]
    if differing:
        found.append(f"repeat the scripted tests as the mesh has them: {', '.join(differing)} differ")
    unknown = [trait.name for trait in one.traits if trait.likeness is Likeness.UNKNOWN]
    if unknown:
        found.append(f"find out what isn't known of one side: {', '.join(unknown[:3])}")
    if seen is not None and not seen.routes:
        found.append("trace the path from both hosts (tool traceroute): they may not share it")
    found.append("run both tests by hand, one right after the other, between the same two hosts")
    return tuple(found)
