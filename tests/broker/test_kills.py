"""The server is killed (SIGKILL) at random moments of running sessions and started again, many times over.

In the end nothing is lost (every session that was accepted has completed), nothing happened twice (every
container was started once) and nothing has leaked (no hold, no container, no staged file is left).

FAIRLEAD_TEST_KILLS says how often (300 for a full run), FAIRLEAD_TEST_SEED at which moments. The jobs of the
simulated platform live in the broker's memory and die with it. There, "nothing twice" means that a job never
runs twice at a time, is told to have run again once for each time that it was lost, and ends once.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from broker.model import Phase
from broker.sessions import store
from broker.tables import holds, sessions
from fairlead.served import start
from federation.database import connect
from tests.broker.conftest import KINDS, make_document
from tests.broker.podman_support import an_image, podman

JOURNAL = Path(__file__).with_name("journal")
KILLS = int(os.environ.get("FAIRLEAD_TEST_KILLS") or 2)
SEED = int(os.environ.get("FAIRLEAD_TEST_SEED") or 0)
# from a server's first answer to its end, at most
LIFE_SECONDS = 2.5
# sessions that are begun in one life
SESSIONS = 3
# many kills leave many sessions to be made up for
SETTLE_SECONDS = 120.0 + 2.0 * KILLS
OFFERS = (Phase.OFFERED, Phase.REJECTED, Phase.EXPIRED)

CATALOGUE = """
name = "kills"

[sites.here]
name = "Here"
latitude = 10.0
longitude = 20.0

[sites.here.platform]
kind = "{kind}"
cores = 400
memory = "400 GiB"
storage = "10 TiB"  # results are kept for a day: none of them may fill it
options = {options}
"""


@dataclass
class Machine:
    """A broker's catalogue, database and work directory: all that is left of it when it is killed."""

    directory: Path
    kind: str
    options: str
    document: dict
    database: str | None = None
    served: int = 0
    kills: int = 0
    environment: dict = field(default_factory=dict)

    def __post_init__(self):
        self.catalogue = self.directory / "sites.toml"
        self.catalogue.write_text(CATALOGUE.format(kind=self.kind, options=self.options))
        self.environment = {
            "FAIRLEAD_DATABASE_URL": self.database or f"sqlite:///{self.directory / 'fairlead.db'}",
            "FAIRLEAD_WORK_DIRECTORY": str(self.work),
            "PYTHONPATH": str(JOURNAL),
        }

    @property
    def work(self):
        return self.directory / "work"

    def serve(self):
        self.served += 1
        log = self.directory / f"server-{self.served}.log"
        return start(["--catalogue", str(self.catalogue)], log, self.environment)

    def live_and_die(self, seconds):
        """Serve, begin sessions, and be killed `seconds` after the first answer."""
        self.die(self.serve(), seconds)

    def begin(self, served, count):
        who = (served.user, served.password)
        with httpx.Client(base_url=served.url, auth=who, trust_env=False, timeout=60) as client:
            for _ in range(count):
                client.post("/direct", json=self.document)

    def die(self, served, seconds):
        killer = threading.Timer(seconds, lambda: os.kill(served.process.pid, signal.SIGKILL))
        killer.start()
        try:
            self.begin(served, SESSIONS)
        except httpx.HTTPError:
            pass  # killed in the middle: whether the session was begun, the database knows
        finally:
            killer.join()
            served.process.wait(60)
        self.kills += 1

    def found(self):
        """Every session that was accepted."""
        engine = connect(self.environment["FAIRLEAD_DATABASE_URL"])
        try:
            with engine.connect() as connection:
                uuids = list(connection.execute(select(sessions.c.uuid)).scalars())
                records = [store.read_session(connection, uuid) for uuid in uuids]
                rows = connection.execute(select(holds.c.session)).scalars().all()
                busy = select(sessions.c.uuid).where(sessions.c.occupies_platform)
                return (
                    [each for each in records if each.phase not in OFFERS],
                    set(rows),
                    set(connection.execute(busy).scalars()),
                )
        finally:
            engine.dispose()

    def settle(self):
        """Serve until there is nothing left to do; the sessions, and what is still held."""
        served = self.serve()
        try:
            # on a busy machine all others may have been killed before they were begun
            self.begin(served, 1)
            deadline = time.monotonic() + SETTLE_SECONDS
            while time.monotonic() < deadline:
                records, held, busy = self.found()
                kept = {each.uuid for each in records if each.results_until is not None}
                if all(each.ended for each in records) and busy <= kept:
                    break
                time.sleep(0.2)
        finally:
            served.stop()
        return records, held, busy - kept


def suffer(machine, rng):
    for _ in range(KILLS):
        machine.live_and_die(rng.uniform(0.0, LIFE_SECONDS))
    return machine.settle()


def told(record, kind):
    return sum(timed.note.kind == kind for timed in record.notes)


