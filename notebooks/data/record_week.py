"""Record the week that the notebooks look at: four sites of a lab of its own, really measured.

    sudo .venv/bin/python notebooks/data/record_week.py [--rounds 84] [--seed 1] [--into notebooks/data]

Needs root, and a quarter of an hour. Every round stands for two hours, so 84 of them are a week: that is
what the times say that are written down, all else is as it was measured. In each round every one of the
twelve paths is tested by iperf3 and ping as scripts would, then as a perfSONAR mesh would (the same programs,
run here, kept with the origin "pscheduler" and the archive "lab mesh"); after every fourth a file is moved
over each path, and what was forecast for it by what had been measured until then is kept beside what it took.
What goes wrong is planted, in `planted`, `MESH_OF`, `mesh_tests` and `mesh_port`; PROVENANCE.md tells it.

All paths are tested at once, each over a link of its own; the times that are written down are some minutes
apart.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

from federation.catalogue import load_federation
from federation.clock import SystemClock
from federation.errors import FairleadError
from federation.sites import Federation
from lab import lab, state
from lab.catalogue import HTTP_PORT
from netprobe.cost import seconds_for
from netprobe.exchange import export
from netprobe.forecast import forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tools import Endpoint, Test
from netprobe.tools.iperf3 import Iperf3
from netprobe.tools.ping import Ping
from netprobe.tools.transfer import Transfer

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 2
SITES = ("perth", "manchester", "lausanne", "penticton")
# one-way delay (ms); both ways are alike
DELAYS = {
    frozenset(("perth", "manchester")): 40,
    frozenset(("perth", "lausanne")): 38,
    frozenset(("perth", "penticton")): 35,
    frozenset(("manchester", "lausanne")): 6,
    frozenset(("manchester", "penticton")): 30,
    frozenset(("lausanne", "penticton")): 33,
}
# Mbit/s, low enough that twelve at once are no work for two cores
RATES = {
    ("perth", "manchester"): 36,
    ("perth", "lausanne"): 40,
    ("perth", "penticton"): 24,
    ("manchester", "perth"): 32,
    ("manchester", "lausanne"): 50,
    ("manchester", "penticton"): 36,
    ("lausanne", "perth"): 30,
    ("lausanne", "manchester"): 48,
    ("lausanne", "penticton"): 34,
    ("penticton", "perth"): 22,
    ("penticton", "manchester"): 28,
    ("penticton", "lausanne"): 30,
}
QUEUE = "60 ms"
IPERF3 = {"duration": "2 s", "omit": "1 s"}
PING = {"count": 10, "interval": "100 ms"}
# what the mesh does otherwise than the scripts
MESH_OF = {
    ("lausanne", "penticton"): {"window": "64 KiB"},
    ("lausanne", "perth"): {"duration": "1 s", "omit": "0 s"},
}
FILES = {"small.dat": "2 MB", "middle.dat": "6 MB", "large.dat": "15 MB"}
TRANSFER_EVERY = 4
FIRST_PORT, LOAD_PORT, CLOSED_PORT = 5300, 5390, 5391
SETTLE_SECONDS = 0.8


@dataclass(frozen=True)
class Condition:
    """A path during one round, against its usual rate and delay: loss (fraction), and other TCP flows."""

    rate: float = 1.0
    delay: float = 1.0
    loss: float = 0.0
    flows: int = 0


Ends = tuple[str, str]


def planted(path: Ends, number: int) -> Condition:
    """What is wrong with a path in that round."""
    hour = number * HOURS % 24
    match path:
        case ("perth", "lausanne") if number >= 50:
            return Condition(rate=0.5, delay=1.5)
        case ("penticton", "lausanne") if number >= 40:
            return Condition(loss=0.004)
        case ("manchester", "penticton") if 8 <= hour < 18:
            return Condition(rate=0.6)
        case ("perth", "manchester") if number % 11 in (4, 5, 6):
            return Condition(flows=1)
    return Condition()


def mesh_tests(path: Ends, number: int) -> bool:
    """Whether the mesh still tests it."""
    return path != ("manchester", "lausanne") or number < 60


def mesh_port(path: Ends, number: int) -> int:
    """Where the mesh looks for the server: in the last two days it has moved, on one path."""
    moved = path == ("penticton", "manchester") and number >= 62
    return CLOSED_PORT if moved else port(path)


def port(path: Ends) -> int:
    return FIRST_PORT + PATHS.index(path)


PATHS = list(permutations(SITES, 2))


def address(site: str) -> str:
    return f"10.77.{SITES.index(site) + 1}.2"


PLACES = {
    "perth": (-31.95, 115.86),
    "manchester": (53.48, -2.24),
    "lausanne": (46.52, 6.63),
    "penticton": (49.50, -119.59),
}


def description(number: int) -> str:
    """The lab's TOML as it is in that round."""
    lines = ['name = "week"', "mtu = 9000"]
    for index, site in enumerate(SITES, 1):
        latitude, longitude = PLACES[site]
        lines += [f"[sites.{site}]", f'number = {index}\nname = "{site.title()}"\nrses = []']
        lines += [f"latitude = {latitude}\nlongitude = {longitude}"]
        lines += ['platform = { cores = 1, memory = "1 GiB", storage = "1 GiB" }']
    for source in SITES:
        lines.append(f"[paths.{source}]")
        for end in SITES:
            if end == source:
                continue
            now = planted((source, end), number)
            rate, delay = RATES[source, end] * now.rate, DELAYS[frozenset((source, end))] * now.delay
            lines.append(
                f'{end} = {{ delay = "{delay:.2f} ms", jitter = "0.3 ms", rate = "{rate:.2f} Mbit/s", '
                f'loss = "{now.loss * 100:.3f} %", queue = "{QUEUE}" }}'
            )
    for name, size in FILES.items():
        lines += ["[[files]]", f'name = "{name}"\nsize = "{size}"\nsites = {list(SITES)}'.replace("'", '"')]
    return "\n".join(lines) + "\n"


