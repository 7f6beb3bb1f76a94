"""The federation: a map and a table of its paths, coloured by what was measured and how long ago."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from federation.units import format_bits_per_second, format_seconds
from reports.matrix import Matrix, matrix
from reports.pages.atlas import land
from reports.pages.desk import Desk, Viewer, add_figures, add_page, asked_of, page
from reports.pages.desk import plain as plain_document
from reports.pages.map import MOST, pictures, summed_up
from reports.pages.mesh_cells import OLD_SECONDS, scale_of, shown


def add_federation(router: APIRouter, desk: Desk) -> None:
    def found() -> Matrix:
        return matrix(desk.forecaster.history(), desk.federation, desk.clock.now())

    async def show(request: Request, viewer: Viewer) -> Response:
        """Map and table of one kind: throughput, unless round trips are asked for; the sites."""
        asked = asked_of(request, "kind", "site")
        trips = asked.get("kind") == "round-trip"
        site = desk.site(asked["site"]) if "site" in asked else None

        def answer() -> Response:
            known = found()
            cells = known.round_trip if trips else known.throughput
            scale = scale_of(cells.values(), inverted=trips)
            words = format_seconds if trips else format_bits_per_second
            paths = {pair: shown(cell, scale, words) for pair, cell in cells.items()}
            return page(
                desk,
                request,
                viewer,
                "federation.html",
                title=desk.federation.name,
                trips=trips,
                site=site,
                maps=pictures(desk.federation, paths, site),
                land=land(),
                most=MOST if site is None and sum(each.tested for each in paths.values()) > MOST else None,
                in_words=summed_up(paths, len(desk.federation.sites)),
                cells=paths,
                legend=[(shade, words(low), words(high)) for shade, low, high in scale.steps()]
                if scale
                else [],
                failing=[each for each in paths.values() if each.failing],
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
