"""Keys and tokens of an issuer of our own, for tokens that no honest issuer would make."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import cache

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://iam.example"
AUDIENCE = "https://broker.example"


_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}


@cache
def _key(name, curve, bits):
    return ec.generate_private_key(_CURVES[curve]()) if curve else rsa.generate_private_key(65537, bits)


def private_key(name, algorithm="RS256", bits=2048):
    """The same key for the same name and kind of key."""
    return _key(name, algorithm if algorithm in _CURVES else None, bits)


def public_jwk(name, algorithm="RS256", bits=2048, **more):
    family = ECAlgorithm if algorithm.startswith("ES") else RSAAlgorithm
    key = family.to_jwk(private_key(name, algorithm, bits).public_key(), as_dict=True)
    return {"kid": name, "use": "sig", **key} | more


def claims_of(clock, **more):
    now = int(clock.now().timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "1234", "iat": now, "nbf": now, "exp": now + 3600} | more
    return {name: value for name, value in claims.items() if value is not None}


def token(claims, key="one", algorithm="RS256", bits=2048, header=None):
    given = {"kid": key} | (header or {})
    given = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(claims, private_key(key, algorithm, bits), algorithm=algorithm, headers=given)


def signed(claims, key="one"):
    """As `token`, with claims that no library would sign."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), private_key(key), "RS256", {"kid": key})


def part(value):
    """A part of a token, as it is written."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@dataclass
class FakeIssuer:
    """What answers for ISSUER; `asked` are the paths that were asked for."""

    keys: list[dict] = field(default_factory=lambda: [public_jwk("one")])
    discovery: dict = field(default_factory=lambda: {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwk"})
    down: bool = False
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def client(self):
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request):
        self.asked.append(request.url.path)
        assert request.url.host == "iam.example"
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        if request.url.path in self.answers:
            return _unread(self.answers[request.url.path])
        if request.url.path == "/jwk":
            return _unread(httpx.Response(200, json={"keys": self.keys}))
        return _unread(httpx.Response(200, json=self.discovery))


def _unread(answer):
    """As it comes over a network, where nobody has unpacked it."""
    return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
