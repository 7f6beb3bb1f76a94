"""Diagnosis of one path: each rule is a function of what was seen, with its source, and says what it goes by.

A rule gives a finding, or None. `explains` is for what may be the reason of a difference between the sides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from federation.units import format_bits_per_second, format_seconds, format_size
from netprobe.transfer_model import DEFAULT_MSS_BYTES
from reports.compare.likeness import FULL_CORE, Values
from reports.compare.model import Cause, Finding
from reports.compare.statistics import LEAST, Shift, median
from reports.compare.trend import Step
from reports.compare.ways import Quantity, Side, single_threaded

BUSY_PERCENT = 90.0
# of Mathis et al. 1997, with delayed acknowledgements left out
MATHIS = math.sqrt(3 / 2)
_BROKEN_CLOCK_SECONDS = 100.0


@dataclass(frozen=True)
class Seen:
    """What the rules look at. `loss`: share of packets lost and packets sent, by all that measured it on this
    path. `routes`: (time, routers). `low`: the side that sees less; None where they agree."""

    quantity: Quantity
    values: dict[Side, Values]
    low: Side | None
    shift: Shift
    raw_shift: Shift
    margin: float
    rtt_seconds: float | None = None
    loss: tuple[float, float] | None = None
    steps: tuple[Step, ...] = ()
    routes: tuple[tuple[float, tuple[str, ...]], ...] = ()
    # seconds in which two things happened at the same time
    within_seconds: float = 86_400.0
    # the path MTU as tools found it, oldest first
    mtus: tuple[tuple[float, float], ...] = ()
    slow: str = ""
    # of one-way delays: least, median, and how wrong the clocks may be by their own word
    one_way: tuple[float, float, float] | None = None

    def median(self, side: Side, name: str) -> float | None:
        known = self.values[side].rows[name]
        known = known[np.isfinite(known)]
        return median(known) if len(known) else None

    def rate(self, side: Side) -> float:
        return median(self.values[side].raw)


Rule = Callable[[Seen], Finding | None]


def window_limited(seen: Seen) -> Finding | None:
    """A window sends its size each round trip and no more (RFC 6349, 3.3.1): rate x round trip is the window.

    Of a window that was asked for, 0.5 to 1.2 of it; of a limit to which the system's buffers grow, 0.35 to
    1.1: the kernel keeps a part of a buffer for itself.
    """
    side = seen.low
    if side is None or seen.quantity is not Quantity.THROUGHPUT or not seen.rtt_seconds:
        return None
    way = seen.values[side].rows.usual_way()
    in_flight = seen.rate(side) / 8 * seen.rtt_seconds / way.streams
    for window, low, high, what in (
        (way.window_bytes, 0.5, 1.2, "the window that is asked for"),
        (seen.median(side, "buffer_bytes"), 0.35, 1.1, "what the hosts' TCP buffers may grow to"),
    ):
        if window and low <= in_flight / window <= high:
            text = (
                f"{format_bits_per_second(seen.rate(side))} over {format_seconds(seen.rtt_seconds)} is "
                f"{format_size(in_flight)} on its way, and {what} is {format_size(window)}"
            )
            return Finding(Cause.WINDOW, text, True, side)
    return None


def cpu_limited(seen: Seen) -> Finding | None:
    """iperf3 takes up nine tenths of a core or more (ESnet's fasterdata: iperf3 is bound to one core before
    3.16)."""
    side = seen.low
    if side is None or seen.quantity is not Quantity.THROUGHPUT:
        return None
    for name, end in (("cpu_percent_source", "sender"), ("cpu_percent_destination", "receiver")):
        used, other = seen.median(side, name), seen.median(side.other, name)
        if used is not None and used >= FULL_CORE and (other is None or other < FULL_CORE):
            way = seen.values[side].rows.usual_way()
            text = f"iperf3 takes up {used:.0f} % of a core at the {end}"
            if way.streams > 1 and single_threaded(way.client):
                text += f", and release {way.client} has one thread for its {way.streams} streams"
            return Finding(Cause.CPU, text, True, side)
    return None


def host_busy(seen: Seen) -> Finding | None:
    """The hosts' processors are taken, or tests run beside others and are slower then (iperf#357; pScheduler
    serialises its exclusive tests, scripts do not)."""
    side = seen.low
    if side is None or seen.quantity is not Quantity.THROUGHPUT:
        return None
    for name, end in (("busy_source", "sender"), ("busy_destination", "receiver")):
        used, other = seen.median(side, name), seen.median(side.other, name)
        if used is not None and used >= BUSY_PERCENT and (other is None or other < BUSY_PERCENT):
            text = f"all processors of the {end} are {used:.0f} % busy during the tests"
            return Finding(Cause.BUSY, text, True, side)
    rates = seen.values[side].raw
    met, of_other = (seen.values[one].rows["overlapped"] > 0 for one in (side, side.other))
    share, others = float(met.mean()), float(of_other.mean())
    if min(met.sum(), (~met).sum()) >= 4:
        slower = 1 - float(np.median(rates[met]) / np.median(rates[~met]))
        if slower > 0.1 and share > 0.2:
            text = (
                f"{share:.0%} of the tests ran beside others at the same site, and were {slower:.0%} slower"
            )
            return Finding(Cause.BUSY, text, True, side)
    elif share > 0.8 and others < 0.2:
        text = (
            f"{share:.0%} of the tests ran beside others at the same site, of the other side's {others:.0%}"
        )
        return Finding(Cause.BUSY, text, True, side)
    return None


def loss_limited(seen: Seen) -> Finding | None:
    """The rate is within a factor of two of what TCP reaches at that loss: MSS / RTT x sqrt(3/2) / sqrt(p)
    (Mathis, Semke, Mahdavi, Ott 1997). Not for BBR, which doesn't slow down for loss."""
    if seen.quantity is not Quantity.THROUGHPUT or not seen.rtt_seconds or seen.loss is None:
        return None
    share, packets = seen.loss
    side = seen.low or Side.SCRIPTED
    way = seen.values[side].rows.usual_way()
    # ten lost packets make a share of loss worth its name
    if share < 1e-5 or share * packets < 10 or (way.congestion or "").startswith("bbr"):
        return None
    segment = seen.median(side, "mss_bytes") or DEFAULT_MSS_BYTES
    reached = way.streams * segment * 8 / seen.rtt_seconds * MATHIS / math.sqrt(share)
    if not 0.5 <= seen.rate(side) / reached <= 2:
        return None
    text = (
        f"{100 * share:.2g} % of {packets:,.0f} packets are lost, at which TCP reaches about "
        f"{format_bits_per_second(reached)} over {format_seconds(seen.rtt_seconds)}"
    )
    return Finding(Cause.LOSS, text, seen.low is not None, seen.low)


