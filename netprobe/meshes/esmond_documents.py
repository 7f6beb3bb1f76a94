"""What esmond keeps of a test, series by series, put together again: one measurement for each time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from federation.sites import Federation
from netprobe.meshes import Found, Refusal
from netprobe.meshes.results import Figures, delays, nothing_arrived, packets, path, present, weighted
from netprobe.meshes.rows import NO_TIME, UNKNOWN_TEST, Run, measurement
from netprobe.meshes.values import address, count, items, mapping, number, seconds, text

NO_KEY = "no metadata key"
# the series that are the result of a test, by its type
MAIN: Mapping[str, tuple[str, ...]] = {
    "throughput": ("throughput",),
    "latencybg": ("histogram-owdelay", "packet-loss-rate"),
    "latency": ("histogram-owdelay", "packet-loss-rate"),
    "rtt": ("histogram-rtt", "packet-loss-rate-bidir"),
    "trace": ("packet-trace",),
}
# what is read beside them
_MORE: Mapping[str, tuple[str, ...]] = {
    "throughput": ("packet-retransmits", "packet-loss-rate", "packet-count-lost", "packet-count-sent"),
    "latencybg": ("packet-count-lost", "packet-count-sent", "time-error-estimates"),
    "latency": ("packet-count-lost", "packet-count-sent", "time-error-estimates"),
    "rtt": ("packet-count-lost-bidir", "packet-count-sent"),
    "trace": ("path-mtu",),
}
_RAW, _REFERENCE = "pscheduler-raw", "pscheduler-reference-"
_ALWAYS = ("failures", "pscheduler-run-href")
_KEY = re.compile(r"[0-9A-Za-z_-]{1,64}")
_RUN = re.compile(r"/runs/([0-9a-fA-F-]{36})/?$")


@dataclass(frozen=True)
class Metadata:
    """One metadata document: a test that was run again and again between two ends."""

    key: str
    test: str
    document: Mapping[str, Any]
    # of each series: when it was last written to (0: not told), and its summaries, finest first
    updated: Mapping[str, float]
    summaries: Mapping[str, tuple[tuple[int, str], ...]]

    @property
    def series(self) -> tuple[str, ...]:
        """The series that are read of it."""
        wanted = (*MAIN[self.test], *_MORE[self.test], *_ALWAYS)
        return tuple(name for name in wanted if name in self.updated)


@dataclass(frozen=True)
class Summary:
    """How points were summed up: "averages" or "aggregations", over so many seconds."""

    kind: str
    seconds: int


def read_metadata(document: Any) -> Metadata | Refusal:
    """A metadata document, or why nothing can be read of it."""
    document = mapping(document)
    key = text(document.get("metadata-key"))
    if key is None or not _KEY.fullmatch(key):
        return Refusal(NO_KEY, f"metadata {key or '?'}"[:200])
    updated: dict[str, float] = {}
    summaries: dict[str, tuple[tuple[int, str], ...]] = {}
    for entry in map(mapping, items(document.get("event-types"))):
        name = text(entry.get("event-type"))
        if name is not None:
            updated[name] = _number(entry.get("time-updated")) or 0.0
            summaries[name] = tuple(sorted(_summaries(entry)))
    test = _test(document, updated)
    if test is None:
        return Refusal(UNKNOWN_TEST, f"metadata {key}")
    return Metadata(key, test, document, updated, summaries)


def read_points(
    tested: Metadata,
    series: Mapping[str, list[Any]],
    summary: Summary | None,
    archive: str,
    federation: Federation | None,
) -> Iterator[Found]:
    """The points of all series of a test, put together by their time, in the order of it."""
    by_time: dict[float, dict[str, Any]] = {}
    for name, points in series.items():
        for point in points:
            time = _number(mapping(point).get("ts"))
            if time is None or _instant(time) is None:
                yield Refusal(NO_TIME, f"metadata {tested.key}, {name}")
                continue
            by_time.setdefault(time, {})[name] = mapping(point).get("val")
    # a reference to a row of ours stands for one run
    alone = len(by_time) == 1 and summary is None
    for time in sorted(by_time):
        # where the test has run, but gave nothing else, there is no result
        if set(by_time[time]) - {"pscheduler-run-href"}:
            run = _run(tested, time, by_time[time], summary, archive)
            run = replace(run, reference=_reference(tested)) if alone else run
            yield measurement(run, archive, federation)


def _reference(tested: Metadata) -> dict[str, Any]:
    """What the task said of itself: esmond writes {"fairlead": {"result": ID}} as one flat key.

    There each reference has metadata of its own. elmond, which has raw records besides, gives all runs of the
    same test the reference of one of them: it says nothing.
    """
    if _RAW in tested.updated:
        return {}
    return {"fairlead": {"result": tested.document.get(f"{_REFERENCE}fairlead-result")}}


def _run(
    tested: Metadata, time: float, values: Mapping[str, Any], summary: Summary | None, archive: str
) -> Run:
    document, spec = tested.document, _spec(tested.document)
    # two tests between the same ends may start in the same second: the key tells them apart
    own_id = f"{archive} {tested.key} {time!r}"
    figures = _FIGURES[tested.test](values, spec)
    how = {**figures.parameters}
    if summary is not None:
        how |= {"summary": summary.kind, "summary_seconds": summary.seconds}
        own_id += f" {summary.kind} {summary.seconds}"
    error = None
    if "failures" in values:
        error = text(mapping(values, "failures").get("error")) or "failed, and the archive doesn't say why"
    tool = (text(document.get("tool-name")) or "").rpartition("/")[2]
    return Run(
        id=_run_id(values.get("pscheduler-run-href")) or own_id,
        test=tested.test,
        spec=spec,
        started=_instant(time),
        seconds=float(summary.seconds) if summary else count(spec.get("duration")),
        tool=tool or None,
        source_names=(text(document.get("input-source")), text(document.get("source"))),
        destination_names=(text(document.get("input-destination")), text(document.get("destination"))),
        source_address=address(document.get("source")),
        destination_address=address(document.get("destination")),
        figures=Figures(figures.figures, how, figures.error),
        error=error,
        context={"metadata_key": tested.key, **_shown(document)},
    )


def _shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a dashboard is to call the ends, where the task says it."""
    found = {
        "shown_source": text(document.get(f"{_REFERENCE}display-set-source")),
        "shown_destination": text(document.get(f"{_REFERENCE}display-set-dest")),
    }
    return {name: value[:200] for name, value in found.items() if value is not None}


