"""Throughput by libiperf, through the PyPI package `iperf3`: the second engine, for those who ask for it.

Each test runs in a Python process of its own, because the binding hangs when a server stops answering, can't
run twice in a process, and swallows what other threads print meanwhile. It has no words for most options,
nor for connect time-outs. And it never ends where the JSON is larger than a pipe (64 KiB: about 24
streams for 10 s); the time limit ends that.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import InputError
from netprobe.measurement import Measurement
from netprobe.tools import Endpoint, Test
from netprobe.tools.iperf3 import measure
from netprobe.tools.iperf3_options import Options, options

KNOWN = ("duration", "streams", "omit", "udp", "bitrate", "reverse")


class Iperf3Binding:
    """As `Iperf3`, with the parameters in KNOWN only."""

    ABOUT = About(
        does="Throughput by libiperf, from inside Python.",
        cannot="Takes six of iperf3's parameters, and needs the system's libiperf.",
        modules=("iperf3",),
        extra="iperf3-binding",
        programs=("iperf3",),
    )

    name = "iperf3-binding"
    exclusive = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        options(self.name, parameters)
        for name in parameters:
            if name not in KNOWN:
                raise InputError(f"iperf3-binding: {name}: the binding can't choose it, use the tool iperf3")

    async def run(self, test: Test) -> Measurement:
        self.check(test.parameters)
        return await measure(self.name, self._clock, test, _command)


def _command(server: Endpoint, chosen: Options, connect_seconds: float) -> list[str]:
    told = {**asdict(chosen), "address": server.address, "port": server.port}
    return [sys.executable, "-m", "netprobe.tools.iperf3_binding", json.dumps(told)]


def _child(told: Mapping[str, Any]) -> None:
    """Run one test, and write iperf3's document to the standard output that we were started with."""
    # the binding points descriptors 1 and 2 elsewhere while it runs
    output = os.dup(1)
    try:
        iperf3 = importlib.import_module("iperf3")
        client = iperf3.Client()
    except (ImportError, OSError) as problem:
        raise SystemExit(f"the iperf3 package or libiperf is not installed: {problem}") from problem
    client.server_hostname = told["address"]
    client.port = told["port"]
    client.duration = told["duration_seconds"]
    client.num_streams = told["streams"]
    client.omit = told["omit_seconds"]
    client.reverse = told["reverse"]
    client.protocol = "udp" if told["udp"] else "tcp"
    if told["udp"]:
        client.blksize = 1400
    if told["bits_per_second"]:
        client.bandwidth = round(told["bits_per_second"])
    result = client.run()
    # where there is no document, there is an error at least
    document = getattr(result, "json", None) or {"error": str(getattr(result, "error", "no result"))}
    with os.fdopen(output, "w") as stream:
        stream.write(json.dumps(document))
    # its thread may still hold the pipe
    os._exit(0)


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
