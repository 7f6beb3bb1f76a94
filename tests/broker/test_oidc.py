"""Bearer tokens: which are taken, for whom, and what becomes of those that nobody should have made."""

import asyncio
import gzip
import json
import math
from dataclasses import replace

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from broker.http.issuer_keys import ASK_AGAIN_SECONDS, OLD_SECONDS, IssuerKeys, IssuerUnreachable
from broker.http.oidc import Insufficient, InvalidToken, Tokens
from broker.records import Role
from federation.clock import ManualClock
from federation.settings import Settings
from tests.broker.conftest import NOW
from tests.broker.issuer import (
    AUDIENCE,
    ISSUER,
    FakeIssuer,
    claims_of,
    part,
    private_key,
    public_jwk,
    signed,
    token,
)


@pytest.fixture
def issuer():
    return FakeIssuer()


@pytest.fixture
def settings(tmp_path):
    return Settings("sqlite:///x", tmp_path, oidc_issuer=ISSUER, oidc_audience=AUDIENCE)


@pytest.fixture
def tokens(settings, clock, issuer):
    return Tokens(settings, clock, IssuerKeys(ISSUER, clock, issuer.client))


def bearer(tokens, *texts):
    """What becomes of the tokens, one after the other."""

    async def all_of_them():
        return [await tokens.bearer(text) for text in texts]

    return asyncio.run(all_of_them())[-1]


def refused(tokens, text, said):
    with pytest.raises(InvalidToken, match=said) as caught:
        bearer(tokens, text)
    for piece in text.split("."):
        assert not piece or piece not in str(caught.value)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "RS512", "ES256", "ES384"])
def test_a_good_token_says_who_comes(tokens, clock, issuer, algorithm):
    issuer.keys = [public_jwk("one", algorithm), public_jwk("two")]
    found = bearer(tokens, token(claims_of(clock, preferred_username="ada"), algorithm=algorithm))
    assert (found.issuer, found.subject, found.username, found.role) == (ISSUER, "1234", "ada", Role.USER)
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwk"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["other", AUDIENCE]},
        {"iat": None, "nbf": None},
        {"exp": NOW.timestamp() - 59},
        {"nbf": NOW.timestamp() + 60, "iat": NOW.timestamp() + 60},
        {"exp": 10**30},
    ],
)
def test_what_is_taken_besides(tokens, clock, claims):
    assert bearer(tokens, token(claims_of(clock, **claims))).subject == "1234"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": ISSUER.upper()}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": None}, "another audience"),
        ({"aud": AUDIENCE + "/other"}, "another audience"),
        ({"aud": ["other", 7]}, "another audience"),
        ({"aud": {AUDIENCE: True}}, "another audience"),
        ({"exp": None}, "exp is no time"),
        ({"exp": "tomorrow"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": math.inf}, "exp is no time"),
        ({"exp": NOW.timestamp() - 60}, "expired"),
        ({"nbf": NOW.timestamp() + 61}, "not valid yet"),
        ({"iat": NOW.timestamp() + 61}, "not valid yet"),
        ({"nbf": []}, "nbf is no time"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": 7}, "no subject"),
        ({"sub": "x" * 256}, "no subject"),
        ({"sub": "a\nb"}, "no subject"),
        ({"azp": ["x"]}, "azp"),
    ],
)
def test_claims_that_are_not_for_us(tokens, clock, claims, said):
    refused(tokens, signed(claims_of(clock, **claims)), said)


def test_signatures_that_nobody_should_take(tokens, clock, issuer):
    claims = claims_of(clock)
    good = token(claims)
    head, body, signature = good.split(".")
    public = (
        private_key("one")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    hmac_of_public = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    confused = f"{part({'alg': 'HS256', 'kid': 'one'})}.{body}"
    confused += "." + part(hmac_of_public.sign(confused.encode(), public))
    for text in (
        f"{part({'alg': 'none', 'kid': 'one'})}.{body}.",
        f"{part({'alg': 'nOnE', 'kid': 'one'})}.{body}.{signature}",
        f"{part({'kid': 'one'})}.{body}.{signature}",
        f"{part({'alg': ['RS256'], 'kid': 'one'})}.{body}.{signature}",
        confused,
    ):
        refused(tokens, text, "not signed in a way|no JSON Web Token")
    for text in (
        f"{head}.{body}.",
        f"{head}.{part(claims | {'sub': 'admin'})}.{signature}",
        f"{part({'alg': 'PS256', 'kid': 'one'})}.{body}.{signature}",
        # another's key under the name of the issuer's, in the header too
        token(claims, key="other", header={"kid": "one", "jwk": public_jwk("other")}),
        token(claims, key="other", header={"kid": "one", "jku": "https://evil.example/jwk"}),
        token(claims, key="other", header={"kid": None}),
        # a key of another kind
        token(claims, key="one", algorithm="ES256"),
    ):
        refused(tokens, text, "by no key")
    refused(tokens, token(claims, header={"typ": "dpop+jwt"}), "of a type")
    refused(tokens, token(claims, header={"crit": ["exp"]}), "no JSON Web Token|by no key")
    assert bearer(tokens, good)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_keys_that_nobody_should_use(tokens, clock, issuer):
    issuer.keys = [
        public_jwk("weak", bits=1024),
        public_jwk("sealing", use="enc"),
        public_jwk("one", alg="PS256"),
        {"kid": "two", "kty": "oct", "k": part(b"secret" * 8)},
        {"kid": "three", "kty": "RSA", "n": "!", "e": 7},
        "no key",
    ]
    refused(tokens, token(claims_of(clock), key="weak", bits=1024), "by no key")
    for name in ("sealing", "one", "three"):
        refused(tokens, token(claims_of(clock), key=name), "by no key")
    assert bearer(tokens, token(claims_of(clock), algorithm="PS256"))


@given(st.text(max_size=60) | st.lists(st.binary(max_size=40), min_size=3, max_size=3))
def test_rubbish_is_refused(rubbish):
    text = rubbish if isinstance(rubbish, str) else ".".join(part(piece) for piece in rubbish)
    clock, issuer = ManualClock(NOW), FakeIssuer()
    settings = Settings("sqlite:///x", None, oidc_issuer=ISSUER, oidc_audience=AUDIENCE)
    with pytest.raises(InvalidToken):
        bearer(Tokens(settings, clock, IssuerKeys(ISSUER, clock, issuer.client)), text)
    assert not issuer.asked


def test_a_token_that_is_too_long_or_too_deep_is_refused(tokens, clock):
    refused(tokens, token(claims_of(clock, groups=["g" * 20_000])), "too long")
    refused(tokens, f"{part(b'[' * 6000)}.{part({})}.{part(b'')}", "no JSON Web Token")
    refused(tokens, f"{part({'alg': 'RS256'})}.{part(b'[' * 6000)}.{part(b'')}", "no claims")


# Groups, scopes, clients and roles


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({}, Role.USER),
        ({"groups": ["ska", "ska/operators"]}, Role.OPERATOR),
        ({"wlcg.groups": ["/ska", "/ska/operators"]}, Role.OPERATOR),
        ({"groups": "ska/operators"}, Role.OPERATOR),
        ({"entitlements": ["urn:geant:ska:group:root#iam"]}, Role.ADMIN),
        (
            {"eduperson_entitlement": ["urn:geant:ska:group:root#iam"], "groups": ["ska/operators"]},
            Role.ADMIN,
        ),
        ({"groups": ["ska/operators-to-be", "operators", 7, None]}, Role.USER),
        ({"groups": {"ska/operators": True}}, Role.USER),
        ({"scope": "ska/operators"}, Role.USER),
    ],
)
def test_groups_give_roles(settings, clock, issuer, claims, role):
    settings = replace(
        settings,
        oidc_operator_groups=("/ska/operators",),
        oidc_admin_groups=("urn:geant:ska:group:root#iam",),
    )
    tokens = Tokens(settings, clock, IssuerKeys(ISSUER, clock, issuer.client))
    assert bearer(tokens, token(claims_of(clock, **claims))).role is role


