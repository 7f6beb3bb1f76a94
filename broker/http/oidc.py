"""Bearer tokens (RFC 6750) of an OpenID Connect issuer: signed JWTs, as INDIGO IAM and others issue them.

Groups are read where the token profiles put them: `groups` (IAM's own, Keycloak), `wlcg.groups` (WLCG), and
`entitlements` or `eduperson_entitlement` (AARC). Scopes are in `scope` (RFC 8693, RFC 9068) or `scp`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from broker.http.issuer_keys import ALGORITHMS, IssuerKeys
from broker.identities import SUBJECT_LIMIT
from broker.records import Role
from federation.clock import Clock
from federation.settings import Settings

SKEW_SECONDS = 60
TOKEN_LIMIT = 16_384  # characters
GROUP_CLAIMS = ("groups", "wlcg.groups", "entitlements", "eduperson_entitlement")
SCOPE_CLAIMS = ("scope", "scp")
USERNAME_CLAIMS = ("preferred_username", "username")
# what a JWT's header may call it: RFC 7519, RFC 9068
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}

_jws = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


@dataclass(frozen=True)
class Bearer:
    """Who comes with a token that holds."""

    issuer: str
    subject: str
    username: str
    role: Role


class InvalidToken(Exception):  # noqa: N818 - an answer, not a failure
    """The token is none that is taken here; the text says why, without anything of the token."""


class Insufficient(Exception):  # noqa: N818 - an answer, not a failure
    """The token is genuine, but not for this. `scopes` are those that it would need."""

    def __init__(self, text: str, scopes: tuple[str, ...] = ()) -> None:
        self.scopes = scopes
        super().__init__(text)


class Tokens:
    """Checks the tokens of the issuer that the settings name."""

    def __init__(self, settings: Settings, clock: Clock, keys: IssuerKeys) -> None:
        assert settings.oidc_issuer is not None
        assert settings.oidc_audience is not None
        self.issuer, self._audience = settings.oidc_issuer, settings.oidc_audience
        self._settings, self._clock, self._keys = settings, clock, keys

    async def bearer(self, token: str) -> Bearer:
        """Whose token it is. Raises InvalidToken, Insufficient, and IssuerUnreachable."""
        claims = await self._genuine(token)
        self._check_claims(claims)
        groups, scopes = _groups(claims), _words(claims, SCOPE_CLAIMS)
        if self._settings.oidc_groups and not groups & _plain(self._settings.oidc_groups):
            raise Insufficient("the token is of nobody in a group that may use this broker")
        if not scopes.issuperset(self._settings.oidc_scopes):
            raise Insufficient("the token lacks a scope", self._settings.oidc_scopes)
        role = Role.USER
        if groups & _plain(self._settings.oidc_admin_groups):
            role = Role.ADMIN
        elif groups & _plain(self._settings.oidc_operator_groups):
            role = Role.OPERATOR
        return Bearer(self.issuer, claims["sub"], _username(claims), role)

    async def _genuine(self, token: str) -> Mapping[str, Any]:
        """The claims of a token with a good signature."""
        if len(token) > TOKEN_LIMIT:
            raise InvalidToken("the token is too long")
        try:
            unverified = _jws.decode_complete(token, options={"verify_signature": False})
        except (PyJWTError, ValueError, RecursionError):
            raise InvalidToken("the token is no JSON Web Token") from None
        header = unverified["header"]
        # the issuer comes first: tokens of others are no reason to ask ours for keys
        if _claims(unverified["payload"]).get("iss") != self.issuer:
            raise InvalidToken("the token is of another issuer")
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise InvalidToken("the token is not signed in a way that is taken here")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise InvalidToken("the token is of a type that is not taken here")
        # where the token doesn't name its key, only trying tells that it is a new one
        for again in (False, True) if kid is None else (False,):
            for key in await self._keys.find(kid, algorithm, again):
                try:
                    verified = _jws.decode_complete(token, key=key, algorithms=[algorithm])
                except PyJWTError:
                    continue
                return _claims(verified["payload"])
        raise InvalidToken("the token's signature is by no key of the issuer")

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now().timestamp()
        if _time(claims, "exp", required=True) <= now - SKEW_SECONDS:
            raise InvalidToken("the token has expired")
        if max(_time(claims, "nbf"), _time(claims, "iat")) > now + SKEW_SECONDS:
            raise InvalidToken("the token is not valid yet")
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or self._audience not in audiences:
            raise InvalidToken("the token is for another audience")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LIMIT or not subject.isprintable():
            raise InvalidToken("the token has no subject")
        client = claims.get("azp", claims.get("client_id"))
        if client is not None and not isinstance(client, str):
            raise InvalidToken("the token names no client in azp")
        if self._settings.oidc_clients and client not in self._settings.oidc_clients:
            raise InvalidToken("the token was issued to a client that is not taken here")


def _claims(payload: bytes) -> Mapping[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise InvalidToken("the token holds no claims")
    return claims


def _time(claims: Mapping[str, Any], name: str, required: bool = False) -> float:
    """A NumericDate (RFC 7519, section 2); long ago where it is missing."""
    value = claims.get(name, None if required else 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        raise InvalidToken(f"the token's {name} is no time")
    return value


def _words(claims: Mapping[str, Any], names: tuple[str, ...]) -> set[str]:
    """What the claims list, each as a list or as a text with blanks between."""
    found: set[str] = set()
    for name in names:
        value = claims.get(name)
        words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        found.update(word for word in words if isinstance(word, str))
    return found


def _groups(claims: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for name in GROUP_CLAIMS:
        value = claims.get(name)
        # a text is one group: group names may hold blanks
        groups = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found |= _plain(tuple(group for group in groups if isinstance(group, str)))
    return found


def _plain(groups: tuple[str, ...]) -> set[str]:
    """WLCG writes /ska/dev where IAM's own profile writes ska/dev."""
    return {group.removeprefix("/") for group in groups}


def _username(claims: Mapping[str, Any]) -> str:
    """What to call them; nothing is decided by it."""
    for name in USERNAME_CLAIMS:
        value = claims.get(name)
        if isinstance(value, str) and value.strip() and len(value) <= SUBJECT_LIMIT and value.isprintable():
            return value
    return str(claims["sub"])
