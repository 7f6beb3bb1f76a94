"""What the pages show, to whom, and what they refuse; and that the API is as it was without them."""

import re

import pytest
from fastapi.testclient import TestClient

from broker.app import create_app
from broker.model import Outcome
from broker.sessions import store
from federation.catalogue import builtin_federation
from federation.clock import ManualClock
from federation.database import connect, upgrade, write
from federation.settings import load_settings
from tests.broker.conftest import NOW, make_document
from tests.reports.pages.serving import ADA, BOB, OLGA, ORIGIN, signed_in

JSON = {"accept": "application/json"}


def text_of(html):
    return " ".join(re.sub(r"<[^>]+>", " ", re.split(r"<main[^>]*>", html, maxsplit=1)[-1]).split())


def cell(html, source, destination):
    found = re.search(rf'<td class="([^"]*)"><a href="/pages/paths/{source}/{destination}">(.*?)</a>', html)
    return found[1].split(), text_of(found[2])


def ask(client, who=ADA, **more):
    return client.post("/requests", json=make_document(**more), auth=who, headers=JSON).json()


def test_a_cell_says_what_was_measured_and_how_long_ago(client):
    html = client.get("/pages", auth=ADA).text
    classes, words = cell(html, "alpha", "beta")
    assert words == "Alpha &lt;b&gt; to Beta: 92 Mbit/s 2 min ago"
    assert classes == ["s3"]
    assert cell(html, "beta", "alpha") == (["s1", "old"], "Beta to Alpha &lt;b&gt;: 10 Mbit/s 3 d ago, old")
    assert cell(html, "gamma", "alpha")[0] == ["s5"]
    assert "15 min ago, failing" in cell(html, "gamma", "alpha")[1]
    assert cell(html, "alpha", "gamma")[0] == ["failed"]
    assert cell(html, "gamma", "beta") == (["s0"], "Gamma to Beta: not tested")
    assert "alpha: &lt;i&gt;no&lt;/i&gt; route" in html
    trips = client.get("/pages?kind=round-trip", auth=ADA).text
    assert "25 ms" in cell(trips, "alpha", "beta")[1]


def test_the_figures_behind_the_table_are_json(client):
    document = client.get("/pages/data/federation", auth=ADA).json()
    paths = {
        (each["throughput"]["source"], each["throughput"]["destination"]): each for each in document["paths"]
    }
    assert len(paths) == 6
    assert paths["alpha", "beta"]["throughput"]["value"] == pytest.approx(92e6, rel=0.03)
    assert paths["alpha", "beta"]["round_trip"]["value"] == 0.025
    assert paths["alpha", "gamma"]["throughput"]["error"] == "gamma: connection refused"


def test_a_path_has_its_history_forecast_and_tests_by_tool(client):
    html = client.get("/pages/paths/alpha/beta?size=1+GB", auth=ADA).text
    words = text_of(html)
    assert "1 GB in one file take" in words
    assert "latency ping 1 0 25 ms" in words
    assert "throughput iperf3 2 0 92 Mbit/s" in words
    assert "<svg" in html
    assert "var(--tests)" in html
    assert "<style" not in html
    document = client.get("/pages/data/paths/alpha/beta", auth=ADA).json()
    assert document["forecast"]["tests"] == 2
    assert len(document["tests"]) == 3
    never = client.get("/pages/paths/gamma/beta", auth=ADA)
    assert never.status_code == 200
    assert "nothing was tested on this path" in never.text


def test_a_slash_behind_the_address_of_the_pages_does_no_harm(client):
    answer = client.get("/pages/", auth=ADA, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/pages")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/pages/paths/alpha/nowhere", 404, "no site is called"),
        ("/pages/paths/alpha/alpha", 404, "same site"),
        ("/pages/paths/alpha/beta?size=many", 400, "expected a size"),
        ("/pages/paths/alpha/beta?sice=1", 400, "expected one of size"),
        ("/pages/space?cores=none", 400, "whole number"),
        ("/pages/space?cores=2&amp;for=never", 400, ""),
        ("/pages/space?cores=2&before=9000d", 400, "within 400 days"),
        ("/pages/space?cores=2&for=9000000d", 400, "within 400 days"),
        ("/pages/space?site=nowhere", 404, "no site is called"),
        ("/pages/offers/0", 404, "is no uuid"),
        ("/pages/offers/00000000-0000-0000-0000-000000000000", 404, "there is no offer set"),
        ("/pages/sessions/00000000-0000-0000-0000-000000000000", 404, "there is no session"),
        ("/pages/anything/else", 404, "there is nothing at"),
    ],
)
def test_what_can_not_be_shown_is_a_page_that_says_why(client, path, status, words):
    answer = client.get(path, auth=ADA)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert words.lower() in answer.text.lower()


