"""Who is let in, for how long, and what a form needs."""

from datetime import timedelta

import pytest

from broker.identities import Change
from broker.records import Role
from federation.clock import ManualClock
from reports.pages.signed_in import SignedIn, same_token
from tests.broker.conftest import NOW, make_document
from tests.reports.pages.serving import ADA, BOB, OLGA, ORIGIN, ROOT, serving, sign_in, signed_in, token_of


def test_who_is_not_signed_in_is_sent_to_the_form_and_back(client):
    answer = client.get("/pages/paths/alpha/beta?size=1+GB")
    assert answer.status_code == 303
    form = client.get(answer.headers["location"])
    assert form.status_code == 200
    assert 'name="next" value="/pages/paths/alpha/beta?size=1+GB"' in form.text
    back = sign_in(client, next="/pages/paths/alpha/beta?size=1+GB")
    assert (back.status_code, back.headers["location"]) == (303, "/pages/paths/alpha/beta?size=1+GB")
    assert client.get(back.headers["location"]).status_code == 200


def test_the_cookie_is_for_the_pages_alone_and_no_script_reads_it(client):
    cookie = sign_in(client).headers["set-cookie"]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"httponly", "samesite=strict", "path=/pages", "max-age=43200"}
    assert ADA[1] not in cookie
    # the API doesn't know it
    assert client.get("/sessions", headers={"accept": "application/json"}).status_code == 401


def test_behind_https_and_a_path_the_cookie_is_secure_and_of_that_path(tmp_path):
    with serving(tmp_path, FAIRLEAD_PUBLIC_URL="https://science.example/broker") as client:
        answer = sign_in(client, headers={"sec-fetch-site": "same-origin"})
        assert answer.headers["location"] == "/broker/pages"
        assert "Path=/broker/pages" in answer.headers["set-cookie"]
        assert "Secure" in answer.headers["set-cookie"]


def test_a_wrong_password_is_told_in_the_page_and_written_down(client):
    answer = sign_in(client, ("ada", "guess"))
    assert answer.status_code == 403
    assert "Username or password is wrong" in answer.text
    # a window of the browser's own would keep the password
    assert "www-authenticate" not in answer.headers
    assert "set-cookie" not in answer.headers
    client.app.state.audit.flush()
    entries = client.get("/admin/audit?action=login.fail", auth=ROOT, headers={"accept": "application/json"})
    assert entries.json()["entries"][0]["username"] == "ada"


def test_guessing_is_slowed_down_as_in_the_api(tmp_path):
    with serving(tmp_path) as client:
        assert [sign_in(client, ("bob", str(n))).status_code for n in range(6)] == [403] * 5 + [429]
        assert sign_in(client, ("bob", "x")).headers["retry-after"]
        assert sign_in(client, ADA).status_code == 303


@pytest.mark.parametrize(
    "after",
    [
        "//evil.example",
        "https://evil.example/pages",
        "/pages\\@evil",
        "/sessions",
        "/pagesevil",
        "javascript:x",
        "/pages/\r\nX: y",
    ],
)
def test_signing_in_leads_to_pages_of_ours_only(client, after):
    assert sign_in(client, next=after).headers["location"] == "/pages"


