"""Records on the wire."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.catalogues import Resolved
from broker.contract import kinds
from broker.contract.offerset import OfferSetResponse
from broker.contract.read import parse_request
from broker.contract.session import ScheduledSession
from broker.contract.wire import prune, to_wire
from broker.contract.write import offerset_document, session_document
from broker.model import DataItem, Figure, Level, Note, Phase, Placement, Replica
from broker.records import OfferSetRecord, Owner, Role, SessionRecord, TimedNote
from netprobe.cost import Staging
from netprobe.quantiles import Quantiles
from tests.broker.conftest import NOW, make_document

BASE = "https://broker.example"
OWNER = Owner("ada", "ada")
STRANGER = Owner("bob", "bob")
SESSION = "7677601e-de37-47f2-88b7-38cf909a580e"


class Anything:
    """A catalogue that finds everything."""

    kinds = ("skao-data-resource",)

    def resolve(self, uuid, name, resource, path):
        return Resolved(DataItem(uuid, name, 3 * 2**30, (Replica("http://x.example/y", None),)))


def document():
    data = {
        "kind": kinds.SKAO_DATA,
        "meta": {"name": "cube", "description": "a cube"},
        "phase": "RUNNING",
        "storage": "disk",
        "skao": {"objectname": "o", "replicas": [{"dataurl": "http://x.example/y", "odd": 1}]},
        "odd": {"a": 1},
    }
    storage = {"kind": kinds.SIMPLE_STORAGE, "meta": {"name": "disk"}, "size": {"min": 4}}
    asked = make_document(cores=(2, 8)) | {"data": [data], "storage": [storage]}
    asked["compute"]["volumes"] = [
        {"kind": kinds.SIMPLE_VOLUME, "meta": {"name": "in"}, "resource": "cube", "path": "/in"}
    ]
    return asked


def session(**changes):
    asked = document()
    request, _ = parse_request(asked, NOW, {"skao-data-resource": Anything()})
    placement = Placement(
        site_id="perth",
        cores=4,
        memory_gib=2,
        storage_gib=4,
        prepare_start=NOW,
        prepare_seconds=89.2,
        start=NOW + timedelta(seconds=90),
        duration=timedelta(hours=1),
        staging=Staging("perth", (), Quantiles(0.0, 0.0, 0.0), 0),
        costs=(Figure("urn:money", 1.0, 2.0, "money"), Figure("urn:odd", 1.0, float("inf"), "")),
        metrics=(Figure("urn:speed", 3.0, 3.0, "speed"),),
        notes=(Note("why", "best of {count}", {"count": "3"}, Level.INFO),),
    )
    record = SessionRecord(
        uuid=SESSION,
        offerset_uuid=None,
        owner=OWNER.id,
        phase=Phase.OFFERED,
        created=NOW,
        modified=NOW,
        expires=NOW + timedelta(minutes=5),
        request=request,
        placement=placement,
        document=asked,
    )
    return replace(record, **changes)


def shown(viewer=OWNER, **changes):
    found = session_document(session(**changes), BASE, viewer)
    assert to_wire(ScheduledSession.model_validate(found)) == found, "a member that the contract doesn't know"
    return found


def test_what_is_offered_is_shown_not_what_was_asked():
    offer = shown()
    assert offer["compute"]["cores"] == {"min": 4, "max": 4}
    assert offer["compute"]["memory"] == {"min": 2, "max": 2}
    assert all(type(offer["compute"][part]["min"]) is int for part in ("cores", "memory"))
    assert offer["schedule"] == {
        "preparing": {"start": "2026-11-25T12:00:00Z", "duration": "PT1M30S"},
        "available": {"start": "2026-11-25T12:01:30Z/PT0S", "duration": "PT1H"},
        "releasing": {"start": "2026-11-25T13:01:30Z", "duration": "PT0S"},
    }
    assert offer["expires"] == "2026-11-25T12:05:00Z"


def test_parts_refer_to_each_other_and_keep_their_uuids():
    offer = shown()
    (data,), (storage,), (volume,) = offer["data"], offer["storage"], offer["compute"]["volumes"]
    assert data["storage"] == storage["meta"]["uuid"]
    assert storage["data"] == [data["meta"]["uuid"]]
    assert volume["resource"] == data["meta"]["uuid"]
    assert [part["meta"]["name"] for part in (data, storage, volume)] == ["cube", "disk", "in"]
    assert data["meta"]["description"] == "a cube"
    record = session()
    assert session_document(record, BASE, OWNER) == session_document(record, BASE, OWNER)
    # and another session has its own
    other = session_document(replace(record, uuid="0" * 8 + SESSION[8:]), BASE, OWNER)
    assert other["compute"]["meta"]["uuid"] != offer["compute"]["meta"]["uuid"]


def test_figures_that_are_not_finite_are_left_out():
    assert shown()["costs"] == [
        {"kind": kinds.MINMAX_COST, "type": "urn:money", "description": "money", "min": 1.0, "max": 2.0},
        {"kind": kinds.MINMAX_COST, "type": "urn:odd", "min": 1.0},
    ]


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_document(phase):
    found = shown(phase=phase)
    assert found["phase"] == phase
    assert ("expires" in found) == (phase is Phase.OFFERED)
    assert found["data"][0]["phase"] != "OFFERED"


def test_private_notes_are_for_the_owner():
    output = TimedNote(NOW, Note("output", "{text}", {"text": "hush"}, Level.INFO), private=True)
    begun = TimedNote(NOW, Note("phase", "the session began", {}, Level.INFO))
    for viewer, count in ((OWNER, 4), (Owner("admin", "root", role=Role.ADMIN), 4), (STRANGER, 3), (None, 3)):
        texts = [message["message"] for message in shown(viewer, notes=(begun, output))["meta"]["messages"]]
        assert len(texts) == count
        assert ("hush" in texts) == (count == 4)
        assert "the session began" in texts


def test_the_site_is_told_once():
    def sites(found):
        return [m["values"]["site"] for m in found["meta"]["messages"] if "site" in m.get("values", {})]

    assert sites(shown()) == ["perth"]
    told = Note("rank", "first is {site}", {"site": "perth"}, Level.INFO)
    assert sites(shown(placement=replace(session().placement, notes=(told,)))) == ["perth"]


def test_secrets_in_urls_are_for_the_owner():
    url = "http://ada:pw@x.example/y?sig=1"
    note = Note("data", "{url} is slow", {"url": url}, Level.INFO)
    placement = replace(session().placement, notes=(note,))
    assert url in str(shown(placement=placement))
    stranger = str(shown(STRANGER, placement=placement))
    assert "http://x.example/y is slow" in stranger
    assert "sig" not in stranger
    assert "pw@" not in stranger


def test_a_note_that_lacks_a_value_is_still_told():
    placement = replace(session().placement, notes=(Note("odd", "{a} and {b}", {"a": "1"}),))
    assert "1 and (no b)" in [
        message["message"] for message in shown(placement=placement)["meta"]["messages"]
    ]


def test_an_offer_set():
    record = OfferSetRecord(SESSION, OWNER.id, NOW, NOW, True, (), (session(),))
    found = offerset_document(record, BASE, OWNER)
    assert to_wire(OfferSetResponse.model_validate(found)) == found
    assert found["meta"]["url"] == f"{BASE}/offersets/{SESSION}"
    assert found["meta"]["name"] == "checksum"
    assert (found["result"], len(found["offers"])) == ("YES", 1)
    refused = replace(record, yes=False, sessions=(), notes=(Note("full", "no room"),))
    found = offerset_document(refused, BASE, None)
    assert (found["result"], found["meta"]["messages"][0]["level"]) == ("NO", "ERROR")
    assert "offers" not in found


def test_pruning():
    assert prune(
        {"a": None, "b": [], "c": {}, "d": {"e": None}, "f": "", "g": 0, "h": False, "i": [None, 1]}
    ) == {
        "f": "",
        "g": 0,
        "h": False,
        "i": [1],
    }
