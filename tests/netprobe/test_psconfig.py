"""pSConfig templates: who is expected to measure what with whom, by the examples of perfSONAR and by rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InputError
from netprobe.meshes.psconfig import Expected, expected
from netprobe.meshes.psconfig_document import Template, load
from tests.netprobe.web import answering

SAMPLES = Path(__file__).parent / "data" / "psconfig"
SPEC = {"source": "{% address[0] %}", "dest": "{% address[1] %}"}


def document(group: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A template with the addresses a to d, one group, and one throughput test every four hours."""
    return {
        "addresses": {name: {"address": f"{name}.example.net"} for name in "abcd"},
        "groups": {"g": dict(group)},
        "tests": {"t": {"type": "throughput", "spec": dict(SPEC)}},
        "schedules": {"s": {"repeat": "PT4H"}},
        "tasks": {"k": {"group": "g", "test": "t", "schedule": "s"}},
        **more,
    }


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def mesh(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": "mesh", "addresses": named(*names), **more}


def read(tmp_path: Path, content: Any) -> tuple[list[Expected], list[str]]:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(content))
    template = load(str(path))
    return expected(template), template.problems


def pairs(found: list[Expected]) -> set[tuple[str, str | None]]:
    return {
        (one.source.removesuffix(".example.net"), (one.destination or "").removesuffix(".example.net"))
        for one in found
    }


# The examples of perfSONAR, counted by hand


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("example-1-simple", {"throughput": 3 * 2, "latencybg": 3 * 2, "trace": 3 * 2}),
        # 15 hosts of which one is disabled; 14 and 11 of which one is; 12 of which one is; all IPv6 is off
        (
            "example-2-testbed",
            {
                "throughput": 14 * 13 + 13 * 12 + 10 * 9,
                "trace": 14 * 13,
                "latencybg": 14 * 13,
                "rtt": 11 * 10,
            },
        ),
        # five circuits, both ways: of 5 x 4 hosts only these have an address for one another
        ("example-3-circuits", {"throughput": 5 * 2, "latencybg": 5 * 2}),
        ("example-4-snmp", {"snmpget": 3}),
        ("example-5-classes", {"throughput": 3 * 2, "latencybg": 3 * 2, "trace": 3 * 2}),
        # every mesh of it has one address
        ("perfsonar-dev-mesh_testbed", {}),
    ],
)
def test_the_samples_ask_for_as_many_tests_as_counted_by_hand(name: str, counts: dict[str, int]) -> None:
    template = load(str(SAMPLES / f"{name}.json"))
    assert Counter(one.test for one in expected(template)) == counts
    assert bool(template.problems) == (name == "perfsonar-dev-mesh_testbed")


def test_what_is_wrong_in_a_real_template_is_named_by_its_place() -> None:
    template = load(str(SAMPLES / "perfsonar-dev-mesh_testbed.json"))
    expected(template)
    assert "/tasks/rtt4/group: expected a name in /groups, got 'g4.innocuous'" in template.problems
    wanted = "/groups/g.dns+http/b-addresses/0/name: expected a name in /addresses, got 'www.perfsonar.net'"
    assert wanted in template.problems


def test_a_circuit_is_measured_between_the_addresses_that_the_two_ends_have_for_it() -> None:
    found = expected(load(str(SAMPLES / "example-3-circuits.json")))
    one = next(one for one in found if one.source_names[0] == "lsvn-pt1.es.net")
    assert (one.source, one.destination) == ("192.168.14.33", "192.168.14.34")
    assert one.destination_names == ("ga-pt1.es.net",)
    assert (one.ip_version, one.repeat_seconds) == (4, 4 * 3600)
    # the archive of the host that runs it
    assert one.archives == ("archive-lsvn",)


