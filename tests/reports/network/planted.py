"""A federation whose network has known levels and known trouble, as rows of an archive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from federation.sites import Federation, Place, Site
from netprobe.measurement import Kind, Measurement, Origin

UNTIL = datetime(2026, 3, 31, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=10)
BEFORE = SINCE - timedelta(days=10)


def federation(names: str | tuple[str, ...]) -> Federation:
    """Sites of these names along the equator."""
    return Federation(
        "planted", {name: Site(name, name.title(), Place(0.0, 20.0 * n)) for n, name in enumerate(names)}
    )


class Planter:
    """Rows of one path after the other; all chance from one seed."""

    def __init__(self, seed: int = 1) -> None:
        self.chance = np.random.default_rng(seed)
        self._number = 0

    def _row(
        self, kind: Kind, source: str, destination: str, started: datetime, origin: Origin, **more: Any
    ) -> Measurement:
        self._number += 1
        tool = {Kind.THROUGHPUT: "iperf3", Kind.LATENCY: "ping", Kind.LOSS: "powstream"}.get(kind, "transfer")
        given = {"figures": {}, "parameters": {}} | more
        return Measurement(
            kind, source, destination, started, 10.0, tool, origin, id=f"{self._number:08d}", **given
        )

    def rates(
        self,
        source: str,
        destination: str,
        level: float | Callable[[datetime], float],
        *,
        spread: float = 0.03,
        every_hours: float = 6.0,
        begin: datetime = BEFORE,
        end: datetime = UNTIL,
        origin: Origin = Origin.SCRIPTED,
        parameters: Mapping[str, Any] | None = None,
        fails: Callable[[datetime], bool] = lambda when: False,
        error: str = "destination: connection refused",
    ) -> Iterator[Measurement]:
        """Tests of 20 s of TCP with one stream, every so often."""
        how = {"duration_seconds": 20.0, "omit_seconds": 5.0, "streams": 1, "ip_version": 4}
        when = begin + timedelta(minutes=1)
        while when < end:
            rate = (level(when) if callable(level) else level) * math.exp(self.chance.normal(0, spread))
            bad = fails(when)
            yield self._row(
                Kind.THROUGHPUT,
                source,
                destination,
                when,
                origin,
                figures={} if bad else {"bits_per_second": rate, "rtt_seconds_min": 0.02},
                parameters={**how, **(parameters or {})},
                error=error if bad else None,
            )
            when += timedelta(hours=every_hours)

    def pings(
        self,
        source: str,
        destination: str,
        trip: float,
        loss: float = 0.0,
        *,
        every_hours: float = 3.0,
        origin: Origin = Origin.SCRIPTED,
    ) -> Iterator[Measurement]:
        when = BEFORE + timedelta(minutes=2)
        while when < UNTIL:
            lost = float(self.chance.binomial(100, loss))
            yield self._row(
                Kind.LATENCY,
                source,
                destination,
                when,
                origin,
                figures={
                    "rtt_seconds": trip * math.exp(abs(self.chance.normal(0, 0.01))),
                    "loss_ratio": lost / 100,
                    "packets_sent": 100.0,
                    "packets_lost": lost,
                },
            )
            when += timedelta(hours=every_hours)


def changed(before: float, after: float, when: datetime) -> Callable[[datetime], float]:
    """A level that changes at an instant."""
    return lambda now: before if now < when else after


TWELVE = (
    *("perth", "sydney", "cape-town", "nairobi", "manchester", "lyon", "bologna", "tokyo", "mumbai"),
    *("santiago", "toronto", "boulder"),
)
FELL = SINCE + timedelta(days=4)


def troubled() -> Iterator[Measurement]:
    """Twelve sites: Nairobi receives from nobody; Mumbai sends slowly; Santiago fell on the fourth day; Perth
    to Tokyo loses packets; Lyon to Boulder always fails; Boulder to Toronto is no more tested; Toronto to
    Lyon never was; the rest is well."""
    made = Planter()
    for one, source in enumerate(TWELVE):
        for two, destination in enumerate(TWELVE):
            if source == destination or (source, destination) == ("toronto", "lyon"):
                continue
            apart = min(abs(one - two), 12 - abs(one - two))
            level: Any = 9.4e9 / apart**1.5
            options: dict[str, Any] = {}
            if source == "mumbai":
                level /= 4
            if "santiago" in (source, destination):
                level = changed(level, level / 3, FELL)
            if destination == "nairobi":
                options["fails"] = lambda when: when > SINCE + timedelta(days=3)
            if (source, destination) == ("lyon", "boulder"):
                options = {"fails": lambda when: True, "error": "source: no route to host"}
            if (source, destination) == ("boulder", "toronto"):
                options["end"] = SINCE + timedelta(days=5)
            if (one + two) % 7 == 0:
                options.setdefault("fails", lambda when: when.day % 9 == 0 and when.hour < 6)
            if one % 3 == 0:
                options["origin"] = Origin.PERFSONAR
            yield from made.rates(source, destination, level, **options)
            loss = 0.03 if (source, destination) == ("perth", "tokyo") else 0.0002 * (apart > 4)
            yield from made.pings(source, destination, 0.012 * apart**1.4, loss)
