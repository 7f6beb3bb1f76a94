"""Who may come in, how often, and what is said to those who may not."""

import base64
import re

import pytest
from sqlalchemy import select

from broker.audit import Filters
from broker.audit import read as read_audit
from broker.http.access import LOGINS, LOGINS_OF_ADDRESS
from broker.tables import sessions
from tests.broker.serving import ADA, BOB, ROOT, ask, first_offer, serving, update
from tests.waiting import until

FAST = {"FAIRLEAD_REQUESTS_PER_MINUTE": "0"}


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path, **FAST) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For what changes nothing."""
    with serving(tmp_path_factory.mktemp("broker"), **FAST) as client:
        yield client


def uuid_of(client, name):
    listed = client.get("/admin/identities", auth=ROOT).json()["identities"]
    return next(each["uuid"] for each in listed if each["username"] == name)


def change(client, name, auth=ROOT, **what):
    return client.patch(f"/admin/identities/{uuid_of(client, name)}", json=what, auth=auth)


def audited(client, **filters):
    until(client.app.state.audit.flush, "all of the audit log")
    return [entry for _, entry in read_audit(client.engine, Filters(**filters))]


# Users


def test_administrators_list_read_change_and_remove_users(client):
    listed = client.get("/admin/identities", auth=ROOT).json()
    assert {each["username"] for each in listed["identities"]} == {"ada", "bob"}
    ada = uuid_of(client, "ada")
    known = client.get(f"/admin/identities/{ada}", auth=ROOT).json()
    assert known == {
        "uuid": ada,
        "username": "ada",
        "role": "user",
        "disabled": False,
        "created": "2026-11-25T12:00:00Z",
    }
    assert change(client, "ada", role="operator").json() == known | {"role": "operator"}
    assert change(client, "ada", disabled=True).json()["disabled"] is True
    assert client.get("/sessions", auth=ADA).status_code == 401
    assert change(client, "ada", disabled=False, password="another").json()["role"] == "operator"
    assert client.get("/sessions", auth=ADA).status_code == 401
    assert client.get("/sessions", auth=("ada", "another")).status_code == 200
    removed = client.delete(f"/admin/identities/{ada}", auth=ROOT)
    assert (removed.status_code, removed.json()["uuid"]) == (200, ada)
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/admin/identities/{ada}", auth=ROOT)
        assert (answer.status_code, answer.json()) == (404, {"error": f"there is no identity {ada}"})
    assert client.patch(f"/admin/identities/{ada}", json={"role": "user"}, auth=ROOT).status_code == 404


def test_users_come_in_pages(client):
    for number in range(5):
        client.clock.advance(1)
        body = {"username": f"user {number}", "password": "x"}
        assert client.post("/admin/identities", json=body, auth=ROOT).status_code == 201
    names, url = [], "/admin/identities?limit=3"
    while url:
        page = client.get(url, auth=ROOT).json()
        assert len(page["identities"]) <= 3
        names += [each["username"] for each in page["identities"]]
        url = page.get("next")
    assert names[:5] == [f"user {number}" for number in range(4, -1, -1)]
    assert sorted(names[5:]) == ["ada", "bob"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({}, ""),
        ({"role": "king"}, "/role"),
        ({"role": None}, "/role"),
        ({"role": ["user"]}, "/role"),
        ({"disabled": "no"}, "/disabled"),
        ({"disabled": 1}, "/disabled"),
        ({"password": ""}, "/password"),
        ({"password": 7}, "/password"),
        ({"username": "eve"}, "/username"),
        ({"role": "user", "issuer": ""}, "/issuer"),
    ],
)
def test_changes_that_can_not_be(shared, body, path):
    ada = uuid_of(shared, "ada")
    answer = shared.patch(f"/admin/identities/{ada}", json=body, auth=ROOT)
    assert (answer.status_code, answer.json()["path"]) == (400, path)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_only_administrators_do_that(client, method):
    change(client, "bob", role="operator")
    ada = uuid_of(client, "ada")
    for path in (
        f"/admin/identities/{ada}",
        "/admin/identities" if method == "GET" else "/admin/identities/x",
    ):
        for auth, status in ((None, 401), (ADA, 403), (BOB, 403)):
            assert client.request(method, path, auth=auth).status_code == status
    assert client.get("/admin/audit", auth=BOB).status_code == 403
    # and a user who is made one is one
    change(client, "bob", role="admin")
    assert client.request("GET", f"/admin/identities/{ada}", auth=BOB).status_code == 200


# Roles


def test_an_operator_sees_all_and_cancels_and_no_more(client):
    session = first_offer(client)
    assert client.get(f"/sessions/{session}/logs", auth=BOB).status_code == 403
    assert update(client, session, "ACCEPTED", auth=BOB).status_code == 403
    change(client, "bob", role="operator")
    assert client.get(f"/sessions/{session}/logs", auth=BOB).status_code == 200
    assert update(client, session, "ACCEPTED", auth=BOB).status_code == 403
    assert update(client, session, "ACCEPTED").status_code == 200
    assert update(client, session, "CANCELLED", auth=BOB).status_code == 200


# What is said to those who may not


@pytest.mark.parametrize(
    "header",
    [
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "s3cret-without-a-scheme",
        "Digest username=s3cret",
        "Basic s3cret!",
        "Basic " + base64.b64encode(b"s3cret").decode(),
        "Basic " + base64.b64encode(b"s3cret\0:x").decode(),
        "Basic " + base64.b64encode(b"\xff:s3cret").decode(),
    ],
)
def test_credentials_that_are_none(shared, header):
    answer = shared.get("/sessions", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="Fairlead", charset="UTF-8"'
    assert "s3cret" not in answer.text


# Limits


def test_guessing_is_slow_and_locks_nobody_out_who_came_in_before(client):
    assert client.get("/sessions", auth=ADA).status_code == 200
    statuses = [client.get("/sessions", auth=("ada", f"guess {n}")).status_code for n in range(10)]
    assert statuses == [401] * LOGINS.requests + [429] * (10 - LOGINS.requests)
    answer = client.get("/sessions", auth=("ada", "guess"))
    assert answer.json() == {"error": "too many failed logins: come again in 12 s"}
    assert answer.headers["retry-after"] == "12"
    # who is known is not asked for argon2, and let in; another name is another bucket
    assert client.get("/sessions", auth=ADA).status_code == 200
    assert client.get("/sessions", auth=BOB).status_code == 200
    # and the right password is soon heard again
    client.clock.advance(12)
    assert client.get("/sessions", auth=("ada", "guess")).status_code == 401
    assert client.get("/sessions", auth=("ada", "guess")).status_code == 429


def test_guessing_names_is_slow_too(client):
    statuses = [client.get("/sessions", auth=(f"n{n}", "guess")).status_code for n in range(40)]
    limit = LOGINS_OF_ADDRESS.requests
    assert statuses == [401] * limit + [429] * (40 - limit)


def test_too_many_guesses_cost_no_argon2(client, monkeypatch):
    for _ in range(LOGINS.requests):
        client.get("/sessions", auth=("ada", "guess"))
    monkeypatch.setattr("broker.passwords.Passwords.verify", lambda *_: pytest.fail("argon2"))
    assert client.get("/sessions", auth=("ada", "guess")).status_code == 429


def test_each_caller_has_so_many_requests_a_minute(tmp_path):
    with serving(tmp_path, FAIRLEAD_REQUESTS_PER_MINUTE="6") as client:
        answers = [client.get("/sessions", auth=ADA) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 6 + [429]
        assert answers[0].headers["ratelimit-policy"] == '"caller";q=6;w=60'
        assert answers[0].headers["ratelimit"] == '"caller";r=5;t=10'
        assert answers[6].headers["retry-after"] == "10"
        assert answers[6].json() == {"error": "too many requests: come again in 10 s"}
        # another caller, and nobody, have their own
        assert client.get("/sessions", auth=BOB).status_code == 200
        path = "/sessions/00000000-0000-0000-0000-000000000000"
        statuses = [client.get(path).status_code for _ in range(7)]
        assert statuses == [404] * 6 + [429]
        assert client.get("/health").status_code == 200
        client.clock.advance(10)
        assert client.get("/sessions", auth=ADA).status_code == 200


def test_headers_may_hold_so_much_together(shared):
    for number, status in ((30, 200), (40, 431)):
        answer = shared.get("/health", headers={f"X-More-{n}": "x" * 1000 for n in range(number)})
        assert answer.status_code == status
    assert answer.json() == {"error": "the headers are larger than 32768 bytes together"}


# Request ids and the audit log


def test_every_answer_has_the_request_s_id(shared):
    given = shared.get("/health", headers={"X-Request-Id": "run-7.a:b_c"})
    assert given.headers["x-request-id"] == "run-7.a:b_c"
    for strange in ("", "a b", "x" * 65, "a\tb", "é"):
        made = shared.get("/nowhere", headers={"X-Request-Id": strange.encode()})
        assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])


def test_a_path_makes_no_line_of_its_own(client, caplog):
    with caplog.at_level("INFO", "fairlead.access"):
        client.post("/x%0AERROR%20all%20is%20lost?token=s3cret")
    assert "POST /x%0AERROR%20all%20is%20lost 404" in caplog.text
    assert "s3cret" not in caplog.text
    assert audited(client)[0].action == "POST /x%0AERROR%20all%20is%20lost"


def test_what_changes_something_is_in_the_audit_log(client):
    offers = client.post("/requests", json={}, auth=ADA, headers={"X-Request-Id": "one"})
    (entry,) = audited(client, request_id="one")
    assert (entry.action, entry.status, entry.username) == ("request.create", 303, "ada")
    assert entry.actor == uuid_of(client, "ada")
    assert entry.target == offers.headers["location"].rsplit("/", 1)[1]
    session = first_offer(client)
    update(client, session, "ACCEPTED")
    update(client, session, "ACCEPTED", auth=BOB)
    assert [(each.username, each.status) for each in audited(client, target=session)] == [
        ("bob", 403),
        ("ada", 200),
    ]
    change(client, "bob", role="operator")
    (entry,) = audited(client, action="identity.change")
    assert (entry.actor, entry.target, entry.status) == ("admin", uuid_of(client, "bob"), 200)
    client.post("/nowhere")
    assert audited(client, action="POST /nowhere")[0].status == 404


def test_reading_is_in_it_only_where_it_is_another_s_and_somebody_s_office(client):
    session = first_offer(client)
    for path in (f"/sessions/{session}", f"/sessions/{session}/logs"):
        for auth in (ADA, BOB, ROOT):
            client.get(path, auth=auth)
    client.head(f"/sessions/{session}", auth=ROOT)
    assert [(each.action, each.actor) for each in audited(client, target=session)] == [
        ("session.read", "admin"),
        ("session.logs", "admin"),
        ("session.read", "admin"),
    ]


def test_lists_sets_and_parts_of_others_are_in_it_too(client):
    answer = ask(client)
    part = answer["offers"][0]["compute"]["meta"]["url"].removeprefix("http://broker.example")
    paths = ("/sessions?owner=*", "/offersets?owner=*", "/sessions?owner=ada", part)
    paths += (f"/offersets/{answer['meta']['uuid']}", "/sessions", "/offersets")
    for path in paths:
        for auth in (ADA, ROOT):
            client.get(path, auth=auth)
    read = [each.action for each in audited(client, actor="admin") if each.status == 200]
    assert read == ["offerset.read", "GET /compute/{uuid}", "session.list", "offerset.list", "session.list"]


def test_failed_logins_are_in_it_with_the_name_and_the_refused_guesses_are_not(client):
    for _ in range(LOGINS.requests + 3):
        client.get("/sessions", auth=("ada", "guess"))
    failed = audited(client, action="login.fail")
    assert [(each.username, each.status, each.actor) for each in failed] == [
        ("ada", 401, None)
    ] * LOGINS.requests


def test_administrators_read_the_log_page_by_page(client):
    for number in range(5):
        client.clock.advance(1)
        client.post("/requests", json={}, auth=ADA, headers={"X-Request-Id": str(number)})
    seen, url = [], "/admin/audit?action=request.create&limit=2&since=2026-11-25T12:00:02Z"
    while url:
        page = client.get(url, auth=ROOT).json()
        seen += page["entries"]
        url = page.get("next")
    assert [entry["request_id"] for entry in seen] == ["4", "3", "2", "1"]
    assert seen[0]["time"] == "2026-11-25T12:00:05Z"
    for query in ("limit=0", "nothing=x", "since=yesterday", "cursor=x", "actor=a&actor=b", "owner=x"):
        answer = client.get(f"/admin/audit?{query}", auth=ROOT)
        assert (answer.status_code, answer.json()["parameter"]) == (400, query.split("=")[0])


def test_a_request_fails_for_no_audit_log(client, monkeypatch):
    monkeypatch.setattr("broker.audit.FLUSH_SECONDS", 0.2)
    monkeypatch.setattr("broker.audit.AuditLog._write", lambda *_: False)
    assert ask(client)["result"] == "YES"


def test_a_fault_of_ours_is_answered_with_the_id_that_the_log_has(tmp_path, monkeypatch):
    with serving(tmp_path, **FAST) as client:
        monkeypatch.setattr("broker.service.Broker.request", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.post("/requests", json={}, auth=ADA)
        client._transport.raise_server_exceptions = False
        answer = client.post("/requests", json={}, auth=ADA, headers={"X-Request-Id": "seven"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (500, "seven")
        assert set(answer.json()) == {"error"}
        assert audited(client, request_id="seven")[0].status == 500
        with client.engine.connect() as connection:
            assert not connection.execute(select(sessions)).all()
