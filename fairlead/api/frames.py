"""From what the wings say to DataFrames: names of columns, units, and types that an empty one has, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from netprobe.cost import seconds_for
from netprobe.forecast import Forecast
from netprobe.measurement import Kind, Measurement
from netprobe.quantiles import Quantiles

# the figures that a DataFrame of a kind of measurement always has; what else was measured comes after them
FIGURES: Mapping[Kind, tuple[str, ...]] = {
    Kind.THROUGHPUT: ("bits_per_second", "retransmits", "rtt_seconds", "loss_ratio", "jitter_seconds"),
    Kind.LATENCY: ("rtt_seconds", "rtt_seconds_min", "rtt_seconds_p90", "loss_ratio"),
    Kind.LOSS: ("loss_ratio", "packets_sent", "packets_lost"),
    Kind.PATH: ("hops", "rtt_seconds", "path_mtu_bytes"),
    Kind.TRANSFER: ("size_bytes", "files", "seconds", "bits_per_second"),
}
_ABOUT = ("started", "source", "destination", "tool", "origin", "archive", "error", "duration_seconds")
# columns of instants
_TIMES = {"started", "newest", "changed", "start", "latest_start", "end", "known_at", "full_until"}


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], **attrs: Any) -> pd.DataFrame:
    """Rows with at least these columns, in this order; instants in UTC. `attrs` are said of the whole."""
    found = pd.DataFrame(list(rows))
    found = found.reindex(columns=[*columns, *(name for name in found.columns if name not in columns)])
    for name in found.columns:
        if name in _TIMES:
            found[name] = pd.to_datetime(found[name], utc=True)
        elif found[name].isna().all():
            # nothing is None among words, NaN among figures
            found[name] = found[name].astype(float if _has_unit(name) else object)
    found.attrs.update(attrs)
    return found


def _has_unit(name: str) -> bool:
    parts = name.split("_")
    return bool({"seconds", "second", "bytes", "ratio", "bits"} & {*parts})


def of_measurements(found: Iterable[Measurement], kind: Kind) -> pd.DataFrame:
    """A row each, oldest first."""
    rows = (
        {
            "started": one.started,
            "source": one.source,
            "destination": one.destination,
            "tool": one.tool,
            "origin": one.origin.value,
            "archive": one.archive,
            "error": one.error,
            "duration_seconds": one.seconds,
            **one.figures,
        }
        for one in sorted(found, key=lambda one: one.started)
    )
    return table(rows, (*_ABOUT, *FIGURES[kind]))


def of_forecast(path: Forecast, size_bytes: float, files: int) -> dict[str, Any]:
    """A forecast's row: the path, and moving so much over it."""
    return {
        "source": path.source,
        "destination": path.destination,
        "evidence": path.rung.value,
        **quantiles("bits_per_second", path.bits_per_second),
        **quantiles("seconds", seconds_for(path, size_bytes, files)),
        "rtt_seconds": path.rtt_seconds,
        "size_bytes": size_bytes,
        "files": files,
        "tests": path.tests,
        "newest_age_seconds": path.newest_age_seconds,
        "transfers": path.transfers,
        "forecaster": path.forecaster,
        "changed": path.changed,
        "explanation": path.explanation,
    }


def judged(found: pd.DataFrame, actual: str, forecast: str) -> pd.DataFrame:
    """With what came beside what had been forecast: `ratio` to the median, and whether it was `inside`."""
    came, known = found[actual], found[f"{forecast}_p50"].notna()
    inside = came.between(found[f"{forecast}_p10"], found[f"{forecast}_p90"])
    return found.assign(
        ratio=came / found[f"{forecast}_p50"], inside=inside.astype("boolean").where(known & came.notna())
    )


def three(name: str) -> tuple[str, str, str]:
    """The columns of `quantiles`."""
    return (f"{name}_p10", f"{name}_p50", f"{name}_p90")


def quantiles(name: str, found: Quantiles) -> dict[str, float]:
    """As three columns."""
    return dict(zip(three(name), (found.p10, found.p50, found.p90), strict=True))
