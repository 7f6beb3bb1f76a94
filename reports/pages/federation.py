"""The federation: its sites, and every path between them coloured by what was measured, and how long ago."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from federation.units import format_bits_per_second, format_seconds
from netprobe.weights import HALF_LIFE_SECONDS
from reports.matrix import Cell, Matrix, State, matrix
from reports.pages.desk import Desk, Viewer, add_figures, add_page, asked_of, page
from reports.pages.desk import plain as plain_document

# colours of the table, from the worst to the best
SHADES = 5
# what was measured longer ago than this is told apart: it counts for a sixteenth of what is new
OLD_SECONDS = 4 * HALF_LIFE_SECONDS


@dataclass(frozen=True)
class Shown:
    """One cell of the table. `shade` 1 to SHADES, the best is the highest; None: nothing was measured."""

    cell: Cell
    text: str
    shade: int | None

    @property
    def old(self) -> bool:
        return self.cell.newest_age_seconds is not None and self.cell.newest_age_seconds > OLD_SECONDS

    @property
    def failing(self) -> bool:
        """Whether the newest test failed."""
        return self.cell.error is not None


@dataclass(frozen=True)
class Scale:
    """Equal steps of the logarithm between the least and the most of what was measured."""

    low: float
    high: float
    # whether little is good
    inverted: bool

    def shade(self, value: float) -> int:
        if self.high <= self.low:
            return SHADES
        part = math.log(value / self.low) / math.log(self.high / self.low)
        step = min(int(part * SHADES), SHADES - 1)
        return SHADES - step if self.inverted else step + 1

    def steps(self) -> list[tuple[int, float, float]]:
        """(shade, from, to) for the legend, the worst first."""
        if self.high <= self.low:
            return [(SHADES, self.low, self.high)]
        ratio = (self.high / self.low) ** (1 / SHADES)
        bounds = [self.low * ratio**number for number in range(SHADES + 1)]
        found = [(self.shade(math.sqrt(low * high)), low, high) for low, high in pairwise(bounds)]
        return sorted(found)


def scale_of(cells: Iterable[Cell], inverted: bool) -> Scale | None:
    """The scale of what was measured; None where nothing was."""
    values = [cell.value for cell in cells if cell.value]
    return Scale(min(values), max(values), inverted) if values else None


def add_federation(router: APIRouter, desk: Desk) -> None:
    def found() -> Matrix:
        return matrix(desk.forecaster.history(), desk.federation, desk.clock.now())

    async def show(request: Request, viewer: Viewer) -> Response:
        """Sites, and the table of one kind: throughput, unless round trips are asked for."""
        trips = asked_of(request, "kind").get("kind") == "round-trip"

        def answer() -> Response:
            known = found()
            cells = known.round_trip if trips else known.throughput
            scale = scale_of(cells.values(), inverted=trips)
            words = format_seconds if trips else format_bits_per_second
            shown = {pair: _shown(cell, scale, words) for pair, cell in cells.items()}
            return page(
                desk,
                request,
                viewer,
                "federation.html",
                title=desk.federation.name,
                trips=trips,
                cells=shown,
                legend=[(shade, words(low), words(high)) for shade, low, high in scale.steps()]
                if scale
                else [],
                failing=[each for each in shown.values() if each.failing],
                old_seconds=OLD_SECONDS,
                figures="/pages/data/federation",
            )

        return await run_in_threadpool(answer)

    async def figures(request: Request, viewer: Viewer) -> Any:
        """Each path's figures, in bit/s and seconds."""

        def document() -> Any:
            known = found()
            return plain_document(
                {
                    "federation": desk.federation.name,
                    "at": desk.clock.now(),
                    "sites": [
                        {
                            "id": site.id,
                            "name": site.name,
                            "latitude": site.place.latitude,
                            "longitude": site.place.longitude,
                        }
                        for site in desk.federation
                    ],
                    "paths": [
                        {"throughput": known.throughput[pair], "round_trip": known.round_trip[pair]}
                        for pair in known.throughput
                        if pair[0] != pair[1]
                    ],
                }
            )

        return await run_in_threadpool(document)

    add_page(router, desk, "/pages", show)
    add_figures(router, desk, "/pages/data/federation", figures)


def _shown(cell: Cell, scale: Scale | None, words: Any) -> Shown:
    if cell.state is State.MEASURED and cell.value and scale is not None:
        return Shown(cell, words(cell.value), scale.shade(cell.value))
    text = {State.FAILED: "failed", State.SELF: ""}.get(cell.state, "not tested")
    return Shown(cell, text, None)