def shaped(seen: Seen) -> Finding | None:
    """The rate is a plateau (the upper three quarters of the tests within 1 %), and the other side goes
    beyond it: somebody shapes or polices these tests, or they ask for no more."""
    side = seen.low
    if side is None or seen.quantity is not Quantity.THROUGHPUT or len(seen.values[side].raw) < LEAST:
        return None
    rates = seen.values[side].raw
    quarter, middle, top = np.quantile(rates, (0.25, 0.5, 0.95))
    if top / middle > 1.01 or middle / quarter > 1.01:
        return None
    way = seen.values[side].rows.usual_way()
    asked = way.target_bits_per_second
    level = format_bits_per_second(float(middle))
    if asked and abs(middle / (asked * way.streams) - 1) < 0.05:
        text = (
            f"the tests ask for no more than {format_bits_per_second(asked * way.streams)}, and get {level}"
        )
    else:
        text = f"a plateau at {level}: the upper three quarters of {len(rates)} tests are within 1 %"
    return Finding(Cause.SHAPED, text, True, side)


def slow_start(seen: Seen) -> Finding | None:
    """A short test is made of slow start to a larger part (RFC 6928; `netprobe.transfer_model`): the
    difference goes once that is taken out, or may where it can't be."""
    if seen.quantity is not Quantity.THROUGHPUT or not seen.slow:
        return None
    lengths = {side: one.rows.usual_way() for side, one in seen.values.items()}
    short = min(lengths, key=lambda side: (lengths[side].duration_seconds or 0) + lengths[side].omit_seconds)
    raw = seen.raw_shift.estimate
    lower = Side.MESH if raw < 0 else Side.SCRIPTED
    told = " and ".join(
        f"{side.value}: {format_seconds(way.duration_seconds or 0)} after {format_seconds(way.omit_seconds)}"
        for side, way in lengths.items()
    )
    if abs(raw) <= seen.margin:
        return None
    if seen.slow == "normalised" and abs(seen.shift.estimate) < abs(raw) / 2:
        left = math.expm1(seen.shift.estimate)
        text = f"{math.expm1(raw):+z.0%} as measured, {left:+z.1%} without ({told})"
        return Finding(Cause.SLOW_START, text, True, lower)
    if seen.slow == "not normalised" and lower is short:
        text = f"the tests are of different length ({told}), and no round trip is known to take it out"
        return Finding(Cause.SLOW_START, text, True, lower)
    return None


