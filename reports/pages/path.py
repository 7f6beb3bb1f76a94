"""One path: what was measured on it, by which tool, and what is forecast from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from statistics import median
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.http.media import Refused
from federation.units import format_bits_per_second, format_seconds, parse_size_bytes
from netprobe.cost import seconds_for
from netprobe.measurement import Kind, Measurement
from reports.pages.desk import Desk, Viewer, add_figures, add_page, asked_of, page, understood
from reports.themed import inline

# newest tests that the page lists, and that the figures have of each kind
LISTED = 30
MOST = 200
DEFAULT_SIZE = "10 GB"
# what is shown of each kind of test: its main figure, and how it is said
_MAIN = {
    Kind.THROUGHPUT: ("bits_per_second", format_bits_per_second),
    Kind.TRANSFER: ("bits_per_second", format_bits_per_second),
    Kind.LATENCY: ("rtt_seconds", format_seconds),
    Kind.LOSS: ("loss_ratio", "{:.2%}".format),
    Kind.PATH: ("hops", "{:.0f} hops".format),
}


@dataclass(frozen=True)
class ByTool:
    """All tests of one kind by one tool, summed up. `middle`: the median of the main figure."""

    kind: Kind
    tool: str
    tests: int
    failed: int
    middle: str
    newest: datetime


def by_tool(tests: Sequence[Measurement]) -> list[ByTool]:
    """The tests of a path (any order) summed up, a line for each kind and tool."""
    groups: dict[tuple[Kind, str], list[Measurement]] = {}
    for test in tests:
        groups.setdefault((test.kind, test.tool), []).append(test)
    found = []
    for (kind, tool), group in sorted(groups.items()):
        name, words = _MAIN[kind]
        values = [test.figures[name] for test in group if test.succeeded and name in test.figures]
        middle = words(median(values)) if values else "none succeeded"
        failed = sum(not test.succeeded for test in group)
        found.append(ByTool(kind, tool, len(group), failed, middle, max(test.started for test in group)))
    return found


def figure_of(test: Measurement) -> str:
    """A test's main figure in words, or why it failed."""
    if test.error is not None:
        return test.error
    name, words = _MAIN[test.kind]
    return words(test.figures[name]) if name in test.figures else "no figure"


def add_path(router: APIRouter, desk: Desk) -> None:
    def ends(request: Request) -> tuple[str, str]:
        source = desk.site(str(request.path_params["source"]))
        destination = desk.site(str(request.path_params["destination"]))
        if source == destination:
            raise Refused(404, "a path has two ends: these are the same site")
        return source, destination

    def tests_of(source: str, destination: str) -> list[Measurement]:
        """The newest of every kind, newest first."""
        history = desk.forecaster.history()
        found: list[Measurement] = []
        for kind in Kind:
            kept = history.path(kind, source, destination)
            found += kept or desk.archive.recent(kind, source, destination, limit=MOST)
        return sorted(found, key=lambda test: test.started, reverse=True)

    @lru_cache(maxsize=64)
    def pictures(source: str, destination: str, version: int, minute: datetime) -> dict[str, Markup]:
        """For a window, and for a phone."""
        from reports.path_history import NARROW, WIDE, rendered

        tests = desk.forecaster.history().path(Kind.THROUGHPUT, source, destination)
        names = desk.federation[source].name, desk.federation[destination].name
        forecast = desk.forecaster.path(source, destination)
        return {
            kind: inline(rendered(tests, forecast, names, minute, "svg", inches))
            for kind, inches in (("large", WIDE), ("small", NARROW))
        }

    async def show(request: Request, viewer: Viewer) -> Response:
        """History, forecast and tests."""
        source, destination = ends(request)
        size = asked_of(request, "size").get("size", DEFAULT_SIZE)
        size_bytes = understood(lambda: parse_size_bytes(size))

        def answer() -> Response:
            tests = tests_of(source, destination)
            forecast = desk.forecaster.path(source, destination)
            minute = desk.clock.now().replace(second=0, microsecond=0)
            return page(
                desk,
                request,
                viewer,
                "path.html",
                title=f"{desk.federation[source].name} to {desk.federation[destination].name}",
                source=source,
                destination=destination,
                forecast=forecast,
                size=size,
                seconds=seconds_for(forecast, size_bytes),
                pictures=pictures(source, destination, desk.archive.version(), minute),
                tools=by_tool(tests),
                tests=[(test, figure_of(test)) for test in tests[:LISTED]],
                total=len(tests),
                figures=f"/pages/data/paths/{source}/{destination}",
            )

        return await run_in_threadpool(answer)

    async def figures(request: Request, viewer: Viewer) -> Any:
        """The forecast, and the tests behind it; in SI units."""
        source, destination = ends(request)

        def document() -> Any:
            return {
                "at": desk.clock.now(),
                "forecast": desk.forecaster.path(source, destination),
                "tests": [_test_document(test) for test in tests_of(source, destination)],
            }

        return await run_in_threadpool(document)

    add_page(router, desk, "/pages/paths/{source}/{destination}", show)
    add_figures(router, desk, "/pages/data/paths/{source}/{destination}", figures)


def _test_document(test: Measurement) -> dict[str, Any]:
    return {
        "id": test.id,
        "kind": test.kind,
        "tool": test.tool,
        "origin": test.origin,
        "started": test.started,
        "seconds": test.seconds,
        "figures": test.figures,
        "error": test.error,
    }
