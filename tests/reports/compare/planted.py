"""Meshes with one fault planted: real documents of iperf3 and of a perfSONAR archive, given other times and
rates."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes.perfsonar5_documents import read_document
from netprobe.tools import iperf3_document
from netprobe.transfer_model import arrived_bytes
from reports.compare.model import Cause, Outcome
from reports.compare.ways import Quantity

DATA = Path(__file__).parents[2] / "netprobe" / "data"
UNTIL = datetime(2026, 3, 31, tzinfo=UTC)
DAYS = 30
SINCE = UNTIL - timedelta(days=DAYS)
# the mesh measures every six hours, the scripts every five
MESH_HOURS, SCRIPT_HOURS = 6.0, 5.0
SPREAD = 0.03
RTT = 0.05

Level = Callable[[float], float]


def _real_scripted() -> Measurement:
    document = json.loads((DATA / "iperf3" / "tcp.json").read_text())
    return Measurement(
        Kind.THROUGHPUT,
        "a",
        "b",
        UNTIL,
        12.0,
        "iperf3",
        Origin.SCRIPTED,
        iperf3_document.figures(document),
        {"duration": "20 s", "rate": "received", "protocol": "tcp", "ip_version": 4},
        context=iperf3_document.context(document),
    )


def _real_mesh() -> Measurement:
    document = json.loads((DATA / "pscheduler" / "archived-throughput-finished-1.json").read_text())
    # as an archive of perfSONAR 5 has it, without what its search leaves out
    found = read_document(_archived(document), "archive.example.org", None)
    assert isinstance(found, Measurement), found
    return found


def _archived(document: dict[str, Any]) -> dict[str, Any]:
    """What perfSONAR's pipeline makes of a record: the sender's rate, durations in seconds."""
    summary = document["result"]["summary"]["summary"]
    result = {"succeeded": True, "throughput": summary["throughput-bits"], "retransmits": 0, "mss": 1448}
    return {
        "test": document["test"],
        "result": result,
        "pscheduler": {"run_id": "r", "start_time": UNTIL.isoformat(), "duration": 25, "tool": "iperf3"},
        "meta": {"source": {"ip": "192.0.2.1"}, "destination": {"ip": "192.0.2.2"}, "ip_version": 4},
    }


# the same of both, where nothing else is planted
ALIKE = {"duration_seconds": 20.0, "omit_seconds": 0.0, "streams": 1}
SCRIPTED, MESH = _real_scripted(), _real_mesh()


class Planter:
    """Makes rows of a path; everything is drawn from one chance."""

    def __init__(self, seed: int, days: int = DAYS) -> None:
        self.chance = np.random.default_rng(seed)
        self.days = days
        self._number = 0

    def times(self, hours: float) -> Iterator[float]:
        """Days since the begin, never two paths at once: the scheduler sees to that."""
        self._number += 1
        offset = (self._number * 97 % 240) / 60 / 24
        for index in range(int(self.days * 24 / hours) - 1):
            yield offset + (index * hours + self.chance.uniform(0, 0.02)) / 24

    def rates(
        self,
        source: str,
        destination: str,
        scripted: Level | float | None,
        mesh: Level | float | None,
        *,
        spread: float | tuple[float, float] = SPREAD,
        how: dict[str, Any] | None = None,
        figures: dict[str, float] | None = None,
        context: dict[str, Any] | None = None,
    ) -> Iterator[Measurement]:
        """Throughput of both sides by level (of the day); `how`, `figures`, `context` are the scripted's."""
        spreads = spread if isinstance(spread, tuple) else (spread, spread)
        sides = ((SCRIPTED, scripted, SCRIPT_HOURS, spreads[0]), (MESH, mesh, MESH_HOURS, spreads[1]))
        for real, level, hours, wide in sides:
            ours = real is SCRIPTED
            if level is None:
                continue
            for day in self.times(hours):
                value = level(day) if callable(level) else level
                rate = value * math.exp(self.chance.normal(0, wide))
                own = {"bits_per_second": rate, "sent_bits_per_second": rate, "rtt_seconds_min": RTT}
                own |= {"mss_bytes": 1448.0} | ((figures or {}) if ours else {})
                yield replace(
                    real,
                    id=f"{source}-{destination}-{real.origin}-{day:.6f}",
                    source=source,
                    destination=destination,
                    started=SINCE + timedelta(days=day),
                    seconds=22.0,
                    figures={**real.figures, **own},
                    parameters={**real.parameters, **ALIKE, **((how or {}) if ours else {})},
                    context={**real.context, **((context or {}) if ours else {})},
                    source_address=None,
                    destination_address=None,
                    raw=None,
                )

    def latency(
        self,
        source: str,
        destination: str,
        rtt: Level | float = RTT,
        loss: float = 0.0,
        *,
        one_way_offset: float = 0.0,
    ) -> Iterator[Measurement]:
        """Pings of ours, and the mesh's one-way delays of both directions, 600 packets a row."""
        for day in self.times(SCRIPT_HOURS):
            value = (rtt(day) if callable(rtt) else rtt) * math.exp(self.chance.normal(0, 0.005))
            figures = {"rtt_seconds": value, "loss_ratio": float(self.chance.binomial(200, loss)) / 200}
            yield self._made(source, destination, day, "ping", Origin.SCRIPTED, figures, {"count": 200})
        for day in self.times(MESH_HOURS):
            value = (rtt(day) if callable(rtt) else rtt) / 2 * math.exp(self.chance.normal(0, 0.005))
            for (one, two), sign in (((source, destination), 1), ((destination, source), -1)):
                lost = float(self.chance.binomial(600, loss))
                delay = value + sign * one_way_offset
                figures = {"owd_seconds": delay, "owd_seconds_min": delay - 0.0002, "owd_seconds_p90": delay}
                figures |= {"packets_sent": 600.0, "packets_lost": lost, "loss_ratio": lost / 600}
                figures["clock_error_seconds"] = 0.001
                yield self._made(one, two, day, "powstream", Origin.PERFSONAR, figures, {"test": "latencybg"})

    def routes(self, source: str, destination: str, change: float) -> Iterator[Measurement]:
        """Traces every six hours, with another router from the day `change` on."""
        for day in self.times(MESH_HOURS):
            middle = "198.51.100.7" if day < change else "203.0.113.9"
            raw = {"json": [{"ip": ip} for ip in ("192.0.2.254", middle, "192.0.2.2")]}
            yield self._made(source, destination, day, "traceroute", Origin.PERFSONAR, {"hops": 3.0}, {}, raw)

    def _made(
        self,
        source: str,
        destination: str,
        day: float,
        tool: str,
        origin: Origin,
        figures: dict[str, float],
        parameters: dict[str, Any],
        raw: dict[str, Any] | None = None,
    ) -> Measurement:
        kind = Kind.PATH if raw else Kind.LATENCY
        return Measurement(
            kind,
            source,
            destination,
            SINCE + timedelta(days=day),
            1.0,
            tool,
            origin,
            figures,
            parameters,
            archive=None if origin is Origin.SCRIPTED else "archive.example.org",
            raw=raw,
            id=f"{source}-{destination}-{tool}-{kind}-{day:.6f}",
        )


