"""Tests on demand through pScheduler, against a simulated node that answers as a real one was seen to."""

from __future__ import annotations

import asyncio
import gzip
import threading
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from federation.errors import InputError
from federation.hosts import LocalHost
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes.records import read_record, read_run
from netprobe.pscheduler import client
from netprobe.tools import Endpoint, Test, load_tool, pscheduler
from netprobe.tools.pscheduler import PScheduler, PSchedulerRoundTrip, node_of
from tests.federation.raw_server import DROPS, Play, answer, dripping, raw_server
from tests.netprobe.pscheduler_node import TASK, Simulated, node, recorded, recorded_error
from tests.ports import free_port
from tests.waiting import SECONDS, until

PENDING = recorded("tp-run-pending.json")
NONSTART = PENDING | {"state": "nonstart", "errors": "No times available for this run."}


def between(limit: Any = SECONDS, **parameters: Any) -> Test:
    ends = [Endpoint(one, LocalHost(), "192.0.2.1", perfsonar_host=f"ps.{one}") for one in ("perth", "bern")]
    return Test(ends[0], ends[1], parameters, limit)


def throughput(runs: list[Any], **more: Any) -> Simulated:
    return Simulated(recorded("tp-task-detail.json"), runs, **more)


async def to_its_end(tool: Any, test: Test) -> Measurement:
    return await tool.run(test)  # type: ignore[no-any-return]


def run(
    simulated: Simulated,
    test: Test,
    kind: type = PScheduler,
    work: Callable[[Any, Test], Coroutine[Any, Any, Measurement]] = to_its_end,
) -> Measurement:
    with node(simulated):
        tool = kind(node=lambda end: simulated.url, poll_seconds=0.02)
        result: Measurement = asyncio.run(work(tool, test))
    assert (result.source, result.destination, result.tool) == ("perth", "bern", tool.name)
    assert result.origin is Origin.PSCHEDULER
    assert bool(result.figures) == result.succeeded
    assert result.error is None or "\n" not in result.error
    return result


def test_a_throughput_test_from_its_task_to_its_figures() -> None:
    simulated = throughput([None, None, PENDING, PENDING | {"state": "running"}, recorded("tp-run.json")])
    asked = {
        "duration": "10 s",
        "omit": 1,
        "streams": 2,
        "bitrate": "1 Gbit/s",
        "ip_version": 4,
        "slip": "60 s",
    }
    result = run(simulated, between(**asked))
    summary = recorded("tp-run.json")["result-merged"]["summary"]["summary"]
    assert result.kind is Kind.THROUGHPUT
    assert result.figures["sent_bits_per_second"] == summary["throughput-bits"]
    assert result.parameters.items() >= asked.items()
    assert result.context["pscheduler_tool"] == "iperf3"
    (task,) = simulated.posted
    assert task["test"] == {
        "type": "throughput",
        "spec": {
            "schema": 1,
            "source": "ps.perth",
            "dest": "ps.bern",
            "duration": "PT10S",
            "omit": "PT1S",
            "parallel": 2,
            "bandwidth": 1_000_000_000,
            "ip-version": 4,
        },
    }
    assert task["schedule"] == {"slip": "PT60S"}
    # the keys are those of a task that a real node took
    assert task.keys() <= recorded("tp-task.json").keys()
    assert simulated.asked[0] == "POST /pscheduler/tasks"
    assert simulated.asked[-1] == f"DELETE /pscheduler/tasks/{TASK}"


def test_our_own_run_met_again_in_a_pull_is_the_same_row() -> None:
    simulated = throughput([recorded("tp-run.json")])
    own = str(uuid.uuid4())
    run(simulated, replace(between(), result_id=own))
    task = recorded("tp-task-detail.json") | {"reference": simulated.posted[0]["reference"]}
    pulled = read_run(recorded("tp-run.json"), task, "bern", None)
    assert isinstance(pulled, Measurement)
    assert pulled.id == own
    archived = recorded("archived-throughput-finished-1.json") | {"reference": task["reference"]}
    from_archive = read_record(archived, "other", None)
    assert isinstance(from_archive, Measurement)
    assert from_archive.id == own
    # a task that repeats would give all its runs one id
    repeating = task | {"schedule": {"repeat": "PT6H"}}
    again = read_run(recorded("tp-run.json"), repeating, "bern", None)
    assert isinstance(again, Measurement)
    assert again.id != own


