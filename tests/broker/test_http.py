"""Conversations with the service: the contract's paths, who may do what, answers that are documents."""

import json
import uuid

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.contract.codec import BODY_LIMIT
from broker.contract.offerset import OfferSetResponse
from broker.contract.session import ScheduledSession
from tests.broker.conftest import make_document
from tests.broker.serving import ADA, BOB, ROOT, ask, conforms, first_offer, options, serving, update, user

SECRETS = ("s3cret", "k3y", "/opt/entry", "sign4ture")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("broker")) as client:
        yield client


def secret_document():
    document = make_document(data=["http://10.77.1.2:8080/map.fits?token=sign4ture"])
    document["data"][0]["meta"]["name"] = "map.fits"
    document["executable"] |= {
        "environment": {"TOKEN": "s3cret"},
        "command": ["--key", "k3y"],
        "entrypoint": "/opt/entry",
    }
    return document


def test_a_request_is_answered_with_its_place_and_the_whole_answer(client):
    answer = client.post("/requests", json=make_document(), auth=ADA)
    assert answer.status_code == 303
    document = answer.json()
    conforms(document, OfferSetResponse)
    assert document["result"] == "YES"
    assert document["meta"]["url"] == answer.headers["location"]
    assert answer.headers["location"] == f"http://broker.example/offersets/{document['meta']['uuid']}"
    assert client.get(answer.headers["location"], auth=ADA).json() == document
    for offer in document["offers"]:
        assert offer["phase"] == "OFFERED"
        assert options(offer) == [("/phase", ["ACCEPTED", "REJECTED"])]
        assert offer["schedule"]["available"]["start"] == "2026-11-25T12:00:01Z/PT4M59S"
        assert client.get(offer["meta"]["url"], auth=ADA).json() == offer


def test_a_no_is_answered_in_the_same_way(client):
    document = make_document(cores=(-1, 2))
    document["executable"]["privileged"] = True
    answer = client.post("/requests", json=document, auth=ADA)
    assert answer.status_code == 303
    body = answer.json()
    conforms(body, OfferSetResponse)
    assert body["result"] == "NO"
    assert "offers" not in body
    errors = [message for message in body["meta"]["messages"] if message["level"] == "ERROR"]
    assert {message["values"]["path"] for message in errors} == {
        "/executable/privileged",
        "/compute/cores/min",
    }
    assert all(
        message["kind"].startswith("http://") and "/messages/" in message["kind"] for message in errors
    )
    assert client.get(answer.headers["location"], auth=ADA).json() == body


def test_an_offer_is_accepted_and_cancelled(client):
    answer = ask(client)
    chosen, *siblings = [offer["meta"]["uuid"] for offer in answer["offers"]]
    accepted = update(client, chosen, "ACCEPTED")
    assert accepted.status_code == 200
    conforms(accepted.json(), ScheduledSession)
    assert "expires" not in accepted.json()
    for sibling in siblings:
        session = client.get(f"/sessions/{sibling}").json()
        assert session["phase"] == "REJECTED"
        assert options(session) == []
    # repeating is harmless
    assert update(client, chosen, "ACCEPTED").status_code == 200
    assert options(client.get(f"/sessions/{chosen}", auth=ADA).json()) == [("/phase", ["CANCELLED"])]
    for _ in range(2):
        cancelled = update(client, chosen, "CANCELLED", path="phase")
        assert (cancelled.status_code, cancelled.json()["phase"]) == (200, "CANCELLED")
    assert options(cancelled.json()) == []


def test_a_change_that_is_not_allowed_says_what_is(client):
    session = first_offer(client)
    refused = update(client, session, "RUNNING")
    assert refused.status_code == 409
    body = refused.json()
    assert (body["phase"], body["allowed"]) == ("OFFERED", ["ACCEPTED", "REJECTED"])
    assert "ACCEPTED" in body["error"]
    assert client.get(f"/sessions/{session}").json()["phase"] == "OFFERED"


def test_an_update_that_is_not_understood_changes_nothing(client):
    session = first_offer(client)
    for change in ({"kind": "uri:nonsense"}, {"path": "/nowhere"}, {"value": "FLYING"}, {"value": None}):
        answer = update(client, session, "ACCEPTED", **change)
        assert answer.status_code == 400
        assert answer.json()["path"] == "/" + next(iter(change))
    assert client.get(f"/sessions/{session}").json()["phase"] == "OFFERED"