def test_required_groups_scopes_and_clients(settings, clock, issuer):
    settings = replace(
        settings, oidc_groups=("ska", "escape"), oidc_scopes=("compute.read", "compute.create")
    )
    keys = IssuerKeys(ISSUER, clock, issuer.client)
    tokens = Tokens(settings, clock, keys)
    both = "openid compute.create compute.read"
    for claims in (
        {"wlcg.groups": ["/escape"], "scope": both},
        {"groups": ["ska"], "scope": both.split()},
        {"groups": ["ska"], "scp": both.split()},
    ):
        assert bearer(tokens, token(claims_of(clock, **claims)))
    for claims in ({"scope": both}, {"groups": ["skao"], "scope": both}, {"groups": ["ska"]}):
        with pytest.raises(Insufficient):
            bearer(tokens, token(claims_of(clock, **claims)))
    with pytest.raises(Insufficient) as caught:
        bearer(tokens, token(claims_of(clock, groups=["ska"], scope="compute.read")))
    assert caught.value.scopes == ("compute.read", "compute.create")
    tokens = Tokens(replace(settings, oidc_groups=(), oidc_scopes=(), oidc_clients=("portal",)), clock, keys)
    for claims in ({"azp": "portal"}, {"client_id": "portal"}):
        assert bearer(tokens, token(claims_of(clock, **claims)))
    for claims in ({}, {"azp": "other", "client_id": "portal"}):
        refused(tokens, token(claims_of(clock, **claims)), "client")


# The issuer's keys come and go


KEYS = json.dumps({"keys": [public_jwk("one")]}).encode()


def packed(body, coding="gzip"):
    return httpx.Response(
        200, headers={"Content-Encoding": coding}, stream=httpx.ByteStream(gzip.compress(body))
    )


