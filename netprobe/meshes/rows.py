"""From what a document says of a run to a row: ends, direction, identity, and how it was measured."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from federation.sites import Federation
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes import Found, Refusal
from netprobe.meshes.results import Figures
from netprobe.meshes.values import address, count, mapping, number, seconds, text, version_of

KINDS: Mapping[str, Kind] = {
    "throughput": Kind.THROUGHPUT,
    "rtt": Kind.LATENCY,
    "latency": Kind.LATENCY,
    "latencybg": Kind.LATENCY,
    "trace": Kind.PATH,
}
# a test that succeeded has at least one of these
_HEADLINES: Mapping[Kind, set[str]] = {
    Kind.THROUGHPUT: {"bits_per_second"},
    Kind.LATENCY: {"rtt_seconds", "owd_seconds", "loss_ratio"},
    Kind.PATH: {"hops"},
}
UNKNOWN_TEST = "test type not known"
NO_TIME = "no time"
NO_ENDS = "no ends"
NO_RESULT = "no result"
NO_FIGURES = "no figures"

# what the names of ends and tools have room for, and how much of it a digest takes where they are longer
_NAME, _DIGEST = 64, 12
# of a host's name in full, which DNS allows 253
_LONGEST = 255
# The ids of pulled rows are of this family; it must never change, or a second pull would double everything.
_FAMILY = uuid.UUID("6f1e5a52-8f0e-5d7c-9a53-1d0c5a0b7e11")
_DEFAULT_STREAMS, _DEFAULT_SECONDS = 1, 10.0


@dataclass(frozen=True)
class Run:
    """What a document says; `source` and `destination` as in its spec, before `reverse` is looked at."""

    id: str | None
    test: str
    spec: Mapping[str, Any]
    started: datetime | None
    seconds: float | None
    tool: str | None
    # what the end may be called, the best name first; None where there is no such name
    source_names: tuple[str | None, ...]
    destination_names: tuple[str | None, ...]
    figures: Figures
    source_address: str | None = None
    destination_address: str | None = None
    ip_version: int | None = None
    error: str | None = None
    origin: Origin = Origin.PERFSONAR
    context: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] | None = None
    # its task's, which says if it was one of our own tests
    reference: Mapping[str, Any] = field(default_factory=dict)


def row_id(*parts: str) -> str:
    """The id of the row of a run: the same parts, in any letter case, always give the same."""
    return str(uuid.uuid5(_FAMILY, "\n".join(part.strip().lower() for part in parts)))


def ends(
    source: tuple[str | None, ...], destination: tuple[str | None, ...], federation: Federation | None
) -> tuple[str, str] | None:
    """What the two ends are called: their sites, else their names; None where one has no name at all.

    Two hosts of one site keep their names: a path from a site to itself would mean nothing.
    """
    hosts = _host(source), _host(destination)
    if hosts[0] is None or hosts[1] is None:
        return None
    sites = _site(source, federation) or hosts[0], _site(destination, federation) or hosts[1]
    return (hosts[0], hosts[1]) if sites[0] == sites[1] else sites


def measurement(run: Run, archive: str | None, federation: Federation | None) -> Found:
    """The row of a run, or why there is none."""
    name = f"{run.test} run {run.id or '?'}"[:200]
    kind = KINDS.get(run.test)
    if kind is None:
        return Refusal(UNKNOWN_TEST, name)
    if run.started is None:
        return Refusal(NO_TIME, name)
    found = ends(run.source_names, run.destination_names, federation)
    if found is None:
        return Refusal(NO_ENDS, name)
    error = run.error or run.figures.error
    if error is None and not _HEADLINES[kind] & set(run.figures.figures):
        return Refusal(NO_FIGURES, name)
    source, destination = found
    context = dict(run.context)
    if run.figures.figures.get("owd_seconds_min", 0.0) < 0:
        # nothing arrives before it is sent
        context["clocks_disagree"] = True
    for end, names in (("source_host", run.source_names), ("destination_host", run.destination_names)):
        whole = _full(names)
        if whole is not None and len(whole) > _NAME:
            context[end] = whole[:_LONGEST]
    addresses = run.source_address, run.destination_address
    if run.spec.get("reverse") is True and run.test != "rtt":
        source, destination = destination, source
        addresses = addresses[1], addresses[0]
    identity = (
        (run.id,) if run.id else (archive or "", run.test, source, destination, run.started.isoformat())
    )
    return Measurement(
        kind=kind,
        source=source,
        destination=destination,
        started=run.started,
        seconds=max(0.0, run.seconds or 0.0),
        tool=(run.tool or run.test)[:_NAME],
        origin=run.origin,
        figures=run.figures.figures,
        parameters=_parameters(run),
        source_address=addresses[0],
        destination_address=addresses[1],
        error=error,
        context=context,
        archive=archive,
        raw=run.raw,
        id=_own_result(run.reference) or row_id(*identity),
    )


def single(reference: Mapping[str, Any], schedule: Mapping[str, Any]) -> Mapping[str, Any]:
    """A task's reference, if it stands for one run alone: one that repeats would give all its runs one id."""
    return {} if schedule.get("repeat") or schedule.get("repeat-cron") else reference