def test_only_the_owner_and_the_administrator_change_a_session(client):
    session = first_offer(client)
    for auth, status in ((None, 401), (BOB, 403), (("ada", "wrong"), 401)):
        assert update(client, session, "REJECTED", auth=auth).status_code == status
    assert client.get(f"/sessions/{session}").json()["phase"] == "OFFERED"
    assert update(client, session, "REJECTED", auth=ROOT).status_code == 200
    # and what is the administrator's is nobody else's
    assert update(client, first_offer(client, auth=ROOT), "REJECTED", auth=ADA).status_code == 403


def test_strangers_do_not_read_secrets(client):
    answer = ask(client, secret_document())
    session = answer["offers"][0]["meta"]["url"]
    for url in (answer["meta"]["url"], session):
        for auth in (None, BOB):
            text = client.get(url, auth=auth).text
            assert [secret for secret in SECRETS if secret in text] == []
            assert "http://10.77.1.2:8080/map.fits" in text
        for auth in (ADA, ROOT):
            text = client.get(url, auth=auth).text
            assert [secret for secret in SECRETS if secret not in text] == []


def test_strangers_do_not_read_why_a_secret_was_refused(client):
    document = secret_document()
    document["executable"]["environment"] = {"not a name": "s3cret"}
    answer = ask(client, document)
    assert "not a name" in client.get(answer["meta"]["url"], auth=ADA).text
    assert "not a name" not in client.get(answer["meta"]["url"]).text


def test_an_offer_that_was_not_taken_expires(tmp_path):
    with serving(tmp_path) as client:
        session = first_offer(client)
        client.portal.call(client.clock.advance, 301)
        read = client.get(f"/sessions/{session}").json()
        assert (read["phase"], options(read)) == ("EXPIRED", [])
        assert update(client, session, "ACCEPTED").status_code == 409


def test_direct_execution(client):
    answer = client.post("/direct", json=make_document(), auth=ADA)
    assert answer.status_code == 303
    session = answer.json()
    conforms(session, ScheduledSession)
    assert session["phase"] not in ("INITIAL", "OFFERED")
    assert answer.headers["location"] == session["meta"]["url"]
    assert update(client, session["meta"]["uuid"], "CANCELLED").status_code == 200


def test_direct_execution_of_the_impossible(client):
    answer = client.post("/direct", json={}, auth=ADA)
    assert answer.status_code == 400
    session = answer.json()
    conforms(session, ScheduledSession)
    assert session["phase"] == "FAILED"
    assert "executable is required" in session["meta"]["messages"][0]["message"]
    assert client.get(session["meta"]["url"]).json()["phase"] == "FAILED"


def test_yaml_in_and_out(client):
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    answer = client.post("/requests", content=yaml.safe_dump(make_document()), headers=headers, auth=ADA)
    assert answer.status_code == 303
    assert answer.headers["content-type"] == "application/yaml"
    document = yaml.safe_load(answer.text)
    assert document == client.get(document["meta"]["url"], auth=ADA).json()
    # an error is worded in what is accepted, too
    missing = client.get(f"/sessions/{uuid.uuid4()}", headers=headers)
    assert "no session" in yaml.safe_load(missing.text)["error"]


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"a: [", "application/yaml", 400),
        (b"a: &a [*a]", "application/yaml", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"executable": 7}', "application/json", 400),
        (b"x", "text/plain", 415),
        (b"<a>", "application/xml", 400),
        (b"<a/>", "application/xml", 400),
        (b'"' + b"x" * BODY_LIMIT + b'"', "application/json", 413),
    ],
)
@pytest.mark.parametrize("path", ["/requests", "/direct", "/admin/identities", "session"])
def test_bodies_that_cannot_be_read(client, body, media_type, status, path):
    if path == "session":
        path = f"/sessions/{first_offer(client)}"
    answer = client.post(path, content=body, headers={"Content-Type": media_type}, auth=ROOT)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_several_faults_are_told_with_their_places(client):
    answer = client.post("/requests", json={"executable": 7, "data": 8}, auth=ADA)
    assert answer.status_code == 400
    assert [fault["path"] for fault in answer.json()["errors"]] == ["/executable", "/data"]


def test_a_compressed_body_is_not_read(client):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post("/requests", content=b"x", headers=headers, auth=ADA).status_code == 415


