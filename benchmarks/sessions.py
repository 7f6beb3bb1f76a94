"""How fast do many sessions go? Clients ask, accept the best offer, and wait until all have ended.

    python benchmarks/sessions.py [--sessions 100] [--seconds 5] [--clients 8] [--podman N] [--database URL]

A real server (`fairlead serve`) on one site, and real HTTP. Without --podman the site is simulated, and its
jobs take --seconds. With it, N containers of this machine's podman sleep that long. Printed are the seconds
from the first acceptance to the last end, what each stage took, and what the server used of the processor:
near 100 % of one core, Python itself is the limit. Quiet machines measure best.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from broker.contract import kinds
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from fairlead.served import Served, start

IMAGE = "localhost/fairlead-sessions:1"
# what 100 sessions of five seconds may take on the simulated platform
PROMISED_SECONDS = 15.0
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
ROW = "{:<44} {:>8} {:>8} {:>8}"

CATALOGUE = """
name = "benchmark"

[sites.here]
name = "Here"
latitude = 46.5
longitude = 6.6

[sites.here.platform]
kind = "{kind}"
cores = 4096
memory = "16 TiB"
storage = "1 TiB"
options = {options}
"""


@dataclass(frozen=True)
class Times:
    """Of one session: instants in seconds since the epoch."""

    asked: float
    offered: float
    accepted: float
    answered: float
    started: float
    ended: float
    released: float


class Asker:
    """One broker, asked by several clients."""

    def __init__(self, served: Served, document: dict[str, Any]) -> None:
        self._served, self._document = served, document
        self._local = threading.local()

    def client(self) -> httpx.Client:
        if not hasattr(self._local, "client"):
            who = (self._served.user, self._served.password)
            self._local.client = httpx.Client(
                base_url=self._served.url, auth=who, timeout=120.0, trust_env=False
            )
        found: httpx.Client = self._local.client
        return found

    def ask_and_accept(self, _: int) -> tuple[str, float, float, float, float]:
        """The session, and when it was asked for, offered, and accepted."""
        asked = time.time()
        offers = self.client().post("/requests", json=self._document).json()
        offered = time.time()
        if "error" in offers:
            raise SystemExit(f"the broker refuses: {offers['error']}")
        if offers["result"] != "YES":
            raise SystemExit(f"the broker says NO: {[m['message'] for m in offers['meta']['messages']]}")
        uuid = offers["offers"][0]["meta"]["uuid"]
        update = {"kind": "uri:enum-value-update", "path": "phase", "value": "ACCEPTED"}
        self.client().post(f"/sessions/{uuid}", json=update).raise_for_status()
        return uuid, asked, offered, offered, time.time()

    def follow(self, uuids: Sequence[str]) -> None:
        """Until all have ended: a question a second about the first that hasn't."""
        left = list(uuids)
        while left:
            time.sleep(1.0)
            while left and self.over(left[0]):
                left.pop(0)

    def over(self, uuid: str) -> bool:
        return self.client().get(f"/sessions/{uuid}").json()["phase"] in FINAL

    def times(self, known: tuple[str, float, float, float, float]) -> Times:
        uuid, *asked = known
        logs = self.client().get(f"/sessions/{uuid}/logs").json()
        session = self.client().get(f"/sessions/{uuid}").json()
        if session["phase"] != "COMPLETED":
            texts = [message["message"] for message in session["meta"]["messages"]]
            raise SystemExit(f"session {uuid} ended as {session['phase']}: {texts}")
        instants = (logs["started"], logs["ended"], session["meta"]["modified"])
        return Times(*asked, *(datetime.fromisoformat(text).timestamp() for text in instants))


@contextlib.contextmanager
def server(kind: str, options: str, database: str | None) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="fairlead-benchmark-") as name:
        directory = Path(name)
        (directory / "sites.toml").write_text(CATALOGUE.format(kind=kind, options=options))
        environment = {
            "FAIRLEAD_DATABASE_URL": database or f"sqlite:///{directory / 'fairlead.db'}",
            "FAIRLEAD_WORK_DIRECTORY": str(directory / "work"),
            "FAIRLEAD_REQUESTS_PER_MINUTE": "0",
        }
        served = start(["--catalogue", str(directory / "sites.toml")], directory / "server.log", environment)
        try:
            yield served
        except BaseException:
            sys.stderr.write((directory / "server.log").read_text())
            raise
        finally:
            served.stop()


def processor_seconds(process: int) -> float:
    """What a process and its children that have ended have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def show(name: str, seconds: Sequence[float]) -> None:
    print(
        ROW.format(
            name, *(f"{each:.2f}" for each in (min(seconds), statistics.median(seconds), max(seconds)))
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--podman", type=int, metavar="N", default=0)
    parser.add_argument("--database")
    given = parser.parse_args()
    executable: dict[str, Any] = {"kind": kinds.DOCKER_CONTAINER, "image": {"locations": [IMAGE]}}
    if given.podman:
        build_checksum_image(IMAGE)
        executable["command"] = ["sleep", f"{given.seconds:g}"]
        kind, options = "podman", '{ limits = "none", stop_seconds = 0.0 }'
    else:
        kind, options = "simulated", f"{{ run_seconds = {given.seconds}, image_seconds = 0.5 }}"
    count = given.podman or given.sessions
    try:
        with server(kind, options, given.database) as served:
            return measure(served, executable, count, given)
    finally:
        if given.podman:
            remove_checksum_image(IMAGE)


def measure(served: Served, executable: dict[str, Any], count: int, given: argparse.Namespace) -> int:
    document = {"executable": executable, "schedule": {"requested": {"duration": "PT10M"}}}
    asker = Asker(served, document)
    used = processor_seconds(served.process.pid)
    began = time.monotonic()
    with ThreadPoolExecutor(given.clients) as clients:
        known = list(clients.map(asker.ask_and_accept, range(count)))
    asker.follow([each[0] for each in known])
    passed = time.monotonic() - began
    used = processor_seconds(served.process.pid) - used
    found = [asker.times(each) for each in known]
    first = min(each.accepted for each in found)
    whole = max(each.released for each in found) - first
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    print(f"{count} sessions of {given.seconds:g} s, {given.clients} clients, {at}")
    print(ROW.format("seconds", "least", "median", "most"))
    show("from a request to its offers", [each.offered - each.asked for each in found])
    show("from accepting to the answer", [each.answered - each.accepted for each in found])
    show("from accepting to the start of the container", [each.started - each.accepted for each in found])
    show("from the start to its end, as it was seen", [each.ended - each.started for each in found])
    show("from its end to the session's", [each.released - each.ended for each in found])
    print(f"all were accepted {max(each.answered for each in found) - first:.2f} s after the first")
    print(f"all had ended {whole:.2f} s after the first was accepted")
    print(f"the server used {used:.2f} s of the processor, {100 * used / passed:.0f} % of one core")
    if given.podman:
        return 0
    kept = whole <= PROMISED_SECONDS + given.seconds - 5.0
    print(f"promised for 100 sessions of 5 s: {PROMISED_SECONDS:g} s: {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