def test_a_round_trip() -> None:
    simulated = Simulated(recorded("rtt-task-detail.json"), [recorded("rtt-run.json")])
    result = run(simulated, between(count=5, interval="200 ms", size=1000), PSchedulerRoundTrip)
    assert result.kind is Kind.LATENCY
    assert 0 < result.figures["rtt_seconds_min"] < 0.1
    (task,) = simulated.posted
    assert task["test"]["type"] == "rtt"
    # what a real node took, but for the ends
    taken = recorded("rtt-task.json")["test"]["spec"]
    assert {**taken, **task["test"]["spec"]}.keys() == {*taken.keys(), "schema", "source"}
    assert task["test"]["spec"]["interval"] == "PT0.2S"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (1_000_000, "PT1000000S"),
        (1_234_567, "PT1234567S"),
        (0.00001, "PT0.00001S"),
        (0.1234567, "PT0.1234567S"),
    ],
)
def test_durations_are_written_with_all_their_digits_and_no_exponent(seconds: float, written: str) -> None:
    assert pscheduler.round_trip("x", {"interval": seconds}).spec["interval"] == written


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([recorded("tp-fail.json")], "Iperf3 failed"),
        (
            [PENDING, NONSTART],
            "not run: run 3930c477-a96e-4ea8-a56a-428dc8dccdf9 is nonstart: No times available",
        ),
        ([PENDING | {"state": "preempted"}], "is preempted: no reason given"),
        ([PENDING | {"state": "finished"}], "no result"),
        ([["not", "a", "run"]], "expected a run, got JSON of another shape"),
    ],
)
def test_a_run_that_came_to_nothing(runs: list[Any], said: str) -> None:
    simulated = throughput(runs)
    result = run(simulated, between())
    assert result.error is not None
    assert result.error.startswith(f"source perth: pScheduler at {simulated.url}: ")
    assert said in result.error
    assert simulated.asked[-1].startswith("DELETE ")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            recorded_error("limits-403.txt"),
            "Task forbidden by limits: Limit 'tp-short' failed: Throughput tests are limited to 60 s",
        ),
        (recorded_error("tp-conflict.txt"), "Run would create a scheduling conflict. (HTTP 409)"),
        (
            (422, "Unable to complete request: None of the participants could run this test: no iperf3\n"),
            "Unable to complete request: None of the participants could run this test: no iperf3 (HTTP 422)",
        ),
        ((500, "Error getting tools from 10.99.0.77: Failed to connect\n"), "Failed to connect (HTTP 500)"),
        ((503, "<html>\n<body>Service unavailable</body>"), "<html> (HTTP 503)"),
        ((200, "<html>"), "expected JSON, got '<html>'"),
    ],
)
def test_a_node_that_refuses(refusal: tuple[int, str], said: str) -> None:
    simulated = throughput([None], refusal=refusal)
    result = run(simulated, between())
    assert result.error is not None
    assert result.error.endswith(said)
    # nothing was begun, so there is nothing to delete
    assert simulated.asked == ["POST /pscheduler/tasks"]


@pytest.mark.parametrize("runs", [[None], [PENDING]])
def test_a_run_that_never_comes_ends_at_our_own_limit_and_its_task_is_deleted(runs: list[Any]) -> None:
    simulated = throughput(runs)

    async def out_of_time(tool: PScheduler, test: Test) -> Measurement:
        loop = asyncio.get_running_loop()
        now = loop.time
        running = asyncio.create_task(tool.run(test))
        await asyncio.to_thread(until, lambda: len(simulated.asked) >= 4, "a run that is asked for again")
        loop.time = lambda: now() + test.time_limit_seconds  # type: ignore[method-assign]
        return await running

    # less than an answer may take: the clock is turned while one may be under way
    result = run(simulated, between(limit=20), work=out_of_time)
    assert result.error is not None
    assert result.error.endswith("the test wasn't done within 20 s; its task is deleted")
    assert simulated.asked[-1].startswith("DELETE ")


