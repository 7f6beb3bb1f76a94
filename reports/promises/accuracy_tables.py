"""Transfers and their forecasts as tables: each of them, and the scores of those that have something in
common."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from federation.units import format_seconds, format_size
from reports.document import Column, Table
from reports.promises import scoring
from reports.promises.backtest import Replayed
from reports.promises.reasons import reason
from reports.promises.transfers import Transfer

_MB, _GB = 1e6, 1e9
SIZES = (
    (10 * _MB, "up to 10 MB"),
    (100 * _MB, "10 to 100 MB"),
    (_GB, "100 MB to 1 GB"),
    (10 * _GB, "1 to 10 GB"),
)
WORST, PRINTED = 8, 5
FILES = ((1, "1 file"), (10, "2 to 10 files"), (100, "11 to 100 files"))
AGES = ((900.0, "up to 15 min"), (3600.0, "15 min to 1 h"), (21_600.0, "1 to 6 h"), (86_400.0, "6 h to 1 d"))


def percent(log: float) -> str:
    """ln(actual / forecast) as how much more it was: "+4 %"."""
    return f"{100 * math.expm1(log):+z.0f}\N{NO-BREAK SPACE}%"


def off_by(log: float) -> str:
    return scoring.percent(scoring.off(log))


def judged(transfers: Iterable[Transfer]) -> list[Transfer]:
    return [one for one in transfers if one.judged]


def coverage(transfers: Iterable[Transfer]) -> scoring.Share:
    """How many of these `judged` ones were inside their 80 % interval; in the order of time."""
    found = list(transfers)
    series: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for one in found:
        series[one.path].append(one.inside)
    return scoring.share([one.inside for one in found], scoring.worth(list(series.values())))


def too_narrow(transfers: Sequence[Transfer]) -> list[tuple[str, scoring.Share]]:
    """The paths on which fewer were inside their 80 % intervals than chance allows (Bonferroni, over all
    paths), the worst first. Of `judged` transfers."""
    of_path: dict[str, list[Transfer]] = defaultdict(list)
    for one in transfers:
        of_path[_path(one)].append(one)
    found = []
    for path, some in of_path.items():
        hits = [one.inside for one in some]
        if scoring.chance_of_so_few(hits, scoring.worth([hits])) * len(of_path) < scoring.LEVEL:
            found.append((path, coverage(some)))
    return sorted(found, key=lambda pair: (pair[1].value, pair[0]))


def each(transfers: Sequence[Transfer]) -> Table:
    """All of them, the worst miss first; then the failed ones, then those without a forecast."""
    rows = [_row(one) for one in sorted(transfers, key=_badness)]
    frame = pd.DataFrame(rows, columns=list(_row(_NONE)))
    found = misses(transfers)
    most = min(found, WORST) or WORST
    return Table(
        "transfers",
        "The worst misses" if found else "The largest errors: none is outside its interval",
        frame,
        (
            Column("started", "began (UTC)", lambda when: f"{when:%Y-%m-%d %H:%M}", numeric=True),
            Column("path", "path"),
            Column("size_bytes", "size", format_size, numeric=True),
            Column("files", "files", lambda value: f"{value:,}", numeric=True),
            Column("forecast", "forecast 10 / 50 / 90 %"),
            Column("actual_seconds", "took", format_seconds, numeric=True),
            Column("ratio", "took / forecast", lambda value: f"{value:.2f}", numeric=True),
            Column("reason", "why"),
        ),
        "By the factor between what it took and the median forecast.",
        # so many fit on the first page
        printed=min(most, PRINTED),
        shown=most,
    )


def misses(transfers: Sequence[Transfer]) -> int:
    return sum(not one.inside for one in judged(transfers))


def paths(transfers: Sequence[Transfer]) -> Table:
    """The scores by path, of `judged` transfers; the most used first."""
    columns = (Column("path", "path", str), *_SCORES)
    return _scores("paths", "By path", transfers, {"path": _PATH}, columns)


def groups(transfers: Sequence[Transfer]) -> Table:
    """The scores by size, number of files, age of the newest test, and rung, of `judged` transfers."""
    columns = (Column("by", "by", _unbroken), Column("group", "", _unbroken), *_SCORES)
    return _scores("groups", "By what was moved, and what the forecast rested on", transfers, _BY, columns)


def throughput(replayed: Sequence[Replayed]) -> Table:
    """The throughput forecast's own scores, by path."""
    rows = []
    of_path: dict[tuple[str, str], list[Replayed]] = defaultdict(list)
    for one in replayed:
        of_path[one.source, one.destination].append(one)
    for path, some in sorted(of_path.items()):
        found = scoring.errors([one.log_error for one in some])
        naive = scoring.errors([one.naive_log_error for one in some])
        inside = scoring.share([one.inside for one in some])
        rows.append(
            (
                " to ".join(path),
                len(some),
                found.bias,
                found.typical,
                naive.typical,
                inside.value,
                inside.words,
            )
        )
    names = ["path", "tests", "bias_ln", "typical_ln", "last_test_typical_ln", "inside_share", "inside"]
    return Table(
        "throughput",
        "Throughput tests, forecast by what was known before each",
        pd.DataFrame(rows, columns=names),
        (
            Column("path", "path"),
            Column("tests", "tests", str, numeric=True),
            Column("bias_ln", "faster than forecast", percent, numeric=True),
            Column("typical_ln", "typically off by", off_by, numeric=True),
            Column("last_test_typical_ln", "the last test by", off_by, numeric=True),
            Column("inside", "inside 80 % (95 % interval)"),
        ),
        printed=20,
    )


