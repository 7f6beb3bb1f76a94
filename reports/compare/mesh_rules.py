"""Diagnosis that needs more than one path: directions, sites, and data that can't be as it stands."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from federation.units import format_bits_per_second, format_seconds
from netprobe.measurement import Kind
from reports.compare.model import Cause, Comparison, Finding, Outcome, Series
from reports.compare.observed import Reading
from reports.compare.trend import Step
from reports.compare.ways import Quantity, Side

# WLCG's perfSONAR alarms (sand-ci/AlarmsAndAlerts) call a change a site's own from so many pairs on
SITE_PAIRS = 5
ASYMMETRY = 1.5
_DAY = 86_400.0


def low_side(one: Comparison) -> Side | None:
    """The side that sees less of a rate, or more of a delay or loss; None where they don't disagree."""
    if one.outcome is not Outcome.DISAGREE or one.shift is None:
        return None
    mesh_less = one.shift.estimate < 0
    return Side.MESH if mesh_less == (one.quantity is Quantity.THROUGHPUT) else Side.SCRIPTED


def add(
    compared: Sequence[Comparison], steps: Sequence[tuple[Step, ...]], findings: Sequence[list[Finding]]
) -> None:
    """Add to each path's findings what its other direction and its sites' other paths say."""
    for index, finding in _one_direction(compared):
        findings[index].append(finding)
    with_site = set()
    for index, finding in _site_steps(compared, steps):
        findings[index].insert(0, finding)
        with_site.add(index)
    for index, finding in _site_differs(compared):
        # what is wrong with each of its paths is told more exactly where it is known
        findings[index].append(finding)
    for index, found in enumerate(steps):
        known = index in with_site or any(one.cause is Cause.ROUTE for one in findings[index])
        if found and not known:
            findings[index].append(_changed(compared[index], found))


def _one_direction(compared: Sequence[Comparison]) -> Iterator[tuple[int, Finding]]:
    """One direction carries more than one and a half times the other, and the medians' intervals don't meet.

    Where both sides see it, it is the path's; where one does, it is that side's hosts'.
    """
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, one in enumerate(compared):
        if one.quantity is Quantity.THROUGHPUT:
            places[one.source, one.destination].append(index)
    for (source, destination), indexes in places.items():
        for index in indexes:
            mine = compared[index]
            for there in places.get((destination, source), ()):
                sides = {
                    side: ratio
                    for side in Side
                    if (ratio := _slower(mine.series(side), compared[there].series(side)))
                }
                if not sides:
                    continue
                told = ", ".join(
                    f"{side.value}: {format_bits_per_second(_of(mine, side).summary.median)} this way, "
                    f"{format_bits_per_second(_of(compared[there], side).summary.median)} the other"
                    for side in sides
                )
                alone = next(iter(sides)) if len(sides) == 1 else None
                measured = sum(mine.series(side) is not None for side in Side)
                if alone is None or measured == 1 or mine.outcome is Outcome.DISAGREE:
                    yield (
                        index,
                        Finding(Cause.ONE_DIRECTION, told, alone is not None and measured == 2, alone),
                    )
                break


def _of(one: Comparison, side: Side) -> Series:
    found = one.series(side)
    assert found is not None
    return found


def _slower(mine: Series | None, other: Series | None) -> float | None:
    """How many times as fast the other direction is, where that is sure and the tests are alike."""
    if mine is None or other is None or mine.way.key[:2] != other.way.key[:2]:
        return None
    if min(mine.summary.count, other.summary.count) < SITE_PAIRS:
        return None
    ratio = other.summary.median / mine.summary.median
    return ratio if ratio > ASYMMETRY and other.summary.low > mine.summary.high else None


def _site_steps(
    compared: Sequence[Comparison], steps: Sequence[tuple[Step, ...]]
) -> Iterator[tuple[int, Finding]]:
    """Five pairs of one site, or more, whose level changed the same way within a day (WLCG's rule)."""
    moved: dict[tuple[Quantity, str, bool], list[tuple[float, int]]] = defaultdict(list)
    for index, found in enumerate(steps):
        one = compared[index]
        for step in found:
            for site in (one.source, one.destination):
                moved[one.quantity, site, step.after > step.before].append((step.when.timestamp(), index))
    told = set()
    # the site with the most pairs first: its change is also in the others' lists
    for (_, site, up), times in sorted(moved.items(), key=lambda item: -len(item[1])):
        times.sort()
        for start, (begun, _) in enumerate(times):
            together = [index for time, index in times[start:] if time - begun <= _DAY]
            pairs = {frozenset((compared[index].source, compared[index].destination)) for index in together}
            if len(pairs) < SITE_PAIRS:
                continue
            first = min(step.when for index in together for step in steps[index])
            for index in dict.fromkeys(together):
                if index not in told:
                    told.add(index)
                    text = (
                        f"{len(pairs)} pairs of {site} {'rose' if up else 'fell'} within a day of "
                        f"{first:%Y-%m-%d %H:%M}: look at that site, not at this path"
                    )
                    yield index, Finding(Cause.SITE_WIDE, text, True)
            break


