"""The whole mesh: every path compared, side by side on all processors, and then what only all of them say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import numpy as np

from federation.sites import Federation
from netprobe.measurement import Kind
from reports.compare import expected, mesh_rules
from reports.compare.likeness import Values, matched
from reports.compare.model import Cell, Comparison, Finding, Outcome, Report
from reports.compare.observed import NOTHING, Observed, Reading, Rows
from reports.compare.paths import Job, compare, packets
from reports.compare.rules import Seen, diagnose
from reports.compare.statistics import Floats, benjamini_hochberg, median
from reports.compare.trend import Step
from reports.compare.verdicts import settled, tries, words
from reports.compare.ways import Quantity, Side
from reports.document import NOBODY, Made
from reports.side_by_side import side_by_side

_Path = tuple[Quantity, str, str]
# of a path's series: what was found, and the changes of level that stand
_Settled = Sequence[tuple[Comparison, tuple[Step, ...]]]
_Diagnosis = tuple[tuple[Finding, ...], tuple[str, ...]]

SHARE_FALSE = 0.05
# Of fewer, starting processes takes longer than the work.
_FEW_PATHS = 400
KIND_OF = {
    Quantity.THROUGHPUT: Kind.THROUGHPUT,
    Quantity.LATENCY: Kind.LATENCY,
    Quantity.LOSS: Kind.LATENCY,
}


def compare_mesh(
    reading: Reading,
    wanted: expected.Wanted,
    quantities: Sequence[Quantity],
    margin: float,
    loss_margin: float,
    federation: Federation | None = None,
    made: Made = NOBODY,
    progress: Callable[[float], None] = lambda share: None,
) -> Report:
    """The report of what was read. `margin` is a ratio (0.1: ten percent), `loss_margin` a share of
    packets."""
    margins = dict.fromkeys(Quantity, margin) | {Quantity.LOSS: loss_margin}
    paths = [(quantity, *path) for quantity in quantities for path in _paths_of(reading, wanted, quantity)]
    jobs_of = partial(_jobs_of, reading, wanted, margins)

    def of_path(path: _Path) -> list[Comparison]:
        cells = _cells(reading, wanted, path)
        return [compare(job, cells) for job in jobs_of(path)]

    def of_paths(part: Sequence[_Path]) -> list[list[Comparison]]:
        return [of_path(path) for path in part]

    by_path = side_by_side(of_paths, paths, _FEW_PATHS, lambda share: progress(0.9 * share))
    compared = [one for found in by_path for one in found]
    compared = [settled(one, adjusted) for one, adjusted in zip(compared, _adjusted(compared), strict=True)]
    steps = _confirmed(compared)
    settled_of = iter(zip(compared, steps, strict=True))
    looks = [(path, [next(settled_of) for _ in found]) for path, found in zip(paths, by_path, strict=True)]

    def looked_at(part: Sequence[tuple[_Path, _Settled]]) -> list[_Diagnosis]:
        return [
            _diagnosis(job, one, found, reading)
            for path, of_path in part
            for job, (one, found) in zip(jobs_of(path), of_path, strict=True)
        ]

    diagnoses = side_by_side(looked_at, looks, _FEW_PATHS, lambda share: progress(0.9 + 0.1 * share))
    findings = [list(found) for found, _ in diagnoses]
    mesh_rules.add(compared, steps, findings)
    times = [
        one.values[[0, -1], 0]
        for paths in reading.kinds.values()
        for each in paths.values()
        for one in each.rows.values()
    ]
    return Report(
        since=reading.since,
        until=reading.until,
        margin=margin,
        loss_margin=loss_margin,
        rows=reading.rows,
        first=_instant(min((one[0] for one in times), default=None)),
        last=_instant(max((one[1] for one in times), default=None)),
        comparisons=tuple(
            words(one, tuple(found), next_steps)
            for one, found, (_, next_steps) in zip(compared, findings, diagnoses, strict=True)
        ),
        remarks=mesh_rules.remarks(reading, compared),
        made=made,
        names={site.id: site.name for site in federation or ()},
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC)


def _paths_of(reading: Reading, wanted: expected.Wanted, quantity: Quantity) -> list[tuple[str, str]]:
    """Every path of which something was measured, or expected."""
    kind = KIND_OF[quantity]
    paths = {*reading.kinds.get(kind, {}), *(path[1:] for path in wanted.paths() if path[0] is kind)}
    if quantity is Quantity.LOSS:
        paths |= reading.kinds.get(Kind.LOSS, {}).keys()
    return sorted(paths)


def _observed(reading: Reading, quantity: Quantity, source: str, destination: str) -> Observed:
    if quantity is Quantity.LOSS:
        return reading.losses(source, destination)
    return reading.path(KIND_OF[quantity], source, destination)


def _cells(reading: Reading, wanted: expected.Wanted, path: _Path) -> tuple[Cell, ...]:
    observed = _observed(reading, *path)
    return expected.cells(wanted, KIND_OF[path[0]], observed, reading.since, reading.until)


def _jobs_of(
    reading: Reading, wanted: expected.Wanted, margins: Mapping[Quantity, float], path: _Path
) -> Iterator[Job]:
    """What is to be compared of one path: a pair of series each."""
    quantity, source, destination = path
    kind = KIND_OF[quantity]
    of_rates = quantity is Quantity.THROUGHPUT
    observed = _observed(reading, quantity, source, destination)
    scripted, mesh = observed.of(Side.SCRIPTED), observed.of(Side.MESH)
    other_way = _observed(reading, quantity, destination, source)
    pairs = matched(scripted, mesh) if of_rates else [(scripted, mesh)]
    for first, second in pairs or [(NOTHING, NOTHING)]:
        yield Job(
            quantity,
            source,
            destination,
            {Side.SCRIPTED: first, Side.MESH: second},
            margins[quantity],
            wanted.repeat((kind, source, destination)),
            _rtt(reading, source, destination) if of_rates else None,
            {side: other_way.of(side) for side in Side},
        )


def _rtt(reading: Reading, source: str, destination: str) -> float | None:
    """The path's round trip: of tests of latency, else the least that throughput tests saw."""
    for path in ((source, destination), (destination, source)):
        for rows in reading.path(Kind.LATENCY, *path).rows.values():
            if len(known := _positive(rows["rtt_seconds"])):
                return median(known)
    observed = reading.path(Kind.THROUGHPUT, source, destination)
    for name in ("rtt_seconds_min", "rtt_seconds"):
        found = [known.min() for rows in observed.rows.values() if len(known := _positive(rows[name]))]
        if found:
            return float(min(found))
    return None


