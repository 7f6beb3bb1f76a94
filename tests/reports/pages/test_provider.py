"""Signing in at an OpenID provider: a real one of PyPI, over loopback."""

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from reports.pages.provider import Begun
from tests.broker.providers import Clock, PythonProvider
from tests.reports.pages.browsing import opened, running
from tests.reports.pages.serving import ROOT, serving

# of the provider's own libraries
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

START, BACK = "/pages/sign-in/provider", "/pages/sign-in/back"


@pytest.fixture(scope="module")
def provider():
    provider = PythonProvider()
    yield provider
    provider.stop()


def settings_for(provider, **more):
    return {
        "FAIRLEAD_OIDC_ISSUER": provider.issuer,
        # the ID token, which is for the client, is what the API takes
        "FAIRLEAD_OIDC_AUDIENCE": "fairlead",
        "FAIRLEAD_OIDC_GROUPS": "ska",
        "FAIRLEAD_OIDC_OPERATOR_GROUPS": "ska/operators",
        "FAIRLEAD_OIDC_CLIENT_ID": "fairlead",
        "FAIRLEAD_OIDC_CLIENT_SECRET": "of the client",
        "FAIRLEAD_REQUESTS_PER_MINUTE": "0",
    } | more


@pytest.fixture
def pages(tmp_path, provider):
    with serving(tmp_path, Clock(), **settings_for(provider)) as client:
        yield client


def at_provider(where, name):
    """What somebody does there: signs in as `name`. The query with which their browser comes back."""
    with httpx.Client(trust_env=False, timeout=120) as client:
        answer = client.post(where, data={"sub": name})
    assert answer.headers["location"].startswith("http://broker.example" + BACK)
    return parse_qs(urlsplit(answer.headers["location"]).query)


def begin(client, after="/pages/space?cores=2"):
    answer = client.get(START, params={"next": after})
    assert answer.status_code == 303
    return answer.headers["location"]


def finish(client, query):
    return client.get(BACK, params={key: values[0] for key, values in query.items()})


def test_who_is_known_there_is_signed_in_here(pages):
    form = pages.get("/pages/sign-in?next=/pages/space").text
    assert f'href="{START}?next=/pages/space"' in form
    answer = finish(pages, at_provider(begin(pages), "ada"))
    assert answer.status_code == 200
    # no redirection: a strict cookie isn't sent with what began at another site
    assert '<meta http-equiv="refresh" content="0; url=/pages/space?cores=2">' in answer.text
    assert "SameSite=strict" in answer.headers["set-cookie"]
    page = pages.get("/pages/space?cores=2")
    assert page.status_code == 200
    assert "<span>ada</span>" in page.text
    # a local user of that name is somebody else
    known = pages.get("/admin/identities", auth=ROOT, headers={"accept": "application/json"}).json()
    assert sum(each["username"] == "ada" for each in known["identities"]) == 2
    pages.app.state.audit.flush()
    entries = pages.get("/admin/audit?action=login", auth=ROOT, headers={"accept": "application/json"}).json()
    assert [(each["username"], each["status"]) for each in entries["entries"]] == [("ada", 200)]


def test_roles_come_from_the_token_and_end_with_it(pages):
    finish(pages, at_provider(begin(pages), "operator"))
    assert "zoe" in pages.get("/pages/space").text
    pages.clock.advance(3600 + 120)
    assert pages.get("/pages/space").status_code == 303


def test_who_may_not_use_the_broker_is_told_why_and_written_down(pages):
    answer = finish(pages, at_provider(begin(pages), "stranger"))
    assert answer.status_code == 403
    assert "The token is of nobody in a group that may use this broker" in answer.text
    assert pages.get("/pages").status_code == 303
    pages.app.state.audit.flush()
    entries = pages.get("/admin/audit", auth=ROOT, headers={"accept": "application/json"}).json()["entries"]
    assert [each["action"] for each in entries if each["action"].startswith("login")] == ["login.fail"]


