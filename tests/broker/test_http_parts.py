"""Parts of sessions by their own uuids, logs, results, and who may do what with a session."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import update as sql_update

from broker.contract import kinds
from broker.model import Outcome, Phase
from broker.platforms import results
from broker.platforms.places import storage_path
from broker.platforms.simulated import SimulatedPlatform
from broker.sessions import codec
from broker.sessions.components import FAMILIES
from broker.tables import identities, sessions
from tests.broker.conftest import KINDS, NOW, make_document
from tests.broker.serving import ADA, BOB, ROOT, ask, first_offer, serving, update, user

OPERATOR = ("olga", "olga's own")
PRINTED = Outcome(NOW, NOW + timedelta(seconds=7), 3, "first\nlast \x1b[0m\n", "warning: <&>\n")


def whole_document():
    """Two data items in a storage of their own, both mounted; and a storage for results."""
    host = "http://10.77.1.2:8080"
    document = make_document(data=[f"{host}/{name}?token=sign4ture" for name in ("a.fits", "b.fits")])
    document["storage"] = [
        {"kind": KINDS + "storage/simple-storage-resource.yaml", "meta": {"name": name}}
        for name in ("input", "my results", "maps/2026 a")
    ]
    for item in document["data"]:
        item |= {"meta": {"name": item["meta"]["name"].partition("?")[0]}, "storage": "input"}
    document["compute"]["volumes"] = [
        {
            "kind": KINDS + "volume/simple-volume-mount.yaml",
            "meta": {"name": name},
            "path": f"/{name}",
            "mode": mode,
            "resource": resource,
        }
        for name, mode, resource in (("in", "READONLY", "a.fits"), ("out", "READWRITE", "my results"))
    ]
    document["executable"]["environment"] = {"TOKEN": "s3cret"}
    return document


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Nothing is driven here: what sessions leave behind is put in place by the tests."""
    patch = pytest.MonkeyPatch()

    async def list_files(self, job_id, name):
        return results.list_files(self._root, job_id, name)

    async def open_file(self, job_id, name, path):
        return results.open_file(self._root, job_id, name, path)

    patch.setattr(SimulatedPlatform, "list_files", list_files)
    patch.setattr(SimulatedPlatform, "open_file", open_file)
    directory = tmp_path_factory.mktemp("broker")
    with serving(directory, FAIRLEAD_SUPERVISE="false", FAIRLEAD_REQUESTS_PER_MINUTE="0") as client:
        client.work = directory / "work"
        assert client.post("/admin/identities", json=user("olga"), auth=ROOT).status_code == 201
        with client.engine.begin() as connection:
            olga = sql_update(identities).where(identities.c.username == "olga")
            connection.execute(olga.values(role="operator"))
        yield client
    patch.undo()


def parts(session):
    """(family, part) of everything in a session that has an address of its own."""
    yield "executables", session["executable"]
    yield "compute", session["compute"]
    for family in ("storage", "data"):
        for part in session.get(family, []):
            yield family, part
    for part in session["compute"].get("volumes", []):
        yield "volumes", part


def set_session(client, uuid, **values):
    with client.engine.begin() as connection:
        connection.execute(sql_update(sessions).where(sessions.c.uuid == uuid).values(**values))


def test_every_part_is_answered_at_its_url(client):
    for offer in ask(client, whole_document())["offers"]:
        found = list(parts(offer))
        assert {family for family, _ in found} == set(FAMILIES)
        for family, part in found:
            url = f"http://broker.example/{family}/{part['meta']['uuid']}"
            assert client.get(url, auth=ADA).json() == part
            assert part["meta"]["url"] == url


def test_a_part_is_shown_to_strangers_as_in_its_session(client):
    offer = ask(client, whole_document())["offers"][0]
    for auth in (None, BOB):
        seen = client.get(offer["meta"]["url"], auth=auth).json()
        for family, part in parts(seen):
            assert client.get(f"/{family}/{part['meta']['uuid']}", auth=auth).json() == part
            assert "s3cret" not in json.dumps(part)
            assert "sign4ture" not in json.dumps(part)


def test_the_parts_of_what_was_refused_are_told_too(client):
    limit = {"kind": kinds.MINMAX_COST, "type": "urn:ivoa:calycopis:cost:monetary", "max": 0.0}
    refused = client.post("/direct", json=whole_document() | {"costs": [limit]}, auth=ADA)
    assert (refused.status_code, refused.json()["phase"]) == (400, "FAILED")
    found = list(parts(refused.json()))
    assert {family for family, _ in found} == set(FAMILIES)
    for family, part in found:
        assert client.get(f"/{family}/{part['meta']['uuid']}", auth=ADA).json() == part


def test_parts_that_do_not_exist(client):
    offer = ask(client, whole_document())["offers"][0]
    compute, session = offer["compute"]["meta"]["uuid"], offer["meta"]["uuid"]
    for path in (f"/storage/{compute}", f"/compute/{session}", "/data/x", "/volumes/", "/compute"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]


