"""One's own sessions and offer sets, page by page."""

import re
import uuid

import pytest
import yaml
from sqlalchemy import select

from broker.model import Phase
from broker.sessions.listing import Cursor, Filters, offerset_query, session_query
from broker.tables import sessions
from tests.broker.conftest import NOW, make_document
from tests.broker.serving import ADA, BOB, ROOT, ask, first_offer, serving, update, user

FIVE = range(5)


def named(name, **more):
    return make_document(**more) | {"meta": {"name": name}}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Ada has five offer sets, a second between each; of the first one she took the best offer. Nobody drives
    it: a session that goes on between two looks is no longer what it was."""
    with serving(tmp_path_factory.mktemp("broker"), FAIRLEAD_SUPERVISE="false") as client:
        client.sets = []
        for number in FIVE:
            client.sets.append(ask(client, named(f"survey {number}")))
            client.portal.call(client.clock.advance, 1)
        client.accepted = client.sets[0]["offers"][0]["meta"]["uuid"]
        assert update(client, client.accepted, "ACCEPTED").status_code == 200
        client.bobs = ask(client, auth=BOB)
        yield client


def listed(client, url, auth=ADA, **parameters):
    answer = client.get(url, params=parameters, auth=auth)
    assert answer.status_code == 200, answer.text
    return answer.json()


def uuids(items):
    return [item["meta"]["uuid"] for item in items]


def pages(client, url, auth=ADA, **parameters):
    """All items behind `url`, following the links."""
    found = []
    while url:
        answer = client.get(url, params=parameters or None, auth=auth)
        document = answer.json()
        (family,) = set(document) - {"next"}
        found += [document[family]]
        url, parameters = document.get("next"), None
        assert answer.headers.get("link") == (f'<{url}>; rel="next"' if url else None)
    return found


def test_offersets_are_listed_newest_first_as_each_is_read_alone(client):
    found = listed(client, "/offersets")["offersets"]
    assert uuids(found) == uuids(reversed(client.sets))
    assert found == [client.get(each["meta"]["url"], auth=ADA).json() for each in found]


def test_sessions_are_listed_as_each_is_read_alone(client):
    found = listed(client, "/sessions", limit=500)["sessions"]
    assert sorted(uuids(found)) == sorted(uuids(offer for each in client.sets for offer in each["offers"]))
    assert [each["meta"]["created"] for each in found] == sorted(
        (each["meta"]["created"] for each in found), reverse=True
    )
    assert found[3] == client.get(found[3]["meta"]["url"], auth=ADA).json()


@pytest.mark.parametrize("url", ["/sessions", "/offersets"])
@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_pages_together_are_the_whole(client, url, limit):
    everything = pages(client, url, limit=500)[0]
    found = pages(client, url, limit=limit)
    assert [item for page in found for item in page] == everything
    assert {len(page) for page in found[:-1]} <= {limit}


def test_what_is_added_meanwhile_moves_no_page(tmp_path):
    with serving(tmp_path) as client:
        before = [ask(client) for _ in range(4)]  # at one instant: only the uuid tells them apart
        first = listed(client, "/offersets", limit=2)
        client.portal.call(client.clock.advance, 1)
        ask(client)
        second = client.get(first["next"], auth=ADA).json()["offersets"]
        assert sorted(uuids(first["offersets"]) + uuids(second)) == sorted(uuids(before))


def test_a_page_keeps_its_filters(client):
    found = [item for page in pages(client, "/sessions", phase="REJECTED", limit=1) for item in page]
    assert {item["meta"]["name"] for item in found} == {"survey 0"}
    assert {item["phase"] for item in found} == {"REJECTED"}
    assert len(found) == len(client.sets[0]["offers"]) - 1


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"since": "2026-11-25T12:00:03Z"}, [4, 3]),
        ({"until": "2026-11-25T12:00:03Z"}, [2, 1, 0]),
        ({"since": "2026-11-25T13:00:01+01:00", "until": "2026-11-25T12:00:02Z"}, [1]),
        ({"name": "survey 3"}, [3]),
        ({"name": "survey"}, []),
        ({"result": "YES"}, [4, 3, 2, 1, 0]),
        ({"result": "NO"}, []),
    ],
)
def test_offersets_are_filtered(client, parameters, expected):
    found = listed(client, "/offersets", **parameters)["offersets"]
    assert uuids(found) == uuids(client.sets[number] for number in expected)


def test_sessions_are_filtered(client):
    offered = listed(client, "/sessions", phase="OFFERED", limit=500)["sessions"]
    assert {each["phase"] for each in offered} == {"OFFERED"}
    assert sorted(uuids(offered)) == sorted(uuids(o for each in client.sets[1:] for o in each["offers"]))
    rejected = listed(client, "/sessions", phase="REJECTED")["sessions"]
    assert uuids(rejected) == sorted(uuids(client.sets[0]["offers"][1:]), reverse=True)
    sites = {
        message["values"]["site"]
        for each in offered
        for message in each["meta"]["messages"]
        if "site" in message.get("values", {})
    }
    assert sites
    by_site = [listed(client, "/sessions", site=site, limit=500)["sessions"] for site in sites]
    assert sum(map(len, by_site)) == sum(len(each["offers"]) for each in client.sets)
    assert listed(client, "/sessions", site="nowhere")["sessions"] == []


def test_offers_whose_time_is_over_are_listed_as_expired(tmp_path):
    with serving(tmp_path, FAIRLEAD_SUPERVISE="false") as client:
        ask(client)
        client.portal.call(client.clock.advance, 301)
        assert listed(client, "/sessions", phase="OFFERED")["sessions"] == []
        assert listed(client, "/sessions", phase="EXPIRED")["sessions"]


@pytest.mark.parametrize("url", ["/sessions", "/offersets"])
def test_whose_things_are_listed(client, url):
    family = url[1:]
    assert client.get(url).status_code == 401
    adas, bobs = (listed(client, url, auth, limit=500)[family] for auth in (ADA, BOB))
    assert not set(uuids(adas)) & set(uuids(bobs))
    assert listed(client, url, ROOT)[family] == []
    assert uuids(listed(client, url, ROOT, owner="ada", limit=500)[family]) == uuids(adas)
    everything = listed(client, url, ROOT, owner="*", limit=500)[family]
    assert sorted(uuids(everything)) == sorted(uuids(adas) + uuids(bobs))
    assert listed(client, url, owner="ada", limit=500)[family] == adas
    for foreign in ("bob", "*"):
        assert client.get(url, params={"owner": foreign}, auth=ADA).status_code == 403
    assert listed(client, url, ROOT, owner="nobody")[family] == []


@pytest.mark.parametrize(
    ("parameters", "name", "expected"),
    [
        ("limit=0", "limit", "1 to 500"),
        ("limit=501", "limit", "1 to 500"),
        ("limit=+5", "limit", "1 to 500"),
        ("limit=x", "limit", "1 to 500"),
        ("limit=1&limit=2", "limit", "once"),
        ("since=yesterday", "since", "ISO 8601"),
        ("until=2026-11-25T12:00:00", "until", "offset"),
        ("since=0001-01-01T00:00:00%2B14:00", "since", "ISO 8601"),
        ("cursor=x", "cursor", "next page"),
        ("cursor=" + "A" * 4000, "cursor", "next page"),
        ("cursor=%FF", "cursor", "next page"),
        ("name=%00", "name", "NUL"),
        ("pages=2", "pages", "limit"),
        ("%F0%9F%92%A9=2", "\N{PILE OF POO}", "limit"),
    ],
)
@pytest.mark.parametrize("url", ["/sessions", "/offersets"])
def test_parameters_that_are_wrong(client, url, parameters, name, expected):
    answer = client.get(f"{url}?{parameters}", auth=ADA)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == name
    assert answer.json()["error"].startswith(name + ":")
    assert expected in answer.json()["error"]


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("/sessions?phase=RUNNING&phase=FLYING", "phase", "PREPARING"),
        ("/sessions?result=YES", "result", "phase"),
        ("/offersets?result=MAYBE", "result", "YES or NO"),
        ("/offersets?site=perth", "site", "result"),
    ],
)
def test_parameters_of_one_list_only(client, url, name, expected):
    answer = client.get(url, auth=ADA)
    assert (answer.status_code, answer.json()["parameter"]) == (400, name)
    assert expected in answer.json()["error"]


def test_lists_in_every_media_type(client):
    plain = listed(client, "/sessions", limit=2)
    answer = client.get("/sessions?limit=2", headers={"Accept": "application/yaml"}, auth=ADA)
    assert yaml.safe_load(answer.text) == plain
    answer = client.get("/sessions?limit=2", headers={"Accept": "application/xml"}, auth=ADA)
    assert answer.status_code == 200
    assert [found in answer.text for found in uuids(plain["sessions"])] == [True, True]


def test_a_plus_sign_that_nobody_escaped_is_understood(client):
    assert client.get("/sessions?since=2026-11-25T13:00:00+01:00", auth=ADA).status_code == 200


def test_a_user_who_has_nothing_yet_has_an_empty_list(client):
    assert client.post("/admin/identities", json=user("eve"), auth=ROOT).status_code == 201
    assert listed(client, "/sessions", ("eve", "eve's own")) == {"sessions": []}


@pytest.mark.parametrize("after", [None, Cursor(NOW, str(uuid.uuid4()))])
@pytest.mark.parametrize("query", [session_query, offerset_query])
@pytest.mark.parametrize("owners", [None, ("ada",)])
def test_a_page_is_found_by_an_index(tmp_path, query, owners, after):
    """SQLite says how it would look: without reading the whole table, and without sorting what it finds."""
    with serving(tmp_path) as client:
        compiled = query(Filters(owners), after, 50).compile(
            client.engine, compile_kwargs={"render_postcompile": True}
        )
        with client.engine.connect() as connection:
            plan = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN " + str(compiled), tuple(str(value) for value in compiled.params.values())
            )
            steps = [row[3] for row in plan]
    assert re.search(r"USING (COVERING )?INDEX \w+_created", steps[0])
    assert [step for step in steps[1:] if "TEMP B-TREE FOR ORDER BY" in step] == []


def test_listing_on_both_databases(engine, settings, federation, clock):
    from broker.records import Owner
    from broker.service import Broker

    broker = Broker(settings, federation, engine, clock, online=False)
    ada = Owner("ada", "ada")
    made = [broker.request(named(f"survey {number}"), ada) for number in FIVE]
    broker.direct(make_document(), ada)
    filters = Filters(("ada",), name="survey 2", phases=(Phase.OFFERED,), site="perth")
    page = broker.sessions(filters, None, 10)
    (best,) = [each for each in made[2].sessions if each.placement.site_id == "perth"]
    assert page.items == (best,)
    assert page.next is None
    found, after = [], None
    while True:
        page = broker.offersets(Filters(yes=True), after, 2)
        found += page.items
        after = page.next
        if after is None:
            break
    assert sorted(each.uuid for each in found) == sorted(each.uuid for each in made)
    assert {each.uuid: each for each in found} == {each.uuid: each for each in made}
    with engine.connect() as connection:
        assert len(connection.execute(select(sessions.c.uuid)).all()) > len(made)
    # a request without a name is shown by its executable's, and found by it
    assert len(broker.sessions(Filters(name="checksum"), None, 10).items) == 1


def test_first_offer_has_a_list_entry(client):
    """What was asked for a moment ago is there at once."""
    session = first_offer(client, auth=BOB)
    assert session in uuids(listed(client, "/sessions", BOB, limit=500)["sessions"])