def test_keys_may_come_packed(tokens, clock, issuer):
    issuer.answers["/jwk"] = packed(KEYS)
    assert bearer(tokens, token(claims_of(clock)))


def test_a_new_key_is_fetched_when_it_is_met_and_not_for_every_stranger(tokens, clock, issuer):
    one, two = token(claims_of(clock)), token(claims_of(clock), key="two")
    bearer(tokens, one)
    clock.advance(ASK_AGAIN_SECONDS)
    issuer.keys = [public_jwk("two")]
    assert bearer(tokens, two, two)
    assert issuer.asked.count("/jwk") == 2
    for _ in range(20):
        refused(tokens, token(claims_of(clock), key="three"), "by no key")
    assert issuer.asked.count("/jwk") == 2
    clock.advance(ASK_AGAIN_SECONDS)
    for _ in range(20):
        refused(tokens, token(claims_of(clock), key="three"), "by no key")
    assert issuer.asked.count("/jwk") == 3
    # and what was withdrawn is of no use
    refused(tokens, one, "by no key")


def test_a_new_key_is_found_where_tokens_name_none(tokens, clock, issuer):
    def nameless(key):
        return token(claims_of(clock), key=key, header={"kid": None})

    assert bearer(tokens, nameless("one"))
    clock.advance(ASK_AGAIN_SECONDS)
    issuer.keys = [public_jwk("two"), public_jwk("three")]
    assert bearer(tokens, nameless("three"))
    for _ in range(5):
        refused(tokens, nameless("one"), "by no key")
    assert issuer.asked.count("/jwk") == 2
    clock.advance(ASK_AGAIN_SECONDS)
    issuer.down = True
    with pytest.raises(IssuerUnreachable):
        bearer(tokens, nameless("one"))
    assert bearer(tokens, nameless("two"))


def test_old_keys_are_fetched_again_and_nobody_waits(tokens, clock, issuer):
    async def story():
        text = token(claims_of(clock, exp=NOW.timestamp() + 10 * OLD_SECONDS))
        await tokens.bearer(text)
        issuer.keys = [public_jwk("two")]
        clock.advance(OLD_SECONDS + 1)
        # still with the key as it was known; meanwhile it is withdrawn
        await tokens.bearer(text)
        for _ in range(20):
            await asyncio.sleep(0)
        with pytest.raises(InvalidToken):
            await tokens.bearer(text)

    asyncio.run(story())
    assert issuer.asked.count("/jwk") == 2


def test_an_issuer_that_is_down_stops_only_tokens_with_new_keys(tokens, clock, issuer):
    known = token(claims_of(clock, exp=NOW.timestamp() + 10 * OLD_SECONDS))
    bearer(tokens, known)
    issuer.down = True
    clock.advance(OLD_SECONDS + 1)
    assert bearer(tokens, known, known)
    with pytest.raises(IssuerUnreachable) as caught:
        bearer(tokens, token(claims_of(clock), key="two"))
    assert 1 <= caught.value.retry_seconds <= ASK_AGAIN_SECONDS
    issuer.down = False
    issuer.keys.append(public_jwk("two"))
    clock.advance(ASK_AGAIN_SECONDS)
    assert bearer(tokens, token(claims_of(clock), key="two"))


def test_many_at_once_share_one_fetch(tokens, clock, issuer):
    async def story():
        return await asyncio.gather(*(tokens.bearer(token(claims_of(clock))) for _ in range(20)))

    assert len(asyncio.run(story())) == 20
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"discovery": {"issuer": ISSUER + "/", "jwks_uri": f"{ISSUER}/jwk"}},
        {"discovery": {"issuer": ISSUER, "jwks_uri": "http://iam.example/jwk"}},
        {"discovery": {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}},
        {"discovery": {"issuer": ISSUER, "jwks_uri": ["x"]}},
        {"discovery": {"issuer": ISSUER}},
        {"answers": {"/jwk": httpx.Response(500)}},
        {"answers": {"/jwk": httpx.Response(302, headers={"Location": "https://evil.example/"})}},
        {"answers": {"/jwk": httpx.Response(200, text="<html>")}},
        {"answers": {"/jwk": httpx.Response(200, json=[])}},
        {"answers": {"/jwk": httpx.Response(200, json={"keys": {}})}},
        {"answers": {"/jwk": httpx.Response(200, content=b" " * (2 << 20))}},
        {"answers": {"/jwk": packed(b" " * (2 << 20))}},
        {"answers": {"/jwk": packed(gzip.compress(KEYS), coding="gzip, gzip")}},
        {"down": True},
    ],
)
def test_an_issuer_whose_keys_can_not_be_had_is_no_reason_to_refuse_anybody(tokens, clock, issuer, broken):
    for name, value in broken.items():
        setattr(issuer, name, value)
    for _ in range(3):
        with pytest.raises(IssuerUnreachable):
            bearer(tokens, token(claims_of(clock)))
    assert issuer.asked.count("/.well-known/openid-configuration") == 1
