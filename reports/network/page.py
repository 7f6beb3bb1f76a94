"""The report on the network: what a director reads in a minute, then all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from federation.units import (
    format_bits_per_second,
    format_count,
    format_seconds,
    format_share,
    format_size,
)
from reports.compare.verdicts import form
from reports.compare.ways import Quantity
from reports.document import BAD, FAIR, GOOD, NOTHING, Card, Column, Document, Made, Section, Table
from reports.network import hours, tables
from reports.network.attention import Point, points
from reports.network.differences import Asymmetry, Change, Compared, asymmetries, changes
from reports.network.maps import CIVIDIS, VIRIDIS, Scale, Spot, heat_map
from reports.network.model import Figure, Network, State
from reports.network.moving import Moves
from reports.network.sites import Fault, faults

# So many lines stand on the first page, and so many paths are the best and the worst.
_POINTS, _EXTREMES = 9, 5


@dataclass(frozen=True)
class Findings:
    """What the figures of all paths say together."""

    asymmetries: Compared[Asymmetry]
    changes: dict[Quantity, Compared[Change]]
    faults: tuple[Fault, ...]

    @property
    def worse(self) -> list[Change]:
        return [one for each in self.changes.values() for one in each.found if one.worse]


def found(network: Network) -> Findings:
    """Look for what surely differs, and for what is a site's own."""
    apart = asymmetries(network)
    changed = {quantity: changes(network, quantity) for quantity in Quantity}
    return Findings(apart, changed, tuple(faults(network, apart, changed)))


def report(network: Network, moves: Moves, made: Made) -> Document:
    """The whole report. `moves` may be of no paths."""
    findings = found(network)
    told = points(network, findings.faults, findings.worse, findings.asymmetries.found)
    first = tuple(dict.fromkeys(one.where for one in told))
    return Document(
        name="network",
        title="The state of the network",
        since=network.since,
        until=network.until,
        basis=f"{network.tests:,} tests between {len(network.sites):,} sites",
        headline=headline(network, findings, first),
        remarks=_remarks(network),
        cards=_cards(network, findings, moves),
        sections=(
            *_attention(told),
            *_extremes(network),
            *maps(network),
            *([hours.section(network, moves)] if moves.paths and network.tests else []),
            *_changes(network, findings),
            asymmetry(network, findings.asymmetries),
            *_availability(network),
            Section("Sites", tables=(tables.of_sites(network),)),
            Section("Tests", tables=(tables.tools(network),)),
            Section("All paths", tables=(tables.paths(network),)),
        )
        if network.sites
        else (),
        made=made,
        method=METHOD,
        data={
            "faults": [
                {"site": one.site, "role": one.role.value, "words": one.words} for one in findings.faults
            ]
        },
        about="paths",
    )


def appendix(network: Network, moves: Moves) -> tuple[Section, ...]:
    """The network as measured, for a report on something else: heat maps, asymmetry, and how long moving data
    takes, unless `moves` is of no paths."""
    if not network.tests:
        return ()
    times = (
        hours.section(network, moves)
        if moves.paths
        else Section("How long moving data takes", ("`fairlead report network` says so, of every path.",))
    )
    return (*maps(network), asymmetry(network, asymmetries(network)), times)


METHOD = (
    "Throughput is that of TCP tests with one stream, where a path has such tests, as the tool reports it; "
    "UDP tests send what they are told to, and don't count. Scripted tests and the mesh's are put together: "
    "`fairlead report compare` says whether they agree.",
    "Two directions, or a path now and before, are compared by tests of one side and one kind, at least 8 of "
    "each. They differ where the 20 % trimmed means of the logarithms, with errors for tests that depend on "
    "the one before, are surely over 10 % apart (round trips also by 0.5 ms, losses by 0.1 % of packets), at "
    "a false discovery rate of 5 % over all paths (Benjamini-Hochberg), and the 95 % intervals of both "
    "medians (block bootstrap) don't meet. Where a level changed at a time that is sure, what is since then "
    "is compared with what was before.",
    "A path fails where no test succeeded or the newest three failed; it is stale where the newest test is "
    "longer ago than twice the usual interval and a tenth of the time.",
)


