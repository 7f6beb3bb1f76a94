"""What is asked: requests that are understood, all the reasons for a NO, and documents of the wrong shape."""

import copy
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.contract import kinds
from broker.contract.codec import Malformed
from broker.contract.read import read_update
from broker.model import Level, MinMax, Note, Phase
from tests.broker.conftest import NOW, make_document
from tests.broker.reading import VOLUME, data, parse, reasons, storage, volume, with_volumes


def test_a_container_alone_gets_the_defaults():
    document = {"executable": make_document()["executable"]}
    request, notes = parse(document)
    assert (request.cores, request.memory_gib) == (MinMax(1), MinMax(1))
    assert request.duration == timedelta(hours=1)
    assert (request.earliest_start, request.latest_start) == (NOW, NOW + timedelta(hours=24))
    assert request.executable.architecture == "amd64"
    # what was assumed is told
    assert {note.path for note in notes} == {"/schedule/requested/start", "/schedule/requested/duration"}
    assert {note.level for note in notes} == {Level.INFO}


def test_everything_wrong_is_told_at_once():
    document = make_document(cores=(8, 2), duration="-PT1H", start="2020-01-01/P1D")
    document["executable"] |= {"privileged": True, "environment": {"A B": "x"}}
    document["executable"]["image"] = {
        "locations": ["-v"],
        "digest": "sha256:zz",
        "platform": {"os": "plan9"},
    }
    document["compute"]["memory"] = {"min": 0}
    document["compute"]["volumes"] = [volume("nothing"), {"kind": "urn:other"}, {"kind": VOLUME}]
    document["storage"] = [storage("s"), storage("s"), storage("t", -1)]
    document["data"] = [
        {"kind": kinds.S3_DATA},
        {"kind": "urn:other"},
        data("gone"),
        data("small", storage="nowhere"),
    ]
    document["costs"] = [{"kind": "urn:other"}, {"kind": kinds.MINMAX_COST}]
    document["metrics"] = [{"kind": kinds.MINMAX_METRIC, "type": "urn:x", "min": 2.0, "max": 1.0}]
    assert reasons(document) == {
        ("invalid-value", "/executable/image/locations/0"),
        ("invalid-value", "/executable/image/digest"),
        ("invalid-value", "/executable/image/platform/os"),
        ("not-supported", "/executable/privileged"),
        ("invalid-value", "/executable/environment"),
        ("invalid-value", "/compute/cores/min"),
        ("invalid-value", "/compute/memory/min"),
        ("resource-not-found", "/compute/volumes/0/resource"),
        ("unknown-kind", "/compute/volumes/1/kind"),
        ("missing-value", "/compute/volumes/2/resource"),
        ("duplicate-resource", "/storage/1/meta/name"),
        ("invalid-value", "/storage/2/size/min"),
        ("no-catalogue", "/data/0/kind"),
        ("unknown-kind", "/data/1/kind"),
        ("resource-not-found", "/data/2"),
        ("resource-not-found", "/data/3/storage"),
        ("invalid-value", "/schedule/requested/duration"),
        ("start-in-the-past", "/schedule/requested/start"),
        ("unknown-kind", "/costs/0/kind"),
        ("missing-value", "/costs/1/type"),
        ("invalid-value", "/metrics/0"),
    }


def test_another_executable_is_a_no_not_a_400():
    document = {"executable": {"kind": "urn:java", "meta": {"name": "x"}, "location": "http://example.org/x"}}
    assert reasons(document) == {("unknown-kind", "/executable/kind")}


def test_no_executable():
    assert reasons({}) == {("executable-required", "/executable")}
    assert reasons({"executable": None}) == {("executable-required", "/executable")}


def test_no_image():
    document = make_document()
    del document["executable"]["image"]
    assert reasons(document) == {("missing-value", "/executable/image/locations")}


@pytest.mark.parametrize(
    ("wire", "path"),
    [
        ({"min": 0}, "min"),
        ({"min": -1, "max": 2}, "min"),
        ({"max": 0}, "max"),
        ({"min": 0, "max": 0}, "min"),
        ({"min": 3, "max": 2}, "min"),
    ],
)
def test_sizes_that_nobody_has(wire, path):
    document = make_document()
    document["compute"]["cores"] = wire
    assert reasons(document) == {("invalid-value", f"/compute/cores/{path}")}


def test_a_maximum_alone_starts_at_one():
    document = make_document()
    document["compute"]["memory"] = {"max": 4}
    assert parse(document)[0].memory_gib == MinMax(1, 4)


def test_a_start_that_has_begun_is_cut_and_one_that_is_malformed_refused():
    request, _ = parse(make_document(start="2026-11-25T00:00:00Z/P1D"))
    assert (request.earliest_start, request.latest_start) == (NOW, NOW + timedelta(hours=12))
    path = "/schedule/requested/start"
    assert reasons(make_document(start="soon")) == {("input-syntax-fail", path)}
    assert reasons(make_document(start="2099-01-01/P1D")) == {("start-too-late", path)}