def test_a_background_test_gives_a_result_a_minute() -> None:
    found = expected(load(str(SAMPLES / "example-2-testbed.json")))
    assert {one.repeat_seconds for one in found if one.test == "latencybg"} == {60.0}
    assert {one.repeat_seconds for one in found if one.test == "trace"} == {600.0}
    assert {one.ip_version for one in found} == {4}


# Groups


@pytest.mark.parametrize(
    ("group", "wanted"),
    [
        (mesh("a", "b", "c"), {"ab", "ac", "ba", "bc", "ca", "cb"}),
        (
            mesh("a", "b", "c", excludes=[{"local-address": {"name": "a"}, "target-addresses": named("b")}]),
            {"ac", "ba", "bc", "ca", "cb"},
        ),
        (mesh("a", "b", **{"excludes-self": "disabled"}), {"aa", "ab", "ba", "bb"}),
        (mesh("a", "a", "b"), {"ab", "ba"}),
        (
            {"type": "disjoint", "a-addresses": named("a"), "b-addresses": named("b", "c")},
            {"ab", "ac", "ba", "ca"},
        ),
        (
            {
                "type": "disjoint",
                "a-addresses": named("a"),
                "b-addresses": named("b", "c"),
                "unidirectional": True,
            },
            {"ab", "ac"},
        ),
        ({"type": "list", "addresses": named("a", "b")}, {"a", "b"}),
    ],
)
def test_a_group_makes_these_pairs(tmp_path: Path, group: dict[str, Any], wanted: set[str]) -> None:
    content = document(group)
    if group["type"] == "list":
        content["tests"]["t"] = {"type": "rtt", "spec": {"dest": "{% address[0] %}"}}
    found, problems = read(tmp_path, content)
    assert {f"{source}{destination}" for source, destination in pairs(found)} == wanted
    assert len(found) == len(wanted)
    assert problems == []


@pytest.mark.parametrize(("scope", "count"), [("host", 10), ("address", 12)])
def test_addresses_of_one_host_are_not_measured_with_one_another(
    tmp_path: Path, scope: str, count: int
) -> None:
    content = document(mesh("a", "b", "c", "d", **{"excludes-self": scope}))
    content["addresses"]["a"]["host"], content["addresses"]["d"]["host"] = "one", "ONE"
    found, _ = read(tmp_path, content)
    assert len(found) == count


@given(size=st.integers(0, 12), disabled=st.integers(0, 12))
def test_a_mesh_of_n_hosts_has_n_times_n_less_one_pairs(size: int, disabled: int) -> None:
    names = [f"h{number}" for number in range(size)]
    addresses = {name: {"address": name, "disabled": number < disabled} for number, name in enumerate(names)}
    sections: dict[str, Any] = {**document(mesh(*names)), "addresses": addresses}
    empty: dict[str, Any] = {key: {} for key in ("address-classes", "archives", "contexts", "hosts")}
    on = max(0, size - disabled)
    assert len(expected(Template("test", {**empty, **sections}))) == on * (on - 1)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"type": "tag", "tag": "FAST"}, "ab"),
        ({"type": "host", "site": "north"}, "b"),
        ({"type": "not", "filter": {"type": "tag", "tag": "fast"}}, "cd"),
        ({"type": "netmask", "netmask": "192.0.2.0/24"}, "c"),
        ({"type": "ip-version", "ip-version": 6}, "d"),
        (
            {
                "type": "or",
                "filters": [{"type": "tag", "tag": "fast"}, {"type": "ip-version", "ip-version": 4}],
            },
            "abc",
        ),
        ({"type": "and", "filters": [{"type": "tag", "tag": "fast"}, {"type": "host", "tag": "fast"}]}, "b"),
        ({"type": "address-class", "class": "others"}, "cd"),
        ({"type": "address-class", "class": "mine"}, ""),
    ],
)
def test_a_class_chooses_addresses(tmp_path: Path, rule: dict[str, Any], wanted: str) -> None:
    content = document({"type": "list", "addresses": [{"class": "mine"}]})
    content["addresses"]["a"]["tags"] = ["fast"]
    content["addresses"]["b"]["host"] = "h"
    content["addresses"]["c"]["address"] = "192.0.2.7"
    content["addresses"]["d"]["address"] = "2001:db8::7"
    content["hosts"] = {"h": {"tags": ["fast"], "site": "North"}}
    here = {"type": "current-config"}
    others = {"data-source": here, "exclude-filter": {"type": "tag", "tag": "fast"}}
    content["address-classes"] = {"mine": {"data-source": here, "match-filter": rule}, "others": others}
    content["tests"]["t"]["spec"] = {"dest": "192.0.2.1"}
    found, problems = read(tmp_path, content)
    assert "".join(one.source_names[0] for one in found) == wanted
    assert any("is made of itself" in line for line in problems) == (rule.get("class") == "mine")