def headline(network: Network, findings: Findings, first: Sequence[str]) -> str:
    """The state in a few sentences; `first` are the sites and paths to look at, the most telling before."""
    if not network.tests:
        return "Nothing was measured in that time."
    figures = network.figures[Quantity.THROUGHPUT]
    states = Counter(one.state for one in figures.values())
    rates = [one.value for one in network.measured(Quantity.THROUGHPUT) if one.value is not None]
    if rates:
        text = (
            f"{len(rates):,} of {len(figures):,} paths between {len(network.sites):,} sites carry data, "
            f"{format_bits_per_second(float(np.median(rates)))} in the median "
            f"({format_bits_per_second(min(rates))} to {format_bits_per_second(max(rates))})"
        )
    else:
        trips = [one.value for one in network.measured(Quantity.LATENCY) if one.value is not None]
        text = f"No throughput is known of any of the {len(figures):,} paths"
        if trips:
            text += f"; {len(trips):,} answer, after {format_seconds(float(np.median(trips)))} in the median"
    rest = [
        f"{states[state]:,} {words}"
        for state, words in (
            (State.FAILED, "failing"),
            (State.STALE, "stale"),
            (State.MISSING, "not tested"),
        )
        if states[state]
    ]
    text += f"; {', '.join(rest)}." if rest else "."
    if first:
        text += f" Look at {', '.join(first[:3])}{' and others' if len(first) > 3 else ''} first."
    worse = len({one.ends for one in findings.worse})
    if worse:
        text += f" {worse:,} {'path' if worse == 1 else 'paths'} became worse than before."
    return text


def _cards(network: Network, findings: Findings, moves: Moves) -> tuple[Card, ...]:
    if not network.tests:
        return ()
    figures = network.figures[Quantity.THROUGHPUT]
    rates = [one.value for one in network.measured(Quantity.THROUGHPUT) if one.value is not None]
    failed = sum(one.failed for paths in network.tested.values() for one in paths.values()) / network.tests
    judged = any(each.compared for each in findings.changes.values())
    worse = len({one.ends for one in findings.worse})
    apart = findings.asymmetries
    slow, measured = len(hours.over_a_week(moves)), sum(one.measured for one in moves.paths.values())
    size = format_size(moves.sizes[-1])
    return (
        Card(
            f"{len(rates):,} of {len(figures):,}",
            "paths carry data",
            GOOD if len(rates) == len(figures) else FAIR if len(rates) > 0.9 * len(figures) else BAD,
        ),
        Card(format_bits_per_second(float(np.median(rates))) if rates else "–", "median throughput"),
        Card(
            format_share(failed), "of tests failed", GOOD if failed < 0.01 else FAIR if failed < 0.05 else BAD
        ),
        Card(
            f"{worse:,}" if judged else "–",
            f"{'path' if worse == 1 else 'paths'} became worse"
            if judged
            else "changed: nothing before to compare",
            NOTHING if not judged else BAD if worse else GOOD,
        ),
        Card(
            f"{len(apart.found):,}" if apart.compared else "–",
            f"of {apart.compared:,} pairs differ by direction"
            if apart.compared
            else "directions: too few tests to compare",
            NOTHING if not apart.compared else FAIR if apart.found else GOOD,
        ),
        Card(
            f"{slow:,}" if measured else "–",
            f"{'path needs' if slow == 1 else 'paths need'} over a week for {size}",
            NOTHING if not measured else FAIR if slow else GOOD,
        ),
    )


def _remarks(network: Network) -> tuple[str, ...]:
    found = list(network.remarks)
    if network.asked_for_a_rate:
        asked = format_count(network.asked_for_a_rate, "test")
        found.append(f"Of what a path carries, nothing is said by {asked} over UDP: left out.")
    several = [
        one for one in network.figures[Quantity.THROUGHPUT].values() if one.value is not None and one.of
    ]
    if several:
        found.append(
            f"Of {format_count(len(several), 'path')} there are tests of several streams only: "
            "theirs is what these reach together."
        )
    return tuple(found)


def _attention(told: Sequence[Point]) -> list[Section]:
    if not told:
        return []
    frame = pd.DataFrame([vars(one) for one in told])
    left = len(told) - _POINTS
    table = Table(
        "attention",
        "Sites before paths, of each trouble the worst first",
        frame,
        (
            Column("where", "where"),
            Column("what", "what"),
            Column("ask", "whom to ask"),
            Column("words", "evidence"),
        ),
        shown=_POINTS,
        printed=_POINTS,
    )
    return [
        Section(
            "What to look at first" if left <= 0 else f"What to look at first ({_POINTS} of {len(told):,})",
            tables=(table,),
        )
    ]