def _site_differs(compared: Sequence[Comparison]) -> Iterator[tuple[int, Finding]]:
    """Four fifths of a site's paths (five or more) disagree the same way, and few of the others do: one
    side's host at that site."""
    judged = [
        index
        for index, one in enumerate(compared)
        if one.outcome in (Outcome.AGREE, Outcome.DISAGREE, Outcome.UNSETTLED)
    ]
    for quantity in Quantity:
        of_quantity = [index for index in judged if compared[index].quantity is quantity]
        of_site: dict[str, list[int]] = defaultdict(list)
        worse: dict[Side | None, int] = Counter(low_side(compared[index]) for index in of_quantity)
        for index in of_quantity:
            for site in (compared[index].source, compared[index].destination):
                of_site[site].append(index)
        for site, own in sorted(of_site.items()):
            others = len(of_quantity) - len(own)
            for side in Side:
                same = [index for index in own if low_side(compared[index]) is side]
                few = worse[side] - len(same) < 0.2 * others
                if len(same) >= SITE_PAIRS and len(same) >= 0.8 * len(own) and few:
                    text = (
                        f"{len(same)} of {len(own)} paths of {site} are worse in the {side.value} tests: "
                        f"its {side.value} host"
                    )
                    for index in same:
                        yield index, Finding(Cause.SITE_WIDE, text, True, side)


def _changed(one: Comparison, steps: Sequence[Step]) -> Finding:
    last = steps[-1]
    form = format_seconds if one.quantity is Quantity.LATENCY else format_bits_per_second
    same = {step.side for step in steps if abs((step.when - last.when).total_seconds()) <= _DAY}
    alone = Side(last.side) if len(same) == 1 and one.scripted and one.mesh else None
    whose = f"the {alone.value} side only" if alone else "both sides" if len(same) > 1 else f"{last.side}"
    text = f"{whose}: from {form(last.before)} to {form(last.after)} on {last.when:%Y-%m-%d %H:%M}"
    return Finding(Cause.CHANGED, text, alone is not None, alone)


def remarks(reading: Reading, compared: Sequence[Comparison]) -> tuple[str, ...]:
    """What is wrong with the data as a whole, in words."""
    found = []
    sides = {side: any(one.series(side) for one in compared) for side in Side}
    failed = {
        side: any(len(cell.failures) for one in compared for cell in one.cells if cell.side is side)
        for side in Side
    }
    if not reading.rows:
        found.append("The archive has nothing of these kinds, sites and times: nothing can be compared.")
    for side, there in sides.items():
        if not there and reading.rows:
            why = "all of its tests failed" if failed[side] else "it has no tests"
            found.append(f"There is nothing of the {side.value} side ({why}): nothing can be compared.")
    for side, count in reading.ahead.items():
        found.append(f"{count:,} {side.value} results are dated in the future: a clock there is wrong.")
    found += _renamed(reading)
    return tuple(found)


def _renamed(reading: Reading) -> Iterator[str]:
    """Sites that only one side knows, and what the other may call them."""
    names: dict[Side, set[str]] = {side: set() for side in Side}
    for kind, paths in reading.kinds.items():
        for (source, destination), observed in paths.items():
            for side in Side:
                if kind is not Kind.PATH and (side in observed.rows or side in observed.failures):
                    names[side] |= {source, destination}
    alone = {side: sorted(names[side] - names[side.other]) for side in Side}
    if not alone[Side.SCRIPTED] or not alone[Side.MESH]:
        return
    for name in alone[Side.SCRIPTED]:
        mine = reading.addresses[Side.SCRIPTED].get(name, set())
        shared = [
            other for other in alone[Side.MESH] if mine & reading.addresses[Side.MESH].get(other, set())
        ]
        if shared:
            yield (
                f"{name} (scripted) and {shared[0]} (mesh) have an address in common: one site under two "
                "names? Its perfsonar_hosts in the catalogue join them."
            )
            continue
        like = difflib.get_close_matches(name, alone[Side.MESH], 1, 0.75) or [
            other for other in alone[Side.MESH] if name in other.split(".")[0].split("-")
        ]
        if like:
            yield (
                f"{name} is known to the scripted side only, {like[0]} to the mesh only: one site under two "
                "names? Its perfsonar_hosts in the catalogue join them."
            )
