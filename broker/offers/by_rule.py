"""Data that its own system brings to a site's storage: how long its queues take, besides moving."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from broker.model import DataItem, Level, Note, Target
from broker.offers.candidates import Candidate
from federation.units import format_count, format_seconds, format_size
from netprobe.cost import NOTHING, Move, Staging, grouped, seconds_for, together
from netprobe.forecast import ForecastPath
from netprobe.quantiles import Quantiles

# what its operator says of a storage counts as so many rules that were seen: half as long, as long, twice
_STATED = (0.5, 1.0, 2.0)

# seconds that earlier rules took besides moving, the newest first, by site and storage
Seen = Mapping[tuple[str, str], Sequence[float]]


def delay_seconds(stated: float, seen: Sequence[float]) -> Quantiles:
    """Seconds that a rule takes besides moving: quantiles (linear between order statistics) of those that
    were `seen`, beside which what the operator `stated` counts less the more there are."""
    tenths = statistics.quantiles([*seen, *(stated * each for each in _STATED)], n=10, method="inclusive")
    # between two that are the same, each is rounded in its own way
    return Quantiles(*sorted((tenths[0], tenths[4], tenths[8])))


def by_rule(candidates: Sequence[Candidate], forecast: ForecastPath, seen: Seen) -> list[Candidate]:
    """The candidates, with the time of those whose data is brought there by a rule: what moving the missing
    part takes, then what the queues take, then the copy from the site's storage to the session.

    A site's own broker brings its data itself.
    """
    return [each if each.ready is not None else _waiting(each, forecast, seen) for each in candidates]


def _waiting(candidate: Candidate, forecast: ForecastPath, seen: Seen) -> Candidate:
    site, before = candidate.site, candidate.staging
    ruled = {
        item.uuid: (item, target)
        for item in candidate.request.data
        if (target := item.target(site.id)) is not None and target.files > 0
    }
    if not ruled:
        return candidate
    moves = tuple(_missing(move, *ruled[move.key]) if move.key in ruled else move for move in before.moves)
    groups = grouped(moves)
    delays = {
        uuid: delay_seconds(target.delay_seconds, seen.get((site.id, target.rse), ()))
        for uuid, (_, target) in ruled.items()
    }
    # rules are worked at beside each other; the copies are made when all of it is there
    longest = max(delays.values(), key=lambda each: (each.p90, each.p50))
    brought = [target for _, target in ruled.values()]
    copy = seconds_for(
        forecast(site.id, site.id),
        sum(each.size_bytes for each in brought),
        sum(each.files for each in brought),
    )
    seconds = together(groups, site.link_bits_per_second) + longest + copy
    staging = Staging(before.destination, moves, seconds, sum(move.size_bytes for move in moves), groups)
    notes = [
        _note(candidate, *ruled[uuid], moves, delay, len(seen.get((site.id, ruled[uuid][1].rse), ())))
        for uuid, delay in delays.items()
    ]
    return replace(
        candidate,
        staging=staging,
        prepare=seconds + _less(candidate.prepare, before.seconds),
        warnings=(*candidate.warnings, *notes),
    )


def _missing(move: Move, item: DataItem, target: Target) -> Move:
    """The move of what the site lacks of the item, where that isn't a part already."""
    if item.parts or move.files <= target.files:
        return move
    seconds = seconds_for(move.forecast, target.size_bytes, target.files)
    return replace(move, size_bytes=target.size_bytes, files=target.files, seconds=seconds)


def _less(whole: Quantiles, part: Quantiles) -> Quantiles:
    """What a sum (`Quantiles.__add__`) had besides `part`."""
    p10 = max(whole.p10 - part.p10, 0.0)
    p50 = max(whole.p50 - part.p50, p10)
    return Quantiles(p10, p50, max(whole.p90 - part.p90, p50))


def _note(
    candidate: Candidate,
    item: DataItem,
    target: Target,
    moves: Sequence[Move],
    delay: Quantiles,
    rules: int,
) -> Note:
    crossing = [move for move in moves if move.key == item.uuid and move.source != move.destination]
    moving = together(grouped(crossing)) if crossing else NOTHING
    basis = f"seen at {format_count(rules, 'earlier rule')} there, and what its operator says"
    amount = "all" if target.files >= item.files else f"{target.files} of"
    files = f"{amount} {item.files} files" if item.files > 1 else "1 file"
    text = (
        "{site}: a replication rule brings what is missing of {name} ({files}, {size}) to {rse}: moving "
        "takes {p50} ({p10} to {p90}, 10 to 90 %), and the queues {d50} more ({d10} to {d90}): {basis}"
    )
    values = {
        "site": candidate.site.id,
        "name": item.name,
        "files": files,
        "size": format_size(target.size_bytes),
        "rse": target.rse,
        "p10": format_seconds(moving.p10),
        "p50": format_seconds(moving.p50),
        "p90": format_seconds(moving.p90),
        "d10": format_seconds(delay.p10),
        "d50": format_seconds(delay.p50),
        "d90": format_seconds(delay.p90),
        "basis": basis if rules else "so its operator says, for none was seen yet",
    }
    return Note("data-by-rule", text, values, Level.INFO)