def test_another_site_signs_nobody_in(client):
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        answer = sign_in(client, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_nothing_is_done_without_the_forms_own_token(client):
    token = signed_in(client)
    other = form_of_bob(client)
    signed_in(client)
    for given in ({}, {"token": ""}, {"token": "0" * 64}, {"token": other}, {"token": "ä"}):
        answer = client.post("/pages/offers", data={"document": "{}"} | given, headers=ORIGIN)
        assert answer.status_code == 403, given
    assert client.post("/pages/sign-out", data={"token": token}, headers=ORIGIN).status_code == 403
    assert client.get("/pages").status_code == 200
    assert client.post("/pages/sign-out", data={"token": token_of(client)}).status_code == 303
    assert client.get("/pages").status_code == 303


def form_of_bob(client):
    return signed_in(client, BOB)


def test_a_header_does_nothing_in_a_form(client):
    """A browser that was once asked for a password sends it with other sites' forms, too."""
    answer = client.post("/pages/offers", data={"document": "{}"}, auth=ADA)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pages/sign-in")
    # but pages can be read with it
    assert client.get("/pages", auth=ADA).status_code == 200
    assert 'name="token"' not in client.get("/pages", auth=ADA).text
    assert client.get("/pages", auth=("ada", "no")).status_code == 401


def test_a_form_of_another_type_is_not_read(client):
    token = signed_in(client)
    answer = client.post("/pages/offers", json={"token": token})
    assert answer.status_code == 415


def test_signing_out_ends_the_cookie_itself(client):
    token = signed_in(client)
    kept = dict(client.cookies)
    client.post("/pages/sign-out", data={"token": token})
    client.cookies.update(kept)
    assert client.get("/pages").status_code == 303


def test_signing_in_and_out_are_written_down(client):
    token = signed_in(client, BOB)
    client.post("/pages/sign-out", data={"token": token})
    client.app.state.audit.flush()
    entries = client.get("/admin/audit?username=bob", auth=ROOT, headers={"accept": "application/json"})
    assert [each["action"] for each in entries.json()["entries"]][:2] == ["logout", "login"]


def test_signing_in_again_makes_another_cookie_and_ends_the_old_one(client):
    signed_in(client)
    old = dict(client.cookies)
    sign_in(client)
    assert dict(client.cookies) != old
    client.cookies.clear()
    client.cookies.update(old)
    assert client.get("/pages").status_code == 303


def test_a_changed_password_and_a_disabled_user_are_out_at_once(tmp_path):
    with serving(tmp_path) as client:
        signed_in(client)
        client.identities.change(client.identities.get("ada").uuid, Change(password="another one"))
        assert client.get("/pages").status_code == 303
        signed_in(client, BOB)
        client.identities.change(client.identities.get("bob").uuid, Change(disabled=True))
        assert client.get("/pages").status_code == 303


def test_a_role_counts_from_the_next_request_on(tmp_path):
    with serving(tmp_path) as client:
        signed_in(client, BOB)
        assert "zoe" not in client.get("/pages/space").text
        client.identities.change(client.identities.get("bob").uuid, Change(role=Role.OPERATOR))
        assert "zoe" in client.get("/pages/space").text


def test_after_half_a_day_one_signs_in_again(tmp_path):
    with serving(tmp_path) as client:
        signed_in(client)
        client.clock.advance(12 * 3600 - 1)
        assert client.get("/pages").status_code == 200
        client.clock.advance(1)
        assert client.get("/pages").status_code == 303


def test_pages_count_as_requests(tmp_path):
    with serving(tmp_path, FAIRLEAD_REQUESTS_PER_MINUTE="3") as client:
        signed_in(client)
        assert [client.get("/pages").status_code for _ in range(3)] == [200, 429, 429]


def test_what_is_kept_says_nothing_without_the_cookie(engine):
    kept = SignedIn(engine, ManualClock(NOW))
    one, two = (kept.begin(f"Basic {number}") for number in range(2))
    assert [kept.authorization(cookie) for cookie in (one, two)] == ["Basic 0", "Basic 1"]
    name, _, key = one.partition(".")
    other = two.partition(".")[2]
    for cookie in (
        name,
        f"{name}.",
        f"{name}.x",
        f"{name}.{other}",
        f"{name}.é",
        "",
        f"nobody.{key}",
        "\0.x",
    ):
        assert kept.authorization(cookie) is None
    rows = rows_of(engine)
    assert len(rows) == 2
    for secret in ("Basic", key, other):
        assert secret not in repr(rows)
    assert not same_token(one, "é")


def rows_of(engine):
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT * FROM sign_ins").all()


def test_what_is_over_is_removed_and_so_are_the_oldest_of_too_many(engine):
    clock = ManualClock(NOW)
    kept = SignedIn(engine, clock, timedelta(hours=1), most=3)
    cookies = []
    for number in range(5):
        cookies.append(kept.begin(f"Basic {number}"))
        clock.advance(60)
    assert [kept.authorization(cookie) for cookie in cookies] == [None, None, "Basic 2", "Basic 3", "Basic 4"]
    assert len(rows_of(engine)) == 3
    clock.advance(3600)
    assert [kept.authorization(cookie) for cookie in cookies] == [None] * 5
    kept.begin("Basic 5")
    assert len(rows_of(engine)) == 1


def test_brokers_on_one_database_share_who_is_signed_in_and_a_restart_keeps_it(tmp_path):
    with serving(tmp_path) as one:
        with serving(tmp_path) as two:
            signed_in(one)
            two.cookies.update(dict(one.cookies))
            assert "Sign out" in two.get("/pages").text
        with serving(tmp_path) as again:
            again.cookies.update(dict(one.cookies))
            assert again.get("/pages").status_code == 200
            again.post("/pages/sign-out", data={"token": token_of(again)}, headers=ORIGIN)
        # out of one is out of all
        assert one.get("/pages").status_code == 303


def test_every_page_says_how_a_browser_is_to_treat_it(client):
    signed_in(client)
    for path in ("/pages", "/pages/space", "/pages/offers", "/pages/nothing", "/pages/sign-in"):
        headers = client.get(path).headers
        assert headers.get("cache-control") == "no-store"
        if "content-security-policy" in headers:
            assert "script-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


def test_an_operators_look_at_others_is_written_down_as_the_apis(client):
    made = client.post(
        "/requests", json=make_document(), auth=ADA, headers={"accept": "application/json"}
    ).json()
    uuid = made["meta"]["uuid"]
    client.get(f"/pages/offers/{uuid}", auth=OLGA)
    client.get(f"/pages/sessions/{made['offers'][0]['meta']['uuid']}", auth=OLGA)
    client.app.state.audit.flush()
    entries = client.get("/admin/audit?username=olga", auth=ROOT, headers={"accept": "application/json"})
    assert [each["action"] for each in entries.json()["entries"]][:2] == ["session.read", "offerset.read"]