def step(before: float, after: float, day: float) -> Level:
    return lambda now: before if now < day else after


def day_and_night(level: float, by_day: float = 0.93) -> Level:
    return lambda now: level * (by_day if 8 <= now * 24 % 24 < 18 else 1.0)


@dataclass(frozen=True)
class Condition:
    """What was planted on a path, and what a report must say of it: the verdict, and every cause."""

    planted: str
    source: str
    destination: str
    quantity: Quantity
    outcome: Outcome
    causes: tuple[Cause, ...] = ()


_RATE, _AGREE, _DISAGREE = Quantity.THROUGHPUT, Outcome.AGREE, Outcome.DISAGREE
CONDITIONS = (
    Condition("nothing", "clean-a", "clean-b", _RATE, _AGREE),
    Condition("nothing", "clean-a", "clean-b", Quantity.LATENCY, _AGREE),
    Condition("nothing", "clean-a", "clean-b", Quantity.LOSS, _AGREE),
    Condition("nothing, but busy days", "busy-day-a", "busy-day-b", _RATE, _AGREE),
    Condition("a window", "window-a", "window-b", _RATE, _DISAGREE, (Cause.WINDOW,)),
    Condition("a core taken up", "cpu-a", "cpu-b", _RATE, _DISAGREE, (Cause.CPU,)),
    Condition("loss", "loss-a", "loss-b", _RATE, _DISAGREE, (Cause.LOSS,)),
    Condition("a shaper", "shaped-a", "shaped-b", _RATE, _DISAGREE, (Cause.SHAPED,)),
    Condition("a busy host", "host-a", "host-b", _RATE, _DISAGREE, (Cause.BUSY,)),
    Condition("short tests", "slow-a", "slow-b", _RATE, _AGREE, (Cause.SLOW_START,)),
    Condition("a slow direction", "one-way-a", "one-way-b", _RATE, _AGREE, (Cause.ONE_DIRECTION,)),
    Condition("nothing on its other one", "one-way-b", "one-way-a", _RATE, _AGREE),
    Condition("another route", "route-a", "route-b", _RATE, _AGREE, (Cause.ROUTE,)),
    Condition("a wrong clock", "clock-a", "clock-b", Quantity.LATENCY, _AGREE, (Cause.CLOCK,)),
    Condition("small segments", "mtu-a", "mtu-b", _RATE, _DISAGREE, (Cause.MTU,)),
    Condition("what no rule knows", "odd-a", "odd-b", _RATE, _DISAGREE),
    Condition("a site's fall", "hub", "leaf-p", _RATE, _AGREE, (Cause.SITE_WIDE,)),
    Condition("a site's fall", "hub", "leaf-u", _RATE, _AGREE, (Cause.SITE_WIDE,)),
)
GOOD = 9e9


