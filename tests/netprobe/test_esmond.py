"""perfSONAR 4 archives: series by series becomes one row each time, and only once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from federation.clock import ManualClock
from federation.errors import OutsideError
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement
from netprobe.meshes import Access, Found, Refusal
from netprobe.meshes.esmond import Esmond
from netprobe.meshes.esmond_documents import Metadata, read_metadata, read_points
from netprobe.meshes.pull import PullState
from netprobe.meshes.pull import pull as pull_mesh
from netprobe.meshes.rows import row_id
from tests.netprobe.web import answering

NOW = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=10)
AT = int(NOW.timestamp()) - 3600
RUN = "0b5c8a4e-7f3f-4a33-9d1e-2f1f0d8a9c11"
PREFIX = "/esmond/perfsonar/archive"


def metadata(key: str, *series: str, **more: Any) -> dict[str, Any]:
    return {
        "metadata-key": key,
        "source": "192.0.2.1",
        "destination": "192.0.2.2",
        "input-source": "A.example.net",
        "input-destination": "b.example.net",
        "tool-name": "pscheduler/iperf3",
        "event-types": [{"event-type": name, "base-uri": "/elsewhere", "summaries": []} for name in series],
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


class StandIn:
    """An archive with the tests and the points that it is given."""

    def __init__(self, tests: list[Any], points: dict[str, list[Any]], most: int = 10_000) -> None:
        self.tests, self.points, self.most = tests, points, most
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, path: str, query: dict[str, str]) -> Any:
        self.asked.append((path, query))
        if path == f"{PREFIX}/":
            offset = int(query["offset"])
            return self.tests[offset : offset + int(query["limit"])]
        found = self.points.get(path.removeprefix(f"{PREFIX}/"), [])
        first, last = int(query["time-start"]), int(query["time-end"])
        most = min(int(query["limit"]), self.most)
        if most < 0:
            return {"error": "the database is gone"}
        return [one for one in found if not isinstance(one, dict) or first <= one.get("ts", first) <= last][
            :most
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[Access]:
        with answering(self) as url:
            yield Access(url)


def pull(stand_in: StandIn, since: datetime = SINCE, **more: Any) -> list[Found]:
    mesh = Esmond(sleep=lambda _seconds: None, clock=ManualClock(NOW), **more)
    with stand_in.running() as access:
        return [one for page in mesh.pages(access, since, None) for one in page.found]


def only(stand_in: StandIn) -> Measurement:
    (found,) = pull(stand_in)
    assert isinstance(found, Measurement)
    return found


def points(value: Any, at: int = AT) -> list[Any]:
    return [{"ts": at, "val": value}]


def test_throughput() -> None:
    series = (
        "throughput",
        "packet-retransmits",
        "failures",
        "pscheduler-run-href",
        "throughput-subintervals",
    )
    how = {"time_duration": "20", "bw_parallel_streams": 4, "bw_ignore_first_seconds": "PT5S"}
    stand_in = StandIn(
        [metadata("k", *series, ip_transport_protocol="tcp", **how)],
        {
            "k/throughput/base": points(9.4e9),
            "k/packet-retransmits/base": points(12),
            "k/pscheduler-run-href/base": points({"href": f"https://a/pscheduler/tasks/t/runs/{RUN}"}),
        },
    )
    found = only(stand_in)
    assert (found.kind, found.source, found.destination) == (
        Kind.THROUGHPUT,
        "a.example.net",
        "b.example.net",
    )
    assert found.figures == {"bits_per_second": 9.4e9, "sent_bits_per_second": 9.4e9, "retransmits": 12}
    wanted = {
        "test": "throughput",
        "rate": "sent",
        "protocol": "tcp",
        "streams": 4,
        "duration_seconds": 20.0,
        "omit_seconds": 5.0,
        "ip_version": 4,
    }
    assert found.parameters == wanted
    assert (found.started, found.seconds, found.tool) == (NOW - timedelta(hours=1), 20.0, "iperf3")
    assert (found.source_address, found.destination_address, found.error) == ("192.0.2.1", "192.0.2.2", None)
    # the same run from any other archive is the same row
    assert found.id == row_id(RUN)


def test_our_own_run_in_an_archive_is_the_row_that_we_have() -> None:
    """esmond writes a task's reference flat, beside the metadata, and makes each a test of its own."""
    own = "5b0a3c7e-5f0d-4c1b-9f6e-6a0f6a1c2d3e"
    run = points({"href": f"https://hosta/pscheduler/tasks/{RUN}/runs/{RUN}"})
    named = {"pscheduler_reference_fairlead_result": own, "pscheduler_reference_display_set_source": "Perth"}
    told = metadata("k", "throughput", "pscheduler-run-href", **named)
    series = {"k/throughput/base": points(1e9), "k/pscheduler-run-href/base": run}
    found = only(StandIn([told], series))
    assert found.id == own
    assert found.context["shown_source"] == "Perth"
    # two runs can't be one row
    twice = {name: [*one, *points(one[0]["val"], AT + 60)] for name, one in series.items()}
    ids = {one.id for one in pull(StandIn([told], twice)) if isinstance(one, Measurement)}
    assert own not in ids
    # elmond gives all runs of a test the reference of one of them
    told["event-types"].append({"event-type": "pscheduler-raw", "base-uri": "/x", "summaries": []})
    assert only(StandIn([told], series)).id == row_id(RUN)


