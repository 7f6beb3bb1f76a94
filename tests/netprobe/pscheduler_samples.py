"""The recorded runs of pScheduler with the tasks that they belong to, and what its archiver makes of both."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data") / "pscheduler"

_PAIR = {"schema": 1, "source": "hosta", "dest": "hostb"}
# the runs whose task wasn't recorded, too: what it was told
_SPECS: dict[str, tuple[str, dict[str, Any], str]] = {
    "tp-reverse.json": ("throughput", {**_PAIR, "duration": "PT5S", "reverse": True}, "iperf3"),
    "tp-udp.json": (
        "throughput",
        {**_PAIR, "duration": "PT5S", "udp": True, "bandwidth": 350_000_000},
        "iperf3",
    ),
    "tp-fail.json": ("throughput", {**_PAIR, "duration": "PT5S"}, "iperf3"),
    "tp-run.json": (
        "throughput",
        {**_PAIR, "duration": "PT10S", "interval": "PT1S", "parallel": 2, "omit": "PT1S"},
        "iperf3",
    ),
    "tp-run-pending.json": ("throughput", {**_PAIR, "duration": "PT10S", "parallel": 2}, "iperf3"),
    "tp2-run.json": ("throughput", {**_PAIR, "duration": "PT10S", "parallel": 2}, "iperf3"),
    "rtt-run.json": ("rtt", {"schema": 1, "dest": "10.99.0.2", "count": 5, "length": 1000}, "ping"),
    "rtt-loss.json": ("rtt", {"schema": 1, "dest": "10.99.0.77", "count": 3}, "ping"),
    "rtt-twping.json": ("rtt", {"schema": 2, **_PAIR, "protocol": "twamp"}, "twping"),
    "lat.json": ("latency", {**_PAIR, "packet-count": 50, "packet-interval": 0.02}, "owping"),
    "latbg-run.json": (
        "latencybg",
        {**_PAIR, "duration": "PT45S", "bucket-width": 0.0001, "packet-count": 100, "packet-interval": 0.1},
        "powstream",
    ),
    "trace.json": ("trace", {"schema": 1, "source": "hosta", "dest": "10.99.0.2", "hops": 5}, "traceroute"),
}
RUNS = sorted(_SPECS)
ARCHIVED = sorted(path.name for path in DATA.glob("archived-*.json"))


def load(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def run(name: str, **changes: Any) -> dict[str, Any]:
    """A recorded run, with changes at its top level."""
    return {**load(name), **changes}


def task(name: str, **spec: Any) -> dict[str, Any]:
    """The task of a recorded run, with changes to its spec."""
    test, known, tool = _SPECS[name]
    href = load(name)["task-href"]
    return {
        "test": {"type": test, "spec": {**known, **spec}},
        "tool": tool,
        "href": href,
        "schedule": {},
        "reference": {},
    }


def record(name: str, **spec: Any) -> dict[str, Any]:
    """What the archiver sends of a recorded run: as in archived-*.json."""
    if name.startswith("archived-"):
        sent: dict[str, Any] = load(name)
        sent["test"]["spec"].update(spec)
        return sent
    of_run, of_task = run(name), task(name, **spec)
    return {
        "id": of_run["href"].rpartition("/")[2],
        "schedule": {"start": of_run["start-time"], "duration": of_run["duration"]},
        "test": of_task["test"],
        "tool": {"name": of_task["tool"], "version": "1.0"},
        "run": copy.deepcopy(of_run),
        "task": of_task,
        "participants": of_run["participants"],
        "result": of_run["result-merged"],
        "reference": of_task["reference"],
    }
