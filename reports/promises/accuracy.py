"""The report on forecasts: every real transfer with what was forecast before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from federation.units import format_count
from reports.document import BAD, COLD, GOOD, NOBODY, Card, Document, Made, Section
from reports.promises import accuracy_pictures as pictures
from reports.promises import accuracy_tables as tables
from reports.promises import scoring
from reports.promises.accuracy_tables import off_by
from reports.promises.backtest import MOST_REPLAYED, Replayed
from reports.promises.transfers import Transfer, Transfers

# paths that are named in a remark
NAMED = 5
METHOD = (
    "A transfer is one set of files over one path, from the first connection to the last byte verified. "
    "What was forecast for it is what was written down before it began. Errors are natural logarithms "
    "of actual / forecast seconds; “off by” is the median of their absolute values, as a factor. "
    "Intervals of shares are Clopper and Pearson's, 95 %; for the share inside, transfers that follow "
    "each other over one path count for as many as they are worth in independent ones, n (1 - r) / (1 + "
    "r).",
    "Bytes / last test is the size over the rate of the newest usable throughput test that had begun "
    "before the transfer: it may be newer than those that the forecast knew, to the advantage of the "
    "last test. Where what the forecast rested on was not kept, the age is that of this test.",
    "A path is said to have surely fewer inside at 5 % over all paths (Bonferroni). "
    f"Below {scoring.LEAST} transfers there is no verdict. Better or worse over time compares the "
    "typical error of the later half with the earlier half's, by a block bootstrap of 2,000 draws. "
    "Throughput tests are forecast again by what their own path's archive held before each, at most "
    f"{MOST_REPLAYED} tests, evenly chosen.",
)


def report(
    transfers: Transfers,
    replayed: Sequence[Replayed],
    since: datetime,
    until: datetime,
    made: Made = NOBODY,
) -> Document:
    """Of transfers and tests from `since` until before `until`, which may be few or none."""
    found = transfers.found
    judged = tables.judged(found)
    failed = sum(one.error is not None for one in found)
    inside = tables.coverage(judged)
    sections = []
    if found:
        sections.append(_first(found, judged))
    if judged:
        sections.append(
            Section(
                "Over time", (_trend(judged),), (pictures.over_time(judged, since, until),), new_page=True
            )
        )
        sections.append(
            Section(
                "Where forecasts are good, and where not",
                tables=(tables.paths(judged), tables.groups(judged)),
            )
        )
    if replayed:
        sections.append(_throughput(replayed))
    if failed:
        sections.append(Section("Failures", tables=(tables.failures(found),)))
    return Document(
        "accuracy",
        "Forecasts, and what came true",
        since,
        until,
        f"{format_count(len(found), 'transfer')}, {format_count(len(replayed), 'throughput test')}",
        headline(found, judged, inside),
        tuple(sections),
        made,
        _remarks(transfers, judged, failed),
        _cards(judged, inside, replayed) if found or replayed else (),
        METHOD,
        {
            "transfers": len(found),
            "judged": len(judged),
            "failed": failed,
            "inside_share": _known(inside.value),
            "inside_interval": [inside.low, inside.high],
            "verdict": verdict(inside),
        },
        about="transfers",
    )


def verdict(inside: scoring.Share) -> str:
    """ "none" (too few), "as promised", "too narrow" or "too wide"."""
    if inside.count < scoring.LEAST:
        return "none"
    if inside.high < scoring.PROMISED:
        return "too narrow"
    return "too wide" if inside.low > scoring.PROMISED else "as promised"


_VERDICTS = {
    "as promised": "in keeping with what was promised",
    "too narrow": "fewer than promised, the intervals are too narrow",
    "too wide": "more than promised, the intervals are wider than need be",
}


def headline(found: Sequence[Transfer], judged: Sequence[Transfer], inside: scoring.Share) -> str:
    """The answer in a sentence or two."""
    if not found:
        return "No transfer began in this time: nothing can be said of forecasts of transfers."
    if not judged:
        return (
            f"{format_count(len(found), 'transfer')}, and none that worked had a forecast: "
            "nothing can be compared."
        )
    errors = scoring.errors([one.log_error for one in judged])
    typical = f"Typically a transfer was off by {off_by(errors.typical)} from its forecast"
    both = _both(judged)
    if len(both) >= scoring.LEAST:
        naive = scoring.errors([error for _, error in both])
        ours = scoring.errors([error for error, _ in both])
        typical += f"; bytes / last test was off by {off_by(naive.typical)}"
        if ours.count != errors.count:
            typical += f", and the forecast by {off_by(ours.typical)}, where there was a test"
    if inside.count < scoring.LEAST:
        missing = scoring.LEAST - inside.count
        return (
            f"{format_count(inside.count, 'transfer')} had a forecast, {inside.hits} stayed inside the 80 % "
            f"interval: too few for a verdict, {missing} more are needed. {typical}."
        )
    interval = f"95 % interval {100 * inside.low:.0f} to {100 * inside.high:.0f} %"
    return (
        f"{scoring.percent(inside.value)} of {inside.count:,} transfers stayed inside their 80 % intervals "
        f"({interval}): {_VERDICTS[verdict(inside)]}. {typical}."
    )


def _both(judged: Sequence[Transfer]) -> list[tuple[float, float]]:
    """Absolute errors of the forecast and of bytes / last test, where there was a test."""
    return [(abs(one.log_error), abs(naive)) for one in judged if (naive := one.naive_log_error) is not None]


def _cards(
    judged: Sequence[Transfer], inside: scoring.Share, replayed: Sequence[Replayed]
) -> tuple[Card, ...]:
    cards = [Card(f"{len(judged):,}", "transfers with a forecast")]
    if judged:
        errors = scoring.errors([one.log_error for one in judged])
        naive = scoring.errors([error for one in judged if (error := one.naive_log_error) is not None])
        late = scoring.share([one.forecast is not None and one.seconds > one.forecast.p90 for one in judged])
        enough = inside.count >= scoring.LEAST
        cards += [
            Card(scoring.percent(inside.value), "inside the 80 % interval", pictures.verdict_colour(inside)),
            Card(off_by(errors.typical), "typically off by"),
            Card(
                scoring.percent(abs(math.expm1(errors.bias))),
                f"{'longer' if errors.bias > 0 else 'shorter'} than forecast (median)",
            ),
            Card(
                scoring.percent(late.value),
                "slower than nine in ten were to be (10 % expected)",
                (BAD if late.low > 0.1 else GOOD) if enough else COLD,
            ),
        ]
        if naive.count:
            cards.append(Card(off_by(naive.typical), "bytes / last test off by"))
    if replayed:
        tested = scoring.errors([one.log_error for one in replayed])
        cards.append(Card(off_by(tested.typical), "throughput forecast off by"))
    return tuple(cards)


def _first(found: Sequence[Transfer], judged: Sequence[Transfer]) -> Section:
    if not judged:
        return Section("Transfers", tables=(tables.each(found),))
    drawn = (pictures.against(judged), pictures.calibration(judged))
    return Section("Forecast and actual", (_nearer(judged),), drawn, (tables.each(found),))


def _nearer(judged: Sequence[Transfer]) -> str:
    """Against bytes / last test, transfer by transfer."""
    both = _both(judged)
    if not both:
        return "No throughput test had been made before any of them: there is no last test to compare with."
    won = scoring.share([ours < naive for ours, naive in both])
    return (
        f"The forecast was nearer than bytes / last test for {won.words} of {won.count:,} transfers "
        "with a test before them (95 % interval in brackets)."
    )


def _trend(judged: Sequence[Transfer]) -> str:
    """Is it getting better?"""
    found = scoring.growth([one.log_error for one in judged])
    if found is None:
        few = format_count(len(judged), "transfer")
        return f"Whether forecasts get better can't be said of {few}: {scoring.LEAST} are needed."
    ratio, low, high = found
    figures = f"the later half is {ratio:.2f} times as far off as the earlier"
    figures += f" (95 % interval {low:.2f} to {high:.2f})"
    if high < 1:
        return f"Forecasts are getting better: {figures}."
    if low > 1:
        return f"Forecasts are getting worse: {figures}."
    return f"Forecasts get neither surely better nor worse: {figures}."


def _throughput(replayed: Sequence[Replayed]) -> Section:
    errors = scoring.errors([one.log_error for one in replayed])
    naive = scoring.errors([one.naive_log_error for one in replayed])
    inside = scoring.share([one.inside for one in replayed])
    text = (
        f"Of {len(replayed):,} throughput tests, forecast again by what was known before each, "
        f"{inside.words} were inside the 80 % interval (95 % interval in brackets). Typically they were "
        f"off by {off_by(errors.typical)}; from the test before by {off_by(naive.typical)}."
    )
    return Section("The throughput forecast behind it", (text,), tables=(tables.throughput(replayed),))


def _remarks(transfers: Transfers, judged: Sequence[Transfer], failed: int) -> tuple[str, ...]:
    found, remarks = transfers.found, []
    narrow = tables.too_narrow(judged)
    if narrow:
        named = [f"{path} ({scoring.percent(one.value)} of {one.count:,})" for path, one in narrow[:NAMED]]
        more = f", and {len(narrow) - NAMED:,} more" if len(narrow) > NAMED else ""
        remarks.append(f"Surely fewer than 80 % were inside on these paths: {', '.join(named)}{more}.")
    without = len(found) - len(judged) - failed
    if without:
        remarks.append(
            f"{format_count(without, 'transfer')} had no forecast, or none that can be: they are left out."
        )
    if failed:
        share = 100 * failed / len(found)
        told = f"{format_count(failed, 'transfer')} failed ({share:.0f} %)"
        remarks.append(f"{told}: they are in no figure of time.")
    if transfers.ahead:
        ahead = format_count(transfers.ahead, "transfer")
        remarks.append(f"{ahead} dated in the future: some clock is wrong.")
    return tuple(remarks)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