def background(site: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        lab.host(site).argv(list(command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


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


@contextmanager
def running(file: Path) -> Iterator[Federation]:
    """The lab, with an iperf3 server for each path and for the load; all of it goes again."""
    file.write_text(description(0), encoding="utf-8")
    servers: list[subprocess.Popen[bytes]] = []
    try:
        lab.up(file)
        for path in PATHS:
            end = path[1]
            servers.append(background(end, ["iperf3", "-s", "-B", address(end), "-p", str(port(path))]))
        for end in SITES:
            servers.append(background(end, ["iperf3", "-s", "-B", address(end), "-p", str(LOAD_PORT)]))
        yield load_federation(state.state_dir() / "sites.toml")
    finally:
        stop(servers)
        lab.down()


class Week:
    """The rounds, one after the other, with the flows that load the paths now."""

    def __init__(self, file: Path, federation: Federation, seed: int) -> None:
        self.file, self.federation, self.drawn = file, federation, random.Random(seed)
        self.loads: list[subprocess.Popen[bytes]] = []
        self.found: list[Measurement] = []
        self.before: list[Condition] = []

    def change(self, number: int) -> None:
        """Let the lab be as it is in that round."""
        now = [planted(path, number) for path in PATHS]
        if now == self.before:
            return
        self.file.write_text(description(number), encoding="utf-8")
        lab.reload(self.file)
        stop(self.loads)
        for path, one in zip(PATHS, now, strict=True):
            if one.flows:
                client = ["iperf3", "-c", address(path[1]), "-p", str(LOAD_PORT), "-t", "3600"]
                self.loads.append(background(path[0], [*client, "-P", str(one.flows)]))
        self.before = now
        time.sleep(SETTLE_SECONDS)

    async def measure(self, number: int) -> None:
        when = BEGIN + timedelta(hours=number * HOURS, minutes=self.drawn.uniform(0, 5))
        clock = SystemClock()
        iperf3, ping, transfer = Iperf3(clock), Ping(clock), Transfer(clock)
        meshed = [path for path in PATHS if mesh_tests(path, number)]
        later = when + timedelta(minutes=30)
        pings = await asyncio.gather(*(ping.run(_test(path, PING)) for path in [*PATHS, *meshed]))
        self._keep(pings[: len(PATHS)], when)
        self._keep([_of_mesh(one, "rtt") for one in pings[len(PATHS) :]], later)
        tests = await asyncio.gather(*(iperf3.run(_test(path, IPERF3)) for path in PATHS))
        self._keep(tests, when + timedelta(minutes=3))
        tests = await asyncio.gather(
            *(
                iperf3.run(_test(path, {**IPERF3, **MESH_OF.get(path, {})}, mesh_port(path, number)))
                for path in meshed
            )
        )
        self._keep([_of_mesh(one, "throughput") for one in tests], later + timedelta(minutes=3))
        if number % TRANSFER_EVERY == TRANSFER_EVERY - 1:
            await self._move(transfer, when + timedelta(minutes=60))

    async def _move(self, transfer: Transfer, when: datetime) -> None:
        """A file over each path, with what is forecast for it by what was measured until now."""
        history = History.of(self.found)
        names = [self.drawn.choice(list(FILES)) for _ in PATHS]
        moved = await asyncio.gather(
            *(
                transfer.run(_test(path, {"url": f"http://{address(path[0])}:{HTTP_PORT}/{name}"}, HTTP_PORT))
                for path, name in zip(PATHS, names, strict=True)
            )
        )
        said = []
        for one in moved:
            figures = dict(one.figures)
            if one.succeeded:
                path = forecast_from(history, self.federation, one.source, one.destination, when)
                seconds = seconds_for(path, figures["size_bytes"], 1)
                figures |= {
                    "predicted_seconds": seconds.p50,
                    "predicted_seconds_p10": seconds.p10,
                    "predicted_seconds_p90": seconds.p90,
                }
            said.append(replace(one, figures=figures))
        self._keep(said, when)

    def _keep(self, found: Sequence[Measurement], when: datetime) -> None:
        """Written down as if they had begun a minute apart."""
        for index, one in enumerate(found):
            if one.error:
                print(f"  {one.source} to {one.destination}: {one.error}", file=sys.stderr)
            context = {name: _without_machine(value) for name, value in one.context.items()}
            started = when + timedelta(minutes=2 * index)
            self.found.append(replace(one, started=started, context=context, raw=None))


def _without_machine(value: object) -> object:
    """What an end says of its processors is left out: all sites share the machine, and whatever else ran."""
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in value.items() if name not in ("processors_percent", "load_before")}


def _test(path: Ends, parameters: Mapping[str, object], at: int | None = None) -> Test:
    source, destination = path
    return Test(
        Endpoint(source, lab.host(source), address(source), at or port(path)),
        Endpoint(destination, lab.host(destination), address(destination), at or port(path)),
        parameters,
        time_limit_seconds=25.0,
    )


def _of_mesh(one: Measurement, test: str) -> Measurement:
    """As a row of the mesh: its type of test is what a template's coverage is counted by."""
    parameters = {**one.parameters, "test": test}
    return replace(one, origin=Origin.PSCHEDULER, archive="lab mesh", parameters=parameters)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=84)
    parser.add_argument("--into", type=Path, default=Path(__file__).parent)
    chosen = parser.parse_args()
    # never the lab that somebody has up
    os.environ[state.NAME_VARIABLE] = f"week{os.getpid()}"
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "lab.toml"
            with running(file) as federation:
                week = Week(file, federation, chosen.seed)
                try:
                    for number in range(chosen.rounds):
                        week.change(number)
                        asyncio.run(week.measure(number))
                        passed = time.monotonic() - begun
                        print(f"round {number + 1} of {chosen.rounds}, {passed:.0f} s", file=sys.stderr)
                finally:
                    stop(week.loads)
    except FairleadError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped: the lab is gone, nothing is kept", file=sys.stderr)
        return 130
    path = chosen.into / "week.parquet"
    written = export(week.found, path, SystemClock().now())
    failed = sum(one.kind is Kind.THROUGHPUT and not one.succeeded for one in week.found)
    size = path.stat().st_size / 1e3
    print(f"{written.count} measurements in {path}, {size:.0f} kB; {failed} throughput tests failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
