"""How true are the forecasts where conditions change? A lab of its own, measured and forecast.

    flock /tmp/quiet.lock python benchmarks/forecast_lab.py [--seed 1] [--rounds 130] [--folder DIRECTORY]

Needs root, and a quarter of an hour. Ten pairs of sites, each with a path of its own (20 to 60 Mbit/s): one
is quiet, on others real iperf3 flows of TCP or UDP come and go, packets are lost, the rate halves for good,
goes by day and night, wanders (forecast_lab_conditions.py). In every round all paths are tested at once by
iperf3 (3 s, the first one not counted), no site in two tests; after every fourth a file is moved over each.
A round stands for two hours: so far apart are the times that are written down. All else is as it was
measured.

What was measured is kept in --folder (a temporary one that is named), where `python benchmarks/forecast.py
--folder` reads it again. Exit status 1: some single forecaster has a smaller mean error than the choice, or
the coverage isn't within 75 to 85 %.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forecast import report
from forecast_lab_conditions import HOURS, KINDS, Condition

from federation.clock import SystemClock
from federation.errors import FairleadError, OutsideError
from lab import lab, state
from lab.catalogue import HTTP_PORT, IPERF3_PORT
from netprobe.measurement import Measurement
from netprobe.recorded import document
from netprobe.tools import Endpoint, Test
from netprobe.tools.iperf3 import Iperf3
from netprobe.tools.transfer import Transfer

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
MTU = 9000
LOAD_PORT = 5299
DURATION_SECONDS, OMIT_SECONDS = 2, 1
# Until other flows have taken their share, or given it back.
SETTLE_SECONDS = 0.8
TRANSFER_EVERY = 4
FILES = {"small.dat": "1 MB", "middle.dat": "4 MB", "large.dat": "10 MB"}


@dataclass
class Pair:
    """A measured path: its usual rate (bit/s), delay (s) and queue (s), what will happen to it, and the
    processes that load it now."""

    name: str
    number: int
    congestion: str
    rate: float
    delay: float
    queue: float
    schedule: Sequence[Condition]
    loads: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def sites(self) -> tuple[str, str]:
        return f"s{self.number}", f"d{self.number}"

    def test(self, parameters: dict[str, object]) -> Test:
        source, destination = (lab.host(site) for site in self.sites)
        return Test(
            Endpoint(self.name, source, address(2 * self.number + 1), IPERF3_PORT),
            Endpoint(f"to-{self.name}", destination, address(2 * self.number + 2), IPERF3_PORT),
            parameters,
            time_limit_seconds=20.0,
        )


def address(number: int) -> str:
    return f"10.77.{number}.2"


def pairs(seed: int, rounds: int) -> list[Pair]:
    drawn = random.Random(seed)
    return [
        Pair(
            name=f"{name}-0",
            number=number,
            congestion=kind.congestion,
            rate=drawn.uniform(20e6, 60e6),
            delay=drawn.uniform(0.004, 0.03),
            queue=drawn.uniform(0.03, 0.08),
            schedule=kind.schedule(rounds, drawn),
        )
        for number, (name, kind) in enumerate(KINDS.items())
    ]


def description(measured: Sequence[Pair], number: int) -> str:
    """The lab's TOML as it is in round `number`. All sites are joined, but only the pairs' paths are used."""
    sites = [site for pair in measured for site in pair.sites]
    lines = ['name = "forecast"', f"mtu = {MTU}"]
    for index, site in enumerate(sites):
        lines += [
            f"[sites.{site}]",
            f'number = {index + 1}\nname = "{site}"\nlatitude = 0\nlongitude = {index}\nrses = []',
        ]
    used = {}
    for pair in measured:
        now, (source, destination) = pair.schedule[number], pair.sites
        delay = f'delay = "{pair.delay * now.delay * 1e3:.3f} ms"'
        shape = f'rate = "{pair.rate * now.rate / 1e6:.3f} Mbit/s", queue = "{pair.queue * 1e3:.1f} ms"'
        used[source, destination] = f'{{ {delay}, loss = "{now.loss * 100:.3f} %", {shape} }}'
        used[destination, source] = f'{{ {delay}, rate = "200 Mbit/s", queue = "50 ms" }}'
    idle = '{ delay = "10 ms", rate = "100 Mbit/s", queue = "50 ms" }'
    for source in sites:
        lines.append(f"[paths.{source}]")
        lines += [f"{end} = {used.get((source, end), idle)}" for end in sites if end != source]
    for name, size in FILES.items():
        senders = [pair.sites[0] for pair in measured]
        lines += ["[[files]]", f'name = "{name}"\nsize = "{size}"\nsites = {json.dumps(senders)}']
    return "\n".join(lines) + "\n"


@contextmanager
def running(measured: Sequence[Pair], file: Path) -> Iterator[None]:
    """A lab of its own, with a server for the load at each destination; all of it goes again."""
    file.write_text(description(measured, 0), encoding="utf-8")
    servers = []
    try:
        lab.up(file)
        for pair in measured:
            end = pair.sites[1]
            command = ["iperf3", "-s", "-B", address(2 * pair.number + 2), "-p", str(LOAD_PORT)]
            servers.append(quietly(lab.host(end).argv(command)))
        yield
    finally:
        for pair in measured:
            stop(pair.loads)
        stop(servers)
        lab.down()


def quietly(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
        if process.returncode is None:
            process.kill()
            process.wait()
    processes.clear()


def change(measured: Sequence[Pair], number: int, file: Path) -> None:
    """Let the lab be as it is in round `number`, if it isn't yet."""
    before = [pair.schedule[max(number - 1, 0)] for pair in measured]
    now = [pair.schedule[number] for pair in measured]
    shaped = [(one.rate, one.delay, one.loss) for one in now]
    if number == 0 or shaped != [(one.rate, one.delay, one.loss) for one in before]:
        file.write_text(description(measured, number), encoding="utf-8")
        lab.reload(file)
    if number and [(one.flows, one.udp) for one in now] == [(one.flows, one.udp) for one in before]:
        return
    moved = []
    for pair, old, new in zip(measured, before, now, strict=True):
        if number == 0 or (old.flows, old.udp) != (new.flows, new.udp):
            stop(pair.loads)
            moved.append(pair)
    time.sleep(SETTLE_SECONDS / 2)
    for pair in moved:
        load(pair, pair.schedule[number])
    time.sleep(SETTLE_SECONDS)
    for pair in moved:
        for process in pair.loads:
            if process.poll() is not None:
                raise OutsideError(f"{pair.name}: the load of round {number + 1} ended at once")