def _positive(values: Floats) -> Floats:
    return values[values > 0]


def _adjusted(compared: Sequence[Comparison]) -> list[float]:
    """The p-values against "no more than the margin apart", adjusted over the paths of each quantity."""
    found = [1.0] * len(compared)
    for quantity in Quantity:
        chosen = [
            index for index, one in enumerate(compared) if one.quantity is quantity and one.shift is not None
        ]
        adjusted = benjamini_hochberg(np.array([compared[index].differs_p for index in chosen]))
        for index, p in zip(chosen, adjusted, strict=True):
            found[index] = float(p)
    return found


def _confirmed(compared: Sequence[Comparison]) -> list[tuple[Step, ...]]:
    """The changes of level that stand after Benjamini and Hochberg over all series, oldest first."""
    every: list[tuple[int, Step]] = []
    steady = 0
    for index, one in enumerate(compared):
        for series in (one.scripted, one.mesh):
            if series is not None and one.quantity is not Quantity.LOSS:
                every += [(index, step) for step in series.steps]
                steady += not series.steps
    p = benjamini_hochberg(np.array([step.p for _, step in every] + [1.0] * steady))
    found: list[list[Step]] = [[] for _ in compared]
    for (index, step), adjusted in zip(every, p, strict=False):
        if adjusted < SHARE_FALSE:
            found[index].append(step)
    return [tuple(sorted(each, key=lambda step: step.when)) for each in found]


def _diagnosis(job: Job, one: Comparison, steps: tuple[Step, ...], reading: Reading) -> _Diagnosis:
    """What the path's own rules find; and of a disagreement, what to try where nothing explains it."""
    seen = _seen(job, one, steps, reading)
    found = diagnose(seen) if seen is not None else ()
    return found, tries(one, seen) if one.outcome is Outcome.DISAGREE else ()


def _seen(job: Job, one: Comparison, steps: tuple[Step, ...], reading: Reading) -> Seen | None:
    if one.scripted is None or one.mesh is None or one.shift is None or one.raw_shift is None:
        return None
    path = (job.source, job.destination)
    scripted, mesh, slow = job.values(as_measured=True)
    if scripted is None or mesh is None:
        return None
    values = {
        Side.SCRIPTED: Values(scripted.rows, scripted.raw, one.scripted.values, scripted.what),
        Side.MESH: Values(mesh.rows, mesh.raw, one.mesh.values, mesh.what),
    }
    if slow and job.rtt_seconds is not None:
        slow = "normalised"
    traces = reading.routes.get(path, [])
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(traces)]
    return Seen(
        job.quantity,
        values,
        mesh_rules.low_side(one),
        one.shift,
        one.raw_shift,
        one.margin,
        job.rtt_seconds,
        _loss(reading, *path),
        steps,
        tuple(traces),
        max(2 * one.tolerance_seconds, float(np.median(gaps)) if gaps else 0.0),
        _mtus(reading, *path),
        slow,
        _one_way(job.rows[Side.MESH], job.back[Side.MESH]) if job.quantity is Quantity.LATENCY else None,
    )


def _loss(reading: Reading, source: str, destination: str) -> tuple[float, float] | None:
    lost = sent = 0.0
    for rows in reading.losses(source, destination).rows.values():
        rows = rows.where(np.isfinite(rows["loss_ratio"]))
        if len(rows):
            count = packets(rows)
            lost, sent = lost + float(rows["loss_ratio"] @ count), sent + float(count.sum())
    return (lost / sent, sent) if sent else None


def _mtus(reading: Reading, source: str, destination: str) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    for rows in reading.path(Kind.PATH, source, destination).rows.values():
        rows = rows.where(np.isfinite(rows["path_mtu_bytes"]))
        found += zip(rows["started"].tolist(), rows["path_mtu_bytes"].tolist(), strict=True)
    return tuple(sorted(found))


def _one_way(*directions: Rows) -> tuple[float, float, float] | None:
    """The worse of the two directions: a clock that is ahead makes one of them too short."""
    found = [one for rows in directions if (one := _delays(rows)) is not None]
    return min(found, key=lambda one: one[0], default=None)


def _delays(rows: Rows) -> tuple[float, float, float] | None:
    known = rows.where(np.isfinite(rows["owd_seconds"]))
    if not len(known):
        return None
    least = known["owd_seconds_min"]
    error = known["clock_error_seconds"]
    error = error[np.isfinite(error)]
    # a tenth of the tests must say so: one alone may be of the moment at which a clock was set
    low = float(np.quantile(least[np.isfinite(least)], 0.1)) if np.isfinite(least).any() else 0.0
    return low, float(np.median(known["owd_seconds"])), float(np.median(error)) if len(error) else 0.0


def findings_of(report: Report) -> Iterator[tuple[Comparison, Finding]]:
    """Every finding with its path."""
    return ((one, finding) for one in report.comparisons for finding in one.findings)
