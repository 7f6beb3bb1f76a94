"""The report as data: a row for each path and quantity; and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netprobe.coverage import State
from reports.compare.model import Comparison, Outcome, Report
from reports.compare.ranking import counts, coverage, headline
from reports.compare.verdicts import amount, form
from reports.compare.ways import Quantity, Side
from reports.document import instants, markdown_table

_MOST_IN_MARKDOWN = 100
_SUMMARY = ("count", "effective", "p10", "p25", "median", "p75", "p90", "low", "high")
# the columns of each side
_OF_SIDE = {
    side: tuple(
        f"{side.value}_{name}"
        for name in (*_SUMMARY, "state", "expected", "failed", "slope_per_day", "trend_p", "changes")
    )
    for side in Side
}
_STATES = (State.OK, State.STALE, State.FAILED, State.MISSING)


def rows(order: Iterable[Comparison]) -> list[dict[str, Any]]:
    """Flat, in this order. Ratios are of the mesh over the scripted tests; of loss, differences."""
    return [_row(one) for one in order]


def _row(one: Comparison) -> dict[str, Any]:
    found: dict[str, Any] = {
        "quantity": one.quantity.value,
        "source": one.source,
        "destination": one.destination,
        "verdict": one.outcome.value,
        "causes": ", ".join(cause.value for cause in one.causes),
        "words": one.words,
        "try_next": one.next_steps[0] if one.next_steps else None,
    }
    for side in Side:
        series, cell = one.series(side), next((each for each in one.cells if each.side is side), None)
        summary = series.summary if series is not None else None
        trend = series.trend if series is not None else None
        steps = series.steps if series is not None else ()
        values = (
            *(None if summary is None else getattr(summary, name) for name in _SUMMARY),
            cell.state.value if cell else None,
            cell.expected if cell else None,
            cell.failed if cell else None,
            trend.slope_per_day if trend else None,
            trend.p if trend else None,
            ", ".join(f"{step.when:%Y-%m-%dT%H:%MZ}" for step in steps),
        )
        found |= zip(_OF_SIDE[side], values, strict=True)
    low, high = one.shift.interval(0.9) if one.shift else (None, None)
    agreement, paired, unpaired = one.agreement, one.paired, one.unpaired
    return found | {
        "pairs": one.count,
        "ratio": _ratio(one, one.shift.estimate if one.shift else None),
        "ratio_low": _ratio(one, low),
        "ratio_high": _ratio(one, high),
        "ratio_as_measured": _ratio(one, one.raw_shift.estimate if one.raw_shift else None),
        "equivalence_p": one.same_p,
        "difference_p": one.differs_p,
        "difference_p_adjusted": one.adjusted_p,
        "limit_low": _ratio(one, agreement.limits[0] if agreement else None),
        "limit_high": _ratio(one, agreement.limits[1] if agreement else None),
        "proportional_slope": agreement.slope if agreement else None,
        "proportional_p": agreement.slope_p if agreement else None,
        "wilcoxon_p": paired.wilcoxon_p if paired else None,
        "hodges_lehmann": _ratio(one, paired.hodges_lehmann if paired else None),
        "mann_whitney_p": unpaired.mann_whitney_p if unpaired else None,
        "cliffs_delta": unpaired.cliffs_delta if unpaired else None,
        "ks_distance": unpaired.ks_distance if unpaired else None,
        "ks_p": unpaired.ks_p if unpaired else None,
        "more_tests": one.more_tests,
    }


def _ratio(one: Comparison, shift: float | None) -> float | None:
    if shift is None or not math.isfinite(shift):
        return None
    return shift if one.quantity is Quantity.LOSS else math.exp(min(shift, 700))


def document(
    report: Report, order: Sequence[Comparison], lines: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The whole report for programs: what made it, counts, remarks, and the comparisons in this order, each
    with its line of `rows` and its traits and findings."""
    return {
        "title": "Scripted tests against the perfSONAR mesh",
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "first": report.first.isoformat() if report.first else None,
        "last": report.last.isoformat() if report.last else None,
        "measurements": report.rows,
        "margin": report.margin,
        "loss_margin": report.loss_margin,
        "command": report.made.command,
        "versions": dict(report.made.versions),
        "headline": headline(report),
        "remarks": list(report.remarks),
        "verdicts": {outcome.value: number for outcome, number in counts(report).items()},
        "coverage": {
            quantity.value: {
                side.value: {state.value: number for state, number in states.items()}
                for side, states in sides.items()
            }
            for quantity, sides in coverage(report).items()
        },
        "comparisons": [
            {
                **row,
                "traits": one.traits,
                "findings": [
                    {
                        "cause": finding.cause.value,
                        "explains": finding.explains,
                        "side": finding.side.value if finding.side else None,
                        "text": finding.text,
                    }
                    for finding in one.findings
                ],
            }
            for row, one in zip(lines, order, strict=True)
        ],
    }


def markdown(report: Report, order: Sequence[Comparison]) -> str:
    """The first page, and a line for each of the worst hundred."""
    lines = [
        "# Scripted tests against the perfSONAR mesh",
        "",
        f"{instants(report.since, report.until)}, {report.rows:,} measurements.",
        "",
        headline(report),
        "",
        *(f"> {remark}\n" for remark in report.remarks),
        *markdown_table(
            ("verdict", "comparisons"),
            [(outcome.value, f"{number:,}") for outcome, number in counts(report).items()],
            (False, True),
        ),
        "",
        *markdown_table(
            ("coverage", *(state.value for state in _STATES)),
            [
                (f"{quantity}, {side.value}", *(str(states[state]) for state in _STATES))
                for quantity, sides in coverage(report).items()
                for side, states in sides.items()
            ],
            (False, *(True for _ in _STATES)),
        ),
    ]
    shown = order[:_MOST_IN_MARKDOWN]
    table = []
    for one in shown:
        values = [
            form(one.quantity, series.summary.median) if (series := one.series(side)) else "–"
            for side in Side
        ]
        shift = amount(one, one.shift.estimate) if one.shift else "–"
        found = "; also ".join(f"{each.cause.value}: {each.text}" for each in one.findings)
        told = one.words if one.outcome is Outcome.DISAGREE or not found else f"{one.words}. {found}"
        path = f"{report.name(one.source)} → {report.name(one.destination)}"
        table.append([path, one.quantity.value, *values, shift, told])
    heads = ("path", "quantity", "scripted", "mesh", "mesh over scripted", "verdict")
    lines += ["", *markdown_table(heads, table, (False, False, True, True, True, False))]
    left = len(report.comparisons) - len(shown)
    lines += ["", f"{left:,} more are in the CSV file."] if left else []
    made = ", ".join(f"{name} {version}" for name, version in report.made.versions)
    lines += ["", f"Made by `{report.made.command}` ({made}).", ""]
    return "\n".join(lines)
