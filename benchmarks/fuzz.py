"""Does every answer keep to our OpenAPI document? Thousands of requests that schemathesis makes up from it.

    python benchmarks/fuzz.py --cases 10000

Starts a broker on simulated sites, and asks it as its administrator. A 500, and an answer that its own schema
denies, are faults. Takes about a quarter of an hour. Exit status 1: there was a fault.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import httpx
import hypothesis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fairlead.served import start
from tests.clients.fuzzing import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000, help="how many requests (default: %(default)s)")
    parser.add_argument("--shrink", action="store_true", help="look for the smallest request that is a fault")
    options = parser.parse_args()
    phases = [hypothesis.Phase.generate] + ([hypothesis.Phase.shrink] if options.shrink else [])
    settings = hypothesis.settings(
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with tempfile.TemporaryDirectory() as directory:
        served = start(["--simulated"], Path(directory) / "server.log", {"FAIRLEAD_REQUESTS_PER_MINUTE": "0"})
        try:
            document = httpx.get(f"{served.url}/openapi.json", trust_env=False).json()
            auth = (served.user, served.password)
            found = fuzz(document, served.url, auth, options.cases, settings, print)
            alive = httpx.get(f"{served.url}/health", trust_env=False).json()
        finally:
            served.stop()
        tracebacks = (Path(directory) / "server.log").read_text().count("Traceback")
    for name, fault in found.faults.items():
        print(f"\n{name}:\n{fault}")
    faulty = len(found.faults)
    print(
        f"\n{found.cases} cases, {faulty} operations with a fault, {tracebacks} tracebacks, health: {alive}"
    )
    return 1 if found.faults or tracebacks or alive["status"] != "ok" else 0


if __name__ == "__main__":
    sys.exit(main())