def test_who_holds_what_is_for_operators(client):
    for path in ("/pages/space", "/pages/data/space", "/pages/data/space?cores=32&hosts=2&for=1d&before=1h"):
        for name in ("zoe", "deep-field"):
            assert name not in client.get(path, auth=ADA).text
    assert "deep-field" in client.get("/pages/space", auth=OLGA).text
    # that it is taken, everybody sees
    taken = client.get("/pages/data/space", auth=ADA).json()["calendars"][0]["taken"]
    assert [(each["host"], each["name"], each["holder"]) for each in taken] == [("node-1", None, None)]


def test_when_is_there_space(client):
    words = text_of(client.get("/pages/space?cores=32&instances=2&for=1d", auth=ADA).text)
    assert "2 × 32 cores, for 1d" in words
    assert "static 2026-11-27 10:00" in words
    document = client.get("/pages/data/space?cores=32&instances=2&for=1d", auth=ADA).json()
    (first, *_) = (each for each in document["answers"] if each["site"] == "alpha")
    assert first["openings"][0]["start"].startswith("2026-11-27T10:00")
    nowhere = text_of(client.get("/pages/space?cores=500", auth=ADA).text)
    assert "No site is known to have room" in nowhere


def test_what_the_broker_has_promised_is_taken(client):
    def taken():
        (beta,) = client.get("/pages/data/space?site=beta", auth=OLGA).json()["calendars"]
        return sorted(each["amounts"]["VCPU"] for each in beta["taken"])

    before = taken()
    ask(client, cores=(8, 8))
    assert taken() == sorted([*before, 8])


def test_an_offer_set_is_explained_and_an_offer_accepted(client):
    token = signed_in(client)
    made = ask(client)
    html = client.get(f"/pages/offers/{made['meta']['uuid']}").text
    for offer in made["offers"]:
        for message in offer["meta"]["messages"]:
            assert message["message"].partition("'")[0] in text_of(html).replace("&#39;", "'")
    chosen = made["offers"][0]["meta"]["uuid"]
    accepted = client.post(
        f"/pages/sessions/{chosen}", data={"token": token, "phase": "ACCEPTED"}, headers=ORIGIN
    )
    assert accepted.headers["location"] == f"/pages/sessions/{chosen}"
    assert client.get(f"/sessions/{chosen}", auth=ADA, headers=JSON).json()["phase"] != "OFFERED"
    again = client.post(
        f"/pages/sessions/{chosen}", data={"token": token, "phase": "REJECTED"}, headers=ORIGIN
    )
    assert again.status_code == 409
    assert "can&#39;t become REJECTED" in again.text
    wrong = client.post(
        f"/pages/sessions/{chosen}", data={"token": token, "phase": "RUNNING"}, headers=ORIGIN
    )
    assert wrong.status_code == 400
    assert client.get(f"/pages/data/offers/{made['meta']['uuid']}").json()["meta"] == made["meta"] | {
        "modified": client.get(f"/pages/data/offers/{made['meta']['uuid']}").json()["meta"]["modified"]
    }


def test_a_request_is_asked_in_a_form_and_what_is_wrong_with_it_is_told(client):
    token = signed_in(client)
    answer = client.post("/pages/offers", data={"token": token, "document": "executable: [1"}, headers=ORIGIN)
    assert answer.status_code == 400
    assert "executable: [1</textarea>" in answer.text
    document = client.get("/pages/offers").text.partition("required>")[2].partition("</textarea>")[0]
    good = client.post("/pages/offers", data={"token": token, "document": document}, headers=ORIGIN)
    assert good.status_code == 303
    assert "best first" in client.get(good.headers["location"]).text


def test_a_no_says_why(client):
    made = ask(client, cores=(500, None))
    words = text_of(client.get(f"/pages/offers/{made['meta']['uuid']}", auth=ADA).text)
    assert "No: nothing can run this" in words
    assert "500" in words


def secret_session(client):
    document = make_document()
    document["executable"] |= {"environment": {"TOKEN": "s3cret"}, "command": ["--key", "k3y"]}
    return client.post("/requests", json=document, auth=ADA, headers=JSON).json()


def test_others_see_no_more_than_in_the_api_and_change_nothing(client):
    made = secret_session(client)
    chosen = made["offers"][0]["meta"]["uuid"]
    token = signed_in(client, BOB)
    for path in (
        f"/pages/sessions/{chosen}",
        f"/pages/offers/{made['meta']['uuid']}",
        f"/pages/data/sessions/{chosen}",
        f"/pages/data/offers/{made['meta']['uuid']}",
    ):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "s3cret" not in answer.text
        assert "k3y" not in answer.text
        assert ">Accept<" not in answer.text
    assert (
        client.get(f"/pages/data/sessions/{chosen}").json()
        == client.get(f"/sessions/{chosen}", auth=BOB, headers=JSON).json()
    )
    for phase in ("ACCEPTED", "REJECTED", "CANCELLED"):
        form = {"token": token, "phase": phase}
        assert client.post(f"/pages/sessions/{chosen}", data=form, headers=ORIGIN).status_code == 403
    assert client.get(f"/pages/sessions/{chosen}/storage/a/b").status_code == 403
    assert client.get(f"/sessions/{chosen}", auth=ADA, headers=JSON).json()["phase"] == "OFFERED"


