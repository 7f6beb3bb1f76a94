"""A document of a perfSONAR 5 archive as a measurement or a refusal.

The archive's pipeline gives pScheduler's records another shape: durations are seconds, the rate that
arrived is dropped (only the sender's is left), histograms become figures, and names and addresses of both
ends are looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from federation.sites import Federation
from netprobe.meshes import Found, Refusal
from netprobe.meshes.results import Figures, delays, nothing_arrived, packets, path, present
from netprobe.meshes.rows import NO_RESULT, UNKNOWN_TEST, Run, measurement, single
from netprobe.meshes.values import address, count, instant, items, mapping, number, seconds, storable, text

# what a search leaves out: large, and nothing here reads them
LARGE = ("result.intervals", "result.streams", "result.packets.json", "result.diags")


def read_document(document: Any, archive: str | None, federation: Federation | None) -> Found:
    """What is under `_source` of a hit."""
    spec, about = mapping(document, "test", "spec"), mapping(document, "pscheduler")
    test, result = text(mapping(document, "test").get("type")), mapping(document, "result")
    name = text(about.get("run_id")) or text(mapping(document).get("id"))
    if test is None:
        return Refusal(UNKNOWN_TEST, f"document {name or '?'} has no test.type")
    succeeded = result.get("succeeded")
    if not isinstance(succeeded, bool):
        return Refusal(NO_RESULT, f"{test} run {name or '?'}"[:200])
    read = _FIGURES.get(test)
    meta = mapping(document, "meta")
    source, destination = mapping(meta, "source"), mapping(meta, "destination")
    ip_version = number(meta.get("ip_version"))
    lead = next((text(one) for one in items(about.get("participants"))), None)
    return measurement(
        Run(
            id=name,
            test=test,
            spec=spec,
            started=instant(about.get("start_time")),
            seconds=count(about.get("duration")),
            tool=text(about.get("tool")),
            source_names=_names(text(spec.get("source")) or lead, source),
            destination_names=_names(text(spec.get("dest")), destination),
            source_address=address(source.get("ip")) or address(spec.get("source")),
            destination_address=address(destination.get("ip")) or address(spec.get("dest")),
            ip_version=int(ip_version) if ip_version in (4, 6) else None,
            figures=read(result, spec) if succeeded and read is not None else Figures(),
            error=None if succeeded else (text(result.get("error")) or "no reason given")[:500],
            context=_context(document),
            reference=single(mapping(document, "reference"), mapping(document, "schedule")),
            raw=storable(
                {key: value for key, value in result.items() if key not in ("diags", "intervals", "streams")}
            ),
        ),
        archive,
        federation,
    )


def _names(own: str | None, meta: Mapping[str, Any]) -> tuple[str | None, ...]:
    return own, text(meta.get("hostname")), text(meta.get("ip"))


def _context(document: Any) -> dict[str, Any]:
    reference = mapping(document, "reference")
    shown = {
        "shown_source": text(reference.get("display-set-source")),
        "shown_destination": text(reference.get("display-set-dest")),
    }
    return {name: value[:200] for name, value in shown.items() if value is not None}


def _throughput(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    sent = count(result.get("throughput"))
    trip, jitter = count(result.get("rtt")), count(result.get("jitter"))
    figures = present(
        bits_per_second=sent,
        sent_bits_per_second=sent,
        retransmits=count(result.get("retransmits")),
        rtt_seconds=trip / 1e6 if trip else None,
        jitter_seconds=None if jitter is None else jitter / 1e3,
        mss_bytes=count(result.get("mss")),
    )
    figures |= packets(count(result.get("packets_sent")), count(result.get("packets_lost")), None)
    return Figures(figures, {"rate": "sent"})


def _rtt(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    trips = mapping(result, "rtt")
    figures = present(
        rtt_seconds=count(seconds(trips.get("mean"))), rtt_seconds_min=count(seconds(trips.get("min")))
    )
    figures |= _packets(result)
    return Figures(figures, {"rtt": "mean"} if "rtt_seconds" in figures else {}, nothing_arrived(figures))


def _latency(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    latency = mapping(result, "latency")
    stored = mapping(latency, "histogram")
    histogram: dict[float, float] = {}
    for value, times in zip(items(stored.get("values")), items(stored.get("counts")), strict=False):
        at, often = number(value), count(times)
        if at is not None and often:
            histogram[at] = histogram.get(at, 0.0) + often
    figures, width = delays(histogram, spec)
    if not histogram:
        # in bucket widths, like the histogram
        median, least = number(latency.get("median")), number(latency.get("min"))
        figures = present(
            owd_seconds=None if median is None else median * width,
            owd_seconds_min=None if least is None else least * width,
        )
    figures |= _packets(result)
    error = count(result.get("max_clock_error"))
    figures |= present(clock_error_seconds=None if error is None else error / 1e3)
    return Figures(figures, {"bucket_width_seconds": width}, nothing_arrived(figures))


def _packets(result: Mapping[str, Any]) -> dict[str, float]:
    found = mapping(result, "packets")
    return packets(count(found.get("sent")), count(found.get("lost")), number(found.get("loss")))


def _trace(result: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    """`json` has the hops of the first path; where it was left out, the count and the least MTU are there."""
    hops = items(result.get("json"))
    if hops:
        return path(hops)
    answered = count(mapping(result, "hop").get("count"))
    sizes = [size for one in items(result.get("mtu")) if (size := count(one))]
    mtu = min(sizes, default=count(result.get("mtu")))
    return Figures(present(hops=answered or None, path_mtu_bytes=mtu or None))


_FIGURES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Figures]] = {
    "throughput": _throughput,
    "rtt": _rtt,
    "latency": _latency,
    "latencybg": _latency,
    "trace": _trace,
}
