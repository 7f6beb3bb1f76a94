"""The field mapping of a perfSONAR 5 archive, as its Logstash pipeline does it: a record in, a document out.

Made after perfsonar-archive's pipeline files 02 to 06 and their Ruby parts, with their losses: the rate that
arrived is dropped, the summary's view of UDP losses stays, intervals keep their raw keys, dashes become
underscores outside of specs and references.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from typing import Any

from netprobe.meshes.values import seconds

# what the archive's resolver knows
NAMES = {"hosta": "10.99.0.1", "hostb": "10.99.0.2"}
_DURATIONS = ("duration", "interval", "omit", "timeout", "deadline", "wait", "sendwait", "link-rtt")


def document(record: dict[str, Any], ingested: str = "2026-11-22T18:00:00.000Z") -> dict[str, Any]:
    test, run, result = record["test"], record["run"], record["result"]
    spec = dict(test["spec"])
    for key in _DURATIONS:
        if isinstance(spec.get(key), str):
            spec[key] = seconds(spec[key])
    task_href = run["task-href"]
    made: dict[str, Any] = {
        "@timestamp": ingested,
        "id": record["id"],
        "pscheduler": {
            "added": run["added"],
            "start_time": run["start-time"],
            "end_time": run["end-time"],
            "tool": record["tool"]["name"],
            "duration": seconds(run["duration"]),
            "task_href": task_href,
            "run_href": run["href"],
            "task_id": task_href.rpartition("/")[2],
            "run_id": record["id"],
            "participants": record["participants"],
            "test_checksum": _checksum(record),
        },
        "schedule": {},
        "test": {"type": test["type"], "spec": spec},
        "meta": _meta(spec, record["participants"]),
        "reference": record.get("reference") or {},
        "result": {"succeeded": False, "error": "no result"},
    }
    if result is not None:
        made["result"] = _RESULTS[test["type"]](result, spec) if result["succeeded"] else _failed(result)
    return made


def _checksum(record: dict[str, Any]) -> str:
    canonical = {"test": record["test"], "observer_ip": None, "tool": record["tool"]["name"]}
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()


def _meta(spec: dict[str, Any], participants: list[str]) -> dict[str, Any]:
    """The ends as the archive looks them up; left out where it finds nothing."""
    meta: dict[str, Any] = {"observer": {"ip": "10.99.0.1", "hostname": "hosta"}}
    names = {ip: name for name, ip in NAMES.items()}
    for end, name in (("source", spec.get("source") or participants[0]), ("destination", spec["dest"])):
        if name in NAMES or name in names:
            ip = NAMES.get(name, name)
            meta[end] = {"ip": ip, "hostname": names[ip]}
    if "source" in meta and "destination" in meta:
        meta["ip_version"] = 4
    return meta


def _failed(result: dict[str, Any]) -> dict[str, Any]:
    return {"succeeded": False, "error": result.get("error"), "diags": result.get("diags")}


def _throughput(result: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    summary = dict(result["summary"]["summary"])
    found = {"succeeded": True, "diags": result.get("diags"), "intervals": {"json": result["intervals"]}}
    for theirs, ours in (
        ("throughput-bits", "throughput"),
        ("retransmits", "retransmits"),
        ("sent", "packets_sent"),
        ("lost", "packets_lost"),
        ("jitter", "jitter"),
        ("mss", "mss"),
    ):
        if theirs in summary:
            found[ours] = summary[theirs]
    if len(result["summary"]["streams"]) > 1:
        found["streams"] = {"json": result["summary"]["streams"]}
    return found


def _rtt(result: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    trips = {key: seconds(result[key]) for key in ("min", "max", "mean", "stddev") if key in result}
    found: dict[str, Any] = {
        "succeeded": True,
        "packets": {
            "sent": result["sent"],
            "received": result["received"],
            "lost": result["lost"],
            "loss": result["loss"],
            "duplicated": result["duplicates"],
            "reordered": result["reorders"],
            "json": result["roundtrips"],
        },
    }
    return {**found, "rtt": trips} if trips else found


def _latency(result: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    sent, lost = result["packets-sent"], result["packets-lost"]
    found: dict[str, Any] = {
        "succeeded": True,
        "max_clock_error": result["max-clock-error"],
        "packets": {
            "sent": sent,
            "received": result["packets-received"],
            "lost": lost,
            "loss": lost / sent if sent else 0,
            "duplicated": result["packets-duplicated"],
            "reordered": result["packets-reordered"],
        },
    }
    histogram = {float(key): times for key, times in result["histogram-latency"].items()}
    if histogram:
        each = sorted(value for value, times in histogram.items() for _ in range(times))
        found["latency"] = {
            "min": each[0],
            "max": each[-1],
            "mean": statistics.fmean(each),
            "median": statistics.median(each),
            "mode": statistics.multimode(each),
            "histogram": {"values": list(histogram), "counts": list(histogram.values())},
        }
    return found


def _trace(result: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    hops = result["paths"][0]
    ips = [hop.get("ip") for hop in hops]
    answered = [ip for ip in ips if ip]
    return {
        "succeeded": True,
        "hop": {
            "count": len(hops),
            "success_count": len(answered),
            "error_count": len(hops) - len(answered),
            "ip": answered,
            "ip_str": "\n".join(str(ip) for ip in ips),
        },
        "json": hops,
    }


_RESULTS = {
    "throughput": _throughput,
    "rtt": _rtt,
    "latency": _latency,
    "latencybg": _latency,
    "trace": _trace,
}
