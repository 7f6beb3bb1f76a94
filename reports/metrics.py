"""What Prometheus reads at /metrics: paths, clouds, sessions, and the service's own requests.

Labels are what operators name (sites) or what code names (kinds, phases, routes): nothing that a client sends
makes a new series. Operators and administrators may read it, for it says how much everybody's sessions are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.http.media import Refused
from broker.model import Phase
from broker.tables import sessions
from federation.clock import Clock
from reports.matrix import Cell, matrix
from reports.pages.desk import Desk
from reports.pages.space import known_space
from reservations.answers import State, state_now
from reservations.calendar import MEMORY_MB, VCPU

# clouds are asked so often for this, and never while somebody waits for the figures
CLOUDS_EVERY = timedelta(minutes=5)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PATH = ("source", "destination")
_MIB = 1 << 20

_log = logging.getLogger(__name__)


def add_metrics(app: FastAPI, desk: Desk) -> None:
    """Put /metrics beside the API, and count the requests that the application answers."""
    registry = CollectorRegistry()
    requests = Requests(registry)
    registry.register(Paths(desk))
    registry.register(Clouds(desk))
    registry.register(Sessions(desk))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    router = APIRouter()

    async def read(request: Request) -> Response:
        """The figures in the format that the scraper asks for; operators and administrators only."""
        viewer = await desk.front.gate.somebody(request)
        if not viewer.sees_all:
            raise Refused(403, "only an operator or an administrator may read this")
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        body = await run_in_threadpool(encode, registry)
        return Response(body, headers={"Cache-Control": "no-store", "Content-Type": content_type})

    router.add_api_route("/metrics", read, methods=["GET", "HEAD"], response_model=None)
    app.include_router(router)
    app.state.routes = [*app.state.routes, *router.routes]
    app.add_middleware(Counting, requests=requests)


class Requests:
    """How many requests there were of each route, how they ended, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status")
        self._total = Counter("fairlead_http_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "fairlead_http_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=registry,
        )

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        """One request that is over; `status` 0 where there was no answer."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        # of a route the path with its parameters' names, so that no address makes a series of its own
        route = str(getattr(scope.get("route"), "path", "none"))
        self._total.labels(method, route, str(status) if status else "none").inc()
        self._seconds.labels(method, route).observe(seconds)


class Counting:
    """The middleware around everything else."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = 0, time.monotonic()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._requests.add(scope, status, time.monotonic() - begun)


class Paths(Collector):
    """What was measured between the sites of the catalogue, and what is forecast where it was."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[GaugeMetricFamily]:
        desk = self._desk
        known = matrix(desk.forecaster.history(), desk.federation, desk.clock.now())
        rate = GaugeMetricFamily(
            "fairlead_path_bits_per_second", "Measured throughput of one TCP stream, median.", labels=_PATH
        )
        trip = GaugeMetricFamily(
            "fairlead_path_round_trip_seconds", "Measured round trip, median.", labels=_PATH
        )
        age = GaugeMetricFamily(
            "fairlead_path_newest_test_age_seconds",
            "Seconds since the newest test that succeeded.",
            labels=(*_PATH, "kind"),
        )
        failing = GaugeMetricFamily(
            "fairlead_path_failing", "1 where the newest test failed.", labels=(*_PATH, "kind")
        )
        forecast = GaugeMetricFamily(
            "fairlead_path_forecast_bits_per_second",
            "Forecast throughput of one TCP stream: what it will not exceed with this probability.",
            labels=(*_PATH, "probability"),
        )
        for cells, kind, values in (
            (known.throughput, "throughput", rate),
            (known.round_trip, "round_trip", trip),
        ):
            for cell in _tested(cells.values()):
                pair = [cell.source, cell.destination]
                if cell.value is not None:
                    values.add_metric(pair, cell.value)
                if cell.newest_age_seconds is not None:
                    age.add_metric([*pair, kind], cell.newest_age_seconds)
                failing.add_metric([*pair, kind], float(cell.error is not None))
        for cell in _tested(known.throughput.values()):
            quantiles = desk.forecaster.path(cell.source, cell.destination).bits_per_second
            for name, value in (("0.1", quantiles.p10), ("0.5", quantiles.p50), ("0.9", quantiles.p90)):
                forecast.add_metric([cell.source, cell.destination, name], value)
        yield from (rate, trip, age, failing, forecast)


def _tested(cells: Iterable[Cell]) -> Iterator[Cell]:
    return (cell for cell in cells if cell.tests and cell.source != cell.destination)


class Clouds(Collector):
    """What of each way of booking is free. Clouds are asked in a thread of its own: until they have answered,
    there is what they said before."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._states: tuple[State, ...] = ()
        self._due = desk.clock.now()
        self._lock = threading.Lock()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self._desk.clock.now()
        with self._lock:
            due = now >= self._due
            if due:
                self._due = now + CLOUDS_EVERY
        if due:
            threading.Thread(target=self._ask, name="metrics-clouds", daemon=True).start()
        yield from _cloud_families(self._states, self._desk.clock)

    def _ask(self) -> None:
        now = self._desk.clock.now()
        try:
            known = known_space(self._desk, list(self._desk.federation.sites), now + timedelta(days=1))
            self._states = tuple(state_now(each, now) for site in known for each in site.calendars)
        except Exception:
            # the next round asks again; meanwhile the age of what is known grows
            _log.exception("the clouds' space could not be read for the metrics")


def _cloud_families(states: Iterable[State], clock: Clock) -> Iterator[GaugeMetricFamily]:
    labels = ("site", "kind", "state")
    cores = GaugeMetricFamily("fairlead_space_cores", "Cores that can be booked.", labels=labels)
    memory = GaugeMetricFamily("fairlead_space_memory_bytes", "Memory that can be booked.", labels=labels)
    hosts = GaugeMetricFamily(
        "fairlead_space_hosts", "Hosts that can be booked; free: nothing of them is taken.", labels=labels
    )
    age = GaugeMetricFamily(
        "fairlead_space_known_age_seconds",
        "Seconds since the source was asked.",
        labels=("site", "kind"),
    )
    for state in states:
        here = [state.site, state.calendar.kind]
        for word, amounts, number in (
            ("free", state.free, state.free_hosts),
            ("total", state.total, state.hosts),
        ):
            cores.add_metric([*here, word], amounts.get(VCPU, 0))
            memory.add_metric([*here, word], amounts.get(MEMORY_MB, 0) * _MIB)
            hosts.add_metric([*here, word], number)
        age.add_metric(here, (clock.now() - state.calendar.known_at).total_seconds())
    yield from (cores, memory, hosts, age)


class Sessions(Collector):
    """How many sessions there are in each phase, offers among them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[GaugeMetricFamily]:
        query = select(sessions.c.phase, func.count().label("number")).group_by(sessions.c.phase)
        with self._desk.front.engine.connect() as connection:
            counted = {row.phase: row.number for row in connection.execute(query)}
        family = GaugeMetricFamily(
            "fairlead_sessions", "Sessions that are kept, by phase.", labels=("phase",)
        )
        for phase in Phase:
            family.add_metric([phase.value], counted.get(phase.value, 0))
        yield family
