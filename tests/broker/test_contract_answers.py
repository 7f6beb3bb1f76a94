"""Whatever is asked, the answer is what the contract says: every kind of request, sessions of every phase."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.catalogues import load_catalogues
from broker.contract import kinds
from broker.contract.codec import Malformed
from broker.contract.message_kinds import MESSAGE_KINDS
from broker.contract.read import parse_request
from broker.contract.write import component_document, offerset_document, session_document
from broker.model import Connector, Figure, Level, Note, Outcome, Phase, Placement
from broker.records import OfferSetRecord, Owner, Role, SessionRecord, TimedNote
from broker.sessions.components import keys
from netprobe.cost import Staging
from netprobe.quantiles import Quantiles
from tests.broker.asking import JSON, REQUESTS, right_requests
from tests.broker.conftest import NOW, make_federation, make_site
from tests.broker.published_schema import problems

BASE = "https://broker.example"
SESSION = "7677601e-de37-47f2-88b7-38cf909a580e"
OWNER = Owner("ada", "ada")
VIEWERS = (
    OWNER,
    Owner("root", "root", Role.ADMIN),
    Owner("eve", "eve", Role.OPERATOR),
    Owner("bob", "bob"),
    None,
)
SCHEMAS = {
    "executables": "AbstractExecutable",
    "compute": "AbstractComputeResource",
    "storage": "AbstractStorageResource",
    "data": "AbstractDataResource",
    "volumes": "AbstractVolumeMount",
}
FEDERATION = make_federation(make_site("perth", -31.95, 115.86))
CATALOGUES = load_catalogues(FEDERATION, online=False)
SECRETS = ("s3cret", "pw@", "sig=1")
slow = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def understood(document):
    """What was understood, and the notes; neither without a reason, nor with one against it."""
    request, notes = parse_request(document, NOW, CATALOGUES)
    errors = [note for note in notes if note.level is Level.ERROR]
    assert (request is None) == bool(errors)
    for note in notes:
        assert note.kind in MESSAGE_KINDS
        assert note.text
        assert note.path is not None
    return request, notes


@given(JSON)
@slow
def test_any_document_is_malformed_or_a_no(document):
    try:
        request, notes = understood(document)
    except Malformed:
        return
    assert request is None
    assert notes


@given(REQUESTS)
@slow
def test_any_request_is_understood_or_refused_with_reasons(document):
    request, notes = understood(document)
    record = OfferSetRecord(SESSION, OWNER.id, NOW, NOW, False, tuple(notes))
    for viewer in VIEWERS:
        assert problems(offerset_document(record, BASE, viewer), "OfferSetResponse") == []
    if request is None:
        return
    uuids = [item.uuid for item in (*request.data, *request.storage)]
    assert len(uuids) == len(set(uuids))
    paths = [mount.path for mount in request.mounts]
    assert len(paths) == len(set(paths))
    assert {mount.resource for mount in request.mounts} <= set(uuids)


def figure(kind):
    return Figure(f"urn:{kind}", 1.0, 2.0, kind)


@st.composite
def sessions(draw):
    """A session of a request that can be done, as it may be at some time."""
    document = draw(right_requests())
    request, notes = understood(document)
    assert request is not None, notes
    parts = [key for _, key in keys(request)]
    uuids = [item.uuid for item in (*request.data, *request.storage)]
    placement = Placement(
        site_id="perth",
        cores=1,
        memory_gib=1,
        storage_gib=1,
        prepare_start=NOW,
        prepare_seconds=1.5,
        start=NOW + timedelta(seconds=2),
        duration=timedelta(hours=1),
        staging=Staging("perth", (), Quantiles(0.0, 0.0, 0.0), 0),
        costs=(figure("money"),),
        metrics=(figure("speed"),),
        notes=(
            Note("rank", "first at {site}: {url}", {"site": "perth", "url": "http://x/?sig=1"}, Level.INFO),
        ),
        component_costs={key: (figure("money"),) for key in draw(st.sets(st.sampled_from(parts)))},
        component_metrics={key: (figure("speed"),) for key in draw(st.sets(st.sampled_from(parts)))},
    )
    connectors = tuple(
        Connector(
            port.internal,
            port.protocol,
            "http://perth.example:40000/?sig=1",
            ("192.0.2.1",),
            40000,
            port.access,
        )
        for port in request.executable.ports
    )
    outcome = Outcome(NOW, draw(st.sampled_from([None, NOW])), 0, "s3cret", "s3cret")
    return SessionRecord(
        uuid=SESSION,
        offerset_uuid=None,
        owner=OWNER.id,
        phase=draw(st.sampled_from(Phase)),
        created=NOW,
        modified=NOW,
        expires=NOW + timedelta(minutes=5),
        request=request,
        placement=draw(st.sampled_from([placement, placement, None])),
        document=document,
        notes=(
            *(TimedNote(NOW, note) for note in notes),
            TimedNote(NOW, Note("failed", "s3cret"), private=True),
        ),
        connectors=draw(st.sampled_from([(), connectors])),
        outcome=draw(st.sampled_from([None, outcome])),
        results_until=draw(st.sampled_from([None, NOW])),
        staged=frozenset(draw(st.sets(st.sampled_from(uuids)))) if uuids else frozenset(),
    )


@given(sessions(), st.sampled_from(VIEWERS))
@slow
def test_any_session_is_told_as_the_contract_says(record, viewer):
    found = session_document(record, BASE, viewer)
    assert problems(found, "AbstractExecutionSession") == []
    owned = viewer is OWNER or viewer is VIEWERS[1]
    assert bool(found["meta"].get("options")) <= (owned or viewer is VIEWERS[2])
    if viewer is None or viewer.id == "bob":
        for secret in SECRETS:
            assert secret not in str(found)
        assert "connectors" not in found
    check_parts(record, found, viewer)


def check_parts(record, whole, viewer):
    """Each part is told alone as in its session."""
    volumes = whole["compute"].get("volumes", [])
    parts = [
        whole["executable"],
        whole["compute"],
        *whole.get("storage", []),
        *whole.get("data", []),
        *volumes,
    ]
    known = {part["meta"]["uuid"]: part for part in parts}
    assert len(known) == len(keys(record.request))
    for family, key in keys(record.request):
        part = component_document(record, family, key, BASE, viewer)
        assert part == known[record.component_uuid(key)]
        assert problems(part, SCHEMAS[family]) == []
        assert part["meta"]["url"] == f"{BASE}/{family}/{record.component_uuid(key)}"


def test_what_is_no_part_is_not_told():
    request, _ = parse_request({"executable": {"kind": kinds.DOCKER_CONTAINER}}, NOW, CATALOGUES)
    assert request is None
    record = SessionRecord(SESSION, None, OWNER.id, Phase.FAILED, NOW, NOW, None, None, None)
    assert component_document(record, "compute", "compute", BASE, OWNER) is None


@pytest.mark.parametrize(
    ("value", "name", "problem"),
    [
        ({"kind": "urn:x"}, "AbstractExecutionSession", "none of the contract's kinds"),
        ({"kind": kinds.SCHEDULED_SESSION, "odd": 1}, "AbstractExecutionSession", "not in the contract"),
        ({"kind": kinds.SCHEDULED_SESSION, "phase": "FLYING"}, "AbstractExecutionSession", "is not one of"),
        ({"kind": kinds.SIMPLE_COMPUTE, "cores": {"min": "1"}}, "AbstractComputeResource", "not of type"),
        ({"kind": kinds.OFFERSET, "offers": [{}]}, "OfferSetResponse", "none of the contract's kinds"),
    ],
)
def test_the_check_itself_finds_what_is_wrong(value, name, problem):
    [found] = problems(value, name)
    assert problem in found
