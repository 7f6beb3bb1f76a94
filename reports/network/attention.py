"""What stands on the first page: what to look at first, the most telling before the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from reports.compare.verdicts import form
from reports.compare.ways import Quantity
from reports.network.differences import Asymmetry, Change
from reports.network.model import Ends, Network, State
from reports.network.sites import Fault
from reports.network.tables import factor, percent

# A path that loses so many packets is slow over any distance: over 50 ms TCP with loss-based control doesn't
# get beyond 4 Mbit/s (Mathis and others 1997).
LOSSY = 0.005


@dataclass(frozen=True)
class Point:
    """One line: a site or a path, what is wrong, the figures, and whose it is to look at: a site, or both
    ends of a path where nothing says which of them it is."""

    where: str
    what: str
    words: str
    ask: str


def points(
    network: Network, faults: Sequence[Fault], worse: Sequence[Change], apart: Sequence[Asymmetry]
) -> list[Point]:
    """Sites first; then paths, of each kind of trouble the worst in turn. What a site's fault explains isn't
    told again."""
    known = _explained(network, faults)
    kinds = (
        _failing(network, known),
        _lossy(network, known),
        _worse(network, worse, known),
        _apart(network, apart, known),
    )
    turns = zip_longest(*kinds)
    return [
        *(Point(network.name(one.site), "whole site", one.words, network.whom(one.site)) for one in faults),
        *(point for point in chain.from_iterable(turns) if point is not None),
    ]


def _explained(network: Network, faults: Sequence[Fault]) -> set[Ends]:
    ends = network.figures[Quantity.THROUGHPUT]
    return {path for path in ends for one in faults if one.role.has(one.site, path)}


def _failing(network: Network, known: set[Ends]) -> Iterator[Point]:
    failed = [
        one
        for paths in network.tested.values()
        for one in paths.values()
        if one.state is State.FAILED and (one.source, one.destination) not in known
    ]
    for one in sorted(failed, key=lambda one: (-one.failing, one.source, one.destination, one.kind)):
        count = f"all {one.failed:,}" if not one.succeeded else f"the newest {one.failing:,}"
        since = f", since {one.newest_success:%Y-%m-%d %H:%M} UTC" if one.newest_success else ""
        yield Point(
            network.path((one.source, one.destination)),
            "fails",
            f"{count} of {one.tests:,} {one.kind.value} tests failed{since}: {one.error}",
            _side(network, (one.source, one.destination), one.error),
        )


def _ends(network: Network, ends: Ends) -> str:
    return f"{network.whom(ends[0])} and {network.whom(ends[1])}"


def _side(network: Network, ends: Ends, error: str) -> str:
    """Whose failure it is, where the error says so."""
    for site, side in zip(ends, ("source", "destination"), strict=True):
        if error.startswith(side):
            return network.whom(site)
    return _ends(network, ends)


def _lossy(network: Network, known: set[Ends]) -> Iterator[Point]:
    lossy = [one for one in network.measured(Quantity.LOSS) if (one.value or 0.0) >= LOSSY]
    for one in sorted(lossy, key=lambda one: (-(one.value or 0.0), one.ends)):
        if one.ends not in known:
            lost = form(Quantity.LOSS, one.value or 0.0)
            words = f"{lost} of the packets in {one.count:,} tests"
            yield Point(network.path(one.ends), "loses packets", words, _ends(network, one.ends))


def _worse(network: Network, worse: Sequence[Change], known: set[Ends]) -> Iterator[Point]:
    for one in sorted(worse, key=lambda one: list(Quantity).index(one.quantity)):
        if one.ends in known:
            continue
        difference = one.difference
        since = f", since about {one.when:%Y-%m-%d %H:%M} UTC" if one.when else ""
        amount = "" if one.quantity is Quantity.LOSS else f" ({percent(difference.ratio)})"
        yield Point(
            network.path(one.ends),
            "became worse",
            f"{one.quantity.value} from {form(one.quantity, difference.first.value)} to "
            f"{form(one.quantity, difference.second.value)}{amount}{since}",
            _ends(network, one.ends),
        )


def _apart(network: Network, apart: Sequence[Asymmetry], known: set[Ends]) -> Iterator[Point]:
    for one in apart:
        if one.slow in known:
            continue
        difference = one.difference
        yield Point(
            network.path(one.slow),
            "slower one way",
            f"{form(Quantity.THROUGHPUT, difference.first.value)} this way, "
            f"{form(Quantity.THROUGHPUT, difference.second.value)} the other ({factor(difference.ratio)}, "
            f"at least {factor(difference.low)})",
            _ends(network, one.slow),
        )