def conditions(seed: int = 1) -> Iterator[Measurement]:
    """One path for each fault, two without, and a site of six pairs whose rates fall in one night."""
    made = Planter(seed)
    yield from made.rates("clean-a", "clean-b", GOOD, GOOD)
    yield from made.latency("clean-a", "clean-b")
    yield from made.rates("busy-day-a", "busy-day-b", day_and_night(GOOD), day_and_night(GOOD))
    # 16 MiB over 50 ms are 2.68 Gbit/s
    yield from made.rates("window-a", "window-b", 2.6e9, GOOD, how={"window": "16 MiB"})
    yield from made.rates("cpu-a", "cpu-b", 6e9, GOOD, figures=_cores(98.0))
    # 1e-3 over 50 ms: about 9 Mbit/s for a stream that isn't BBR
    yield from made.rates("loss-a", "loss-b", 9e6, 4e9, spread=0.1, context={"sender_congestion": "cubic"})
    yield from made.latency("loss-a", "loss-b", loss=1e-3)
    yield from made.rates("shaped-a", "shaped-b", 5e9, GOOD, spread=(0.0005, SPREAD))
    yield from made.rates("host-a", "host-b", 5e9, GOOD, context=_busy_host(97.0))
    yield from made.rates(
        "slow-a", "slow-b", _averaged(3e9, 4.0), _averaged(3e9, 20.0), how={"duration_seconds": 4}
    )
    yield from made.rates("one-way-a", "one-way-b", 3e9, 3e9)
    yield from made.rates("one-way-b", "one-way-a", GOOD, GOOD)
    yield from made.rates("route-a", "route-b", step(GOOD, 5e9, 15), step(GOOD, 5e9, 15))
    yield from made.routes("route-a", "route-b", 15)
    yield from made.latency("clock-a", "clock-b", one_way_offset=0.2)
    yield from made.rates("mtu-a", "mtu-b", 4e9, GOOD, figures={"mss_bytes": 536.0})
    yield from made.rates("odd-a", "odd-b", 6e9, GOOD)
    for leaf in "pqrstu":
        yield from made.rates("hub", f"leaf-{leaf}", step(GOOD, 6e9, 20), step(GOOD, 6e9, 20))