def test_a_part_of_an_offer_expires_with_it(tmp_path):
    with serving(tmp_path, FAIRLEAD_SUPERVISE="false") as client:
        part = ask(client)["offers"][0]["compute"]["meta"]["uuid"]
        client.portal.call(client.clock.advance, 301)
        assert client.get(f"/compute/{part}").json()["phase"] == "CANCELLED"


def test_logs_before_anything_has_run(client):
    session = first_offer(client)
    answer = client.get(f"/sessions/{session}/logs", auth=ADA)
    assert answer.status_code == 200
    assert answer.json() == {"session": session, "phase": "OFFERED", "stdout": "", "stderr": ""}


def test_logs_of_what_has_run(client):
    session = first_offer(client)
    set_session(client, session, phase="FAILED", outcome=codec.dump_outcome(PRINTED), ended=PRINTED.ended)
    for auth in (ADA, OPERATOR, ROOT):
        assert client.get(f"/sessions/{session}/logs", auth=auth).json() == {
            "session": session,
            "phase": "FAILED",
            "exit_code": 3,
            "started": "2026-11-25T12:00:00Z",
            "ended": "2026-11-25T12:00:07Z",
            "stdout": PRINTED.stdout,
            "stderr": PRINTED.stderr,
        }
    answer = client.get(f"/sessions/{session}/logs", auth=ADA, headers={"Accept": "application/xml"})
    assert answer.status_code == 200
    assert "warning: &lt;&amp;&gt;" in answer.text


@pytest.mark.parametrize("path", ["logs", "storage", "storage/input/x"])
def test_what_a_session_leaves_behind_is_not_for_strangers(client, path):
    session = first_offer(client, document=whole_document())
    for auth, status in ((None, 401), (BOB, 403), (("ada", "wrong"), 401)):
        answer = client.get(f"/sessions/{session}/{path}", auth=auth)
        assert answer.status_code == status
        assert answer.json()["error"]


@pytest.fixture
def written(client):
    """A session that has ended, whose results are kept for an hour; and the directory where they lie."""
    offer = ask(client, whole_document())["offers"][0]
    uuid = offer["meta"]["uuid"]
    site = next(
        message["values"]["site"]
        for message in offer["meta"]["messages"]
        if "site" in message.get("values", {})
    )
    with client.engine.connect() as connection:
        from broker.sessions import store

        record = store.read_session(connection, uuid)
    assert record.placement.site_id == site
    storage = next(item.uuid for item in record.request.storage if item.name == "my results")
    directory = storage_path(client.work / site, uuid, storage)
    (directory / "maps").mkdir(parents=True)
    (directory / "maps" / "a b.html").write_text("<script>alert(1)</script>")
    (directory / "sum").write_bytes(bytes(range(256)) * 4096)
    (directory / "empty").touch()
    slashed = next(item.uuid for item in record.request.storage if item.name == "maps/2026 a")
    (storage_path(client.work / site, uuid, slashed) / "b").mkdir(parents=True)
    (storage_path(client.work / site, uuid, slashed) / "b" / "sum").write_text("6")
    (directory / "passwd").symlink_to("/etc/passwd")
    (directory / "etc").symlink_to("/etc")
    set_session(
        client,
        uuid,
        phase="COMPLETED",
        ended=client.clock.now(),
        results_until=client.clock.now() + timedelta(hours=1),
        occupies_platform=True,
    )
    return uuid, directory


def test_results_are_listed_and_fetched(client, written):
    uuid, _ = written
    document = client.get(f"/sessions/{uuid}/storage", auth=ADA).json()
    assert document["session"] == uuid
    assert document["until"] > "2026-11-25T13:00"
    (results_,) = [each for each in document["storage"] if each["name"] == "my results"]
    assert {file["path"]: file["size"] for file in results_["files"]} == {
        "maps/a b.html": 25,
        "sum": 256 * 4096,
        "empty": 0,
    }
    for file in results_["files"]:
        for auth in (ADA, OPERATOR, ROOT):
            answer = client.get(file["url"], auth=auth)
            assert answer.status_code == 200
            assert len(answer.content) == file["size"] == int(answer.headers["content-length"])
        head = client.head(file["url"], auth=ADA)
        assert (head.status_code, int(head.headers["content-length"])) == (200, file["size"])


def test_a_storage_may_have_a_slash_in_its_name(client, written):
    uuid, _ = written
    document = client.get(f"/sessions/{uuid}/storage", auth=ADA).json()
    (slashed,) = [each for each in document["storage"] if each["name"] == "maps/2026 a"]
    assert [client.get(file["url"], auth=ADA).text for file in slashed["files"]] == ["6"]