def _extremes(network: Network) -> list[Section]:
    order = sorted(network.measured(Quantity.THROUGHPUT), key=lambda one: (one.value or 0.0, one.ends))
    if not order:
        return []
    many = min(_EXTREMES, (len(order) + 1) // 2)
    worst, best = order[:many], order[: -many - 1 : -1]
    return [
        Section(
            "Slowest and fastest",
            tables=(
                tables.extremes(network, "slowest", "The slowest paths", worst),
                tables.extremes(network, "fastest", "The fastest", best),
            ),
        )
    ]


def maps(network: Network) -> list[Section]:
    """The heat maps of what was measured, each over the same sites in the same order."""
    pictures = [
        heat_map(title, network.sites, network.name, _spots(network, quantity), scale)
        for quantity, title, scale in (
            (Quantity.THROUGHPUT, "Throughput (bit/s)", _RATES),
            (Quantity.LATENCY, "Round trip", _TRIPS),
            (Quantity.LOSS, "Packets lost (%)", LOSSES),
        )
        if any(one.state is not State.MISSING for one in network.figures[quantity].values())
    ]
    if not pictures:
        return []
    text = ("Medians of the time, of loss the share of all packets. Dark is bad: slow, far or lossy.",)
    if len(network.sites) <= hours.SMALL:
        return [Section("The network as measured", text, tuple(pictures))]
    return [Section("The network as measured", text, tuple(pictures), new_page=True, large=True)]


def _spots(network: Network, quantity: Quantity) -> dict[tuple[str, str], Spot]:
    return {
        ends: Spot(one.value, one.state, _told(network, one))
        for ends, one in network.figures[quantity].items()
    }


def _told(network: Network, one: Figure) -> str:
    words = one.state.value if one.value is None else form(one.quantity, one.value)
    if one.value is not None and one.state is not State.MEASURED:
        words = f"{one.state.value}; it was {words}"
    tests = f", {format_count(one.count, 'test')}" if one.count else ""
    return f"{network.path(one.ends)}: {words}{tests}"


def _short_rate(value: float) -> str:
    number, _, unit = format_bits_per_second(float(f"{value:.2g}")).partition(" ")
    return f"{number}{unit.removesuffix('bit/s')}"


def _short_trip(value: float) -> str:
    return format_seconds(float(f"{value:.2g}")).replace(" ", "")


def _short_share(value: float) -> str:
    if value >= 0.0995:
        # in two digits a whole hundred would have an exponent
        return f"{100 * value:.0f}"
    return f"{100 * value:.2g}" if value == 0 or value >= 0.0001 else "<.01"


_RATES = Scale(format_bits_per_second, _short_rate, VIRIDIS)
_TRIPS = Scale(format_seconds, _short_trip, CIVIDIS)
# none lost is pale, whatever else there is
LOSSES = Scale(format_share, _short_share, ("#eef1ea", *CIVIDIS[1:]))


def _changes(network: Network, findings: Findings) -> list[Section]:
    every = sorted(
        (one for each in findings.changes.values() for one in each.found),
        key=lambda one: (not one.worse, list(Quantity).index(one.quantity)),
    )
    compared = sum(each.compared for each in findings.changes.values())
    too_few = sum(each.too_few for each in findings.changes.values())
    span = f"{network.before:%Y-%m-%d %H:%M} to {network.since:%Y-%m-%d %H:%M} UTC"
    if not compared:
        return [Section("What changed", (f"Nothing can be said: too few tests are known from {span}.",))]
    text = f"Against as long a time before ({span}), {len(every):,} of {compared:,} figures surely changed"
    text += f"; {too_few:,} have too few tests of one kind to say." if too_few else "."
    return [Section("What changed", (text,), tables=(tables.changes(network, every),) if every else ())]


def asymmetry(network: Network, apart: Compared[Asymmetry]) -> Section:
    """The pairs whose directions differ."""
    if not apart.compared:
        words = "Nothing can be said: no pair has 8 throughput tests of one kind in both directions."
        return Section("The two directions", (words,))
    text = f"{len(apart.found):,} of {apart.compared:,} pairs surely carry more one way than the other"
    text += f"; {apart.too_few:,} have too few tests of one kind to say." if apart.too_few else "."
    return Section(
        "The two directions",
        (text,),
        tables=(tables.asymmetries(network, apart.found),) if apart.found else (),
    )


def _availability(network: Network) -> list[Section]:
    if not network.tests:
        return []
    failed = sum(one.failed for paths in network.tested.values() for one in paths.values())
    text = f"{failed:,} of {network.tests:,} tests failed ({format_share(failed / network.tests)})"
    if not failed:
        return [Section("Availability", (f"{text}.",))]
    table = tables.availability(network)
    paths = len({*zip(table.frame.source, table.frame.destination, strict=True)})
    text += f", on {format_count(paths, 'path')}."
    return [Section("Availability", (text,), tables=(tables.site_availability(network), table))]