# Who runs it, and with which words


def test_the_other_end_runs_what_an_end_without_an_agent_can_not(tmp_path: Path) -> None:
    content = document(mesh("a", "b", "c"))
    content["addresses"]["a"]["no-agent"] = True
    content["addresses"]["b"]["host"], content["hosts"] = "b", {"b": {"no-agent": True}}
    content["tests"]["t"]["spec"]["flip"] = "{% flip %}"
    content["tasks"]["k"]["reference"] = {"by": "run by {% scheduled_by_address %}"}
    found, problems = read(tmp_path, content)
    by = {(one.source[0], (one.destination or "")[0]): one for one in found}
    # nobody runs a to b, and b to a
    assert set(by) == {("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")}
    assert {one.scheduled_by for one in found} == {"c.example.net"}
    assert by["a", "c"].spec["flip"] is True
    assert by["c", "a"].spec["flip"] is False
    assert by["a", "c"].reference == {"by": "run by c.example.net"}
    assert problems == []


def test_a_reversed_test_is_expected_in_the_direction_of_its_data(tmp_path: Path) -> None:
    content = document({"type": "disjoint", "a-addresses": named("a"), "b-addresses": named("b")})
    content["groups"]["g"]["unidirectional"] = True
    content["tests"]["t"]["spec"]["reverse"] = True
    found, _ = read(tmp_path, content)
    assert pairs(found) == {("b", "a")}
    assert found[0].source_names == ("b", "b.example.net")


def test_labels_choose_an_address_and_who_has_none_is_left_out(tmp_path: Path) -> None:
    content = document(mesh("a", "b", "c", **{"default-address-label": "six"}))
    for name, address in (("a", "2001:db8::a"), ("b", "2001:db8::b")):
        content["addresses"][name]["labels"] = {"six": {"address": address}}
    content["tests"]["t"]["spec"]["source-node"] = "{% pscheduler_address[0] %}"
    found, problems = read(tmp_path, content)
    assert pairs(found) == {("2001:db8::a", "2001:db8::b"), ("2001:db8::b", "2001:db8::a")}
    assert {one.ip_version for one in found} == {6}
    assert {one.spec["source-node"] for one in found} == {"[2001:db8::a]", "[2001:db8::b]"}
    assert problems == []


