"""A run of pScheduler, as its nodes tell it and as its archivers send it, as a measurement or a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from federation.sites import Federation
from netprobe.measurement import Origin
from netprobe.meshes import Found, Refusal, tool_output
from netprobe.meshes.results import FIGURES, Figures
from netprobe.meshes.rows import NO_RESULT, Run, measurement, single
from netprobe.meshes.values import address, instant, items, mapping, seconds, storable, text

# The test was not made, which says nothing of the path.
NOT_RUN = "not run"
UNFINISHED = "not finished"
NO_TASK = "its task is not known"

_WAITING = {"scheduling", "pending", "on-deck", "running", "cleanup"}
_NEVER = {"nonstart", "missed", "preempted", "canceled"}
# what iperf3 was really called with: the only place that tells the addresses
_BOUND = re.compile(r"(?<!\S)-B (\S{1,64})")
_CALLED = re.compile(r"(?<!\S)-c (\S{1,64})")
# of the tool's own output nothing is kept but its beginning, where the command is
_DIAGS = 600
# large, and nothing here reads them
_LARGE = ("diags", "intervals", "raw-packets")


def read_record(document: Any, archive: str | None, federation: Federation | None) -> Found:
    """What a pScheduler archiver sends: {id, test, tool, run, task, participants, result, ...}."""
    run = dict(mapping(document, "run"))
    for own, key in (("id", "id"), ("result-merged", "result"), ("participants", "participants")):
        if run.get(own) is None and isinstance(document, Mapping):
            run[own] = document.get(key)
    task = {
        "test": mapping(document, "test"),
        "reference": mapping(document, "reference"),
        "schedule": mapping(mapping(document, "task"), "schedule"),
    }
    tool = mapping(document, "tool").get("name")
    return read_run(run, {**task, "tool": tool}, archive, federation, Origin.PERFSONAR)


def read_run(
    run: Any,
    task: Any,
    archive: str | None,
    federation: Federation | None,
    origin: Origin = Origin.PSCHEDULER,
) -> Found:
    """What a node says of a run (GET .../runs/R), with what it says of the run's task (GET .../tasks/U).

    A run that is still waiting, or was never made (no slot, missed, preempted, cancelled), is a refusal: it
    says nothing of the path. One that failed, or is overdue, is a measurement with an error. "finished" alone
    is no success: the result must say so, too.
    """
    run, spec = mapping(run), mapping(task, "test", "spec")
    test = text(mapping(task, "test").get("type"))
    if test is None:
        return Refusal(NO_TASK, _name(run))
    state, result = text(run.get("state")), mapping(run, "result-merged")
    if state in _WAITING:
        return Refusal(UNFINISHED, f"{_name(run)} is {state}")
    if state in _NEVER:
        return Refusal(NOT_RUN, f"{_name(run)} is {state}: {text(run.get('errors')) or 'no reason given'}")
    failed = state in ("failed", "overdue") or result.get("succeeded") is False
    if not failed and result.get("succeeded") is not True:
        return Refusal(NO_RESULT, _name(run))
    read = FIGURES.get(test)
    figures = read(result, spec) if read is not None and not failed else Figures()
    written = tool_output.iperf3_of(result.get("diags")) if test == "throughput" and not failed else {}
    if figures.figures:
        figures = replace(figures, figures={**tool_output.figures(written), **figures.figures})
    source, destination = _addresses(test, spec, result)
    return measurement(
        Run(
            id=_id(run),
            test=test,
            spec=spec,
            started=instant(run.get("start-time")),
            seconds=seconds(run.get("duration")),
            tool=text(mapping(task).get("tool")),
            source_names=(text(spec.get("source")) or _lead(run), source),
            destination_names=(text(spec.get("dest")), destination),
            source_address=source,
            destination_address=destination,
            figures=figures,
            error=_error(run, result, state) if failed else None,
            origin=origin,
            context={**tool_output.context(written), **_context(run, task)},
            reference=single(mapping(task, "reference"), mapping(task, "schedule")),
            raw={key: storable(value) for key, value in result.items() if key not in _LARGE},
        ),
        archive,
        federation,
    )


def _id(run: Mapping[str, Any]) -> str | None:
    """The run's uuid: as an archiver gives it, or the end of the run's own address."""
    found = text(run.get("id"))
    if found is None:
        found = (text(run.get("href")) or "").partition("/runs/")[2].partition("/")[0].partition("?")[0]
    return found or None


def _name(run: Mapping[str, Any]) -> str:
    return f"run {_id(run) or '?'}"


def _lead(run: Mapping[str, Any]) -> str | None:
    """Where no source is given, the first participant is it."""
    return next((text(one) for one in items(run.get("participants"))), None)


def _addresses(
    test: str, spec: Mapping[str, Any], result: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """The addresses that the test has between: of its spec's source and destination, as far as known."""
    source, destination = address(spec.get("source")), address(spec.get("dest"))
    if test == "throughput":
        called = (text(str(result.get("diags", ""))[:_DIAGS]) or "").partition(" { ")[0]
        bound, server = _BOUND.search(called), _CALLED.search(called)
        source = source or (address(bound[1]) if bound else None)
        destination = destination or (address(server[1]) if server else None)
    if test == "rtt" and destination is None:
        trips = items(result.get("roundtrips"))
        destination = next((ip for ip in (address(mapping(trip).get("ip")) for trip in trips) if ip), None)
    return source, destination


def _error(run: Mapping[str, Any], result: Mapping[str, Any], state: str | None) -> str:
    why = text(result.get("error")) or text(run.get("errors")) or f"state {state}, no reason given"
    return why[:500]


def _context(run: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """What explains the figures: versions of the tool at both ends, whether their clocks were in step."""
    found: dict[str, Any] = {}
    versions = [text(mapping(one).get("iperf3-version")) for one in items(run.get("participant-data-full"))]
    if any(versions):
        found["iperf3_versions"] = versions
    clocks = [mapping(one).get("synchronized") for one in items(run.get("clock-survey"))]
    if clocks:
        found["clocks_synchronized"] = all(one is True for one in clocks)
    reference = mapping(task, "reference")
    for key, name in (("display-set-source", "shown_source"), ("display-set-dest", "shown_destination")):
        shown = text(reference.get(key))
        if shown is not None:
            found[name] = shown[:200]
    return found