def test_what_a_user_wrote_is_never_shown_as_ours(client, written):
    uuid, _ = written
    answer = client.get(
        f"/sessions/{uuid}/storage/my%20results/maps/a%20b.html", auth=ADA, headers={"Accept": "text/html"}
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/1048576", bytes(range(4))),
        ("bytes=1048574-", 206, "bytes 1048574-1048575/1048576", b"\xfe\xff"),
        ("bytes=-1", 206, "bytes 1048575-1048575/1048576", b"\xff"),
        ("bytes=1048575-9999999", 206, "bytes 1048575-1048575/1048576", b"\xff"),
        ("bytes=1048576-", 416, "bytes */1048576", None),
        ("bytes=-0", 416, "bytes */1048576", None),
        ("bytes=3-1", 200, None, None),
        ("bytes=-", 200, None, None),
        ("bytes=0-1,5-6", 200, None, None),
        ("lines=0-1", 200, None, None),
    ],
)
def test_a_range_of_a_file(client, written, asked, status, content_range, body):
    uuid, _ = written
    url = f"/sessions/{uuid}/storage/my results/sum"
    answer = client.get(url, auth=ADA, headers={"Range": asked})
    assert answer.status_code == status
    assert answer.headers.get("content-range") == content_range
    if body is not None:
        assert answer.content == body
    if status == 206:
        tag = answer.headers["etag"]
        again = client.get(url, auth=ADA, headers={"Range": asked, "If-Range": tag})
        assert again.status_code == 206
        changed = client.get(url, auth=ADA, headers={"Range": asked, "If-Range": '"other"'})
        assert (changed.status_code, len(changed.content)) == (200, 1048576)


@pytest.mark.parametrize(
    "path",
    [
        "my results/passwd",
        "my results/etc/passwd",
        "my results/..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "my results/maps",
        "my results/",
        "my results/sum/x",
        "my results/nothing",
        "my results/%00",
        "nothing/sum",
        "..%2F/sum",
        "input/sum",
    ],
)
def test_what_is_no_file_of_the_storage(client, written, path):
    uuid, _ = written
    answer = client.get(f"/sessions/{uuid}/storage/{path}", auth=ADA)
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_a_file_that_grows_while_it_is_sent(client, written, monkeypatch):
    from broker.http import files

    uuid, directory = written
    monkeypatch.setattr(files, "PIECE", 1024)
    url = f"/sessions/{uuid}/storage/my results/sum"
    with client.stream("GET", url, auth=ADA) as answer:
        with (directory / "sum").open("ab") as sink:
            sink.write(b"more")
        assert len(answer.read()) == int(answer.headers["content-length"])


def test_results_go_when_their_time_is_over(client, written):
    uuid, _ = written
    set_session(client, uuid, results_until=client.clock.now())
    assert client.get(f"/sessions/{uuid}/storage/my results/sum", auth=ADA).status_code == 404
    assert "storage" not in client.get(f"/sessions/{uuid}/storage", auth=ADA).json()


def test_an_operator_reads_everything_and_cancels(client):
    offers = ask(client, whole_document())["offers"]
    uuid = offers[0]["meta"]["uuid"]
    assert "s3cret" in client.get(f"/sessions/{uuid}", auth=OPERATOR).text
    for phase in ("ACCEPTED", "REJECTED"):
        answer = update(client, uuid, phase, OPERATOR)
        assert answer.status_code == 403
        assert "operator may cancel" in answer.json()["error"]
    assert update(client, uuid, "ACCEPTED").status_code == 200
    cancelled = update(client, uuid, "CANCELLED", OPERATOR)
    assert (cancelled.status_code, cancelled.json()["phase"]) == (200, "CANCELLED")
    assert update(client, uuid, "CANCELLED", BOB).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "uri:integer-value-update", "path": "/compute/cores", "value": 8},
        {"kind": "uri:integer-delta-update", "path": "/compute/cores", "delta": 1},
        {"kind": "uri:string-value-update", "path": "/meta/name", "value": "x"},
        {"kind": "uri:enum-value-update", "path": "/mode", "value": "x"},
        {"kind": "uri:string-value-update", "path": "/phase", "value": "ACCEPTED"},
        {"kind": "uri:date-value-update", "path": "/phase", "value": "x"},
        {"kind": "uri:enum-value-update", "path": "/phase", "value": "FLYING"},
    ],
)
def test_an_update_of_what_cannot_be_changed_says_what_can(client, change):
    uuid = first_offer(client)
    answer = client.post(f"/sessions/{uuid}", json=change, auth=ADA)
    assert answer.status_code == 400
    assert "/phase, by uri:enum-value-update, to ACCEPTED or REJECTED" in answer.json()["error"]
    assert client.get(f"/sessions/{uuid}").json()["phase"] == Phase.OFFERED
    assert update(client, uuid, "REJECTED").status_code == 200
    answer = client.post(f"/sessions/{uuid}", json=change, auth=ADA)
    assert answer.json()["error"].endswith("what can be updated now: nothing")


def test_an_operator_is_told_what_an_operator_can_change(client):
    change = {"kind": kinds.ENUM_VALUE_UPDATE, "path": "/nowhere", "value": "x"}
    uuid = first_offer(client)
    answer = client.post(f"/sessions/{uuid}", json=change, auth=OPERATOR)
    assert answer.json()["error"].endswith("now: nothing")
    assert update(client, uuid, "ACCEPTED").status_code == 200
    answer = client.post(f"/sessions/{uuid}", json=change, auth=OPERATOR)
    assert answer.json()["error"].endswith("to CANCELLED")