def test_an_address_for_one_far_end_is_used_with_that_one_only(tmp_path: Path) -> None:
    content = document(mesh("a", "b", "c"))
    content["addresses"]["a"]["remote-addresses"] = {"b": {"address": "192.0.2.1"}}
    found, _ = read(tmp_path, content)
    by = {(one.source_names[0], one.destination_names[0]): one.source for one in found}
    assert by["a", "b"] == "192.0.2.1"
    assert by["a", "c"] == "a.example.net"


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (("groups", "g", "type"), "star", "/groups/g/type: expected mesh, disjoint or list, got 'star'"),
        (("groups", "g", "addresses"), {}, "/groups/g/addresses: expected a list of addresses, got {}"),
        (("tests", "t"), [], "/tests/t: expected an object, got []"),
        (("tests", "t", "type"), 7, "/tests/t/type: expected the type of a test"),
        (("tasks", "k", "group"), "g/~", "/tasks/k/group: expected a name in /groups, got 'g/~'"),
        (("tasks", "k", "schedule"), {}, "/tasks/k/schedule: expected a name in /schedules, got {}"),
        (("tasks", "k", "scheduled-by"), 2, "/tasks/k/scheduled-by: expected 0 to 1, got 2"),
        (("tasks", "k", "archives"), ["x"], "/tasks/k/archives/0: expected a name in /archives, got 'x'"),
        (("addresses", "a", "address"), None, "/addresses/a/address: expected a host name or an address"),
        (("addresses", "a"), 1, "/addresses/a: expected an object, got 1"),
        (("schedules", "s", "repeat"), 4, "/schedules/s/repeat: expected a duration such as PT4H, got 4"),
        (
            ("tests", "t", "spec", "x/y"),
            "{% jq .a %}",
            "/tests/t/spec/x~1y: variable 'jq .a' is not filled in: it isn't known here",
        ),
        (("tasks", "k\nl"), 1, r"/tasks/k\nl: expected an object, got 1"),
        (("groups",), [], "/groups: expected an object, got []"),
        (("includes",), {}, "/includes: expected a list, got {}"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(
    tmp_path: Path, place: tuple[str, ...], value: Any, problem: str
) -> None:
    content = document(mesh("a", "b", "c"))
    inner: Any = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    _, problems = read(tmp_path, content)
    assert problem in problems


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "expected JSON"), ("[]", "expected a pSConfig template"), (None, "can't be read")],
)
def test_what_is_no_template_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "template.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load(str(path))
    assert str(path) in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just("{% flip %} {% address[7] %}"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)


@given(data=st.data(), value=JSON)
def test_no_template_is_a_crash(
    data: st.DataObject, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = json.loads((SAMPLES / "example-5-classes.json").read_text())
    inner: Any = content
    # go down at random, and put something else there
    while True:
        key = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = value
    path = tmp_path_factory.getbasetemp() / "any-template.json"
    path.write_text(json.dumps(content))
    template = load(str(path))
    # three tasks between all six addresses, at most
    assert len(expected(template)) <= 3 * 6 * 5
    assert all("\n" not in line for line in template.problems)


# Includes


def test_included_files_fill_in_what_the_template_does_not_have(tmp_path: Path) -> None:
    content = document(mesh("a", "b"), includes=["parts/more.json"])
    addresses = content.pop("addresses")
    (tmp_path / "parts").mkdir()
    # in a circle, and with another idea of the group
    more = {"addresses": addresses, "groups": {"g": mesh("a")}, "includes": ["../template.json", "more.json"]}
    (tmp_path / "parts" / "more.json").write_text(json.dumps(more))
    found, problems = read(tmp_path, content)
    assert pairs(found) == {("a", "b"), ("b", "a")}
    assert problems == []


def test_includes_have_an_end(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.json").write_text(json.dumps({"includes": [f"{number + 1}.json"]}))
    found, problems = read(tmp_path, document(mesh("a", "b"), includes=["0.json", "gone.json"]))
    assert len(found) == 2
    assert any("more than 32 includes" in line for line in problems)
    assert any(line.startswith("/includes/1: ") and "can't be read" in line for line in problems)


def test_a_template_from_a_server_includes_urls_and_never_files_of_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"addresses": {"x": {"address": "secret"}}}))
    top = document(mesh("a", "b"), includes=["addresses.json", f"file://{secret}"])
    content = {"/t/mesh.json": top, "/t/addresses.json": {"addresses": top.pop("addresses")}}
    with answering(lambda path, _query: content.get(path)) as url:
        template = load(f"{url}/t/mesh.json")
    assert pairs(expected(template)) == {("a", "b"), ("b", "a")}
    assert [line.partition(":")[0] for line in template.problems] == ["/includes/1"]
    assert "x" not in template.sections["addresses"]