def drawn_conditions(seed: int) -> Iterator[Measurement]:
    """The same faults, each as strong as chance has it, under noise of 2 to 8 %."""
    made = Planter(seed)
    drawn = made.chance.uniform

    def rates(name: str, scripted: Level | float, mesh: Level | float, **more: Any) -> Iterator[Measurement]:
        return made.rates(f"{name}-a", f"{name}-b", scripted, mesh, **{"spread": drawn(0.02, 0.08), **more})

    yield from rates("clean", GOOD, GOOD)
    yield from made.latency("clean-a", "clean-b")
    busy = day_and_night(GOOD, drawn(0.8, 0.95))
    yield from rates("busy-day", busy, busy)
    mebibytes = int(made.chance.choice([8, 16, 32]))
    window = mebibytes * 2**20 * 8 / RTT * drawn(0.8, 1.0)
    yield from rates("window", window, GOOD, how={"window": f"{mebibytes} MiB"})
    yield from rates("cpu", GOOD * drawn(0.5, 0.8), GOOD, figures=_cores(drawn(92, 99)))
    loss = drawn(5e-4, 3e-3)
    reached = 1448 * 8 / RTT * math.sqrt(1.5 / loss) * drawn(0.7, 1.4)
    yield from rates("loss", reached, 4e9, context={"sender_congestion": "cubic"})
    yield from made.latency("loss-a", "loss-b", loss=loss)
    yield from rates("shaped", GOOD * drawn(0.4, 0.8), GOOD, spread=(drawn(5e-4, 2e-3), drawn(0.02, 0.08)))
    yield from rates("host", GOOD * drawn(0.5, 0.8), GOOD, context=_busy_host(drawn(92, 99)))
    rate, short = drawn(3e9, 8e9), drawn(2, 4)
    yield from rates("slow", _averaged(rate, short), _averaged(rate, 20.0), how={"duration_seconds": short})
    slow = GOOD / drawn(1.7, 4)
    yield from rates("one-way", slow, slow)
    yield from made.rates("one-way-b", "one-way-a", GOOD, GOOD, spread=drawn(0.02, 0.08))
    day = drawn(6, 24)
    rerouted = step(GOOD, GOOD * drawn(0.5, 0.8), day)
    yield from rates("route", rerouted, rerouted)
    yield from made.routes("route-a", "route-b", day)
    yield from made.latency(
        "clock-a", "clock-b", one_way_offset=drawn(0.03, 0.5) * made.chance.choice([-1, 1])
    )
    yield from rates("mtu", GOOD * drawn(0.4, 0.8), GOOD, figures={"mss_bytes": drawn(500, 1250)})
    yield from rates("odd", GOOD * drawn(0.55, 0.8), GOOD)
    fallen = step(GOOD, GOOD * drawn(0.6, 0.8), drawn(5, 25))
    for leaf in "pqrstu":
        yield from made.rates("hub", f"leaf-{leaf}", fallen, fallen, spread=drawn(0.02, 0.08))


def _cores(percent: float) -> dict[str, float]:
    return {"cpu_percent_source": percent, "cpu_percent_destination": 60.0}


def _busy_host(percent: float) -> dict[str, Any]:
    return {"source": {"processors_percent": percent, "load_before": 40.0}}


def _averaged(rate: float, seconds: float) -> float:
    """What a test of that length has over a path that carries `rate`, slow start and all."""
    return arrived_bytes(seconds, rate, RTT, 1448.0) * 8 / seconds


def clean(seed: int, sites: int = 5) -> Iterator[Measurement]:
    """A mesh in which nothing is wrong: levels of their own, tests that depend on the one before, day and
    night, and wild tests now and then."""
    made = Planter(seed)
    names = [f"site-{number}" for number in range(sites)]
    for source in names:
        for destination in names:
            if source != destination:
                level = math.exp(made.chance.uniform(math.log(5e8), math.log(2e10)))
                yield from made.rates(source, destination, _wild(made, level), _wild(made, level))


def _wild(made: Planter, level: float) -> Level:
    wander = 0.0

    def now(day: float) -> float:
        nonlocal wander
        wander = 0.3 * wander + made.chance.normal(0, 0.03)
        wild = made.chance.uniform(0.3, 0.8) if made.chance.random() < 0.02 else 1.0
        return day_and_night(level)(day) * math.exp(wander) * wild

    return now