def test_what_is_asked_is_bound_to_the_browser_that_asks(pages):
    query = parse_qs(urlsplit(begin(pages)).query)
    begun = Begun.of(pages.cookies["fairlead_pages_begun"])
    challenge = (
        base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).decode().rstrip("=")
    )
    assert query["code_challenge"] == [challenge]
    assert query["code_challenge_method"] == ["S256"]
    assert (query["state"], query["nonce"]) == ([begun.state], [begun.nonce])
    assert query["redirect_uri"] == ["http://broker.example" + BACK]
    assert query["scope"] == ["openid profile"]
    assert len(begun.verifier) >= 43
    assert Begun.of(begun.text()) == begun
    for other in ("", "a.b", "...", "a.b.c.é", "a.b.c.d.e"):
        assert Begun.of(other) is None


def test_a_code_is_of_no_use_in_another_browser(pages):
    stolen = at_provider(begin(pages), "ada")
    pages.cookies.clear()
    assert_nobody(pages, finish(pages, stolen), "this was not begun here")
    # nor with what another sign-in had begun
    begin(pages)
    assert_nobody(pages, finish(pages, stolen), "this was not begun here")
    # and it is for once
    query = at_provider(begin(pages), "ada")
    cookie = pages.cookies["fairlead_pages_begun"]
    assert finish(pages, query).status_code == 200
    pages.cookies.clear()
    pages.cookies.set("fairlead_pages_begun", cookie)
    assert_nobody(pages, finish(pages, query), "gave no usable answer")


def assert_nobody(client, answer, words):
    assert answer.status_code == 403
    assert words in answer.text.lower()
    assert "fairlead_pages=" not in answer.headers.get("set-cookie", "")


def test_a_token_of_another_sign_in_is_not_taken(pages):
    query = at_provider(begin(pages), "ada")
    begun = Begun.of(pages.cookies["fairlead_pages_begun"])
    pages.cookies.clear()
    pages.cookies.set("fairlead_pages_begun", Begun(begun.state, "other", begun.verifier, "/pages").text())
    assert_nobody(pages, finish(pages, query), "answered for another sign-in")


def test_who_changes_their_mind_there_is_back_at_the_form(pages):
    begin(pages)
    state = Begun.of(pages.cookies["fairlead_pages_begun"]).state
    answer = pages.get(BACK, params={"state": state, "error": "access_denied<b>"})
    assert_nobody(pages, answer, "signed nobody in: access_deniedb")
    answer = pages.get(BACK, params={"state": "é", "code": "x"})
    assert_nobody(pages, answer, "this was not begun here")


def test_another_providers_answer_is_not_taken(pages):
    query = at_provider(begin(pages), "ada") | {"iss": ["https://evil.example"]}
    assert_nobody(pages, finish(pages, query), "another provider answered")


@pytest.mark.parametrize("after", ["https://evil.example", "//evil.example", "/sessions"])
def test_it_goes_on_to_pages_of_ours_only(pages, after):
    answer = finish(pages, at_provider(begin(pages, after), "ada"))
    assert 'content="0; url=/pages"' in answer.text


def test_a_provider_that_is_down_is_told_in_the_page(tmp_path, provider):
    down = settings_for(provider, FAIRLEAD_OIDC_ISSUER="http://localhost:9")
    with serving(tmp_path, **down) as client:
        answer = client.get(START)
        assert answer.status_code == 503
        assert "The provider localhost:9 can&#39;t be reached now" in answer.text
        # with a password one comes in all the same
        assert 'name="password"' in answer.text


def test_without_a_client_there_is_no_such_way(client):
    assert START not in client.get("/pages/sign-in").text
    assert client.get(START, auth=ROOT).status_code == 404


def test_a_browser_comes_back_signed_in(tmp_path, provider, chromium):
    with (
        serving(tmp_path, Clock(), **settings_for(provider)) as client,
        running(client.app) as url,
        opened(chromium, url) as page,
    ):
        page.goto(f"{url}/pages/space?cores=2")
        page.get_by_role("link", name=re.compile("^Sign in with localhost")).click()
        # the provider's own page, at another site
        page.wait_for_url(re.compile("^http://localhost:"))
        page.get_by_role("textbox").first.fill("ada")
        page.get_by_role("button").first.click()
        page.wait_for_url(f"{url}/pages/space?cores=2")
        assert page.get_by_role("button", name="Sign out").is_visible()
