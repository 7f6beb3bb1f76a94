"""The order of offers, and why each stands where it does, in words and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broker.model import Figure, Level, Note, Placement
from broker.offers.price import MONETARY
from federation.units import format_age, format_bits_per_second, format_seconds, format_size
from netprobe.cost import Move
from netprobe.forecast import Rung

# beyond this many files, the rest is summed up in one line
MOVES_IN_FULL = 10


@dataclass(frozen=True)
class Priced:
    """A placement and when its result is expected (90 %), to the fraction of a second that ranking needs."""

    placement: Placement
    result: datetime
    waits_for_data: bool

    @property
    def price(self) -> float:
        return _figure(self.placement.costs, MONETARY)


def rank(offers: Sequence[Priced]) -> list[Priced]:
    """By when the result is there (90 %, to a tenth of a second), then by price, then by name."""
    return sorted(offers, key=lambda o: (_tenths(o), o.price, o.placement.site_id))


def _tenths(offer: Priced) -> int:
    return round(offer.result.timestamp() * 10)


def explained(ranked: Sequence[Priced], expires: datetime) -> list[Placement]:
    """The placements in the given order, each with its notes: rank, compute, preparation, data."""
    return [
        replace(
            offer.placement,
            notes=(
                _place_note(ranked, position),
                _compute_note(offer, expires),
                *_data_notes(offer.placement),
                *offer.placement.notes,
            ),
        )
        for position, offer in enumerate(ranked)
    ]


def _place_note(ranked: Sequence[Priced], position: int) -> Note:
    """Compares the first with the second, and each other with the first."""
    offer = ranked[position]
    values = {
        "place": str(position + 1),
        "offers": str(len(ranked)),
        "site": offer.placement.site_id,
        "result": f"{offer.result:%Y-%m-%dT%H:%M:%SZ}",
        "price": f"{offer.price:.4g}",
    }
    text = "{place} of {offers}: result expected from {site} by {result} (90 %)"
    if len(ranked) == 1:
        return Note("rank", text + ", the only site that can", values, Level.INFO)
    other = ranked[1] if position == 0 else ranked[0]
    values["other"] = other.placement.site_id
    values["other_price"] = f"{other.price:.4g}"
    tenths = abs(_tenths(other) - _tenths(offer))
    if tenths:
        values["difference"] = format_seconds(tenths / 10)
        text += ", {difference} before the next, {other}" if position == 0 else ", {difference} after {other}"
    elif offer.price != other.price:
        word = "less" if offer.price < other.price else "more"
        text += ", as from {other}, for " + word + " money ({price} and {other_price})"
    else:
        text += ", at the same time and price as from {other}"
    return Note("rank", text, values, Level.INFO)


def _compute_note(offer: Priced, expires: datetime) -> Note:
    placement = offer.placement
    values = {
        "site": placement.site_id,
        "cores": "1 core" if placement.cores == 1 else f"{placement.cores} cores",
        "memory": str(placement.memory_gib),
        "start": f"{placement.start:%Y-%m-%dT%H:%M:%SZ}",
        "expires": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        "prepare": format_seconds(placement.prepare_seconds),
    }
    text = "{cores} and {memory} GiB at {site} are free from {start} on, and held until {expires}; "
    text += "data and image are ready within {prepare} (90 %)"
    if offer.waits_for_data:
        text += ", which is what the start waits for"
    return Note("compute", text, values, Level.INFO)


def _data_notes(placement: Placement) -> list[Note]:
    moves = placement.staging.moves
    notes = [_move_note(move) for move in moves[:MOVES_IN_FULL]]
    rest = moves[MOVES_IN_FULL:]
    if rest:
        values = {
            "files": str(len(rest)),
            "size": format_size(sum(move.size_bytes for move in rest)),
            "sources": ", ".join(sorted({move.source or "outside" for move in rest})),
        }
        text = "And {files} more files, together {size}, from {sources}"
        notes.append(Note("data", text, values, Level.INFO))
    if len(moves) > 1:
        seconds = placement.staging.seconds
        values = {
            "files": str(len(moves)),
            "size": format_size(placement.staging.size_bytes),
            "p10": format_seconds(seconds.p10),
            "p50": format_seconds(seconds.p50),
            "p90": format_seconds(seconds.p90),
        }
        text = "All {files} files ({size}), one after the other: {p10}, {p50}, {p90} (10, 50, 90 %)"
        notes.append(Note("data-total", text, values, Level.INFO))
    return notes


def _move_note(move: Move) -> Note:
    """Which replica, over which path, what was measured, how old, and the seconds that come of it."""
    forecast, seconds = move.forecast, move.seconds
    values = {
        "url": move.url,
        "size": format_size(move.size_bytes),
        "source": move.source or "outside the federation",
        "destination": move.destination,
        "p10": format_seconds(seconds.p10),
        "p50": format_seconds(seconds.p50),
        "p90": format_seconds(seconds.p90),
        "rung": forecast.rung.value,
        "tests": str(forecast.tests),
        "tools": ", ".join(forecast.tools) or "none",
        "transfers": str(forecast.transfers),
        "throughput": format_bits_per_second(forecast.bits_per_second.p50),
        "explanation": forecast.explanation,
    }
    if forecast.newest_age_seconds is not None:
        values["age"] = format_age(forecast.newest_age_seconds)
    if forecast.rung is Rung.SAME_SITE:
        text = "{url} ({size}) lies at {destination} already: {p10}, {p50}, {p90} (10, 50, 90 %) to copy it"
    else:
        text = (
            "{url} ({size}) from {source} to {destination}: {p10}, {p50}, {p90} (10, 50, 90 %); {explanation}"
        )
    return Note("data", text, values, Level.INFO)


def _figure(figures: Sequence[Figure], type_: str) -> float:
    return next((figure.maximum for figure in figures if figure.type == type_), 0.0)
