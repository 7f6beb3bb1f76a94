"""What is a site's own: faults that all of its paths have, and a row for each site."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from netprobe.measurement import Kind
from reports.compare.ways import Quantity
from reports.network.differences import Asymmetry, Change, Compared
from reports.network.model import Ends, Figure, Network, State

# So many of a site's paths, and four fifths of them, while few others have it: it is the site's.
LEAST_PATHS, MOST_OF_THEM, FEW_OTHERS = 3, 0.8, 0.2


class Role(StrEnum):
    """Which of a site's paths."""

    BOTH = "sending and receiving"
    SENDING = "sending"
    RECEIVING = "receiving"

    def has(self, site: str, ends: Ends) -> bool:
        return (self is not Role.RECEIVING and ends[0] == site) or (
            self is not Role.SENDING and ends[1] == site
        )


@dataclass(frozen=True)
class Fault:
    """Something that most of a site's paths have, and others don't: in words with figures."""

    site: str
    role: Role
    words: str


def faults(
    network: Network, asymmetries: Compared[Asymmetry], changes: Mapping[Quantity, Compared[Change]]
) -> list[Fault]:
    """The sites at which something is wrong, and not on a path of theirs."""
    return [*_failing(network), *_changed(network, changes), *_one_way(network, asymmetries)]


def _own(
    every: Collection[Ends], some: Collection[Ends], roles: Sequence[Role] = tuple(Role)
) -> Iterator[tuple[str, Role, int, int]]:
    """Sites whose paths, all or those of one direction, are mostly among `some`, and of the others few:
    (site, role, how many of them, of how many). All before one direction, the worst site first: what one
    site explains is not another's."""
    left = set(some)
    for role in roles:
        own = _by_role(every, role)
        counts = sorted(
            ((len(found), site) for site, found in _by_role(left, role).items()),
            key=lambda one: (-one[0], one[1]),
        )
        for most, site in counts:
            if most < LEAST_PATHS:
                break
            there = [ends for ends in own[site] if ends in left]
            others, elsewhere = len(every) - len(own[site]), len(left) - len(there)
            if (
                len(there) >= max(LEAST_PATHS, MOST_OF_THEM * len(own[site]))
                and elsewhere <= FEW_OTHERS * others
            ):
                yield site, role, len(there), len(own[site])
                left -= set(there)


def _by_role(some: Iterable[Ends], role: Role) -> Mapping[str, list[Ends]]:
    found: dict[str, list[Ends]] = defaultdict(list)
    for ends in some:
        if role is not Role.RECEIVING:
            found[ends[0]].append(ends)
        if role is not Role.SENDING:
            found[ends[1]].append(ends)
    return found


def _failing(network: Network) -> Iterator[Fault]:
    for kind, paths in network.tested.items():
        every = [ends for ends, one in paths.items() if one.tests]
        failed = [ends for ends in every if paths[ends].state is State.FAILED]
        for site, role, count, of in _own(every, failed):
            errors = Counter(paths[ends].error for ends in failed if role.has(site, ends))
            usual = min(errors, key=lambda error: (-errors[error], error))
            yield Fault(
                site,
                role,
                f"{count} of {of} paths on which it is {role.value} fail ({kind.value}): {usual}",
            )


def _changed(network: Network, changes: Mapping[Quantity, Compared[Change]]) -> Iterator[Fault]:
    for quantity, compared in changes.items():
        for worse in (True, False):
            some = {one.ends: one for one in compared.found if one.worse is worse}
            for site, role, count, of in _own(compared.ends, some):
                own = [one for ends, one in some.items() if role.has(site, ends)]
                when = sorted(one.when for one in own if one.when is not None)
                since = f", from about {_middle(when):%Y-%m-%d %H:%M} UTC on" if when else ""
                yield Fault(
                    site,
                    role,
                    f"{quantity.value} became {'worse' if worse else 'better'} on {count} of {of} paths on "
                    f"which it is {role.value}{since}: look at the site, not at the paths",
                )


def _middle(when: list[datetime]) -> datetime:
    return when[len(when) // 2]


def _one_way(network: Network, asymmetries: Compared[Asymmetry]) -> Iterator[Fault]:
    """A site that sends more slowly than it receives, to nearly everybody; or the other way round."""
    both = [ends for pair in asymmetries.ends for ends in (pair, pair[::-1])]
    slow = {one.slow for one in asymmetries.found}
    for site, role, count, of in _own(both, slow, (Role.SENDING, Role.RECEIVING)):
        words = (
            "sends more slowly than it receives"
            if role is Role.SENDING
            else ("receives more slowly than it sends")
        )
        yield Fault(site, role, f"{words} on {count} of its {of} pairs: its own host or link")


@dataclass(frozen=True)
class SiteRow:
    """What one site sends and receives: medians over its paths (bit/s), its slowest partners, and how many of
    its tests failed."""

    site: str
    sends: float | None
    receives: float | None
    worst_receiver: str | None
    worst_sent: float | None
    worst_sender: str | None
    worst_received: float | None
    round_trip: float | None
    loss: float | None
    tests: int
    failed: int
    paths: int
    paths_failed: int
    error: str


def rows(network: Network) -> list[SiteRow]:
    """Every site, in order."""
    by: Mapping[Quantity, Mapping[str, tuple[list[Figure], list[Figure]]]] = {
        quantity: _by_site(network.measured(quantity)) for quantity in Quantity
    }
    return [_row(network, site, by) for site in network.sites]


def _by_site(figures: Iterable[Figure]) -> Mapping[str, tuple[list[Figure], list[Figure]]]:
    found: dict[str, tuple[list[Figure], list[Figure]]] = defaultdict(lambda: ([], []))
    for one in figures:
        found[one.source][0].append(one)
        found[one.destination][1].append(one)
    return found


def _row(
    network: Network,
    site: str,
    by: Mapping[Quantity, Mapping[str, tuple[list[Figure], list[Figure]]]],
) -> SiteRow:
    sent, received = by[Quantity.THROUGHPUT][site]
    slowest, slowest_in = _least(sent), _least(received)
    tested = [
        paths[ends]
        for paths in network.tested.values()
        for other in network.sites
        if other != site
        for ends in ((site, other), (other, site))
        if paths[ends].tests
    ]
    bad = [one for one in tested if one.state is State.FAILED]
    errors = Counter(one.error for one in tested if one.error)
    throughput = [one for one in tested if one.kind is Kind.THROUGHPUT] or tested
    return SiteRow(
        site,
        _median(sent),
        _median(received),
        slowest.destination if slowest else None,
        slowest.value if slowest else None,
        slowest_in.source if slowest_in else None,
        slowest_in.value if slowest_in else None,
        _median([*by[Quantity.LATENCY][site][0], *by[Quantity.LATENCY][site][1]]),
        _median([*by[Quantity.LOSS][site][0], *by[Quantity.LOSS][site][1]], np.mean),
        sum(one.tests for one in tested),
        sum(one.failed for one in tested),
        len({(one.source, one.destination) for one in throughput}),
        len({(one.source, one.destination) for one in bad}),
        min(errors, key=lambda error: (-errors[error], error)) if errors else "",
    )


def _least(some: list[Figure]) -> Figure | None:
    return min(some, key=lambda one: (one.value or 0.0, one.ends), default=None)


def _median(some: list[Figure], statistic: Callable[[list[float]], object] = np.median) -> float | None:
    values = [one.value for one in some if one.value is not None]
    return float(statistic(values)) if values else None  # type: ignore[arg-type]
