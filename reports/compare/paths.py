"""One path: two series, what they have in common, and how surely."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from reports.compare import statistics
from reports.compare.likeness import ONE_WAY, Values, rates, traits
from reports.compare.model import Cell, Comparison, Series
from reports.compare.observed import NOTHING, Rows
from reports.compare.pairs import nearest, usual_gap
from reports.compare.statistics import LEAST, Floats, Shift
from reports.compare.trend import steps, trend
from reports.compare.ways import Quantity, Side

# Round trips that differ by less are the same whatever the margin: OWAMP's buckets are a millisecond wide.
LEAST_SECONDS = 0.0005


@dataclass(frozen=True)
class Job:
    """What is looked at of one path and quantity. `back`: what was measured one way from destination to
    source."""

    quantity: Quantity
    source: str
    destination: str
    rows: Mapping[Side, Rows]
    margin: float
    repeat_seconds: float | None = None
    rtt_seconds: float | None = None
    back: Mapping[Side, Rows] = field(default_factory=dict)

    def values(self, *, as_measured: bool = False) -> tuple[Values | None, Values | None, str]:
        """What is compared of the scripted tests and of the mesh's, and what became of slow start, which is
        left in where they are wanted `as_measured`."""
        scripted, mesh = self.rows[Side.SCRIPTED], self.rows[Side.MESH]
        if self.quantity is Quantity.THROUGHPUT:
            return rates(scripted, mesh, None if as_measured else self.rtt_seconds)
        of = _round_trips if self.quantity is Quantity.LATENCY else _losses
        within = self.tolerance()
        one, two = (
            of(rows, self.back.get(side, NOTHING), within)
            for side, rows in ((Side.SCRIPTED, scripted), (Side.MESH, mesh))
        )
        return one, two, ""

    def tolerance(self) -> float:
        """Half the mesh's repeat: what its template says, else its usual gap, else an hour."""
        repeat = self.repeat_seconds or usual_gap(self.rows[Side.MESH]["started"]) or 3600.0
        return repeat / 2


def compare(job: Job, cells: tuple[Cell, ...]) -> Comparison:
    """Everything that this path says by itself: no diagnosis, and no verdict yet. `cells`: each side's.

    The bootstrap's chance is seeded by the path's name: the same data give the same report.
    """
    name = f"{job.quantity} {job.source} {job.destination}"
    chance = np.random.default_rng(zlib.crc32(name.encode()))
    scripted, mesh, slow = job.values()
    within = job.tolerance()
    plain = job.quantity is Quantity.LOSS
    found = Comparison(
        job.quantity,
        job.source,
        job.destination,
        _series(job, Side.SCRIPTED, scripted, chance),
        _series(job, Side.MESH, mesh, chance),
        cells,
        margin=job.margin,
        tolerance_seconds=within,
    )
    if scripted is None or mesh is None:
        return found
    one, two = (_scale(plain, side.values) for side in (scripted, mesh))
    left, right = nearest(scripted.times, mesh.times, within)
    first, second = one[left], two[right]
    difference = second - first
    correlation = statistics.autocorrelation(difference)
    fields = vars(found) | {
        "traits": traits(job.quantity, scripted, mesh, slow, _shares(job)),
        "pairs": np.column_stack((scripted.times[left], scripted.values[left], mesh.values[right])),
        "unpaired": statistics.unpaired(one, two),
        "margin": _margin(job, scripted),
    }
    if len(left) >= 3:
        fields["agreement"] = statistics.bland_altman(first, second, correlation)
        fields["paired"] = statistics.paired(difference)
    trim = 0.0 if plain else statistics.TRIM
    times = (scripted.times, mesh.times)

    def shifted(of_scripted: Floats, of_mesh: Floats, correlation: float | None = None) -> Shift:
        if len(left) >= LEAST:
            return statistics.centre(of_mesh[right] - of_scripted[left], trim, times[1][right], correlation)
        if min(len(of_scripted), len(of_mesh)) >= 2:
            both = zip((of_scripted, of_mesh), times, strict=True)
            return statistics.between(*(statistics.centre(values, trim, when) for values, when in both))
        return Shift(statistics.median(of_mesh) - statistics.median(of_scripted), math.inf, 1.0)

    shift = shifted(one, two, correlation)
    normalised = scripted.raw is not scripted.values or mesh.raw is not mesh.values
    fields["raw_shift"] = (
        shifted(_scale(plain, scripted.raw), _scale(plain, mesh.raw)) if normalised else shift
    )
    if plain:
        shift = _resolved(shift, scripted, mesh)
    fields["shift"] = shift
    count = len(left) if len(left) >= LEAST else min(len(one), len(two))
    if count >= LEAST:
        fields["same_p"] = shift.inside(fields["margin"])
        fields["differs_p"] = shift.beyond(fields["margin"])
        fields["more_tests"] = statistics.needed(shift, count, fields["margin"]) - count
    else:
        fields["more_tests"] = LEAST - count
    return Comparison(**fields)