def test_one_way_delays_count_bucket_widths_and_may_be_negative() -> None:
    stand_in = StandIn(
        [
            metadata(
                "k",
                *("histogram-owdelay", "packet-loss-rate", "packet-count-lost", "packet-count-sent"),
                "time-error-estimates",
                tool_name="powstream",
                sample_bucket_width="0.0001",
            )
        ],
        {
            "k/histogram-owdelay/base": points({"-2.5": 50, "10": 490, "31": 54}),
            "k/packet-loss-rate/base": points(0.01),
            "k/packet-count-lost/base": points(6),
            "k/packet-count-sent/base": points(600),
            "k/time-error-estimates/base": points(0.4),
        },
    )
    found = only(stand_in)
    assert found.kind is Kind.LATENCY
    assert found.figures == pytest.approx(
        {
            "owd_seconds": 0.001,
            "owd_seconds_min": -0.00025,
            "owd_seconds_p90": 0.001,
            "packets_sent": 600,
            "packets_lost": 6,
            "loss_ratio": 0.01,
            "clock_error_seconds": 0.0004,
        }
    )
    assert (found.parameters["test"], found.parameters["bucket_width_seconds"]) == ("latencybg", 0.0001)


def test_round_trips_are_milliseconds() -> None:
    stand_in = StandIn(
        [metadata("k", "histogram-rtt", "packet-loss-rate-bidir", tool_name="pscheduler/ping")],
        {
            "k/histogram-rtt/base": points({"12.5": 6, "13": 3, "40": 1}),
            "k/packet-loss-rate-bidir/base": points(0),
        },
    )
    found = only(stand_in)
    wanted = {"rtt_seconds": 0.0125, "rtt_seconds_min": 0.0125, "rtt_seconds_p90": 0.013, "loss_ratio": 0.0}
    assert found.figures == pytest.approx(wanted)
    assert found.tool == "ping"


def test_nothing_came_back() -> None:
    stand_in = StandIn(
        [metadata("k", "histogram-rtt", "packet-loss-rate-bidir", "packet-count-sent")],
        {"k/packet-loss-rate-bidir/base": points(1), "k/packet-count-sent/base": points(10)},
    )
    found = only(stand_in)
    assert found.figures == {"loss_ratio": 1.0, "packets_sent": 10.0}
    assert found.error == "no answer to 10 packets"


def test_a_path_counts_silent_routers_too() -> None:
    hops = [
        {"ttl": 1, "query": 1, "success": 1, "ip": "192.0.2.9", "rtt": 0.2},
        {"ttl": 2, "query": 1, "success": 0, "error-message": "requestTimedOut"},
        {"ttl": 3, "query": 1, "success": 0},
        {"ttl": 3, "query": 2, "success": 1, "ip": "192.0.2.2", "rtt": 9.0},
        {"ttl": 4, "query": 1, "success": 0},
    ]
    stand_in = StandIn(
        [metadata("k", "packet-trace", "path-mtu")],
        {"k/packet-trace/base": points(hops), "k/path-mtu/base": points(9000)},
    )
    found = only(stand_in)
    assert (found.kind, found.figures) == (Kind.PATH, {"hops": 3.0, "path_mtu_bytes": 9000.0})