@pytest.mark.parametrize("duration", ["PT0S", "-PT1H", "P20Y", "PT" + "9" * 300 + "S", "1 hour"])
def test_durations_that_cannot_be_had(duration):
    ((_, path),) = reasons(make_document(duration=duration))
    assert path == "/schedule/requested/duration"


def test_limits():
    costs = [
        {"kind": kinds.MINMAX_COST, "type": "urn:money", "max": 3},
        {"kind": kinds.ABSTRACT_COST, "type": "urn:x"},
    ]
    request, _ = parse(make_document(costs=costs))
    (limit,) = request.cost_limits
    assert (limit.type, limit.minimum, limit.maximum) == ("urn:money", None, 3)


def test_a_misspelt_name_is_warned_of():
    document = make_document()
    document["compute"]["memroy"] = {"min": 4}
    assert reasons(document, Level.WARN) == {("unknown-property", "/compute/memroy")}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (None, ""),
        ([], ""),
        (7, ""),
        ({"executable": 7}, "/executable"),
        ({"executable": {}}, "/executable/kind"),
        ({"executable": {"kind": 7}}, "/executable/kind"),
        ({"executable": {"kind": kinds.DOCKER_CONTAINER, "command": "ls"}}, "/executable/command"),
        (
            {"executable": {"kind": kinds.DOCKER_CONTAINER, "environment": {"A": 1}}},
            "/executable/environment/A",
        ),
        ({"executable": {"kind": kinds.DOCKER_CONTAINER, "privileged": "no"}}, "/executable/privileged"),
        ({"compute": {"kind": kinds.SIMPLE_COMPUTE, "cores": {"min": "2"}}}, "/compute/cores/min"),
        ({"compute": {"kind": kinds.SIMPLE_COMPUTE, "cores": {"min": 1.5}}}, "/compute/cores/min"),
        ({"compute": {"kind": kinds.SIMPLE_COMPUTE, "cores": {"min": True}}}, "/compute/cores/min"),
        ({"compute": {"kind": kinds.SIMPLE_COMPUTE, "cores": {"min": 2**63}}}, "/compute/cores/min"),
        ({"data": {}}, "/data"),
        ({"data": [7]}, "/data/0"),
        ({"costs": [{"kind": kinds.MINMAX_COST, "max": "cheap"}]}, "/costs/0/max"),
    ],
)
def test_a_document_of_the_wrong_shape_is_malformed(document, path):
    with pytest.raises(Malformed) as caught:
        parse(document)
    assert [fault.path for fault in caught.value.faults] == [path]


def test_whole_floats_are_integers():
    document = make_document()
    document["compute"]["cores"] = {"min": 2.0}
    assert parse(document)[0].cores == MinMax(2)


def full_document():
    document = with_volumes(volume("a", "/in"), start="2026-11-26/P1D")
    document["executable"] |= {"command": ["x"], "environment": {"A": "b"}, "entrypoint": "/e"}
    return document | {
        "data": [data("small", "a", storage="s"), data("large")],
        "storage": [storage("s", 1, 2)],
        "costs": [{"kind": kinds.MINMAX_COST, "type": "urn:money", "max": 3.5}],
    }


def places(value, path=()):
    yield path
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        yield from places(member, (*path, name))


PLACES = [path for path in places(full_document()) if path]
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**62,
        1e300,
        "",
        " ",
        "a",
        "P1D",
        "{x}",
        "\n",
        "/",
        "é" * 300,
        [],
        [None],
        {},
        {"kind": "x"},
    ]
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_any_member_may_be_odd(changes):
    document = full_document()
    for path, odd in changes:
        inner = document
        for name in path[:-1]:
            inner = inner[name] if isinstance(inner, list | dict) and name in _names(inner) else None
        if isinstance(inner, list | dict) and path[-1] in _names(inner):
            inner[path[-1]] = copy.deepcopy(odd)
    try:
        request, notes = parse(document)
    except Malformed:
        return
    assert all(isinstance(note, Note) and note.text for note in notes)
    assert request is not None or any(note.level is Level.ERROR for note in notes)


def _names(inner):
    return inner if isinstance(inner, dict) else range(len(inner))


def test_updates():
    update = {"kind": kinds.ENUM_VALUE_UPDATE, "path": "/phase", "value": "ACCEPTED"}
    assert read_update(update) is Phase.ACCEPTED
    assert read_update(update | {"path": "phase"}) is Phase.ACCEPTED


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"value": "FLYING"}, "/value"),
        ({"value": 7}, "/value"),
        ({"path": "/nowhere"}, "/path"),
        ({"path": None}, "/path"),
        ({"kind": "uri:nonsense"}, "/kind"),
        ({"kind": kinds.STRING_VALUE_UPDATE}, "/kind"),
        ({"kind": 7}, "/kind"),
    ],
)
def test_updates_that_are_not_understood(change, path):
    update = {"kind": kinds.ENUM_VALUE_UPDATE, "path": "/phase", "value": "ACCEPTED"} | change
    with pytest.raises(Malformed) as caught:
        read_update(update)
    assert caught.value.faults[0].path == path
    for nothing in (None, [], {}):
        with pytest.raises(Malformed):
            read_update(nothing)
