"""The report's tables: frames with units in their columns' names, and what people see of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from federation.units import format_bits_per_second, format_seconds, format_share
from reports.compare.verdicts import form
from reports.compare.ways import Quantity
from reports.document import Column, Table
from reports.network import sites
from reports.network.differences import Asymmetry, Change, Difference
from reports.network.model import Figure, Network

_PREFIX = {
    Quantity.THROUGHPUT: "bits_per_second",
    Quantity.LATENCY: "rtt_seconds",
    Quantity.LOSS: "loss_ratio",
}


def factor(value: float) -> str:
    return f"×{value:.2f}" if value < 10 else f"×{value:,.0f}"


def percent(ratio: float) -> str:
    """How much more or less: "+12 %", "−40 %"; "×3.1" from three times on."""
    if ratio >= 3:
        return factor(ratio)
    return f"{100 * (ratio - 1):+z.0f} %".replace("-", "−")


def _when(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def count(value: float) -> str:
    return f"{value:,.0f}"


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """With its columns also where there are no rows."""
    return pd.DataFrame(rows, columns=list(columns))


def paths(network: Network) -> Table:
    """Every ordered pair of sites with its figures and tests: what the report is about."""
    rows = []
    for ends, throughput in network.figures[Quantity.THROUGHPUT].items():
        row: dict[str, Any] = {
            "source": ends[0],
            "destination": ends[1],
            "from": network.name(ends[0]),
            "to": network.name(ends[1]),
        }
        for quantity in Quantity:
            row |= _figure(network.figures[quantity][ends])
        tested = [of_kind[ends] for of_kind in network.tested.values()]
        failures = [one for one in tested if one.error]
        row |= {
            "tests": sum(one.tests for one in tested),
            "failed": sum(one.failed for one in tested),
            "newest": max((one.newest for one in tested if one.newest), default=None),
            "last_error": failures[0].error if failures else None,
        }
        row["rank"] = throughput.value if throughput.value is not None else -1.0
        rows.append(row)
    rows.sort(key=lambda row: (row["rank"], row["source"], row["destination"]))
    names = [name for name in rows[0] if name != "rank"] if rows else ["source", "destination"]
    of = {Quantity.THROUGHPUT: "throughput", Quantity.LATENCY: "round trip", Quantity.LOSS: "packets lost"}
    columns = [Column("from", "from"), Column("to", "to")]
    if rows:
        columns += [
            Column(_PREFIX[quantity], of[quantity], _form(quantity), numeric=True) for quantity in Quantity
        ]
        columns += [
            Column("bits_per_second_p10", "slowest tenth", format_bits_per_second, numeric=True),
            Column("bits_per_second_p90", "fastest tenth", format_bits_per_second, numeric=True),
            Column("throughput_state", "state"),
            Column("tests", "tests", count, numeric=True),
            Column("failed", "failed", count, numeric=True),
            Column("newest", "newest", _when, numeric=True),
        ]
    note = (
        "Medians of the time; loss is the share of all packets. State of throughput: failed: none succeeded, "
        "or the newest three failed; stale: the newest is long ago; missing: not tested."
    )
    return Table(
        "paths", "Every ordered pair of sites, the slowest first", _frame(rows, names), tuple(columns), note
    )


def _figure(one: Figure) -> dict[str, Any]:
    name = _PREFIX[one.quantity]
    found: dict[str, Any] = {name: one.value}
    if one.quantity is not Quantity.LOSS:
        found |= {f"{name}_p10": one.p10, f"{name}_p90": one.p90}
    return found | {
        f"{one.quantity.value}_tests": one.count,
        f"{one.quantity.value}_state": one.state.value,
        f"{one.quantity.value}_of": one.of or None,
    }


def _form(quantity: Quantity) -> Callable[[Any], str]:
    return lambda value: form(quantity, value)


def extremes(network: Network, name: str, title: str, some: Sequence[Figure]) -> Table:
    """A few paths by their rates, with the round trip and loss that go with them."""
    rows = [
        {
            "path": network.path(one.ends),
            "source": one.source,
            "destination": one.destination,
            "bits_per_second": one.value,
            "bits_per_second_p10": one.p10,
            "bits_per_second_p90": one.p90,
            "rtt_seconds": network.figures[Quantity.LATENCY][one.ends].value,
            "loss_ratio": network.figures[Quantity.LOSS][one.ends].value,
            "tests": one.count,
        }
        for one in some
    ]
    rate = format_bits_per_second
    return Table(
        name,
        title,
        pd.DataFrame(rows),
        (
            Column("path", "path"),
            Column("bits_per_second", "median", rate, numeric=True),
            Column("bits_per_second_p10", "slowest tenth", rate, numeric=True),
            Column("bits_per_second_p90", "fastest tenth", rate, numeric=True),
            Column("rtt_seconds", "round trip", format_seconds, numeric=True),
            Column("loss_ratio", "lost", format_share, numeric=True),
            Column("tests", "tests", count, numeric=True),
        ),
    )


def asymmetries(network: Network, found: Sequence[Asymmetry]) -> Table:
    rows = [
        {
            "slow": network.path(one.slow),
            "source": one.slow[0],
            "destination": one.slow[1],
            **_levels(one.difference, "bits_per_second", "back_bits_per_second"),
            "ratio": one.difference.ratio,
            "ratio_low": one.difference.low,
            "ratio_high": one.difference.high,
            "p_adjusted": one.difference.p,
            "side": one.like.side.value,
            "streams": one.like.streams,
        }
        for one in found
    ]
    rate = format_bits_per_second
    return Table(
        "asymmetry",
        "Pairs whose two directions differ, the widest apart first",
        pd.DataFrame(rows),
        (
            Column("slow", "the slow direction"),
            Column("bits_per_second", "carries", rate, numeric=True),
            Column("back_bits_per_second", "and back", rate, numeric=True),
            Column("ratio", "apart by", factor, numeric=True),
            Column("ratio_low", "at least (95 %)", factor, numeric=True),
            Column("ratio_high", "at most", factor, numeric=True),
            Column("tests", "tests", count, numeric=True),
            Column("side", "measured by"),
        ),
    )


def _levels(one: Difference, first: str, second: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, level in ((first, one.first), (second, one.second)):
        found |= {name: level.value, f"{name}_low": level.low, f"{name}_high": level.high}
    return found | {"tests": one.second.count, "tests_before": one.first.count}


def changes(network: Network, found: Sequence[Change]) -> Table:
    rows = []
    for one in found:
        loss = one.quantity is Quantity.LOSS
        words = _form(one.quantity)
        amount = (lambda value: f"{100 * value:+z.2f} %".replace("-", "−")) if loss else percent
        # one column of the frame has one unit: it is said in words, too
        rows.append(
            {
                "path": network.path(one.ends),
                "source": one.ends[0],
                "destination": one.ends[1],
                "quantity": one.quantity.value,
                **_levels(one.difference, "before", "now"),
                "unit": {"throughput": "bit/s", "latency": "s", "loss": "ratio"}[one.quantity.value],
                "before_words": words(one.difference.first.value),
                "now_words": words(one.difference.second.value),
                "change": one.difference.ratio,
                "change_low": one.difference.low,
                "change_high": one.difference.high,
                "change_words": amount(one.difference.ratio),
                "interval_words": f"{amount(one.difference.low)} to {amount(one.difference.high)}",
                "worse": one.worse,
                "worse_words": "worse" if one.worse else "better",
                "when": one.when,
                "p_adjusted": one.difference.p,
                "side": one.like.side.value,
            }
        )
    return Table(
        "changes",
        "Paths that changed, the most first",
        pd.DataFrame(rows),
        (
            Column("path", "path"),
            Column("quantity", "of"),
            Column("before_words", "before"),
            Column("now_words", "now"),
            Column("change_words", "change"),
            Column("interval_words", "95 % interval"),
            Column("worse_words", "is"),
            Column("when", "since about", _when, numeric=True),
            Column("side", "measured by"),
        ),
        "Of rates and round trips the new median over the old one; of loss the difference of the shares. Now "
        "is since the change where it has a date.",
    )


def availability(network: Network) -> Table:
    """Paths of which tests failed, by kind, the worst first."""
    rows: list[dict[str, Any]] = [
        {
            "path": network.path((one.source, one.destination)),
            "source": one.source,
            "destination": one.destination,
            "kind": kind.value,
            "tests": one.tests,
            "failed": one.failed,
            "failed_share": one.failed / one.tests,
            "failed_in_a_row": one.failing,
            "newest_success": one.newest_success,
            "last_error": one.error,
        }
        for kind, of_kind in network.tested.items()
        for one in of_kind.values()
        if one.failed
    ]
    rows.sort(
        key=lambda row: (-row["failed_share"], -row["failed"], row["source"], row["destination"], row["kind"])
    )
    return Table(
        "failures",
        "Paths of which tests failed, the largest share first",
        pd.DataFrame(rows),
        (
            Column("path", "path"),
            Column("kind", "test"),
            Column("failed_share", "failed", format_share, numeric=True),
            Column("failed", "failed tests", count, numeric=True),
            Column("tests", "of", count, numeric=True),
            Column("failed_in_a_row", "newest tests", _in_a_row, numeric=True),
            Column("newest_success", "last success", _when, numeric=True),
            Column("last_error", "last error"),
        ),
    )


def _in_a_row(failures: int) -> str:
    return f"{failures:,} failed" if failures else "worked"


def of_sites(network: Network) -> Table:
    """A row for each site."""
    rows = [
        {
            "site": one.site,
            "name": network.name(one.site),
            "sends_bits_per_second": one.sends,
            "receives_bits_per_second": one.receives,
            "worst_receiver": one.worst_receiver and network.name(one.worst_receiver),
            "worst_sent_bits_per_second": one.worst_sent,
            "worst_sender": one.worst_sender and network.name(one.worst_sender),
            "worst_received_bits_per_second": one.worst_received,
            "rtt_seconds": one.round_trip,
            "loss_ratio": one.loss,
        }
        for one in sites.rows(network)
    ]
    rate = format_bits_per_second
    return Table(
        "sites",
        "Sites",
        pd.DataFrame(rows),
        (
            Column("name", "site"),
            Column("sends_bits_per_second", "sends", rate, numeric=True),
            Column("receives_bits_per_second", "receives", rate, numeric=True),
            Column("worst_receiver", "slowest to"),
            Column("worst_sent_bits_per_second", "with", rate, numeric=True),
            Column("worst_sender", "slowest from"),
            Column("worst_received_bits_per_second", "with", rate, numeric=True),
            Column("rtt_seconds", "round trip", format_seconds, numeric=True),
            Column("loss_ratio", "lost", format_share, numeric=True),
        ),
        "Medians over the site's paths, of loss the mean.",
    )


def site_availability(network: Network) -> Table:
    """Sites of which tests failed, the largest share first."""
    rows: list[dict[str, Any]] = [
        {
            "site": one.site,
            "name": network.name(one.site),
            "tests": one.tests,
            "failed": one.failed,
            "failed_share": one.failed / one.tests,
            "paths": one.paths,
            "paths_failed": one.paths_failed,
            "usual_error": one.error,
        }
        for one in sites.rows(network)
        if one.failed
    ]
    rows.sort(key=lambda row: (-row["failed_share"], row["site"]))
    return Table(
        "site-failures",
        "Sites of whose tests some failed, sending or receiving",
        pd.DataFrame(rows),
        (
            Column("name", "site"),
            Column("failed_share", "failed", format_share, numeric=True),
            Column("failed", "failed tests", count, numeric=True),
            Column("tests", "of", count, numeric=True),
            Column("paths_failed", "paths that fail now", count, numeric=True),
            Column("paths", "of", count, numeric=True),
            Column("usual_error", "usual error"),
        ),
    )


def tools(network: Network) -> Table:
    rows = [
        {
            "side": one.side.value,
            "kind": one.kind.value,
            "tools": ", ".join(f"{name} ({tests:,})" for name, tests in one.tools.items()) or None,
            "succeeded": sum(one.tools.values()),
            "failed": one.failed,
            "first": one.first,
            "last": one.last,
        }
        for one in network.tools
    ]
    return Table(
        "tools",
        "Who tested, and with what",
        pd.DataFrame(rows),
        (
            Column("side", "by"),
            Column("kind", "test"),
            Column("tools", "tools (tests that succeeded)"),
            Column("failed", "failed", count, numeric=True),
            Column("first", "first", _when, numeric=True),
            Column("last", "last", _when, numeric=True),
        ),
        "scripted: fairlead's own tests; mesh: perfSONAR's archives and its pScheduler.",
    )
