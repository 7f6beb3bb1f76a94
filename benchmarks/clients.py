"""Many clients at once: is anything promised twice, and how fast is the broker?

    python benchmarks/clients.py [--clients 64] [--seconds 60] [--database sqlite|postgresql|URL] [--seed 1]

Starts `fairlead serve` as a process of its own on the built-in sites, and as many clients as asked for, each
on a connection of its own. A client asks for offers, accepts one (or rejects one, or lets them expire), looks
at it, and sometimes cancels it; offers live for five seconds only, so that expiry is part of it. Both
databases are tried unless one is named; PostgreSQL is started here, and gone afterwards.

Exit status 1 where any promise was one too many (every change of a promise is kept by triggers of the
database, and looked at afterwards), where an answer was a 5xx, or where a client was left without one.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fairlead.served import Served, start
from federation.catalogue import load_federation
from federation.database import connect
from reservations.capacity import Capacity
from tests.broker.conftest import make_document
from tests.broker.holds_history import history, oversold, record
from tests.conftest import _postgresql_binaries, _postgresql_cluster

OFFER_SECONDS = 5
CORES = 64
ROW = "{:<8} {:>8} {:>8} {:>9} {:>9} {:>9}"


@dataclass
class Tally:
    """What the clients saw: seconds by kind of request, and how often each status came."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        for kind, seconds in other.seconds.items():
            self.seconds.setdefault(kind, []).extend(seconds)
        self.statuses += other.statuses
        self.answers += other.answers


