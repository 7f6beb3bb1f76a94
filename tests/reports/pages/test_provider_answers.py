"""What is asked of an OpenID provider, letter by letter, and answers that none should give."""

import asyncio
import base64
import gzip
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from reports.pages import provider as provider_module
from reports.pages.provider import Provider, ProviderError
from tests.federation.raw_server import DROPS, answer, dripping, raw_server


class Scripted:
    """A provider that answers as it is told, and keeps what it was asked."""

    def __init__(self, token, **more):
        self.asked = []
        self._token = token
        self._known = {
            "issuer": "https://iam.example",
            "authorization_endpoint": "https://iam.example/authorize?realm=ska",
            "token_endpoint": "https://iam.example/token",
        } | more

    def answer(self, request):
        self.asked.append(request)
        found = self._token if request.url.path == "/token" else self._known
        whole = found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)
        # still to be read, as what comes from a server
        return httpx.Response(
            whole.status_code, headers=whole.headers, stream=httpx.ByteStream(whole.content)
        )

    def known_as(self, client_id, secret):
        def client(url):
            return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

        return Provider("https://iam.example", client_id, secret, ("openid",), client)


def whole(provider, **more):
    """A sign-in from its beginning to its end: the tokens."""
    _, begun = asyncio.run(provider.begin("https://b.example/back", "/pages"))
    answer = {"state": begun.state, "code": "c0de"} | more
    return begun, asyncio.run(provider.finish("https://b.example/back", begun, answer))


def test_the_code_is_exchanged_with_the_verifier_and_the_clients_secret():
    scripted = Scripted({"access_token": "one"})
    provider = scripted.known_as("a client:x", "s%cret")
    where, begun = asyncio.run(provider.begin("https://b.example/back", "/pages"))
    query = parse_qs(urlsplit(where).query)
    assert query["realm"] == ["ska"]
    assert asyncio.run(
        provider.finish("https://b.example/back", begun, {"state": begun.state, "code": "c0de"})
    ) == ["one"]
    request = scripted.asked[-1]
    form = parse_qs(request.content.decode())
    assert form == {
        "grant_type": ["authorization_code"],
        "code": ["c0de"],
        "redirect_uri": ["https://b.example/back"],
        "code_verifier": [begun.verifier],
    }
    assert create_s256_code_challenge(begun.verifier) == query["code_challenge"][0]
    scheme, _, pair = request.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"a+client%3Ax:s%25cret")
    assert "s%cret" not in repr(provider)


def test_a_public_client_says_who_it_is_in_the_form():
    scripted = Scripted({"access_token": "one", "id_token": None})
    assert whole(scripted.known_as("public", None))[1] == ["one"]
    assert "authorization" not in scripted.asked[-1].headers
    assert parse_qs(scripted.asked[-1].content.decode())["client_id"] == ["public"]


@pytest.mark.parametrize(
    ("scripted", "words"),
    [
        (Scripted({}, issuer="https://iam.example/"), "is another issuer"),
        (Scripted({}, authorization_endpoint="http://iam.example/a"), "authorization_endpoint is not https"),
        (Scripted({}, token_endpoint=7), "token_endpoint is not https"),
        (Scripted(httpx.Response(200, content=b"<html>")), "no usable answer (200 )"),
        (Scripted(httpx.Response(200, json=["x"])), "no usable answer"),
        (
            Scripted(httpx.Response(302, headers={"location": "https://evil.example"})),
            "no usable answer (302",
        ),
        (Scripted(httpx.Response(400, json={"error": "invalid_grant<b>"})), "(400 invalid_grantb)"),
        (Scripted({"id_token": "no.token"}), "for another sign-in"),
        (Scripted({"id_token": ["x"]}), "for another sign-in"),
        (Scripted({"id_token": "e30.W10.x"}), "for another sign-in"),
    ],
)
def test_answers_that_no_provider_should_give(scripted, words):
    with pytest.raises(ProviderError, match=re.escape(words)):
        whole(scripted.known_as("c", "s"))


def test_no_token_is_nobody():
    assert whole(Scripted({"access_token": 5}).known_as("c", "s"))[1] == []


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (answer(b"{" + b" " * 1000 + b"}"), "no usable answer (200 )"),
        (
            answer(gzip.compress(b"{" + b" " * 1000 + b"}"), "Content-Encoding: gzip"),
            "no usable answer (200 )",
        ),
        (
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DROPS, b" ", b""),
            "can't be reached now",
        ),
    ],
)
def test_an_answer_without_end(monkeypatch, play, words):
    monkeypatch.setattr(provider_module, "DOCUMENT_LIMIT", 1000)
    if words.startswith("can't"):
        monkeypatch.setattr(provider_module, "FETCH_SECONDS", 0.2)
    with raw_server(play) as host, pytest.raises(ProviderError, match=re.escape(words)):
        asyncio.run(Provider(f"http://{host}", "c", "s", ("openid",)).begin("https://b.example/back", "/"))