def check(machine, records, busy, capsys, starts):
    """The promises that hold on every platform. `starts`: of containers, by session."""
    lost = [each for each in records if each.phase is not Phase.COMPLETED]
    again = sum(told(each, "restarted") for each in records)
    twice = sum(count > 1 for count in starts.values())
    with capsys.disabled():
        sys.stdout.write(
            f"\n{machine.kind}: {machine.kills} kills, {len(records)} sessions, {starts.total()} starts "
            f"counted, {again} lost with the broker and run again; {len(lost)} lost, {twice} twice, "
            f"{len(busy)} leaked\n"
        )
    assert records
    assert lost == [], [[timed.note.text for timed in each.notes] for each in lost]
    assert busy == set()
    assert {told(each, "exit-code") for each in records} == {1}
    assert {told(each, "started") for each in records} == {1}
    assert all(each.outcome.exit_code == 0 and each.outcome.ended for each in records)


def check_journal(machine, records, held, busy, capsys):
    """Every container that there ever was can be counted: one for each session, and all released."""
    runs, gone = (machine.work / "here" / name for name in ("runs", "gone"))
    starts = Counter(path.name.partition(".")[0] for path in (*runs.iterdir(), *gone.iterdir()))
    check(machine, records, busy, capsys, starts)
    assert starts == Counter(each.uuid for each in records)
    assert {told(each, "restarted") for each in records} == {0}
    assert list(runs.iterdir()) == []
    assert held == set()


def test_containers_that_outlive_the_broker(tmp_path, capsys):
    options = "{ run_seconds = 1.5, image_seconds = 0.3 }"
    machine = Machine(tmp_path, "journal", options, make_document(duration="PT10M"))
    records, held, busy = suffer(machine, random.Random(SEED))
    check_journal(machine, records, held, busy, capsys)


def test_jobs_that_die_with_the_broker(tmp_path, capsys):
    options = "{ run_seconds = 1.0, image_seconds = 0.3 }"
    machine = Machine(tmp_path, "simulated", options, make_document(duration="PT10M"))
    records, held, busy = suffer(machine, random.Random(SEED + 1))
    check(machine, records, busy, capsys, Counter())
    assert held == set()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_of_two_servers_on_a_database(tmp_path, database_url, capsys):
    """There are always two, but for the moments after one was killed: the other goes on with it all."""
    options = "{ run_seconds = 1.5, image_seconds = 0.3 }"
    machine = Machine(tmp_path, "journal", options, make_document(duration="PT10M"), database_url)
    rng = random.Random(SEED + 3)
    serving = [machine.serve(), machine.serve()]
    try:
        for _ in range(KILLS):
            rng.shuffle(serving)
            machine.die(serving[0], rng.uniform(0.0, LIFE_SECONDS))
            serving[0] = machine.serve()
        records, held, busy = machine.settle()
    finally:
        for served in serving:
            served.stop()
    check_journal(machine, records, held, busy, capsys)


@pytest.mark.podman
def test_containers_of_podman(tmp_path, capsys):
    """Each container writes a line into its storage when it starts: two lines would be two starts."""
    with an_image() as image:
        document = make_document(
            duration="PT10M",
            executable={
                "kind": KINDS + "executable/docker-container.yaml",
                "image": {"locations": [image]},
                "command": ["sh", "-c", "echo started >> /out/starts; sleep 1"],
            },
            storage=[
                {
                    "kind": KINDS + "storage/simple-storage-resource.yaml",
                    "meta": {"name": "out"},
                    "size": {"min": 1, "max": 1},
                }
            ],
            compute={
                "kind": KINDS + "compute/simple-compute-resource.yaml",
                "cores": {"min": 1, "max": 1},
                "memory": {"min": 1, "max": 1},
                "volumes": [
                    {
                        "kind": KINDS + "volume/simple-volume-mount.yaml",
                        "path": "/out",
                        "mode": "READWRITE",
                        "resource": "out",
                    }
                ],
            },
        )
        options = '{ limits = "none", stop_seconds = 0.0, image_seconds = 1.0 }'
        machine = Machine(tmp_path, "podman", options, document)
        try:
            records, held, busy = suffer(machine, random.Random(SEED + 2))
            written = machine.work.glob("here/*/storage/*/starts")
            starts = Counter({path.parts[-4]: len(path.read_text().splitlines()) for path in written})
            check(machine, records, busy, capsys, starts)
            assert starts == Counter(each.uuid for each in records)
            assert {told(each, "restarted") for each in records} == {0}
            names = podman("ps", "--all", "--format", "{{.Names}}").split()
            assert not [name for each in records for name in names if each.uuid in name]
            # what they wrote is kept, and the room for it: nothing else
            assert held == {each.uuid for each in records if each.results_until is not None}
            assert {path.name for path in machine.work.glob("here/*/*")} == {"storage"}
        finally:
            _remove_containers(machine)


def _remove_containers(machine):
    records, _, _ = machine.found()
    names = [f"fairlead-{each.uuid}" for each in records]
    if names:
        podman("rm", "--force", "--ignore", "--time", "0", *names)
