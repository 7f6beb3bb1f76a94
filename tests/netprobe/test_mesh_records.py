"""Every recorded document of pScheduler, and every odd one, is the right row or a refusal by name."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes import Found, Refusal, tool_output
from netprobe.meshes.perfsonar5_documents import read_document
from netprobe.meshes.records import read_record, read_run
from tests.netprobe import pscheduler_samples as samples
from tests.netprobe.archive5_mapping import document


def node(name: str, changes: dict[str, Any] | None = None, **spec: Any) -> Found:
    return read_run(samples.run(name, **(changes or {})), samples.task(name, **spec), "ps.example", None)


def archived(name: str, **spec: Any) -> Found:
    return read_document(document(samples.record(name, **spec)), "ps.example", None)


def row(found: Found) -> Measurement:
    assert isinstance(found, Measurement), found
    json.dumps([found.raw, found.parameters, found.context], allow_nan=False)
    return found


# (kind, source, destination, part of the figures) of each recorded run that is a row
ROWS: dict[str, tuple[Kind, str, str, dict[str, float]]] = {
    "tp-run.json": (
        Kind.THROUGHPUT,
        "hosta",
        "hostb",
        {
            "bits_per_second": 381560996.4895817,
            "sent_bits_per_second": 381933180.2794694,
            "retransmits": 0,
            "rtt_seconds": 0.0062745,
        },
    ),
    # the data of a reversed test flow the other way
    "tp-reverse.json": (
        Kind.THROUGHPUT,
        "hostb",
        "hosta",
        {"bits_per_second": 287250680.9831116, "sent_bits_per_second": 290683270.8755568},
    ),
    # the summary says that nothing was lost; the streams know
    "tp-udp.json": (
        Kind.THROUGHPUT,
        "hosta",
        "hostb",
        {
            "bits_per_second": 349300103.7740434,
            "packets_sent": 151046,
            "packets_lost": 269,
            "loss_ratio": 269 / 151046,
            "jitter_seconds": 1.8436904494273344e-06,
        },
    ),
    "rtt-run.json": (
        Kind.LATENCY,
        "hosta",
        "10.99.0.2",
        {"rtt_seconds": 40e-6, "rtt_seconds_min": 35e-6, "rtt_seconds_p90": 948e-6, "loss_ratio": 0},
    ),
    "lat.json": (
        Kind.LATENCY,
        "hosta",
        "hostb",
        {"owd_seconds": 60e-6, "owd_seconds_min": 10e-6, "owd_seconds_p90": 100e-6, "clock_error_seconds": 0},
    ),
    # buckets of 0.1 ms
    "latbg-run.json": (
        Kind.LATENCY,
        "hosta",
        "hostb",
        {"owd_seconds": 74e-6, "owd_seconds_min": 42e-6, "packets_sent": 100, "loss_ratio": 0},
    ),
    "trace.json": (Kind.PATH, "hosta", "10.99.0.2", {"hops": 1}),
}
FAILED = {
    "tp-fail.json": "Iperf3 failed: unable to receive control message: Connection reset by peer",
    "rtt-twping.json": "twping returned an error",
    "rtt-loss.json": "no answer to 3 packets",
}
REFUSED = {"tp-run-pending.json": "not finished", "tp2-run.json": "not run"}


def test_the_tables_here_speak_of_every_recorded_run() -> None:
    assert sorted([*ROWS, *FAILED, *REFUSED]) == samples.RUNS
    others = {path.name for path in samples.DATA.glob("*.json")} - set(samples.RUNS) - set(samples.ARCHIVED)
    # no runs at all, but tasks
    assert {
        str(read_run(samples.load(name), samples.load(name), None, None).__class__) for name in others
    } == {str(Refusal)}


@pytest.mark.parametrize("name", ROWS)
def test_a_run_of_a_node_is_the_right_row(name: str) -> None:
    found = row(node(name))
    kind, source, destination, figures = ROWS[name]
    assert (found.kind, found.source, found.destination, found.error) == (kind, source, destination, None)
    assert {key: found.figures[key] for key in figures} == pytest.approx(figures)
    assert found.origin is Origin.PSCHEDULER
    assert found.started.isoformat() == samples.load(name)["start-time"]


@pytest.mark.parametrize("name", FAILED)
def test_a_run_that_failed_is_a_row_with_its_error(name: str) -> None:
    for found in (row(node(name)), row(archived(name))):
        assert str(found.error).startswith(FAILED[name])
        assert not {"bits_per_second", "rtt_seconds"} & set(found.figures)


@pytest.mark.parametrize("name", REFUSED)
def test_a_run_that_was_not_made_says_nothing_of_the_path(name: str) -> None:
    found = node(name)
    assert isinstance(found, Refusal)
    assert found.reason == REFUSED[name]


@pytest.mark.parametrize("name", [*ROWS, *FAILED])
def test_the_node_its_archiver_and_the_archive_tell_of_one_row(name: str) -> None:
    record = samples.record(name)
    told = [row(node(name)), row(read_record(record, "x", None)), row(archived(name))]
    assert len({one.id for one in told}) == 1
    assert len({(one.kind, one.started, one.tool, one.error, one.seconds) for one in told}) == 1
    lost = {"rtt_seconds_p90"}
    if told[0].kind is Kind.THROUGHPUT:
        # an archive of perfSONAR 5 keeps nothing of what the tool wrote
        lost |= {"rtt_seconds", "mss_bytes", "cpu_percent_source", "cpu_percent_destination"}
    assert {one.parameters["test"] for one in told} == {told[0].parameters["test"]}
    assert set(told[2].figures) >= set(told[0].figures) - lost
    assert told[0].figures == told[1].figures


@pytest.mark.parametrize("name", samples.ARCHIVED)
def test_what_the_archiver_sent_is_a_row(name: str) -> None:
    found = row(read_record(samples.load(name), "x", None))
    assert (found.source, found.destination, found.error) == ("hosta", "hostb", None)
    assert found.figures


def test_the_archive_has_the_senders_rate_only_and_the_row_says_so() -> None:
    here, there = row(node("tp-run.json")), row(archived("tp-run.json"))
    assert (here.parameters["rate"], there.parameters["rate"]) == ("received", "sent")
    assert there.figures["bits_per_second"] == here.figures["sent_bits_per_second"]


def test_the_archive_reverses_too() -> None:
    found = row(archived("tp-reverse.json"))
    assert (found.source, found.destination) == ("hostb", "hosta")
    assert (found.source_address, found.destination_address) == ("10.99.0.2", "10.99.0.1")


def test_a_rate_that_no_receiver_told_is_the_senders() -> None:
    result = samples.load("tp-run.json")["result-merged"]
    del result["summary"]["summary"]["receiver-throughput-bits"]
    found = row(node("tp-run.json", {"result-merged": result}))
    assert found.parameters["rate"] == "sent"
    assert found.figures["bits_per_second"] == 381933180.2794694


def test_how_it_was_measured_stays_with_the_row() -> None:
    for found in (row(node("tp-run.json")), row(archived("tp-run.json"))):
        wanted = {"protocol": "tcp", "streams": 2, "duration_seconds": 10, "omit_seconds": 1, "ip_version": 4}
        assert {key: found.parameters[key] for key in wanted} == wanted
    udp = row(node("tp-udp.json"))
    assert udp.parameters["protocol"] == "udp"
    assert udp.parameters["target_bits_per_second"] == 350_000_000
    assert row(node("tp-run.json")).context["iperf3_versions"] == ["3.12", "3.12"]


def test_what_iperf3_wrote_explains_the_figures_of_a_throughput_test() -> None:
    found = row(node("tp-run.json"))
    assert found.figures["mss_bytes"] == 1448
    assert found.figures["cpu_percent_source"] == pytest.approx(1.4, abs=1)
    assert "cpu_percent_destination" in found.figures
    assert found.context["iperf3"] == "3.12"
    assert found.context["iperf3_versions"] == ["3.12", "3.12"]
    assert {"sender_congestion", "send_buffer_bytes", "path_mtu_bytes", "omitted_intervals"} <= set(
        found.context
    )
    # the client's processor is the receiver's where the server sends
    diags = samples.load("tp-reverse.json")["result-merged"]["diags"]
    used = tool_output.iperf3_of(diags)["end"]["cpu_utilization_percent"]
    reverse = row(node("tp-reverse.json")).figures
    assert reverse["cpu_percent_destination"] == used["host_total"]
    assert reverse["cpu_percent_source"] == used["remote_total"]


@pytest.mark.parametrize(
    "diags", [None, 7, "", "{", "\n{", "\n[1]", 'iperf3 -c b\n{"end": 3}', "\n" + '{"a":' * 100_000]
)
def test_of_what_is_no_document_of_iperf3_nothing_is_taken(diags: Any) -> None:
    result = {**samples.load("tp-run.json")["result-merged"], "diags": diags}
    found = row(node("tp-run.json", {"result-merged": result}))
    assert found.figures["bits_per_second"] == pytest.approx(381560996.4895817)
    assert not {"cpu_percent_source", "mss_bytes"} & set(found.figures)
    assert set(found.context) <= {"iperf3_versions"}


def test_clocks_that_are_not_in_step_are_said_with_the_row() -> None:
    asleep = {"clock-survey": [{"synchronized": True}, {"synchronized": False}]}
    assert row(node("lat.json", asleep)).context["clocks_synchronized"] is False
    awake = {"clock-survey": [{"synchronized": True}, {"synchronized": True}]}
    assert row(node("lat.json", awake)).context["clocks_synchronized"] is True
    assert row(node("tp-fail.json")).context["clocks_synchronized"] is False
    assert "clocks_synchronized" not in row(node("lat.json")).context
    assert "clocks_disagree" not in row(node("lat.json")).context


def test_the_ip_version_is_that_of_the_spec_or_of_the_addresses() -> None:
    assert row(node("tp-run.json", None, **{"ip-version": 6})).parameters["ip_version"] == 6
    assert row(node("rtt-run.json", dest="2001:db8::7")).parameters["ip_version"] == 6
    lonely = document(samples.record("tp-run.json"))
    del lonely["meta"]["source"], lonely["meta"]["destination"], lonely["meta"]["ip_version"]
    found = row(read_document(lonely, "x", None))
    assert "ip_version" not in found.parameters
    assert (found.source, found.destination) == ("hosta", "hostb")


@pytest.mark.parametrize("state", ["missed", "preempted", "canceled", "nonstart"])
def test_no_row_for_a_test_that_never_was(state: str) -> None:
    found = node("tp2-run.json", {"state": state})
    assert isinstance(found, Refusal)
    assert found.reason == "not run"


def test_finished_is_no_success() -> None:
    found = row(node("latbg-run.json", {"result-merged": {"succeeded": False, "error": "no daemon"}}))
    assert (found.error, dict(found.figures)) == ("no daemon", {})
    nothing = node("latbg-run.json", {"result-merged": None})
    assert isinstance(nothing, Refusal)
    assert nothing.reason == "no result"


def test_delays_below_zero_are_kept() -> None:
    result = samples.load("lat.json")["result-merged"]
    result["histogram-latency"], result["max-clock-error"] = {"-2.50": 30, "-2.00": 20}, 4.2
    found = row(node("lat.json", {"result-merged": result}))
    assert found.figures["owd_seconds"] == pytest.approx(-0.0025)
    assert found.figures["owd_seconds_p90"] == pytest.approx(-0.002)
    assert found.figures["clock_error_seconds"] == pytest.approx(0.0042)
    assert found.context["clocks_disagree"] is True
    record = samples.record("lat.json")
    record["result"] = result
    assert row(read_document(document(record), "x", None)).figures == pytest.approx(found.figures)


def test_the_archives_own_figures_do_where_the_histogram_is_left_out() -> None:
    made = document(samples.record("latbg-run.json"))
    del made["result"]["latency"]["histogram"]
    found = row(read_document(made, "x", None))
    assert found.figures["owd_seconds"] == pytest.approx(74e-6)
    assert found.parameters["bucket_width_seconds"] == 0.0001


def test_routers_that_keep_silent_count_and_who_comes_after_the_last_answer_does_not() -> None:
    hops = [{"ip": "10.0.0.1", "mtu": 9000}, {}, {"ip": "10.0.0.3", "mtu": 1500}, {"error": "timeout"}, {}]
    found = row(node("trace.json", {"result-merged": {"succeeded": True, "paths": [hops]}}))
    assert found.figures == {"hops": 3, "path_mtu_bytes": 1500}
    silent = row(node("trace.json", {"result-merged": {"succeeded": True, "paths": [[{}, {}]]}}))
    assert silent.error == "no hop answered"


def test_ends_are_sites_where_the_catalogue_knows_them() -> None:
    site = Site("perth", "Perth", Place(-32.0, 115.9), perfsonar_hosts=("HOSTA", "10.99.0.2"))
    federation = Federation("f", {"perth": site})
    record = document(samples.record("tp-run.json"))
    # both ends are of one site: a path from it to itself would mean nothing
    found = row(read_document(record, "x", federation))
    assert (found.source, found.destination) == ("hosta", "hostb")
    other = replace(site, id="lausanne", perfsonar_hosts=("10.99.0.2",))
    sites = {"perth": replace(site, perfsonar_hosts=("hosta",)), "lausanne": other}
    found = row(read_document(record, "x", Federation("f", sites)))
    assert (found.source, found.destination) == ("perth", "lausanne")


def test_a_host_is_found_by_any_name_that_its_site_gives_it() -> None:
    perth = Site("perth", "Perth", Place(-32.0, 115.9), ("R",), perfsonar_hosts=("PS.Perth", "2001:db8::1"))
    other = replace(perth, id="other", iperf3_address="192.0.2.9", perfsonar_hosts=("ps.perth",))
    federation = Federation("f", {"perth": perth, "other": other})
    for name, site in (("ps.PERTH.", perth), ("[2001:db8::1]", perth), ("192.0.2.9", other), ("", None)):
        assert federation.site_of_host(name) is site
    assert federation.site_of_host("ps.bern") is None


def test_long_names_that_begin_alike_stay_two_hosts() -> None:
    long = "perfsonar-throughput-test-node-number-one.of-the-department-of-physics.example."
    ends = [row(node("tp-run.json", source=f"{long}{end}.", dest="b")) for end in ("org", "net", "ORG")]
    first, second, again = (one.source for one in ends)
    assert first == again != second
    assert {len(one) for one in (first, second)} == {64}
    assert first.startswith("perfsonar-throughput-test-node-number-one.of-the-de")
    assert ends[0].context["source_host"] == f"{long}org"
    assert "destination_host" not in ends[0].context


def test_names_fit_their_columns() -> None:
    found = row(node("tp-run.json", source="A" * 300, dest="B.example."))
    assert (found.source[:51], len(found.source), found.destination) == ("a" * 51, 64, "b.example")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"start-time": "yesterday"}, "no time"),
        ({"start-time": None}, "no time"),
        ({"result-merged": {"succeeded": True}}, "no figures"),
        ({"result-merged": {"succeeded": True, "summary": {"summary": {"retransmits": 1}}}}, "no figures"),
        ({"result-merged": "half"}, "no result"),
    ],
)
def test_what_can_be_no_row_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    found = node("tp-run.json", change)
    assert isinstance(found, Refusal)
    assert found.reason == reason


def test_a_test_of_another_type_and_one_without_ends_are_refused() -> None:
    task = samples.task("tp-run.json")
    task["test"]["type"] = "dns"
    other = read_run(samples.run("tp-run.json"), task, None, None)
    endless = node("lat.json", dest=None)
    assert isinstance(other, Refusal)
    assert isinstance(endless, Refusal)
    assert (other.reason, endless.reason) == ("test type not known", "no ends")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["P0D", "PT1S", "2026-11-22T17:12:02+00:00", "0001-01-01T00:00:00+14:00", "hosta", "\0"]
    )
    | st.just(10**400),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3),
    max_leaves=6,
)


def broken(whole: Any, where: list[int], with_this: Any) -> Any:
    """The document with one part of it, found by walking down `where`, replaced."""
    document = copy.deepcopy(whole)
    here, parent, key = document, None, None
    for step in where:
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else []
        if not keys:
            break
        parent, key = here, keys[step % len(keys)]
        here = parent[key]
    if parent is None:
        return with_this
    parent[key] = with_this
    return document


HEADLINES = {
    Kind.THROUGHPUT: {"bits_per_second"},
    Kind.LATENCY: {"rtt_seconds", "owd_seconds", "loss_ratio"},
    Kind.PATH: {"hops"},
}
WHOLE = [samples.record(name) for name in samples.RUNS if name != "tp-run-pending.json"]
for _one in WHOLE:
    _one["run"].pop("result-full", None)
DOCUMENTS = [document(one) for one in WHOLE]


@given(which=st.integers(0, len(WHOLE) - 1), where=st.lists(st.integers(0, 50), max_size=7), part=JSON)
def test_no_document_of_any_shape_crashes_it(which: int, where: list[int], part: Any) -> None:
    record = broken(WHOLE[which], where, part)
    found = [
        read_record(record, "x", None),
        read_document(broken(DOCUMENTS[which], where, part), "x", None),
        read_run(record.get("run") if isinstance(record, dict) else record, part, "x", None),
        read_run(samples.run("trace.json") if which == 0 else part, record, "x", None),
    ]
    for one in found:
        if isinstance(one, Measurement):
            row(one)
            assert one.error or (set(one.figures) & HEADLINES[one.kind])
            assert len(one.source) <= 64
            assert one.seconds >= 0
            json.dumps(dict(one.figures), allow_nan=False)
        else:
            assert one.reason
