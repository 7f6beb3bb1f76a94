"""The order of offers, and why each stands where it does, in words and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broker.model import Figure, Level, Note, Placement
from broker.offers.price import MONETARY
from broker.offers.windows import ceil_second
from federation.units import (
    format_age,
    format_apart,
    format_bits_per_second,
    format_count,
    format_price,
    format_seconds,
    format_size,
)
from netprobe.cost import Move
from netprobe.forecast import Rung

# beyond this many files, the rest is summed up in one line
MOVES_IN_FULL = 10


@dataclass(frozen=True)
class Priced:
    """A placement and when its result is expected (90 %), to the fraction of a second that ranking needs.

    `instead_of`: the earlier and smaller one at the same site, beside which this is a larger one.
    """

    placement: Placement
    result: datetime
    waits_for_data: bool
    instead_of: Placement | None = None

    @property
    def price(self) -> float:
        return _figure(self.placement.costs, MONETARY)


def rank(offers: Sequence[Priced]) -> list[Priced]:
    """By when the result is there (90 %, to a tenth of a second), then by price, then by name."""
    return sorted(offers, key=lambda o: (_tenths(o), o.price, o.placement.site_id))


def _tenths(offer: Priced) -> int:
    """The next whole one, as what is said is the next whole second: no later one is said to be sooner."""
    return math.ceil(offer.result.timestamp() * 10)


def chosen(ranked: Sequence[Priced], most: int) -> list[Priced]:
    """The first `most`; but the last place is for the best of the larger ones, where none is among them."""
    best = list(ranked[:most])
    larger = next((offer for offer in ranked if offer.instead_of is not None), None)
    if most > 1 and larger is not None and all(offer.instead_of is None for offer in best):
        best[-1] = larger
    return best


def explained(best: Sequence[Priced], ranked: Sequence[Priced], expires: datetime | None) -> list[Placement]:
    """The placements of `best`, each with its notes: rank, compute, preparation, data.

    `ranked` are all that there were, also those that were not chosen. `expires`: None for a direct execution.
    """
    return [
        replace(
            offer.placement,
            notes=(
                _place_note(best, ranked, position),
                _compute_note(offer, expires),
                *_data_notes(offer.placement),
                *offer.placement.notes,
            ),
        )
        for position, offer in enumerate(best)
    ]


def _place_note(best: Sequence[Priced], ranked: Sequence[Priced], position: int) -> Note:
    """Compares the first with the second, and each other with the first."""
    offer = best[position]
    placement = offer.placement
    values = {
        "place": str(position + 1),
        "offers": str(len(best)),
        "site": placement.site_id,
        "result": f"{ceil_second(offer.result):%Y-%m-%dT%H:%M:%SZ}",
        "price": format_price(offer.price),
    }
    text = "{place} of {offers}: result expected from {site} by {result} (90 %)"
    if len({each.placement.site_id for each in ranked}) == 1:
        text += ", the only site that can"
    if len(ranked) == 1:
        return Note("rank", text, values, Level.INFO)
    # a direct execution has one offer, but there may have been others to choose from
    other = (best[1] if len(best) > 1 else ranked[1]) if position == 0 else best[0]
    values["other"] = _called(other.placement, placement)
    values["price"], values["other_price"] = format_apart(format_price, offer.price, other.price)
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


def _called(other: Placement, than: Placement) -> str:
    """The site of another offer; at the same site, what else it has."""
    if other.site_id != than.site_id:
        return other.site_id
    return f"the one here with {format_count(other.cores, 'core')} and {other.memory_gib} GiB"


def _compute_note(offer: Priced, expires: datetime | None) -> Note:
    placement = offer.placement
    values = {
        "site": placement.site_id,
        "cores": format_count(placement.cores, "core"),
        "memory": str(placement.memory_gib),
        "start": f"{placement.start:%Y-%m-%dT%H:%M:%SZ}",
        "prepare": format_seconds(placement.prepare_seconds),
    }
    text = "{cores} and {memory} GiB at {site} are free from {start} on, and "
    if expires is None:
        text += "booked; "
    else:
        until = expires if placement.expires is None else min(expires, placement.expires)
        values["expires"] = f"{until:%Y-%m-%dT%H:%M:%SZ}"
        text += "held until {expires}; "
    if placement.inside_seconds:
        values["inside"] = format_seconds(placement.inside_seconds)
        text += "data and image are ready {inside} after it (90 %)"
    else:
        text += "data and image are ready within {prepare} (90 %)"
        if offer.waits_for_data:
            text += ", which is what the start waits for"
    smaller = offer.instead_of
    if smaller is not None:
        values |= {"fewer": format_count(smaller.cores, "core"), "less": str(smaller.memory_gib)}
        values["sooner"] = f"{smaller.start:%Y-%m-%dT%H:%M:%SZ}"
        text += "; {fewer} and {less} GiB can be had sooner, from {sooner} on"
    return Note("compute", text, values, Level.INFO)


def _data_notes(placement: Placement) -> list[Note]:
    moves = placement.staging.moves
    notes = [_move_note(move) for move in moves[:MOVES_IN_FULL]]
    rest = moves[MOVES_IN_FULL:]
    if rest:
        values = {
            "files": format_count(sum(move.files for move in rest), "more file"),
            "size": format_size(sum(move.size_bytes for move in rest)),
            "sources": ", ".join(sorted({move.source or "outside" for move in rest})),
        }
        text = "And {files}, together {size}, from {sources}"
        notes.append(Note("data", text, values, Level.INFO))
    if len(moves) > 1:
        seconds = placement.staging.seconds
        values = {
            "files": str(sum(move.files for move in moves)),
            "size": format_size(placement.staging.size_bytes),
            "p10": format_seconds(seconds.p10),
            "p50": format_seconds(seconds.p50),
            "p90": format_seconds(seconds.p90),
        }
        text = "All {files} files ({size}) together: {p10}, {p50}, {p90} (10, 50, 90 %)"
        notes.append(Note("data-total", text, values, Level.INFO))
    return notes


def _move_note(move: Move) -> Note:
    """Which replica, over which path, what was measured, how old, and the seconds that come of it."""
    forecast, seconds = move.forecast, move.seconds
    size = format_size(move.size_bytes)
    values = {
        "url": move.url,
        "size": size if move.files == 1 else f"{move.files} files, {size}",
        "source": move.source or "outside the federation",
        "destination": move.destination,
        "p10": format_seconds(seconds.p10),
        "p50": format_seconds(seconds.p50),
        "p90": format_seconds(seconds.p90),
        "rung": forecast.rung.value,
        "tests": str(forecast.tests),
        "tools": ", ".join(forecast.tools) or "none",
        "transfers": str(forecast.transfers),
        "throughput": format_bits_per_second(forecast.moving.p50),
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
