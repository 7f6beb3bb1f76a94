"""Running a plan: results are stored one by one, failures stay alone, a stop keeps what there is."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine

from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.errors import InputError
from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.plan import Block, Plan, load_plan
from netprobe.plan_runs import PlanRuns
from netprobe.runner import Stopped, Summary, run_plan
from netprobe.tools import Test
from tests.netprobe.servers import children, iperf3_server
from tests.ports import free_port

PLAN = """
[[mesh]]
tool = "ping"
count = 3
interval = "10 ms"

[[pairs]]
pairs = [["a", "b"], ["b", "a"]]
tool = "iperf3"
duration = 1
time_limit = "60 s"
"""


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    engine = connect(f"sqlite:///{tmp_path}/archive.db")
    upgrade(engine)
    return Archive(engine)


def plan_of(tmp_path: Path, text: str) -> Plan:
    (tmp_path / "plan.toml").write_text(text)
    return load_plan(tmp_path / "plan.toml")


def federation(a_port: int, b_port: int) -> Federation:
    def site(name: str, port: int) -> Site:
        return Site(name, name, Place(0, 0), iperf3_address="127.0.0.1", iperf3_port=port)

    return Federation("test", {"a": site("a", a_port), "b": site("b", b_port)})


def test_a_failing_pair_stops_nobody_and_all_is_kept(tmp_path: Path, archive: Archive) -> None:
    seen: list[tuple[Measurement | None, Summary]] = []
    with iperf3_server() as (_, port):
        sites = federation(a_port=free_port(), b_port=port)  # nothing listens at a
        summary = asyncio.run(
            run_plan(plan_of(tmp_path, PLAN), sites, archive, SystemClock(), lambda *news: seen.append(news))
        )
    assert (summary.total, summary.succeeded, summary.failed, summary.stopped) == (4, 3, 1, False)
    loads = {(one.source, one.destination): one for one in archive.recent(Kind.THROUGHPUT)}
    assert loads["a", "b"].succeeded
    assert "connection refused" in str(loads["b", "a"].error)
    assert len(archive.recent(Kind.LATENCY)) == 2
    assert {one.id for one in summary.results} == {
        one.id for kind in (Kind.LATENCY, Kind.THROUGHPUT) for one in archive.recent(kind)
    }
    assert [summary.round for result, summary in seen if result is None] == [1, 2, 3]
    assert [len(summary.results) for result, summary in seen if result is not None] == [1, 2, 3, 4]


def test_each_result_is_in_the_archive_when_it_is_told_and_a_stop_keeps_it(
    tmp_path: Path, archive: Archive
) -> None:
    before = children()

    async def stopped() -> Summary:
        with iperf3_server() as (_, port):
            with_server = children()
            sites = federation(a_port=port, b_port=port)
            begun = asyncio.Event()

            def on_progress(result: Measurement | None, summary: Summary) -> None:
                if result is not None:
                    assert result.id in {one.id for one in archive.recent(result.kind)}
                if result is None and summary.round == 2:
                    begun.set()

            plan = plan_of(tmp_path, PLAN.replace("duration = 1", "duration = 30"))
            running = asyncio.ensure_future(kept(run_plan(plan, sites, archive, SystemClock(), on_progress)))
            await begun.wait()
            await asyncio.sleep(0.3)
            running.cancel()
            summary = await running
            assert children() <= with_server
            return summary

    async def kept(run: object) -> Summary:
        try:
            await run  # type: ignore[misc]
        except Stopped as stop:
            return stop.summary
        raise AssertionError("it was not stopped")

    summary = asyncio.run(stopped())
    assert summary.stopped
    assert [one.kind for one in summary.results] == [Kind.LATENCY] * 2
    assert len(archive.recent(Kind.LATENCY)) == 2
    assert archive.recent(Kind.THROUGHPUT) == []
    assert children() <= before


class Full:
    """An archive on a full disk."""

    def add(self, measurements: object) -> int:
        raise OSError(28, "No space left on device")

    def known(self, ids: object) -> set[str]:
        return set()


def test_an_archive_that_cannot_store_ends_the_run(tmp_path: Path) -> None:
    before = children()
    plan = plan_of(tmp_path, PLAN)
    with pytest.raises(OSError, match="No space left"):
        asyncio.run(run_plan(plan, federation(1, 1), Full(), SystemClock()))
    assert children() <= before


CATALOGUE = """
name = "loopback"
[sites.a]
name = "A"
latitude = 0.0
longitude = 0.0
iperf3_address = "127.0.0.1"
iperf3_port = {a}
[sites.b]
name = "B"
latitude = 1.0
longitude = 1.0
iperf3_address = "127.0.0.1"
iperf3_port = {b}
"""


def command(tmp_path: Path, plan: str, a_port: int, b_port: int) -> list[str]:
    (tmp_path / "plan.toml").write_text(plan)
    (tmp_path / "sites.toml").write_text(CATALOGUE.format(a=a_port, b=b_port))
    program = [sys.executable, "-c", "from fairlead.cli import main; main()", "probe", "run"]
    files = [str(tmp_path / "plan.toml"), "--catalogue", str(tmp_path / "sites.toml")]
    return [*program, *files, "--database", f"sqlite:///{tmp_path}/run.db", "--json"]


def test_the_command_counts_and_says_what_failed(tmp_path: Path) -> None:
    with iperf3_server() as (_, port):
        argv = command(tmp_path, PLAN, free_port(), port)
        end = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert end.returncode == 1, end.stderr
    document = json.loads(end.stdout)
    assert (document["succeeded"], document["failed"], document["stopped"]) == (3, 1, False)
    assert [line for line in end.stderr.splitlines() if line.startswith("failed: ")] == [
        line for line in end.stderr.splitlines() if "destination a: connection refused" in line
    ]
    assert "100 % 4 of 4 tests" in end.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_in_one_line_and_keeps_the_results(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with iperf3_server() as (_, port):
        argv = command(tmp_path, PLAN.replace("duration = 1", "duration = 30"), port, port)
        argv.remove("--json")
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as child:
            assert child.stderr is not None
            for line in child.stderr:
                if "50 % 2 of 4 tests" in line:
                    break
            child.send_signal(number)
            output, errors = child.communicate(timeout=300)
    assert child.returncode == status
    assert "Traceback" not in errors
    assert output == (
        "plan plan: stopped: 2 of 4 tests succeeded, 0 failed, 2 not run; "
        "what was measured is kept, --resume continues\n"
    )
    engine = connect(f"sqlite:///{tmp_path}/run.db")
    assert len(Archive(engine).recent(Kind.LATENCY)) == 2


def test_a_wrong_plan_is_status_2_and_one_line(tmp_path: Path) -> None:
    argv = command(tmp_path, "[[mesh]]\n", 1, 1)
    end = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert end.returncode == 2
    assert end.stderr.startswith("fairlead: ")
    assert "plan.toml:1: [[mesh]] tool: expected" in end.stderr
    assert len(end.stderr.splitlines()) == 1


class Instant:
    """A tool that keeps what it has tested, and has the run stopped before test number `stop_at`."""

    name = "instant"
    exclusive = True

    def __init__(self, stop_at: int | None = None) -> None:
        self.ran: list[tuple[str, str, int]] = []
        self._stop_at = stop_at
        self.running: asyncio.Task[object] | None = None

    def check(self, parameters: object) -> None:
        pass

    async def run(self, test: Test) -> Measurement:
        if len(self.ran) == self._stop_at and self.running is not None:
            self.running.cancel()
            await asyncio.sleep(60)
        self.ran.append((test.source.site, test.destination.site, test.parameters["n"]))
        started = SystemClock().now()
        source, destination = test.source.site, test.destination.site
        return Measurement(
            Kind.THROUGHPUT,
            source,
            destination,
            started,
            0,
            self.name,
            Origin.SCRIPTED,
            {"bits_per_second": 1},
        )


@pytest.mark.parametrize("stop_at", [0, 1, 4, 5, 9, 11])
def test_a_run_that_goes_on_repeats_nothing_and_loses_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    archive, runs = Archive(engine), PlanRuns(engine, SystemClock())
    blocks = tuple(Block("mesh", "plan", "instant", 2, 5.0, {"n": n}, sites=("a", "b")) for n in range(3))
    plan, sites = Plan("p", blocks), federation(1, 2)
    first, second = Instant(stop_at), Instant()
    run = runs.begin(plan)
    monkeypatch.setattr("netprobe.plan.load_tool", lambda name: first)

    async def stopped() -> None:
        first.running = asyncio.current_task()
        await run_plan(plan, sites, archive, SystemClock(), run_id=run)

    with pytest.raises(Stopped):
        asyncio.run(stopped())
    assert runs.unfinished(plan) == run
    monkeypatch.setattr("netprobe.plan.load_tool", lambda name: second)
    summary = asyncio.run(run_plan(plan, sites, archive, SystemClock(), run_id=run))
    runs.finish(run)
    assert (summary.earlier, len(summary.results), summary.total) == (stop_at, 12 - stop_at, 12)
    kept = archive.recent(Kind.THROUGHPUT)
    assert len(kept) == 12
    # each of the six tests twice, as it is repeated
    assert Counter([*first.ran, *second.ran]) == dict.fromkeys({*first.ran, *second.ran}, 2)
    with pytest.raises(InputError, match="no run to resume: the last one was finished"):
        runs.unfinished(plan)
    # another run of the same plan begins anew
    again = asyncio.run(run_plan(plan, sites, archive, SystemClock(), run_id=runs.begin(plan)))
    assert (again.earlier, len(again.results)) == (0, 12)


def test_only_a_run_of_the_plan_as_it_stands_is_resumed(tmp_path: Path) -> None:
    argv = [*command(tmp_path, PLAN, 1, 1), "--resume"]
    end = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert end.returncode == 2
    assert end.stderr == (
        "fairlead: plan plan: no run to resume: it, as it stands now, was never run on this database\n"
    )