class Client:
    """One user on one connection."""

    def __init__(self, served: Served, name: str, password: str, chance: random.Random) -> None:
        parts = urlsplit(served.url)
        self._http = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        token = base64.b64encode(f"{name}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._chance = chance
        self.tally = Tally()

    def call(self, kind: str, method: str, path: str, body: Any = None) -> Any:
        began = time.perf_counter()
        self._http.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._http.getresponse()
        text = response.read()
        self.tally.seconds.setdefault(kind, []).append(time.perf_counter() - began)
        self.tally.statuses[kind, response.status] += 1
        return json.loads(text)

    def reset(self) -> None:
        """Forget what was counted; the next call opens a connection, which the broker may have closed."""
        self.tally = Tally()
        self._http.close()

    def move(self, kind: str, uuid: str, phase: str) -> Any:
        update = {"kind": "uri:enum-value-update", "path": "/phase", "value": phase}
        return self.call(kind, "POST", f"/sessions/{uuid}", update)

    def work(self, until: float) -> None:
        chance = self._chance
        while time.monotonic() < until:
            minutes = chance.choice([1, 10, 60])
            asked = make_document(cores=(chance.randint(1, 8), 16), duration=f"PT{minutes}M")
            answer = self.call("ask", "POST", "/requests", asked)
            offers = [offer["meta"]["uuid"] for offer in answer.get("offers", [])]
            self.tally.answers[answer.get("result", "none")] += 1
            if not offers:
                continue
            deed = chance.random()
            uuid = chance.choice(offers)
            if deed < 0.75:
                self.move("accept", uuid, "ACCEPTED")
                self.call("read", "GET", f"/sessions/{uuid}")
                if deed < 0.4:
                    self.move("cancel", uuid, "CANCELLED")
            elif deed < 0.85:
                self.move("reject", uuid, "REJECTED")
            elif deed < 0.9:
                self.call("list", "GET", "/sessions?limit=20")


@contextmanager
def database(named: str, directory: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if named == "sqlite":
        yield f"sqlite:///{directory / 'fairlead.db'}"
    elif named == "postgresql":
        binaries = _postgresql_binaries()
        if binaries is None:
            sys.exit("there are no PostgreSQL server binaries here: apt-get install postgresql")
        with _postgresql_cluster(binaries) as socket:
            yield f"postgresql+psycopg://postgres@/postgres?host={socket}"
    else:
        yield named


def measure(named: str, clients: int, seconds: float, seed: int) -> bool:
    """Run against one database and print what was found; whether all is as it should be."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fairlead-clients-")))
        catalogue = directory / "sites.toml"
        catalogue.write_text(small_sites())
        federation = load_federation(catalogue)
        url = stack.enter_context(database(named, directory))
        environment = {
            "FAIRLEAD_DATABASE_URL": url,
            "FAIRLEAD_WORK_DIRECTORY": str(directory / "work"),
            "FAIRLEAD_OFFER_LIFETIME_SECONDS": str(OFFER_SECONDS),
            "FAIRLEAD_REQUESTS_PER_MINUTE": "0",
        }
        served = start(["--catalogue", str(catalogue)], directory / "log", environment)
        stack.callback(served.stop)
        engine = connect(url)
        stack.callback(engine.dispose)
        record(engine)
        working = make_clients(served, clients, seed)
        until = time.monotonic() + seconds
        lost = []

        def work(client: Client) -> None:
            try:
                client.work(until)
            except (OSError, http.client.HTTPException, ValueError) as error:
                lost.append(f"{type(error).__name__}: {error}")

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(work, working))
        processor = processor_seconds(served.process.pid)
        tally = Tally()
        for client in working:
            tally.add(client.tally)
        pools = {
            site.id: Capacity(site.platform.cores, site.platform.memory_gib, site.platform.storage_gib)
            for site in federation
            if site.platform is not None
        }
        too_many = oversold(engine, pools)
        with engine.connect() as connection:
            changes = len(connection.execute(history.select()).all())
    well = report(named, tally, seconds, changes, too_many, lost)
    number = sum(tally.statuses.values())
    print(
        f"the broker's process took {processor:.1f} s of processor: {1000 * processor / number:.1f} ms each"
    )
    return well


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_clients(served: Served, number: int, seed: int) -> list[Client]:
    admin = Client(served, served.user, served.password, random.Random(seed))
    made = []
    for index in range(number):
        name, password = f"client-{index}", f"password-{index}"
        admin.call("user", "POST", "/admin/identities", {"username": name, "password": password})
        made.append(Client(served, name, password, random.Random(seed * 1000 + index)))
        # the first password of somebody takes long to check, on purpose
        made[-1].call("hello", "GET", "/sessions?limit=1")
        made[-1].reset()
    return made


def report(
    named: str, tally: Tally, seconds: float, changes: int, too_many: list[str], lost: list[str]
) -> bool:
    print(f"\n{named}: {tally.answers['YES']} YES, {tally.answers['NO']} NO")
    print(ROW.format("", "number", "per s", "50 % ms", "90 % ms", "99 % ms"))
    for kind, taken in tally.seconds.items():
        taken.sort()
        quantiles = [
            f"{1000 * taken[min(int(q * len(taken)), len(taken) - 1)]:.0f}" for q in (0.5, 0.9, 0.99)
        ]
        print(ROW.format(kind, len(taken), f"{len(taken) / seconds:.1f}", *quantiles))
    failed = {key: count for key, count in tally.statuses.items() if key[1] >= 500}
    counts = [f"{kind} {status}: {count}" for (kind, status), count in sorted(tally.statuses.items())]
    print(f"statuses: {', '.join(counts)}")
    print(f"{changes} changes of promises, {len(too_many)} one too many")
    for line in (*too_many[:5], *lost[:5]):
        print(f"  {line}")
    well = not too_many and not failed and not lost and tally.answers["YES"] > 0
    print("all is well" if well else f"NOT WELL: {failed or ''} {len(lost)} clients lost")
    return well


def small_sites() -> str:
    """The built-in sites, with so few cores that the clients have to fight for them."""
    text = files("federation").joinpath("data", "simulated.toml").read_text(encoding="utf-8")
    return re.sub(r"(?m)^cores = .*$", f"cores = {CORES}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database", help="sqlite, postgresql, or a URL; both without it")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    threading.stack_size(512 * 1024)
    named = [given.database] if given.database else ["sqlite", "postgresql"]
    well = [measure(name, given.clients, given.seconds, given.seed) for name in named]
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