def _spec(document: Mapping[str, Any]) -> dict[str, Any]:
    """How it was measured, in the words of a pScheduler test."""
    found: dict[str, Any] = {"udp": text(document.get("ip-transport-protocol")) == "udp"}
    for name, key in (
        ("duration", "time-duration"),
        ("parallel", "bw-parallel-streams"),
        ("omit", "bw-ignore-first-seconds"),
        ("bandwidth", "bw-target-bandwidth"),
        ("window-size", "tcp-window-size"),
        ("bucket-width", "sample-bucket-width"),
        ("packet-count", "sample-size"),
        ("length", "ip-packet-size"),
    ):
        value = _number(document.get(key))
        # times are numbers in some archives and ISO durations in others
        value = seconds(document.get(key)) if value is None else value
        if value is not None:
            found[name] = value
    return found


def _test(document: Mapping[str, Any], series: Mapping[str, float]) -> str | None:
    told = text(document.get("pscheduler-test-type"))
    if told in MAIN:
        return told
    if told is not None:
        return None
    if "throughput" in series:
        return "throughput"
    if "histogram-rtt" in series or "packet-loss-rate-bidir" in series:
        return "rtt"
    if "packet-trace" in series:
        return "trace"
    if "histogram-owdelay" in series or "packet-loss-rate" in series:
        return "latencybg" if "powstream" in (text(document.get("tool-name")) or "") else "latency"
    return None


