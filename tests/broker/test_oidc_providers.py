"""Whole stories with tokens of real OpenID providers, over loopback."""

import pytest

from broker.audit import Filters, read
from broker.http import issuer_keys
from broker.http.issuer_keys import ASK_AGAIN_SECONDS, OLD_SECONDS
from tests.broker.conftest import make_document
from tests.broker.providers import PROVIDERS, Clock
from tests.broker.serving import ADA, ROOT, first_offer, serving, update
from tests.waiting import until

# of the provider's own libraries
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=PROVIDERS, scope="module")
def provider(request):
    provider = PROVIDERS[request.param]()
    yield provider
    provider.stop()


@pytest.fixture
def client(tmp_path, provider, monkeypatch):
    # however long a provider takes on a busy machine
    monkeypatch.setattr(issuer_keys, "FETCH_SECONDS", 120)
    settings = {
        "FAIRLEAD_OIDC_ISSUER": provider.issuer,
        "FAIRLEAD_OIDC_AUDIENCE": provider.audience,
        "FAIRLEAD_OIDC_GROUPS": "ska",
        "FAIRLEAD_OIDC_OPERATOR_GROUPS": "ska/operators",
    }
    with serving(tmp_path, Clock(), **settings) as client:
        yield client


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_who_comes_with_a_token_is_somebody(client, provider):
    # a local user of the same name is another
    own = first_offer(client, auth=ADA)
    token = provider.token("ada")
    answer = client.post("/requests", json=make_document(), headers=bearer(token))
    assert answer.status_code == 303
    session = answer.json()["offers"][0]["meta"]["uuid"]
    again = bearer(provider.token("ada"))
    assert client.get(f"/sessions/{session}/logs", headers=again).status_code == 200
    assert client.get(f"/sessions/{own}/logs", headers=again).status_code == 403
    assert client.get(f"/sessions/{session}/logs", auth=ADA).status_code == 403
    (known,) = [
        each
        for each in client.get("/admin/identities", auth=ROOT).json()["identities"]
        if each.get("issuer") == provider.issuer
    ]
    assert (known["subject"], known["username"], known["role"]) == ("ada", "ada", "user")
    until(client.app.state.audit.flush, "all of the audit log")
    entries = [entry for _, entry in read(client.engine, Filters(actor=known["uuid"]))]
    assert [(entry.action, entry.status) for entry in entries] == [("request.create", 303)]
    # kept out, whatever the issuer says
    path = f"/admin/identities/{known['uuid']}"
    assert client.patch(path, json={"role": "admin"}, auth=ROOT).status_code == 409
    assert client.patch(path, json={"disabled": True}, auth=ROOT).status_code == 200
    assert client.get("/sessions", headers=again).status_code == 403


def test_groups_say_who_may_do_what(client, provider):
    session = first_offer(client, auth=ADA)
    update(client, session, "ACCEPTED")
    operator = bearer(provider.token("operator"))
    assert client.get(f"/sessions/{session}/logs", headers=operator).status_code == 200
    assert client.get("/admin/identities", headers=operator).status_code == 403
    refused = client.get("/sessions", headers=bearer(provider.token("stranger")))
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == 'Bearer realm="Fairlead", error="insufficient_scope"'


def test_tokens_that_are_not_for_us_or_not_as_they_were(client, provider):
    good = provider.token("ada")
    head, body, signature = good.split(".")
    middle = len(signature) // 2
    changed = signature[:middle] + ("A" if signature[middle] != "A" else "B") + signature[middle + 1 :]
    for token in (provider.token("ada", provider.audience + "-other"), f"{head}.{body}.{changed}", head, ""):
        answer = client.get("/sessions", headers=bearer(token))
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="Fairlead", error="invalid_token", error_description="the ')
        assert challenge.endswith(', Basic realm="Fairlead", charset="UTF-8"')
        assert signature not in answer.text + challenge
    nobody = client.get("/sessions")
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == (
        'Basic realm="Fairlead", charset="UTF-8", Bearer realm="Fairlead"'
    )
    assert client.get("/sessions", headers=bearer(good)).status_code == 200


def test_the_issuer_goes_and_comes_again_with_other_keys(client, provider):
    old = bearer(provider.token("ada"))
    assert client.get("/sessions", headers=old).status_code == 200
    provider.stop()
    client.clock.advance(ASK_AGAIN_SECONDS)
    assert client.get("/sessions", headers=old).status_code == 200
    provider.start()
    new = bearer(provider.token("ada"))
    provider.stop()
    answer = client.get("/sessions", headers=new)
    assert (answer.status_code, set(answer.json())) == (503, {"error"})
    assert 1 <= int(answer.headers["retry-after"]) <= ASK_AGAIN_SECONDS
    provider.start()
    new = bearer(provider.token("ada"))
    client.clock.advance(ASK_AGAIN_SECONDS)
    assert client.get("/sessions", headers=new).status_code == 200
    assert client.get("/sessions", headers=old).status_code == 401


def test_old_tokens_are_refused(client, provider):
    token = bearer(provider.token("ada"))
    assert client.get("/sessions", headers=token).status_code == 200
    client.clock.advance(3600 + OLD_SECONDS)
    answer = client.get("/sessions", headers=token)
    assert (answer.status_code, answer.json()) == (401, {"error": "the token has expired"})
