"""Does the lab measure true? Every path of the running lab against its description.

    python benchmarks/lab_truth.py

Ping's median has to be within 5 % (or 1 ms) of the configured round trip, and iperf3 within 10 % of what the
emulator lets through as TCP payload. Uses the lab that is up, or brings one up and takes it down again. Takes
four minutes; other work on the machine disturbs it. Exit status 1: some path is not true.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from _lab import lab_up

from lab import lab, truth
from lab.truth import Comparison


def show(title: str, unit: str, scale: float, comparisons: Iterable[Comparison]) -> bool:
    """Print one table; whether all of it is true."""
    print(f"\n{title}\n{'from':<12}{'to':<12}{'configured':>12}{'measured':>12}{'error':>9}")
    all_true = True
    for one in comparisons:
        error = one.measured / one.configured - 1
        verdict = "" if one.true else "  NOT TRUE"
        all_true &= one.true
        print(
            f"{one.source:<12}{one.destination:<12}{one.configured * scale:>9.1f} {unit}"
            f"{one.measured * scale:>9.1f} {unit}{error:>+8.1%}{verdict}"
        )
    return all_true


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=int, default=truth.CYCLE_SECONDS, help="of each iperf3 test, after its warm-up"
    )
    seconds = parser.parse_args().seconds
    with lab_up():
        status = lab.status()
        assert status is not None
        print(f"lab {status.name}, MTU {status.lab.mtu}, TCP {status.congestion_control}")
        trips = truth.all_round_trips(status.lab, status.name)
        true = show("Round trip (ping, median of 20)", "ms ", 1e3, trips)
        rates = truth.all_throughputs(status.lab, status.name, seconds)
        return 0 if show("TCP payload (iperf3)", "Mb/s", 1e-6, rates) and true else 1


if __name__ == "__main__":
    sys.exit(main())
