"""The figures in the results of pScheduler's tests, in SI units, by the names that `Measurement` gives."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netprobe.meshes.values import count, items, mapping, number, seconds

# seconds; what owping and powstream take where the test doesn't say
BUCKET_WIDTH = 0.001


@dataclass(frozen=True)
class Figures:
    """What was measured, and how, where the result itself tells that."""

    figures: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # nothing came through, though the tool has no complaint
    error: str | None = None


def present(**values: float | None) -> dict[str, float]:
    """The figures that are there."""
    return {name: value for name, value in values.items() if value is not None}


def ratio(part: float | None, whole: float | None) -> float | None:
    """Part of a whole, 0 to 1; None where the two don't give one."""
    if part is None or not whole or not 0 <= part <= whole:
        return None
    return part / whole


def weighted(values: Mapping[float, float], share: float) -> float | None:
    """The smallest value that at least this share of the counted values don't exceed."""
    total, so_far = sum(values.values()), 0.0
    for value in sorted(values):
        so_far += values[value]
        if so_far >= share * total:
            return value
    return None


def delays(histogram: Mapping[float, float], spec: Mapping[str, Any]) -> tuple[dict[str, float], float]:
    """One-way delays of a histogram, in seconds, and the width of its buckets.

    The keys of the histogram count bucket widths; those below zero are kept, since they tell how far the
    clocks are apart.
    """
    width = count(seconds(spec.get("bucket-width"))) or BUCKET_WIDTH
    counted = {value * width: times for value, times in histogram.items() if times > 0}
    found = present(
        owd_seconds=weighted(counted, 0.5),
        owd_seconds_min=min(counted, default=None),
        owd_seconds_p90=weighted(counted, 0.9),
    )
    return found, width


def packets(sent: float | None, lost: float | None, loss: float | None) -> dict[str, float]:
    """Packets sent and lost, and the share that is lost: as told, else worked out."""
    if loss is None or not 0 <= loss <= 1:
        loss = ratio(lost, sent)
    return present(packets_sent=sent, packets_lost=lost, loss_ratio=loss)


def nothing_arrived(figures: Mapping[str, float]) -> str | None:
    """The error of a test whose packets were all lost: as our own ping has it."""
    if figures.get("loss_ratio") != 1.0:
        return None
    sent = figures.get("packets_sent")
    return "no answer" if sent is None else f"no answer to {sent:.0f} packets"


def _throughput(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    """Rates of both ends; round trips in microseconds, as the sender's kernel has them under load.

    The summary counts what the sender knows: of a UDP test it says that nothing was lost, and only the
    streams have the receiver's count.
    """
    total = mapping(result, "summary", "summary")
    streams = [mapping(stream) for stream in items(mapping(result, "summary").get("streams"))]
    sent, received = count(total.get("throughput-bits")), count(total.get("receiver-throughput-bits"))
    trips = [trip / 1e6 for stream in streams if (trip := count(stream.get("rtt")))]
    jitters = [jitter / 1e3 for stream in streams if (jitter := count(stream.get("jitter"))) is not None]
    lost = [one for stream in streams if (one := count(stream.get("lost"))) is not None]
    figures = present(
        bits_per_second=sent if received is None else received,
        sent_bits_per_second=sent,
        retransmits=count(total.get("retransmits")),
        rtt_seconds=statistics.median(trips) if trips else None,
        jitter_seconds=statistics.median(jitters) if jitters else None,
        mss_bytes=count(total.get("mss")),
    )
    figures |= packets(count(total.get("sent")), sum(lost) if lost else count(total.get("lost")), None)
    return Figures(figures, {"rate": "sent" if received is None else "received"})


def _rtt(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    trips = sorted(
        trip
        for one in items(result.get("roundtrips"))
        if (trip := count(seconds(mapping(one).get("rtt")))) is not None
    )
    mean = count(seconds(result.get("mean")))
    figures = present(
        rtt_seconds=statistics.median(trips) if trips else mean,
        rtt_seconds_min=trips[0] if trips else count(seconds(result.get("min"))),
        rtt_seconds_p90=weighted(Counter(trips), 0.9),
    )
    figures |= packets(count(result.get("sent")), count(result.get("lost")), number(result.get("loss")))
    how = {} if trips or mean is None else {"rtt": "mean"}
    return Figures(figures, how, nothing_arrived(figures))


def _latency(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    histogram: dict[float, float] = {}
    for key, times in mapping(result, "histogram-latency").items():
        value, times = _key(key), count(times)
        if value is not None and times:
            histogram[value] = histogram.get(value, 0.0) + times
    figures, width = delays(histogram, spec)
    figures |= packets(count(result.get("packets-sent")), count(result.get("packets-lost")), None)
    error = count(result.get("max-clock-error"))
    figures |= present(clock_error_seconds=None if error is None else error / 1e3)
    return Figures(figures, {"bucket_width_seconds": width}, nothing_arrived(figures))


def _trace(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    return path(next(iter(items(result.get("paths"))), None))


def path(hops: Any) -> Figures:
    """Of the hops of one path. Routers that keep silent count; after the last answer nobody does."""
    answers = [mapping(hop) for hop in items(hops)]
    while answers and not answers[-1].get("ip"):
        answers.pop()
    sizes = [size for hop in answers if (size := count(hop.get("mtu")))]
    if not answers:
        return Figures(error="no hop answered")
    return Figures(present(hops=float(len(answers)), path_mtu_bytes=min(sizes, default=None)))


def _key(key: Any) -> float | None:
    try:
        return number(float(key))
    except (TypeError, ValueError):
        return None


# by pScheduler's type of test
FIGURES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Figures]] = {
    "throughput": _throughput,
    "rtt": _rtt,
    "latency": _latency,
    "latencybg": _latency,
    "trace": _trace,
}