def _own_result(reference: Mapping[str, Any]) -> str | None:
    """The id of the row of a test that was run on our demand (tool `pscheduler`): it is known already."""
    try:
        return str(uuid.UUID(text(mapping(reference, "fairlead").get("result")) or ""))
    except ValueError:
        return None


def _parameters(run: Run) -> dict[str, Any]:
    """How it was measured: the run's own words where it has them, else the defaults of its test."""
    spec, found = run.spec, {"test": run.test, **run.figures.parameters}
    version = number(spec.get("ip-version")) or run.ip_version
    version = version or version_of(run.source_address) or version_of(run.destination_address)
    if version in (4, 6):
        found["ip_version"] = int(version)
    if run.test == "throughput":
        streams = count(spec.get("parallel"))
        found["protocol"] = "udp" if spec.get("udp") is True else "tcp"
        found["streams"] = int(streams) if streams else _DEFAULT_STREAMS
        found["omit_seconds"] = count(seconds(spec.get("omit"))) or 0.0
        found["duration_seconds"] = count(seconds(spec.get("duration"))) or _DEFAULT_SECONDS
        for key, name in (
            ("bandwidth", "target_bits_per_second"),
            ("window-size", "window_bytes"),
            ("mss", "mss_bytes"),
        ):
            if count(spec.get(key)):
                found[name] = number(spec[key])
        congestion = text(spec.get("congestion"))
        if congestion:
            found["congestion"] = congestion[:_NAME]
    if run.test in ("rtt", "latency", "latencybg"):
        for key, name in (("count", "count"), ("packet-count", "count"), ("length", "length_bytes")):
            if count(spec.get(key)):
                found[name] = number(spec[key])
    if spec.get("reverse") is True:
        found["reverse"] = True
    return found


def _site(names: tuple[str | None, ...], federation: Federation | None) -> str | None:
    if federation is None:
        return None
    sites = (federation.site_of_host(name) for name in names if name)
    return next((site.id for site in sites if site is not None), None)


def _host(names: tuple[str | None, ...]) -> str | None:
    """The best name, a host's before an address: lower case, at most 64 characters.

    Of a longer one the end is replaced by a digest of it all: hosts that begin alike stay two.
    """
    name = _full(names)
    if name is None or len(name) <= _NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _NAME - _DIGEST - 1]}~{digest}"


def _full(names: tuple[str | None, ...]) -> str | None:
    tidy = [name.strip("[]").rstrip(".").lower() for name in names if name]
    known = [name for name in tidy if name]
    named = [name for name in known if address(name) is None]
    return next(iter(named or known), None)