def load(pair: Pair, now: Condition) -> None:
    if not now.flows and not now.udp:
        return
    client = ["iperf3", "-c", address(2 * pair.number + 2), "-p", str(LOAD_PORT), "-t", "3600"]
    kind = ["-P", str(now.flows)] if now.flows else ["-u", "-b", f"{now.udp * pair.rate:.0f}"]
    pair.loads.append(quietly(lab.host(pair.sites[0]).argv([*client, *kind])))


async def measure(measured: Sequence[Pair], number: int, drawn: random.Random) -> list[Measurement]:
    """All paths at once; and after some rounds, a file over each."""
    how = {"duration": f"{DURATION_SECONDS} s", "omit": f"{OMIT_SECONDS} s"}
    iperf3, transfer = Iperf3(SystemClock()), Transfer(SystemClock())
    tests = (iperf3.run(pair.test({**how, "congestion": pair.congestion})) for pair in measured)
    when = BEGIN + timedelta(hours=number * HOURS + drawn.uniform(0, 0.5))
    found = [replace(one, started=when) for one in await asyncio.gather(*tests)]
    if number % TRANSFER_EVERY == TRANSFER_EVERY - 1:
        moves = []
        for pair in measured:
            name = drawn.choice(list(FILES))
            url = f"http://{address(2 * pair.number + 1)}:{HTTP_PORT}/{name}"
            moves.append(transfer.run(pair.test({"url": url})))
        later = when + timedelta(minutes=20)
        found += [replace(one, started=later) for one in await asyncio.gather(*moves)]
    return found


def series(measured: Sequence[Pair], rounds: int, file: Path, seed: int) -> list[Measurement]:
    """Every round, one after the other. A test that failed is said and kept, as anywhere."""
    drawn, found = random.Random(seed), []
    begun = time.monotonic()
    for number in range(rounds):
        change(measured, number, file)
        results = asyncio.run(measure(measured, number, drawn))
        for one in results:
            if one.error:
                print(f"round {number + 1}: {one.error}", file=sys.stderr)
        found += results
        if number % 10 == 9:
            print(
                f"round {number + 1} of {rounds}, {time.monotonic() - begun:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return found


def keep(found: Sequence[Measurement], folder: Path) -> Path:
    """The results without what no forecast reads (the ends' context, raw documents)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "forecast-lab.json.gz"
    text = json.dumps(document(found), separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=130)
    parser.add_argument("--first", type=int, default=16, help="tests of a path before forecasts count")
    parser.add_argument("--folder", type=Path, help="where to keep what was measured")
    chosen = parser.parse_args()
    # never the lab that somebody has up
    os.environ[state.NAME_VARIABLE] = f"forecast{os.getpid()}"
    measured = pairs(chosen.seed, chosen.rounds)
    try:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "lab.toml"
            with running(measured, file):
                found = series(measured, chosen.rounds, file, chosen.seed)
    except FairleadError as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("stopped: the lab is gone, nothing is kept", file=sys.stderr)
        return 130
    path = keep(found, chosen.folder or Path(tempfile.mkdtemp(prefix="forecast-lab-")))
    print(f"{len(found)} results in {path}, {path.stat().st_size / 1e3:.0f} kB")
    return report(found, chosen.first, strict=True)


if __name__ == "__main__":
    sys.exit(main())