def mtu(seen: Seen) -> Finding | None:
    """Segments of another size on one side, or a path MTU that changed (RFC 8899: larger packets vanish)."""
    if seen.quantity is Quantity.THROUGHPUT and len(seen.values) == 2:
        sizes = {side: seen.median(side, "mss_bytes") for side in seen.values}
        one, two = sizes[Side.SCRIPTED], sizes[Side.MESH]
        if one and two and abs(one - two) > 0.1 * max(one, two):
            small = Side.SCRIPTED if one < two else Side.MESH
            text = f"segments of {one:.0f} bytes in the scripted tests, of {two:.0f} in the mesh's"
            return Finding(Cause.MTU, text, seen.low is small, small)
    levels = [size for _, size in seen.mtus]
    if len(levels) >= 2 and min(levels) < 0.9 * max(levels):
        text = f"the path's MTU was {levels[0]:.0f} bytes first and {levels[-1]:.0f} last"
        return Finding(Cause.MTU, text, False)
    return None


def route_change(seen: Seen) -> Finding | None:
    """The level changed when the usual routers did: those of up to five traces before, and five after.

    A test that is slower first may be a whole interval after the change: traces of that time say nothing.
    """
    for step in seen.steps:
        at = step.when.timestamp()
        before = [hops for time, hops in seen.routes if time < at - seen.within_seconds][-5:]
        after = [hops for time, hops in seen.routes if time > at + seen.within_seconds][:5]
        if len(before) < 2 or len(after) < 2:
            continue
        (old, often), (new, again) = Counter(before).most_common(1)[0], Counter(after).most_common(1)[0]
        # paths that always fork say nothing
        if old != new and often > len(before) / 2 and again > len(after) / 2 and new not in before:
            gone, come = [one for one in old if one not in new], [one for one in new if one not in old]
            text = (
                f"on {step.when:%Y-%m-%d %H:%M} the level changed and so did the routers: "
                f"{', '.join(gone[:3]) or 'none'} gone, {', '.join(come[:3]) or 'none'} new"
            )
            return Finding(Cause.ROUTE, text, True)
    return None


def clock_fault(seen: Seen) -> Finding | None:
    """One-way delays that can't be: below zero by more than the clocks' own error, or 100 s and more (WLCG's
    rule for a broken clock)."""
    if seen.one_way is None:
        return None
    least, middle, error = seen.one_way
    if abs(middle) >= _BROKEN_CLOCK_SECONDS:
        text = f"the median one-way delay is {format_seconds(middle)}: a clock is wrong by minutes"
    elif least < -error - 0.001:
        text = f"one-way delays go down to {format_seconds(least)}, below zero: the clocks disagree"
    else:
        return None
    return Finding(Cause.CLOCK, text, seen.quantity is Quantity.LATENCY, Side.MESH)


# What explains most surely stands first.
RULES: tuple[Rule, ...] = (
    slow_start,
    window_limited,
    cpu_limited,
    mtu,
    host_busy,
    loss_limited,
    shaped,
    route_change,
    clock_fault,
)


def diagnose(seen: Seen) -> tuple[Finding, ...]:
    """What every rule finds, in the order of the rules."""
    return tuple(found for rule in RULES if (found := rule(seen)) is not None)