def _summaries(entry: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for one in map(mapping, items(entry.get("summaries"))):
        window, kind = _number(one.get("summary-window")), text(one.get("summary-type"))
        # averages are written "average" in the metadata, and "averages" in addresses
        plural = {"average": "averages", "aggregation": "aggregations"}.get(kind or "", kind)
        if window and window > 0 and plural in ("averages", "aggregations"):
            yield int(window), plural


def _throughput(values: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    # the archive has what the sender counts, and nothing else
    rate = count(values.get("throughput"))
    figures = present(
        bits_per_second=rate,
        sent_bits_per_second=rate,
        retransmits=count(values.get("packet-retransmits")),
    )
    figures |= _loss(values, "packet-count-lost", "packet-loss-rate")
    return Figures(figures, {"rate": "sent"})


def _latency(values: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    figures, width = delays(_histogram(values.get("histogram-owdelay")), spec)
    figures |= _loss(values, "packet-count-lost", "packet-loss-rate")
    # pScheduler's "max-clock-error", which is in milliseconds
    error = count(values.get("time-error-estimates"))
    figures |= present(clock_error_seconds=None if error is None else error / 1e3)
    return Figures(figures, {"bucket_width_seconds": width}, nothing_arrived(figures))


def _rtt(values: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    trips = {key / 1e3: times for key, times in _histogram(values.get("histogram-rtt")).items() if key >= 0}
    figures = present(
        rtt_seconds=weighted(trips, 0.5),
        rtt_seconds_min=min(trips, default=None),
        rtt_seconds_p90=weighted(trips, 0.9),
    )
    figures |= _loss(values, "packet-count-lost-bidir", "packet-loss-rate-bidir")
    return Figures(figures, {}, nothing_arrived(figures))


def _trace(values: Mapping[str, Any], spec: Mapping[str, Any]) -> Figures:
    hops: dict[int, Mapping[str, Any]] = {}
    for probe in map(mapping, items(values.get("packet-trace"))):
        place = _number(probe.get("ttl"))
        # several probes each hop: one that was answered tells who is there
        if place is not None and 1 <= place <= 255 and (int(place) not in hops or probe.get("ip")):
            hops[int(place)] = probe
    found = path([dict(hops.get(place, {})) for place in range(1, max(hops, default=0) + 1)])
    size = count(values.get("path-mtu"))
    if not found.figures:
        return found if "packet-trace" in values else Figures()
    return Figures({**found.figures, **present(path_mtu_bytes=size)})


_FIGURES = {
    "throughput": _throughput,
    "latency": _latency,
    "latencybg": _latency,
    "rtt": _rtt,
    "trace": _trace,
}


def _loss(values: Mapping[str, Any], lost: str, rate: str) -> dict[str, float]:
    loss = values.get(rate)
    if isinstance(loss, Mapping):
        # a summed-up rate comes as its two parts
        part, whole = number(loss.get("numerator")), number(loss.get("denominator"))
        return packets(whole, part, None)
    return packets(count(values.get("packet-count-sent")), count(values.get(lost)), number(loss))


def _histogram(value: Any) -> dict[float, float]:
    found: dict[float, float] = {}
    for key, times in mapping(value).items():
        bucket, counted = _number(key), count(times)
        if bucket is not None and counted:
            found[bucket] = found.get(bucket, 0.0) + counted
    return found


def _run_id(value: Any) -> str | None:
    match = _RUN.search(text(mapping(value).get("href")) or "")
    return match[1] if match else None


def _number(value: Any) -> float | None:
    """A number, which esmond may write as text."""
    if not isinstance(value, str):
        return number(value)
    try:
        return number(float(value))
    except ValueError:
        return None


def _instant(since_1970: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(since_1970, UTC)
    except (OverflowError, OSError, ValueError):
        return None
