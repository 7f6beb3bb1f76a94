"""Pulling meshes from stand-ins on loopback: what is new only, nothing twice, and every fault by name."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from federation.clock import ManualClock
from federation.database import connect, upgrade
from federation.errors import InputError, OutsideError
from netprobe.archive import Archive
from netprobe.measurement import Measurement
from netprobe.meshes import Access, Mesh, kinds, load_mesh
from netprobe.meshes.perfsonar5 import PerfSonar5
from netprobe.meshes.pscheduler import PScheduler
from netprobe.meshes.pull import Pulled, PullState, counts, pull
from tests.netprobe import pscheduler_samples as samples
from tests.netprobe.archive5_mapping import document
from tests.netprobe.mesh_servers import MeshServer, mesh_server, tls_context

EVENING = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
RECORDS = [name for name in samples.RUNS if name not in ("tp-run-pending.json", "tp2-run.json")]


@pytest.fixture
def server() -> Iterator[MeshServer]:
    with mesh_server() as running:
        yield running


@dataclass
class Puller:
    """One catalogue-less puller with its database and a clock that is turned by hand."""

    engine: Engine
    url: str
    mesh: Mesh | None = None
    clock: ManualClock = field(default_factory=lambda: ManualClock(EVENING))
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.archive = Archive(self.engine)
        self.access = Access(self.url)
        self.mesh = self.mesh or PerfSonar5(page_size=3, sleep=self.waits.append)

    def __call__(self, **more: Any) -> Pulled:
        assert self.mesh is not None
        return pull(self.mesh, self.access, self.archive, PullState(self.engine), self.clock, **more)

    def rows(self) -> list[Measurement]:
        return list(self.archive.all())


@pytest.fixture
def puller(engine: Engine, server: MeshServer) -> Puller:
    server.documents = [document(samples.record(name)) for name in RECORDS]
    return Puller(engine, server.url)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """For what has nothing to do with the database."""
    engine = connect(f"sqlite:///{tmp_path}/fairlead.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def quick(sqlite: Engine, server: MeshServer) -> Puller:
    server.documents = [document(samples.record(name)) for name in RECORDS]
    return Puller(sqlite, server.url)


def no_wait(seconds: float) -> None:
    pass


def later(minutes: float, run_id: str | None = "new") -> dict[str, Any]:
    """A document of a run that starts so much after all others."""
    made = document(samples.record("rtt-run.json"))
    about = made["pscheduler"]
    about["start_time"] = (EVENING + timedelta(minutes=minutes)).isoformat()
    about["run_id"] = made["id"] = run_id
    if run_id is None:
        del about["run_id"], made["id"]
    return made


def test_everything_is_taken_once_and_told(puller: Puller, server: MeshServer) -> None:
    dns = document(samples.record("trace.json"))
    dns["test"]["type"], dns["pscheduler"]["run_id"] = "dns", "d"
    timeless = document(samples.record("trace.json"))
    del timeless["pscheduler"]["start_time"]
    # the same run delivered twice
    server.documents += [dns, timeless, document(samples.record("trace.json"))]
    pulled = puller()
    assert pulled.stopped is None
    assert counts(pulled) == {
        "taken": len(RECORDS),
        "repeated": 1,
        "refused: no time": 1,
        "refused: test type not known": 1,
    }
    assert pulled.examples["test type not known"] == ["dns run d"]
    assert len(puller.rows()) == len(RECORDS)
    assert {row.archive for row in puller.rows()} == {puller.access.archive}
    assert sum(row.error is not None for row in puller.rows()) == 3
    assert pulled.share == 1.0


def test_an_hour_later_only_what_is_new_is_taken(puller: Puller, server: MeshServer) -> None:
    first = puller()
    server.documents.append(later(30))
    puller.clock.advance(3600)
    second = puller()
    assert (first.taken, second.taken) == (len(RECORDS), 1)
    # what is read again to meet late arrivals is known by its id
    assert second.since > EVENING - timedelta(hours=2)
    assert second.repeated < len(RECORDS) + 1
    assert len(puller.rows()) == len(RECORDS) + 1
    assert puller().taken == 0


def test_what_arrives_late_is_taken_though_newer_ones_were_seen(quick: Puller, server: MeshServer) -> None:
    server.documents.append(later(-5))
    quick()
    server.documents.append(later(-40, "late"))
    assert quick().taken == 1


def test_runs_of_one_second_and_without_ids_are_not_lost_between_pages(
    quick: Puller, server: MeshServer
) -> None:
    server.documents = [{**later(1, None), "@timestamp": f"2026-11-22T18:02:0{n}Z"} for n in range(8)]
    for number, one in enumerate(server.documents):
        one["test"]["spec"]["dest"] = f"host{number}"
    assert quick().taken == 8


def test_a_failed_page_is_named_and_the_next_pull_goes_on_there(puller: Puller, server: MeshServer) -> None:
    server.lies, server.forever = [None, None], (503, b"down")
    first = puller()
    assert "busy (HTTP 503), after 4 tries" in str(first.stopped)
    assert first.taken == 6
    server.forever = None
    asked = len(server.requests)
    second = puller()
    assert second.stopped is None
    assert second.since > first.since + timedelta(days=6)
    assert first.taken + second.taken == len(RECORDS) == len(puller.rows())
    assert len(server.requests) > asked


def test_who_is_busy_gets_the_time_that_he_asks_for(quick: Puller, server: MeshServer) -> None:
    server.lies = ["busy 17", (429, b""), "busy nonsense"]
    assert quick().taken == len(RECORDS)
    assert quick.waits == [17, 2, 4]


OUTCOMES: dict[str, tuple[Any, str]] = {
    "503": ((503, b""), "busy (HTTP 503), after 4 tries"),
    "asks for an hour": ("busy 3600", "it asks to wait 3600 s: try later"),
    "half a page": ("half", "half a page ("),
    "half of the JSON": ("half-json", "half a page (its JSON"),
    "HTML": ((200, b"<html>Welcome to perfSONAR</html>"), "expected JSON, got <html>Welcome"),
    "nothing": ((200, b""), "expected JSON, got nothing"),
    "a number": ((200, b"7"), "JSON of another shape"),
    "wrong types": ((200, b'{"hits": {"hits": {"a": 1}}}'), "JSON of another shape"),
    "no sort values": ((200, b'{"hits": {"hits": [1, "x", null]}}'), "expected the sort values"),
    "part of the data": (
        (200, b'{"_shards": {"failed": 1}, "hits": {"hits": []}}'),
        "searched only part of its data",
    ),
    "nested without end": ((200, b"[" * 100_000), "half a page (its JSON"),
    "redirects for ever": ("redirect", "redirects to /opensearch"),
    "no such thing": ((404, b"Not here"), "got HTTP 404 Not here"),
    "access for others": ((403, b""), "no access (HTTP 403)"),
    "the same page again": (
        (200, b'{"hits": {"hits": [' + b",".join([b'{"sort": [1, "a", 1]}'] * 3) + b"]}}"),
        "the same page again and again",
    ),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_fault_is_an_outcome_by_name(server: MeshServer, name: str) -> None:
    server.documents = [later(minute) for minute in range(3)]
    server.forever, expected = OUTCOMES[name]
    with pytest.raises(OutsideError) as told:
        list(PerfSonar5(page_size=3, sleep=no_wait).pages(Access(server.url), EVENING, None))
    assert expected in str(told.value)
    assert server.url in str(told.value)


def test_nobody_there(sqlite: Engine) -> None:
    with mesh_server() as gone:
        url = gone.url
    assert "can't be reached" in str(Puller(sqlite, url)().stopped)


def test_an_archive_without_anything_is_no_fault(quick: Puller, server: MeshServer) -> None:
    server.documents = []
    pulled = quick()
    assert (pulled.stopped, pulled.taken) == (None, 0)


def test_credentials(quick: Puller, server: MeshServer) -> None:
    server.credentials = "reader:secret"
    assert "no access (HTTP 401)" in str(quick().stopped)
    quick.access = replace(quick.access, user="reader", password="secret")
    assert quick().taken == len(RECORDS)


def test_certificates_are_verified_unless_told_otherwise(sqlite: Engine, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=archive"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    with mesh_server(tls_context(certificate, key)) as server:
        server.documents = [later(0)]
        puller = Puller(sqlite, server.url)
        assert "certificate can't be trusted" in str(puller().stopped)
        assert puller.waits == []
        puller.access = replace(puller.access, ca_file=certificate)
        assert puller().taken == 1
        puller.access = Access(server.url, verify=False)
        assert puller().repeated == 1
        puller.access = Access(server.url, ca_file=tmp_path / "none.pem")
        with pytest.raises(InputError, match=r"expected certificates in PEM"):
            puller()


def test_what_stops_it_leaves_what_was_taken(puller: Puller) -> None:
    def stop(pulled: Pulled) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        puller(on_page=stop)
    assert len(puller.rows()) == 3
    assert puller().since > EVENING - timedelta(hours=3)
    assert len(puller.rows()) == len(RECORDS)


def test_a_clock_that_is_ahead_hides_nothing(quick: Puller, server: MeshServer) -> None:
    server.documents.append(later(60 * 24 * 365, "future"))
    quick()
    server.documents.append(later(10, "present"))
    assert quick().taken == 1


def test_what_is_dated_in_the_future_is_refused_by_name_until_then(quick: Puller, server: MeshServer) -> None:
    server.documents = [later(5, "soon"), later(60, "ahead")]
    assert counts(quick()) == {"taken": 1, "repeated": 0, "refused: dated in the future": 1}
    assert quick.clock.now() >= quick.rows()[0].started - timedelta(minutes=10)
    quick.clock.advance(2 * 3600)
    assert quick().taken == 1


def test_reading_from_a_later_time_leaves_no_gap(quick: Puller, server: MeshServer) -> None:
    quick()
    server.documents += [later(100, "between"), later(600, "newest")]
    quick.clock.advance(12 * 3600)
    assert quick(since=EVENING + timedelta(minutes=500)).taken == 1
    assert quick().taken == 1


def test_older_ones_are_taken_when_asked_for(quick: Puller, server: MeshServer) -> None:
    server.documents.append(later(-60 * 24 * 20, "old"))
    assert quick().taken == len(RECORDS)
    assert quick(since=EVENING - timedelta(days=30)).taken == 1


# A pScheduler node


@pytest.fixture
def node(sqlite: Engine, server: MeshServer) -> Puller:
    server.tasks = [
        (samples.task(name), [samples.run(name)]) for name in samples.RUNS if name != "tp-run.json"
    ]
    clock = ManualClock(EVENING)
    return Puller(sqlite, server.url, PScheduler(sleep=no_wait, now=clock.now), clock)


def test_the_runs_of_a_node(node: Puller) -> None:
    assert counts(node()) == {
        "taken": len(samples.RUNS) - 3,
        "repeated": 0,
        "refused: not finished": 1,
        "refused: not run": 1,
    }
    assert node().taken == 0


def test_a_run_that_was_waiting_is_taken_once_it_has_finished(node: Puller, server: MeshServer) -> None:
    # so long after its start that the overlap alone wouldn't reach it
    node.clock.advance(2 * 3600)
    node()
    task, _ = next(entry for entry in server.tasks if entry[1][0]["state"] == "pending")
    server.tasks = [(task, [samples.run("tp-run.json")])]
    node.clock.advance(20 * 3600)
    assert node().taken == 1


def test_a_run_that_is_purged_meanwhile_is_told(node: Puller, server: MeshServer) -> None:
    gone = samples.run("lat.json")
    del gone["state"]
    server.tasks = [(samples.task("lat.json"), [gone]), ({"test": {}, "href": None}, [])]
    server.tasks[1][0]["href"] = "https://hosta/pscheduler/tasks/?"
    assert counts(node()) == {
        "taken": 0,
        "repeated": 0,
        "refused: gone from the node": 1,
        "refused: its task is not known": 1,
    }


def test_a_node_is_asked_for_two_days_at_most(node: Puller, server: MeshServer) -> None:
    node.clock.advance(3 * 86_400)
    assert node(since=EVENING - timedelta(days=30)).taken == 0
    assert "2026-11-23T18%3A00" in next(path for path in server.requests if "/runs?" in path)


def test_a_node_that_answers_nonsense(node: Puller, server: MeshServer) -> None:
    server.lies = [(200, b'{"tasks": []}')]
    assert "expected a list" in str(node().stopped)
    server.lies = [None, (200, b'"no runs"')]
    assert "expected a list" in str(node().stopped)
    assert node().taken == len(samples.RUNS) - 3


def test_the_kinds_are_known_by_name() -> None:
    assert {"perfsonar5", "pscheduler"} <= set(kinds())
    for kind in kinds():
        assert load_mesh(kind).kind == kind
    with pytest.raises(InputError, match="expected one of"):
        load_mesh("nagios")
