"""What was to be measured, by a mesh's template and by our plans, against what is there: a cell for each side
of each path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from federation.sites import Federation
from netprobe import coverage
from netprobe.coverage import LATE, State
from netprobe.measurement import Kind
from netprobe.meshes.psconfig import Expected
from netprobe.meshes.rows import KINDS
from netprobe.plan import Plan, expand
from reports.compare.model import Cell
from reports.compare.observed import Observed
from reports.compare.pairs import usual_gap
from reports.compare.ways import Side

# which kind of row each tool gives, as far as it is compared
_KIND_OF_TOOL = {
    "iperf3": Kind.THROUGHPUT,
    "iperf3-binding": Kind.THROUGHPUT,
    "pscheduler": Kind.THROUGHPUT,
    "ping": Kind.LATENCY,
    "pscheduler-rtt": Kind.LATENCY,
}
_ON_THE_MESH = {"pscheduler", "pscheduler-rtt"}
_WORST = (State.OK, State.STALE, State.FAILED, State.MISSING)
Path = tuple[Kind, str, str]


@dataclass(frozen=True)
class Wanted:
    """What is expected of one path: by the mesh as cells that are counted already, by plans as intervals
    (None: once)."""

    mesh: Mapping[Path, Sequence[coverage.Cell]]
    plans: Mapping[tuple[Side, Path], Sequence[float | None]]

    def paths(self) -> set[Path]:
        return {*self.mesh, *(path for _, path in self.plans)}

    def repeat(self, path: Path) -> float | None:
        """How often the mesh measures it, if its template says."""
        return min(
            (one.repeat_seconds for one in self.mesh.get(path, ()) if one.repeat_seconds), default=None
        )


def wanted(
    engine: Engine,
    templates: Iterable[Expected],
    plans: Iterable[Plan],
    since: datetime,
    until: datetime,
    federation: Federation | None,
    kinds: Iterable[Kind],
    sites: Collection[str] | None = None,
) -> Wanted:
    """What templates and plans ask for between these times, and between these sites (None: all).

    Raises InputError for a plan of sites that aren't in the federation.
    """
    chosen = set(kinds)
    of_mesh: dict[Path, list[coverage.Cell]] = defaultdict(list)
    expected = [one for one in templates if KINDS.get(one.test) in chosen]
    if expected:
        for cell in coverage.coverage(engine, expected, since, until, federation).cells:
            of_mesh[KINDS[cell.test], cell.source, cell.destination].append(cell)
    of_plans: dict[tuple[Side, Path], list[float | None]] = defaultdict(list)
    for plan in plans:
        for one in expand(plan, federation or Federation("none", {})):
            kind = _KIND_OF_TOOL.get(one.tool.name)
            if kind in chosen:
                side = Side.MESH if one.tool.name in _ON_THE_MESH else Side.SCRIPTED
                path = (kind, one.test.source.site, one.test.destination.site)
                of_plans[side, path].append(plan.blocks[one.block].every_seconds)
    if sites is None:
        return Wanted(of_mesh, of_plans)
    return Wanted(
        {path: found for path, found in of_mesh.items() if {*path[1:]} <= {*sites}},
        {key: found for key, found in of_plans.items() if {*key[1][1:]} <= {*sites}},
    )


def cells(want: Wanted, kind: Kind, observed: Observed, since: datetime, until: datetime) -> tuple[Cell, ...]:
    """The scripted side's cell and the mesh's."""
    path = (kind, observed.source, observed.destination)
    return tuple(
        _of_template(want.mesh[path], observed)
        if side is Side.MESH and path in want.mesh
        else _of_intervals(side, want.plans.get((side, path)), observed, since, until)
        for side in (Side.SCRIPTED, Side.MESH)
    )


def _of_template(found: Sequence[coverage.Cell], observed: Observed) -> Cell:
    failed = observed.failed(Side.MESH)
    return Cell(
        Side.MESH,
        max((one.state for one in found), key=_WORST.index),
        sum(one.expected for one in found),
        sum(one.succeeded for one in found),
        sum(one.failed for one in found),
        max((one.newest for one in found if one.newest), default=None),
        min((one.repeat_seconds for one in found if one.repeat_seconds), default=None),
        False,
        failed.last,
        failed.times,
    )


def _of_intervals(
    side: Side,
    intervals: Sequence[float | None] | None,
    observed: Observed,
    since: datetime,
    until: datetime,
) -> Cell:
    times, failed = observed.of(side)["started"], observed.failed(side)
    window = (until - since).total_seconds()
    repeats = [one for one in intervals or () if one]
    repeat = min(repeats, default=None) or usual_gap(times)
    done = len(times) + len(failed.times)
    expected = sum(int(window // one) for one in repeats) + len(intervals or ()) - len(repeats)
    if intervals is None:
        expected = max(int(window // repeat), done) if repeat else done
    newest_success = times[-1] if len(times) else None
    newest_failure = failed.times[-1] if len(failed.times) else None
    known = [float(one) for one in (newest_success, newest_failure) if one is not None]
    newest = datetime.fromtimestamp(max(known), UTC) if known else None
    if newest is None:
        state = State.MISSING
    elif repeat and until - newest > timedelta(seconds=LATE * repeat):
        state = State.STALE
    else:
        failing = newest_failure is not None and newest.timestamp() == float(newest_failure)
        state = State.FAILED if failing else State.OK
    return Cell(
        side,
        state,
        expected,
        len(times),
        len(failed.times),
        newest,
        repeat,
        intervals is None,
        failed.last,
        failed.times,
    )