def test_what_a_container_printed_is_for_who_sees_all(client):
    chosen = ask(client)["offers"][0]["meta"]["uuid"]
    with write(client.engine) as connection:
        store.write_outcome(connection, chosen, Outcome(NOW, NOW, 0, "pr1nted", "wh1spered"))
    for who, seen in ((ADA, True), (OLGA, True), (BOB, False)):
        text = client.get(f"/pages/sessions/{chosen}", auth=who).text
        assert ("pr1nted" in text, "wh1spered" in text) == (seen, seen), who


def test_an_operator_may_cancel_and_no_more(client):
    made = secret_session(client)
    chosen = made["offers"][0]["meta"]["uuid"]
    token = signed_in(client, OLGA)
    form = {"token": token, "phase": "ACCEPTED"}
    assert client.post(f"/pages/sessions/{chosen}", data=form, headers=ORIGIN).status_code == 403
    client.post(
        f"/sessions/{chosen}",
        json={"kind": "uri:enum-value-update", "path": "/phase", "value": "ACCEPTED"},
        auth=ADA,
        headers=JSON,
    )
    assert "Cancel the session" in client.get(f"/pages/sessions/{chosen}").text
    form = {"token": token, "phase": "CANCELLED"}
    assert client.post(f"/pages/sessions/{chosen}", data=form, headers=ORIGIN).status_code == 303


def test_lists_are_ones_own(client):
    ask(client, BOB)
    assert "none yet" not in text_of(client.get("/pages/offers", auth=BOB).text).partition("Your requests")[2]
    assert "none yet" in text_of(client.get("/pages/offers", auth=OLGA).text).partition("Your requests")[2]


def test_figures_need_credentials_as_the_api_does(client):
    for path in ("federation", "paths/alpha/beta", "space", "offers/x", "sessions/x"):
        answer = client.get(f"/pages/data/{path}", headers=JSON)
        assert answer.status_code == 401
        assert "Basic" in answer.headers["www-authenticate"]
        assert "error" in answer.json()


def test_reports_are_listed_and_shown_without_any_power(client):
    words = text_of(client.get("/pages/reports", auth=ADA).text)
    assert "2026/compare.html" in words
    assert "data.bin" in words
    for name in (".secret", "outside", "link.html"):
        assert name not in words
    shown = client.get("/pages/reports/2026/compare.html", auth=ADA)
    assert shown.status_code == 200
    assert "sandbox" in shown.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "attachment" in client.get("/pages/reports/data.bin", auth=ADA).headers["content-disposition"]
    assert client.get("/pages/reports/2026/compare.html").status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "link.html",
        ".secret",
        "%2e%2e/outside.html",
        "..%2foutside.html",
        "2026",
        "",
        "2026/none",
        "a%00b",
        "%2fetc%2fpasswd",
    ],
)
def test_nothing_else_is_a_report(client, path):
    answer = client.get(f"/pages/reports/{path}", auth=ADA)
    assert answer.status_code == 404, answer.text
    assert "not ours" not in answer.text


def test_the_api_is_as_it_was(client, tmp_path):
    settings = load_settings(
        None, {"HOME": str(tmp_path), "FAIRLEAD_DATABASE_URL": f"sqlite:///{tmp_path / 'x.db'}"}
    )
    engine = connect(settings.database_url)
    upgrade(engine)
    app = create_app(settings, builtin_federation(), engine, ManualClock(NOW), online=False)
    with TestClient(app, base_url="http://broker.example", follow_redirects=False) as bare:
        for accept in ("application/json", "application/yaml", "text/html", "text/html,*/*;q=0.1", "*/*"):
            for path in ("/openapi.json", "/messages", "/sessions", "/offersets/x", "/nothing", "/health"):
                one, other = (each.get(path, headers={"accept": accept}) for each in (bare, client))
                assert (one.status_code, one.content, one.headers["content-type"]) == (
                    other.status_code,
                    other.content,
                    other.headers["content-type"],
                ), (accept, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            one, other = (each.request(method, "/") for each in (bare, client))
            assert (one.status_code, one.json()) == (other.status_code, other.json())
        for accept in ("application/json", "*/*", "application/yaml"):
            one, other = (each.get("/", headers={"accept": accept}) for each in (bare, client))
            assert (one.status_code, one.content) == (other.status_code, other.content)
    engine.dispose()
    browser = client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["location"]) == (303, "/pages")


def test_what_is_not_possible_here_says_what_is(client):
    answer = client.post("/pages", headers=JSON)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_static_files_may_be_kept_for_ever_under_their_version(client):
    page = client.get("/pages/sign-in").text
    url = re.search(r'href="(/pages/static/pages.css[^"]*)"', page)[1]
    answer = client.get(url)
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/pages/static/pages.css?v=old").headers["cache-control"] == "no-cache"
    assert client.get("/pages/static/..%2fdesk.py").status_code == 404
    # nothing is fetched from elsewhere
    assert not re.search(r"https?://", answer.text)
