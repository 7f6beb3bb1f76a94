"""The parts of a session as it goes on: phases, costs, messages, addresses; connectors; who may do what."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.catalogues import Resolved
from broker.contract import kinds
from broker.contract.read import parse_request
from broker.contract.write import component_document, session_document
from broker.model import Connector, DataItem, Figure, Level, Note, Outcome, Phase, Placement, Replica
from broker.records import Owner, Role, SessionRecord, TimedNote
from netprobe.cost import Item, plan_staging
from netprobe.forecast import from_outside
from tests.broker.conftest import NOW, make_document
from tests.broker.reading import data, storage, volume

BASE = "https://broker.example"
SESSION = "7677601e-de37-47f2-88b7-38cf909a580e"
OWNER, ADMIN = Owner("ada", "ada"), Owner("root", "root", Role.ADMIN)
OPERATOR, STRANGER = Owner("eve", "eve", Role.OPERATOR), Owner("bob", "bob")
OUTCOME = Outcome(NOW, NOW, 0)


class Anything:
    def resolve(self, uuid, name, resource, path):
        return Resolved(DataItem(uuid, name, 7, (Replica("http://x.example/y", None),)))


def session(phase=Phase.RUNNING, **changes):
    asked = make_document() | {
        "data": [data("http://x.example/a", "a"), data("http://x.example/b", "b", storage="out")],
        "storage": [storage("out", 2)],
    }
    ports = [
        {"internal": {"port": 8888}, "protocol": "HTTP", "path": "/lab", "access": True},
        {"internal": {"port": 53}, "protocol": "UDP"},
    ]
    asked["executable"]["network"] = {"ports": ports}
    asked["compute"]["volumes"] = [volume("out", "/out", mode="READWRITE")]
    request, _ = parse_request(asked, NOW, {"simple-data-resource": Anything()})
    items = [Item(item.uuid, 7, [("http://x.example/y", None)]) for item in request.data]
    money = Figure("urn:money", 1.0, 1.0, "money")
    placement = Placement(
        site_id="perth",
        cores=1,
        memory_gib=1,
        storage_gib=3,
        prepare_start=NOW,
        prepare_seconds=2.0,
        start=NOW + timedelta(seconds=90),
        duration=timedelta(hours=1),
        staging=plan_staging(items, "perth", lambda *_: from_outside("perth")),
        costs=(),
        metrics=(),
        notes=(Note("resource-limit", "less", {"site": "perth"}, Level.WARN, "/compute/cores/max"),),
        component_costs={"compute": (money,), request.data[0].uuid: (money, money)},
        component_metrics={"compute": (Figure("urn:speed", 2.0, 3.0, "speed"),)},
    )
    record = SessionRecord(
        uuid=SESSION,
        offerset_uuid=None,
        owner=OWNER.id,
        phase=phase,
        created=NOW,
        modified=NOW,
        expires=None,
        request=request,
        placement=placement,
        document=asked,
        notes=(TimedNote(NOW, Note("size-assumed", "a is 1 GiB", {}, Level.WARN, "/data/0")),),
    )
    return replace(record, **changes)


def with_staged(count, phase, **changes):
    """The first `count` of: storage out, storage for a, data a, data b."""
    record = session(phase, **changes)
    order = [item.uuid for item in (*record.request.storage, *record.request.data)]
    return replace(record, staged=frozenset(order[:count]))


def phases(record):
    found = session_document(record, BASE, OWNER)
    parts = [found["executable"], found["compute"], *found["storage"], *found["data"]]
    return " ".join(part["phase"] for part in parts)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (session(Phase.OFFERED), " ".join(["INITIALIZING"] * 6)),
        (session(Phase.WAITING), " ".join(["WAITING"] * 6)),
        (with_staged(0, Phase.PREPARING), "WAITING WAITING PREPARING PREPARING PREPARING PREPARING"),
        (with_staged(3, Phase.PREPARING), "WAITING WAITING AVAILABLE AVAILABLE AVAILABLE PREPARING"),
        (with_staged(4, Phase.PREPARING), "PREPARING WAITING AVAILABLE AVAILABLE AVAILABLE AVAILABLE"),
        (with_staged(4, Phase.AVAILABLE), " ".join(["AVAILABLE"] * 6)),
        (with_staged(4, Phase.RUNNING), "RUNNING RUNNING AVAILABLE AVAILABLE AVAILABLE AVAILABLE"),
        (with_staged(4, Phase.RELEASING), "COMPLETED RELEASING RELEASING RELEASING RELEASING RELEASING"),
        (with_staged(4, Phase.COMPLETED), " ".join(["COMPLETED"] * 6)),
        (
            with_staged(4, Phase.COMPLETED, results_until=NOW),
            "COMPLETED COMPLETED AVAILABLE COMPLETED COMPLETED COMPLETED",
        ),
        (with_staged(3, Phase.FAILED), "CANCELLED CANCELLED COMPLETED COMPLETED COMPLETED FAILED"),
        (with_staged(4, Phase.FAILED), "FAILED CANCELLED COMPLETED COMPLETED COMPLETED COMPLETED"),
        (
            with_staged(4, Phase.FAILED, outcome=OUTCOME),
            "FAILED COMPLETED COMPLETED COMPLETED COMPLETED COMPLETED",
        ),
        (with_staged(4, Phase.CANCELLED), " ".join(["CANCELLED"] * 6)),
        # a direct execution that was refused
        (session(Phase.FAILED, placement=None), " ".join(["CANCELLED"] * 6)),
    ],
)
def test_each_part_is_as_far_as_it_is(record, expected):
    assert phases(record) == expected


def test_parts_have_costs_and_metrics_of_their_own():
    found = session_document(session(), BASE, OWNER)
    assert [item["type"] for item in found["compute"]["costs"]] == ["urn:money"]
    assert found["compute"]["metrics"] == [
        {"kind": kinds.MINMAX_METRIC, "type": "urn:speed", "description": "speed", "min": 2.0, "max": 3.0}
    ]
    assert [len(item.get("costs", ())) for item in found["data"]] == [2, 0]


def test_parts_have_the_messages_that_are_about_them():
    found = session_document(session(), BASE, OWNER)
    whole = [message["message"] for message in found["meta"]["messages"]]
    assert whole == ["less", "a is 1 GiB"]
    assert [message["message"] for message in found["compute"]["meta"]["messages"]] == ["less"]
    assert [message["message"] for message in found["data"][0]["meta"]["messages"]] == ["a is 1 GiB"]
    assert "messages" not in found["data"][1]["meta"]
    kind = found["compute"]["meta"]["messages"][0]["kind"]
    assert kind == f"{BASE}/messages/resource-limit"


def test_data_says_how_long_it_takes_and_storage_what_is_held_and_kept():
    found = session_document(session(Phase.COMPLETED, results_until=NOW + timedelta(days=1)), BASE, OWNER)
    assert found["data"][0]["schedule"]["preparing"]["duration"].startswith("PT")
    out, made = found["storage"]
    assert out["size"] == {"min": 2, "max": 2}
    assert out["schedule"] == {"releasing": {"start": "2026-11-26T12:00:00Z"}}
    assert "schedule" not in made


def test_a_part_alone_and_what_is_no_part():
    record = session()
    found = component_document(record, "volumes", "volume:/out", BASE, None)
    assert found["meta"]["url"] == f"{BASE}/volumes/{record.component_uuid('volume:/out')}"
    assert found["resource"] == record.component_uuid(record.request.storage[0].uuid)
    for family, key in (
        ("volumes", "volume:/in"),
        ("data", "compute"),
        ("compute", "executable"),
        ("x", "y"),
    ):
        assert component_document(record, family, key, BASE, OWNER) is None


def test_a_stranger_sees_no_more_of_a_part_alone():
    record = session()
    asked = record.request.executable
    secret = replace(record.request, executable=replace(asked, environment={"KEY": "s3cret"}))
    for viewer, seen in ((OWNER, True), (OPERATOR, True), (STRANGER, False), (None, False)):
        part = component_document(replace(record, request=secret), "executables", "executable", BASE, viewer)
        assert ("s3cret" in str(part)) is seen


OUTSIDE = (
    Connector(8888, "HTTP", "http://perth.example:40001/lab", ("192.0.2.1",), 40001, True),
    Connector(53, "UDP", "udp://perth.example:40002", ("192.0.2.1",), 40002, False),
)


def connectors(record, viewer=OWNER):
    found = session_document(record, BASE, viewer).get("connectors", [])
    return [(each["kind"].rpartition(":")[2], each["status"], each.get("location")) for each in found]


LOGS, STORAGE = f"{BASE}/sessions/{SESSION}/logs", f"{BASE}/sessions/{SESSION}/storage"
PORT = OUTSIDE[0].location


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (session(Phase.OFFERED), []),
        (session(Phase.REJECTED), []),
        (
            session(Phase.PREPARING),
            [("port", "PREPARING", None), ("logs", "PREPARING", LOGS), ("storage", "PREPARING", STORAGE)],
        ),
        (
            session(Phase.RUNNING, connectors=OUTSIDE, outcome=OUTCOME),
            [("port", "AVAILABLE", PORT), ("logs", "AVAILABLE", LOGS), ("storage", "AVAILABLE", STORAGE)],
        ),
        (
            session(Phase.COMPLETED, connectors=OUTSIDE, outcome=OUTCOME, results_until=NOW),
            [("port", "FINISHED", PORT), ("logs", "AVAILABLE", LOGS), ("storage", "AVAILABLE", STORAGE)],
        ),
        (
            session(Phase.CANCELLED),
            [("port", "FINISHED", None), ("logs", "FINISHED", LOGS), ("storage", "FINISHED", STORAGE)],
        ),
    ],
)
def test_connectors_lead_to_ports_logs_and_results(record, expected):
    assert connectors(record) == expected
    assert connectors(record, OPERATOR) == expected
    assert connectors(record, STRANGER) == connectors(record, None) == []


def test_a_port_has_its_outside_once_it_is_known():
    def ports(record, viewer=OWNER):
        found = session_document(record, BASE, viewer)["executable"]["network"]["ports"]
        return [(port["internal"]["port"], port.get("external")) for port in found]

    assert ports(session()) == [(8888, None), (53, None)]
    running = session(connectors=OUTSIDE)
    assert ports(running) == [
        (8888, {"port": 40001, "addresses": ["192.0.2.1"]}),
        (53, {"port": 40002, "addresses": ["192.0.2.1"]}),
    ]
    assert ports(running, STRANGER) == [(8888, None), (53, None)]


@pytest.mark.parametrize(
    ("viewer", "offered", "running"),
    [
        (OWNER, ["ACCEPTED", "REJECTED"], ["CANCELLED"]),
        (ADMIN, ["ACCEPTED", "REJECTED"], ["CANCELLED"]),
        (OPERATOR, [], ["CANCELLED"]),
        (STRANGER, [], []),
        (None, [], []),
    ],
)
def test_options_are_those_of_the_phase_and_the_caller(viewer, offered, running):
    def options(phase):
        found = session_document(session(phase), BASE, viewer)["meta"].get("options", [])
        return [value for option in found for value in option["values"]]

    assert (options(Phase.OFFERED), options(Phase.RUNNING)) == (offered, running)
    assert options(Phase.COMPLETED) == []


@pytest.mark.parametrize("kind", [kinds.SINGULARITY_CONTAINER, kinds.JUPYTER_NOTEBOOK])
def test_what_is_at_a_location_keeps_its_kind(kind):
    asked = {"executable": {"kind": kind, "location": "https://x.example/a?sig=1", "meta": {"name": "n"}}}
    request, _ = parse_request(asked, NOW, {})
    record = session(request=request, document=asked, placement=None)
    found = session_document(record, BASE, OWNER)["executable"]
    assert (found["kind"], found["location"], found["meta"]["name"]) == (
        kind,
        "https://x.example/a?sig=1",
        "n",
    )
    assert {"image", "network", "privileged"} & found.keys() == set()
    assert session_document(record, BASE, None)["executable"]["location"] == "https://x.example/a"