def failures(transfers: Sequence[Transfer]) -> Table:
    """The paths with failed transfers, the most first."""
    failed: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
    for one in transfers:
        if one.error is not None:
            failed[one.path].append(one)
    ordered = sorted(failed.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [(" to ".join(path), len(some), some[-1].started, some[-1].error) for path, some in ordered]
    return Table(
        "failures",
        "Transfers that failed",
        pd.DataFrame(rows, columns=["path", "failed", "last", "last_error"]),
        (
            Column("path", "path"),
            Column("failed", "failed", str, numeric=True),
            Column("last", "last (UTC)", lambda when: f"{when:%Y-%m-%d %H:%M}", numeric=True),
            Column("last_error", "the last one's error"),
        ),
        printed=20,
    )


def _path(one: Transfer) -> str:
    return " to ".join(one.path)


def _age(one: Transfer) -> str:
    age = one.last_age_seconds if one.tests_age_seconds is None else one.tests_age_seconds
    return _NO_TEST if age is None else _class(age, AGES, "over 1 d")


def _class(value: float, classes: Sequence[tuple[float, str]], beyond: str) -> str:
    return next((label for most, label in classes if value <= most), beyond)


_NO_TEST = "no test"
# each with its classes as they grow; () where the most frequent comes first
_Grouping = tuple[Callable[[Transfer], str], tuple[str, ...]]
_PATH: _Grouping = (_path, ())
_BY: dict[str, _Grouping] = {
    "size": (lambda one: _class(one.size_bytes, SIZES, "over 10 GB"), tuple(label for _, label in SIZES)),
    "files": (lambda one: _class(one.files, FILES, "over 100 files"), tuple(label for _, label in FILES)),
    "age of newest test": (_age, (*(label for _, label in AGES), "over 1 d")),
    "rested on": (lambda one: one.rung.value if one.rung else "not recorded", ()),
}
_SHARE = scoring.percent
_SCORES = (
    Column("transfers", "transfers", lambda value: f"{value:,}", numeric=True),
    Column("bias_ln", "took", percent, numeric=True),
    Column("typical_ln", "off by", off_by, numeric=True),
    Column("worst_tenth_ln", "a tenth", off_by, numeric=True),
    Column("naive_typical_ln", "last test", off_by, numeric=True),
    Column("inside", "inside 80 %"),
    Column("below_p10_share", "<P10", _SHARE, numeric=True),
    Column("below_p50_share", "<P50", _SHARE, numeric=True),
    Column("below_p90_share", "<P90", _SHARE, numeric=True),
)
LEGEND = (
    "Took: the median, against the forecast. Off by: the typical error; of the worst tenth, at least; of "
    "bytes / last test. Inside 80 %: the share within P10 to P90, with its 95 % interval. <P10: the share "
    "that took less than that."
)


def _scores(
    name: str,
    title: str,
    transfers: Sequence[Transfer],
    groupings: dict[str, _Grouping],
    columns: tuple[Column, ...],
) -> Table:
    rows = []
    for by, (key, order) in groupings.items():
        found: dict[str, list[Transfer]] = defaultdict(list)
        for one in transfers:
            found[key(one)].append(one)
        for label in _ordered(found, order):
            names = {"by": by, "group": label} if len(groupings) > 1 else {by: label}
            rows.append({**names, **_score(found[label])})
    return Table(name, title, pd.DataFrame(rows), columns, printed=40)


def _ordered(found: dict[str, list[Transfer]], order: tuple[str, ...]) -> list[str]:
    if not order:
        return sorted(found, key=lambda label: (-len(found[label]), label))
    return sorted(found, key=lambda label: (order.index(label) if label in order else len(order), label))


def _unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _score(some: Sequence[Transfer]) -> dict[str, object]:
    found = scoring.errors([one.log_error for one in some])
    naive = scoring.errors([error for one in some if (error := one.naive_log_error) is not None])
    inside = coverage(some)
    return {
        "transfers": len(some),
        "bias_ln": found.bias,
        "typical_ln": found.typical,
        "worst_tenth_ln": found.worst_tenth,
        "naive_transfers": naive.count,
        "naive_typical_ln": naive.typical,
        "inside_share": inside.value,
        "inside_low": inside.low,
        "inside_high": inside.high,
        "inside": inside.words,
        **{f"below_{name}_share": below(some, name).value for name in ("p10", "p50", "p90")},
    }


def below(some: Sequence[Transfer], name: str) -> scoring.Share:
    """How many took less than that quantile of their forecasts."""
    return scoring.share([one.seconds < getattr(one.forecast, name) for one in some])


def _badness(one: Transfer) -> tuple[int, float, str]:
    if one.judged:
        return (0 if not one.inside else 1, -abs(one.log_error), one.started.isoformat())
    return (2 if one.error is not None else 3, 0.0, one.started.isoformat())


_NONE = Transfer(pd.Timestamp(0, tz="UTC"), "", "", 0.0, 0, 0.0)


def _row(one: Transfer) -> dict[str, object]:
    said, naive = one.forecast, one.naive_log_error if one.judged else None
    return {
        "started": one.started,
        "source": one.source,
        "destination": one.destination,
        "path": " to ".join(one.path),
        "size_bytes": one.size_bytes,
        "files": one.files,
        "actual_seconds": one.seconds if one.error is None else math.nan,
        "forecast_seconds_p10": said.p10 if said else math.nan,
        "forecast_seconds_p50": said.p50 if said else math.nan,
        "forecast_seconds_p90": said.p90 if said else math.nan,
        "forecast": " / ".join(map(format_seconds, (said.p10, said.p50, said.p90))) if said else "none",
        "error_seconds": one.seconds - said.p50 if said and one.judged else math.nan,
        "ratio": math.exp(one.log_error) if one.judged else math.nan,
        "inside": one.inside if one.judged else None,
        "rung": one.rung.value if one.rung else None,
        "newest_test_age_seconds": one.tests_age_seconds if one.tests_age_seconds is not None else math.nan,
        "last_test_age_seconds": one.last_age_seconds if one.last_age_seconds is not None else math.nan,
        "last_test_bits_per_second": one.last_rate if one.last_rate else math.nan,
        "bytes_by_last_test_ratio": math.exp(naive) if naive is not None else math.nan,
        "beside": one.beside,
        "reason": reason(one) or None,
        "error": one.error,
    }