@pytest.mark.parametrize("path", ["offersets", "sessions"])
def test_what_does_not_exist(client, path):
    for name in (uuid.uuid4(), "not-a-uuid", uuid.uuid4().hex, "%00", "\N{SNOWMAN}"):
        answer = client.get(f"/{path}/{name}")
        assert answer.status_code == 404
        assert answer.json()["error"]
    assert update(client, uuid.uuid4(), "ACCEPTED").status_code == 404


def test_a_uuid_in_capitals_is_the_same(client):
    session = first_offer(client)
    assert client.get(f"/sessions/{session.upper()}").json()["meta"]["uuid"] == session


def test_other_paths_and_methods_are_documents_too(client):
    assert client.get("/nowhere").json()["error"]
    answer = client.delete("/requests")
    assert answer.status_code == 405
    assert answer.json()["error"]
    assert answer.headers["allow"] == "POST"
    assert client.delete(f"/sessions/{uuid.uuid4()}").headers["allow"] == "GET, HEAD, POST"


def test_nothing_acceptable(client):
    answer = client.get(ask(client)["meta"]["url"], headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "application/json" in answer.json()["error"]


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Basic YQ==", "Basic /w==", "Bearer x", "Basic AGE6YQ==", "nonsense", "Basic OmE="],
)
def test_credentials_that_are_none(client, header):
    for call in (client.get, client.post):
        answer = call(f"/sessions/{uuid.uuid4()}", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert answer.json()["error"]


def test_users_are_made_by_the_administrator(client):
    eve = user("eve")
    for auth, status in ((None, 401), (ADA, 403), (("root", "wrong"), 401)):
        assert client.post("/admin/identities", json=eve, auth=auth).status_code == status
    made = client.post("/admin/identities", json=eve, auth=ROOT)
    assert (made.status_code, set(made.json()), made.json()["username"]) == (201, {"uuid", "username"}, "eve")
    again = client.post("/admin/identities", json=eve, auth=ROOT)
    assert (again.status_code, again.json()["uuid"]) == (409, made.json()["uuid"])
    assert again.json()["username"] == "eve"
    assert ask(client, auth=("eve", "eve's own"))["result"] == "YES"
    assert client.post("/admin/identities", json=user("root"), auth=ROOT).status_code == 409


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "/username"),
        ([], "/username"),
        ({"username": 7, "password": "x"}, "/username"),
        ({"username": "x"}, "/password"),
        ({"username": " ", "password": "x"}, "/username"),
        ({"username": "x", "password": ""}, "/password"),
        ({"username": "a:b", "password": "x"}, "/username"),
        ({"username": "x", "password": "x", "role": "king"}, "/role"),
    ],
)
def test_users_that_cannot_be_made(client, body, path):
    answer = client.post("/admin/identities", json=body, auth=ROOT)
    assert (answer.status_code, answer.json()["path"]) == (400, path)


def test_the_public_url_is_what_the_settings_say(tmp_path):
    with serving(tmp_path, FAIRLEAD_PUBLIC_URL="https://sky.example/broker/") as client:
        answer = ask(client)
        assert answer["meta"]["url"].startswith("https://sky.example/broker/offersets/")


@pytest.mark.parametrize("host", ["[::1", "", "a b", "x:y", "\xff"])
def test_a_strange_host_header_is_no_failure(client, host):
    answer = client.post("/requests", json={}, headers={"Host": host.encode("latin-1")}, auth=ADA)
    assert answer.status_code == 303


def test_health_and_description(client):
    assert client.get("/health").json() == {"status": "ok", "database": "ok", "supervisor": "ok"}
    description = client.get("/openapi.json").json()
    for path, operations in description["paths"].items():
        for method in operations:
            # not the 405 or the 404 of a path that isn't served
            answer = client.request(method, path.replace("{uuid}", str(uuid.uuid4())))
            assert answer.status_code in (200, 401) or "there is no" in answer.json()["error"]
    assert {"/requests", "/direct", "/offersets/{uuid}", "/sessions/{uuid}"} < set(description["paths"])
    schemas = description["components"]["schemas"]
    references = [part.split('"')[0] for part in json.dumps(description).split("#/components/schemas/")[1:]]
    assert set(references) <= set(schemas)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["executable", "compute", "storage", "data", "schedule", "costs", "metrics"]


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(MEMBERS), json_values, max_size=4))
def test_no_request_makes_the_service_fail(client, members):
    answer = client.post("/requests", content=json.dumps(make_document() | members), auth=ROOT)
    assert answer.status_code in (303, 400)
    if answer.status_code == 303:
        conforms(answer.json(), OfferSetResponse)
    else:
        assert answer.json()["error"]