def _scale(plain: bool, values: Floats) -> Floats:
    """Rates and times by their logarithms: differences are then ratios."""
    return values if plain else np.log(values)


def _margin(job: Job, scripted: Values) -> float:
    if job.quantity is Quantity.LOSS:
        return job.margin
    margin = math.log1p(job.margin)
    if job.quantity is Quantity.LATENCY:
        margin = max(margin, math.log1p(LEAST_SECONDS / float(np.median(scripted.values))))
    return margin


def _series(job: Job, side: Side, found: Values | None, chance: np.random.Generator) -> Series | None:
    if found is None:
        return None
    times, values = found.times, found.values
    plain = job.quantity is Quantity.LOSS
    logarithms = _scale(plain, values)
    return Series(
        found.rows.usual_way(),
        statistics.summarise(values, chance),
        trend(times, logarithms) if len(values) >= LEAST else None,
        () if plain else steps(times, values, logarithms, side.value),
        times,
        values,
    )


def _shares(job: Job) -> dict[Side, float]:
    return {
        side: np.count_nonzero(rows["overlapped"] > 0) / len(rows) if len(rows) else 0.0
        for side, rows in job.rows.items()
    }


def _resolved(shift: Shift, *sides: Values) -> Shift:
    """No surer than the packets that were counted allow: none lost of a hundred is not no loss."""
    least = math.hypot(*(statistics.NONE_LOST / max(float(packets(side.rows).sum()), 1.0) for side in sides))
    return Shift(shift.estimate, max(shift.error, least), shift.freedom)


def packets(rows: Rows) -> Floats:
    """How many packets each test of latency sent: as it says, else as it was told."""
    told = np.array([one.count or 0.0 for one in rows.ways])
    sent = rows["packets_sent"]
    return np.where(np.isfinite(sent), sent, told[rows["way"].astype(int)] if len(told) else 0.0)


def _round_trips(rows: Rows, back: Rows, within: float) -> Values | None:
    """Round trips; where there are none, one-way delays there and back added, of tests of one time."""
    known = rows.where(rows["rtt_seconds"] > 0)
    if len(known):
        return Values(known, known["rtt_seconds"], known["rtt_seconds"], "round trip")
    there, again = (one.where(np.isfinite(one["owd_seconds"])) for one in (rows, back))
    left, right = nearest(there["started"], again["started"], within)
    both = there["owd_seconds"][left] + again["owd_seconds"][right]
    there, both = there.where(left).where(both > 0), both[both > 0]
    return Values(there, both, both, "one way and back") if len(both) else None


def _losses(rows: Rows, back: Rows, within: float) -> Values | None:
    """Losses of a round trip; of one-way tests those of both ways put together, where both were measured."""
    known = rows.where(np.isfinite(rows["loss_ratio"]))
    round_trip = bool(np.isfinite(known["rtt_seconds"]).any())
    if len(known) and (round_trip or not len(back)):
        what = "round trip" if round_trip else ONE_WAY
        return Values(known, known["loss_ratio"], known["loss_ratio"], what)
    again = back.where(np.isfinite(back["loss_ratio"]))
    left, right = nearest(known["started"], again["started"], within)
    both = 1 - (1 - known["loss_ratio"][left]) * (1 - again["loss_ratio"][right])
    return Values(known.where(left), both, both, "one way and back") if len(both) else None