def test_a_failed_test_is_a_row_with_its_error() -> None:
    stand_in = StandIn(
        [metadata("k", "throughput", "failures")], {"k/failures/base": points({"error": "Iperf3\nfailed"})}
    )
    found = only(stand_in)
    assert (found.error, found.figures) == ("Iperf3 failed", {})


def test_summaries_stand_in_where_single_results_are_gone() -> None:
    document = metadata("k", "histogram-owdelay", "packet-loss-rate", "failures", tool_name="powstream")
    document["event-types"][0]["summaries"] = [
        {"summary-type": "statistics", "summary-window": "300"},
        {"summary-type": "aggregation", "summary-window": "86400"},
        {"summary-type": "aggregation", "summary-window": "3600"},
    ]
    document["event-types"][1]["summaries"] = [{"summary-type": "aggregation", "summary-window": "3600"}]
    stand_in = StandIn(
        [document],
        {
            "k/histogram-owdelay/aggregations/3600": points({"5": 35_000}),
            "k/packet-loss-rate/aggregations/3600": points({"numerator": 1000, "denominator": 36_000}),
        },
    )
    found = only(stand_in)
    assert found.figures["owd_seconds"] == 0.005
    assert found.figures["loss_ratio"] == pytest.approx(1 / 36)
    assert found.seconds == 3600
    assert (found.parameters["summary"], found.parameters["summary_seconds"]) == ("aggregations", 3600)


def test_every_point_comes_once_however_little_the_server_gives_at_a_time() -> None:
    every = [{"ts": AT - 36_000 * number, "val": 1e9} for number in range(20)]
    stand_in = StandIn([metadata("k", "throughput")], {"k/throughput/base": every}, most=3)
    found = pull(stand_in, points=3)
    assert [one.started for one in found if isinstance(one, Measurement)] == [
        datetime.fromtimestamp(one["ts"], UTC) for one in reversed(every)
    ]


def test_a_point_between_two_slices_of_time_comes_once() -> None:
    between = int((SINCE + timedelta(days=6)).timestamp())
    stand_in = StandIn([metadata("k", "throughput")], {"k/throughput/base": points(1e9, between)})
    assert only(stand_in).started == SINCE + timedelta(days=6)


def test_two_tests_in_the_same_second_are_two_rows() -> None:
    tests: list[Any] = [metadata(key, "throughput", bw_parallel_streams=len(key)) for key in ("k", "kk")]
    found = pull(StandIn(tests, {f"{key}/throughput/base": points(1e9) for key in ("k", "kk")}))
    assert len({one.id for one in found if isinstance(one, Measurement)}) == 2


def test_all_pages_of_the_list_of_tests_are_read() -> None:
    tests: list[Any] = [metadata(f"k{number}", "throughput") for number in range(5)]
    data = {f"k{number}/throughput/base": points(number * 1e9) for number in range(5)}
    assert len(pull(StandIn(tests, data), metadata_page=2)) == 5


def test_a_list_that_does_not_end_is_an_outcome() -> None:
    tests = StandIn([metadata("k", "throughput")] * 50, {})
    with pytest.raises(OutsideError, match="doesn't end"):
        pull(tests, metadata_page=2)


def test_only_what_is_new_is_asked_for_and_the_same_again_is_the_same_rows() -> None:
    old = metadata("old", "throughput")
    old["event-types"][0]["time-updated"] = AT - 86_400
    stand_in = StandIn([metadata("k", "throughput"), old], {"k/throughput/base": points(1e9)})
    since = NOW - timedelta(hours=2)
    mesh = Esmond(clock=ManualClock(NOW))
    with stand_in.running() as access:
        twice = [
            [
                one.id
                for page in mesh.pages(access, since, None)
                for one in page.found
                if isinstance(one, Measurement)
            ]
            for _ in range(2)
        ]
    assert twice[0] == twice[1]
    assert len(twice[0]) == 1
    assert {query["time-start"] for _, query in stand_in.asked} == {str(int(since.timestamp()))}
    assert not any("/old/" in path for path, _ in stand_in.asked)