def test_a_test_that_is_stopped_deletes_its_task() -> None:
    simulated = throughput([PENDING])

    async def stopped(tool: PScheduler) -> None:
        running = asyncio.create_task(tool.run(between()))
        await asyncio.to_thread(until, lambda: len(simulated.asked) >= 4, "a run that is asked for again")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with node(simulated):
        asyncio.run(stopped(PScheduler(node=lambda end: simulated.url, poll_seconds=0.02)))
    assert simulated.asked[-1].startswith("DELETE ")


def test_a_test_that_is_stopped_while_the_node_takes_it_deletes_its_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pscheduler, "STOPPED_SECONDS", SECONDS)
    come, go_on = threading.Event(), threading.Event()

    class Thoughtful(Simulated):
        def _post(self, kind: str | None, body: bytes) -> tuple[int, str, Any]:
            come.set()
            go_on.wait(SECONDS)
            return super()._post(kind, body)

    simulated = Thoughtful(recorded("tp-task-detail.json"), [PENDING])

    async def stopped(tool: PScheduler) -> None:
        running = asyncio.create_task(tool.run(between()))
        await asyncio.to_thread(come.wait, SECONDS)
        running.cancel()
        # it has heard that before the node answers
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    with node(simulated):
        asyncio.run(stopped(PScheduler(node=lambda end: simulated.url)))
    assert simulated.asked == ["POST /pscheduler/tasks", f"DELETE /pscheduler/tasks/{TASK}"]


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (answer(b"x" * 1001), "answers with more than we read"),
        (answer(gzip.compress(b"x" * 1001), "Content-Encoding: gzip"), "answers with more than we read"),
        (answer(b"xx", "Content-Encoding: br"), "answers with what is packed as wasn't asked for ('br')"),
        (answer(b"[" * 900), "expected JSON, got '[[["),
        (
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DROPS, b" ", b""),
            "no answer from",
        ),
    ],
)
def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch, play: Play, said: str) -> None:
    monkeypatch.setattr(client, "ANSWER_BYTES", 1000)
    if said == "no answer from":
        monkeypatch.setattr(client, "ANSWER_SECONDS", 0.2)
    with raw_server(play) as host:
        result = asyncio.run(PScheduler(node=lambda end: f"http://{host}/pscheduler").run(between()))
    assert result.error is not None
    assert said in result.error


def test_a_node_that_is_not_there() -> None:
    url = f"http://127.0.0.1:{free_port()}/pscheduler"
    result = asyncio.run(PScheduler(node=lambda end: url).run(between()))
    assert result.error is not None
    assert result.error.startswith(f"source perth: pScheduler at {url}: ")


def test_the_node_is_that_of_the_sources_perfsonar_host() -> None:
    assert node_of(between().source) == "https://ps.perth/pscheduler"
    assert node_of(Endpoint("x", LocalHost(), "2001:db8::1")) == "https://[2001:db8::1]/pscheduler"


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        (PScheduler, {"count": 3}, "pscheduler: unknown parameter 'count'"),
        (PScheduler, {"duration": 0.5}, "pscheduler: duration: expected whole seconds"),
        (PScheduler, {"ip_version": 5}, "pscheduler: ip_version: expected 4 or 6, got 5"),
        (PScheduler, {"verify": 3}, "pscheduler: verify: expected true, false, or a file of certificates"),
        (PSchedulerRoundTrip, {"streams": 2}, "pscheduler-rtt: unknown parameter 'streams'"),
    ],
)
def test_parameters_that_it_does_not_have(kind: type, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        kind().check(parameters)


def test_plans_know_both_tools() -> None:
    assert load_tool("pscheduler").exclusive
    assert not load_tool("pscheduler-rtt").exclusive
