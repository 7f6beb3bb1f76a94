"""What our runner costs beside the bare binary: the same iperf3 tests with and without it, on loopback.

    python -m benchmarks.iperf3_overhead [--pairs 5] [--seconds 2] [--streams 1] [--bitrate "1 Gbit/s"]

Prints the received rates, the median over pairs of their ratio (ours to the binary's), and what a test of
ours takes longer. Exit status 1 where the ratio is outside 0.98 to 1.02. Unpaced loopback varies by more
than that between two runs of anything: believe it on a quiet machine, or pace it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from federation.hosts import LocalHost
from federation.units import format_bits_per_second
from netprobe.tools import Endpoint, Test
from netprobe.tools.iperf3 import Iperf3
from netprobe.tools.iperf3_options import arguments, options

LEAST, MOST = 0.98, 1.02
ADDRESS = "127.0.0.1"


@contextmanager
def server() -> Iterator[int]:
    """An iperf3 server on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port = int(probe.getsockname()[1])
    command = ["iperf3", "-s", "-B", ADDRESS, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # asking by a connection would make it busy for a moment: ask the kernel
        while f":{port:04X} 00000000:0000 0A" not in Path("/proc/net/tcp").read_text():
            if process.poll() is not None:
                raise SystemExit("iperf3 -s ended")
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def bare(port: int, parameters: dict[str, Any]) -> tuple[float, float]:
    """The received rate and the seconds of the binary alone."""
    here = Endpoint("here", LocalHost(), ADDRESS, port)
    command = arguments(here, options("iperf3", parameters), 5.0)
    begun = time.monotonic()
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document["end"]["sum_received"]["bits_per_second"], time.monotonic() - begun


def ours(port: int, parameters: dict[str, Any]) -> tuple[float, float]:
    """The same by the tool."""
    ends = [Endpoint(site, LocalHost(), ADDRESS, port) for site in ("here", "there")]
    result = asyncio.run(Iperf3().run(Test(ends[0], ends[1], parameters, parameters["duration"] + 30.0)))
    if result.error is not None:
        raise SystemExit(result.error)
    return result.figures["bits_per_second"], result.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="tests of each kind")
    parser.add_argument("--seconds", type=int, default=2, help="of each test")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--bitrate", help="of each stream; left out: as fast as it goes")
    asked = parser.parse_args()
    parameters: dict[str, Any] = {"duration": asked.seconds, "streams": asked.streams}
    parameters |= {"bitrate": asked.bitrate} if asked.bitrate else {}
    found: dict[str, list[tuple[float, float]]] = {"binary": [], "ours": []}
    with server() as port:
        bare(port, {**parameters, "duration": 1})
        for number in range(asked.pairs):
            # who comes second has the warmer caches: take turns at that, too
            order = [("binary", bare), ("ours", ours)]
            for name, run in order if number % 2 == 0 else reversed(order):
                found[name].append(run(port, parameters))
                # the server opens its port anew after each test
                time.sleep(0.1)
    rates = {name: [rate for rate, _ in runs] for name, runs in found.items()}
    for name, values in rates.items():
        least, middle, most = (
            format_bits_per_second(each) for each in (min(values), statistics.median(values), max(values))
        )
        print(f"{name:7s} {middle} ({least} to {most}, {len(values)} tests)")
    took = {name: statistics.median(seconds for _, seconds in runs) for name, runs in found.items()}
    ratios = [mine / bares for mine, bares in zip(rates["ours"], rates["binary"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"ratio   {ratio:.4f} ({min(ratios):.4f} to {max(ratios):.4f}; wanted: {LEAST} to {MOST})")
    print(f"longer  {1000 * (took['ours'] - took['binary']):.0f} ms a test")
    return 0 if LEAST <= ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