def test_each_slice_of_time_says_how_far_all_tests_have_been_read() -> None:
    mesh = Esmond(clock=ManualClock(NOW))
    with StandIn([metadata("k", "throughput")], {}).running() as access:
        pages = list(mesh.pages(access, SINCE, None))
    assert [page.through for page in pages if page.through] == [SINCE + timedelta(days=6), NOW]
    shares = [page.share for page in pages if page.share is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_pull_an_hour_later_takes_what_is_new_and_a_broken_one_goes_on(engine: Engine) -> None:
    data = {"k/throughput/base": points(1e9)}
    stand_in, clock = StandIn([metadata("k", "throughput")], data), ManualClock(NOW)
    archive, state = Archive(engine), PullState(engine)
    mesh = Esmond(clock=clock, sleep=lambda _seconds: None)
    with stand_in.running() as access:
        first = pull_mesh(mesh, access, archive, state, clock)
        clock.advance(3600)
        data["k/throughput/base"] += points(2e9, AT + 5400)
        stand_in.most = -1
        broken = pull_mesh(mesh, access, archive, state, clock)
        stand_in.most = 10_000
        later = pull_mesh(mesh, access, archive, state, clock)
    assert (first.taken, first.repeated, first.stopped) == (1, 0, None)
    assert broken.taken == 0
    assert "JSON of another shape" in (broken.stopped or "")
    assert (later.taken, later.repeated, later.stopped) == (1, 1, None)
    assert later.since == NOW - timedelta(hours=1)
    assert sum(1 for _ in archive.all()) == 2


@pytest.mark.parametrize(
    ("test", "data", "reason"),
    [
        ("no object", {}, "no metadata key"),
        ({"metadata-key": "../../etc"}, {}, "no metadata key"),
        (metadata("k", "packet-duplicates"), {}, "test type not known"),
        (metadata("k", pscheduler_test_type="dns"), {}, "test type not known"),
        ({**metadata("k"), "event-types": "none"}, {}, "test type not known"),
        (metadata("k", "throughput"), {"k/throughput/base": ["x"]}, "no time"),
        (metadata("k", "throughput"), {"k/throughput/base": [{"ts": 1e300, "val": 1}]}, "no time"),
        (metadata("k", "throughput"), {"k/throughput/base": points("fast")}, "no figures"),
        (metadata("k", "histogram-rtt"), {"k/histogram-rtt/base": points([1, 2])}, "no figures"),
        (
            metadata("k", "throughput", source=None, input_source=None),
            {"k/throughput/base": points(1e9)},
            "no ends",
        ),
    ],
)
def test_what_can_not_be_a_row_is_refused_by_name(test: Any, data: dict[str, list[Any]], reason: str) -> None:
    def whatever(path: str, query: dict[str, str]) -> Any:
        return [test] if path == f"{PREFIX}/" else data.get(path.removeprefix(f"{PREFIX}/"), [])

    with answering(whatever) as url:
        pages = Esmond(clock=ManualClock(NOW)).pages(Access(url), NOW - timedelta(days=1), None)
        found = [one for page in pages for one in page.found]
    assert [one.reason for one in found if isinstance(one, Refusal)] == [reason]
    assert len(found) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    series=st.sampled_from(["throughput", "histogram-rtt", "histogram-owdelay", "packet-trace"]),
    value=JSON,
    time=JSON,
    how=JSON,
)
def test_no_document_is_a_crash(series: str, value: Any, time: Any, how: Any) -> None:
    read_metadata({"metadata-key": "k", "event-types": value, "tool-name": how})
    names = ("sample-bucket-width", "time-duration", "tool-name", "source", "input-source")
    tested = read_metadata({**metadata("k", series), **dict.fromkeys(names, how)})
    assert isinstance(tested, Metadata)
    given_points = [value, {"ts": time, "val": value}, {"ts": AT, "val": value}]
    more = {series: given_points, "failures": given_points[1:2], "pscheduler-run-href": given_points}
    found = list(read_points(tested, more, None, "archive", None))
    assert all(isinstance(one, Measurement | Refusal) for one in found)


@pytest.mark.parametrize("answer", [b"<html>busy</html>", {"error": "no"}])
def test_a_server_that_is_no_archive_is_an_outcome(answer: Any) -> None:
    with (
        answering(lambda _path, _query: answer) as url,
        pytest.raises(OutsideError, match="expected"),
    ):
        list(Esmond(clock=ManualClock(NOW)).pages(Access(url), SINCE, None))
