"""Who is asking: by HTTP Basic (RFC 7617) or a bearer token (RFC 6750); and how often they may."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from broker.http.issuer_keys import IssuerKeys, IssuerUnreachable
from broker.http.limits import Limiter, Policy, Verdict, address_key
from broker.http.media import Refused
from broker.http.oidc import Insufficient, InvalidToken, Tokens
from broker.http.visits import Visit, visit_of
from broker.identities import NAME_LIMIT, Identities
from broker.records import Owner
from federation.clock import Clock
from federation.settings import Settings

# Wrong passwords for one name from one address, and for any names from one address. Not for one name from
# anywhere: that would let everybody lock out everybody.
LOGINS = Policy("logins", 5)
LOGINS_OF_ADDRESS = Policy("logins-of-address", 30)


@dataclass(frozen=True)
class Limits:
    """How often somebody may ask, and fail to log in. `callers` None: as often as they like."""

    callers: Limiter | None
    logins: Limiter
    logins_of_address: Limiter


def make_limits(requests_per_minute: int, clock: Clock) -> Limits:
    """`requests_per_minute` of one caller; 0: any number."""
    callers = Limiter(Policy("caller", requests_per_minute), clock) if requests_per_minute else None
    return Limits(callers, Limiter(LOGINS, clock), Limiter(LOGINS_OF_ADDRESS, clock))


def make_gate(settings: Settings, engine: Engine, clock: Clock) -> Gate:
    """The gate that the settings describe."""
    tokens = None
    if settings.oidc_issuer is not None:
        tokens = Tokens(settings, clock, IssuerKeys(settings.oidc_issuer, clock))
    return Gate(
        Identities(engine, clock, settings.admin_user, settings.admin_password),
        make_limits(settings.requests_per_minute, clock),
        tokens,
    )


class Gate:
    """Tells who asks. Guessing passwords keeps two threads busy at most, none of those that answer."""

    def __init__(self, identities: Identities, limits: Limits, tokens: Tokens | None = None) -> None:
        """Without `tokens`, none are taken."""
        self.identities = identities
        self._limits, self._tokens = limits, tokens
        self._limiter = CapacityLimiter(2)

    @property
    def issuer(self) -> str | None:
        """Whose tokens are taken; None: nobody's."""
        return None if self._tokens is None else self._tokens.issuer

    async def who(self, request: Request) -> Owner | None:
        """Who asks; None where the request doesn't say.

        Raises Refused: 401 where what it says is wrong, 403 for a good token that doesn't suffice, 429 for
        too many, 503 where the issuer of a token can't be asked.
        """
        visit = visit_of(request)
        if visit.owner is None:
            header = request.headers.get("authorization")
            if header is None:
                self._count(visit, f"address {address_key(visit.address)}")
                return None
            visit.credentials = True
            scheme, _, rest = header.strip().partition(" ")
            if scheme.lower() == "bearer" and self._tokens is not None:
                owner = await self._by_token(self._tokens, visit, rest.strip())
            else:
                name, password = self._credentials(scheme, rest)
                visit.username = name
                owner = await self._by_password(visit, name, password)
            # known from here on: a request that is one too many is still theirs
            visit.owner = owner
            self._count(visit, f"identity {owner.id}")
        return visit.owner

    async def somebody(self, request: Request) -> Owner:
        """Who asks. Raises Refused (401) for nobody, and as `who` does."""
        owner = await self.who(request)
        if owner is None:
            expected = "a username and a password (HTTP Basic)"
            if self._tokens is not None:
                expected += ", or a token (Bearer)"
            raise Refused(401, f"this needs {expected}", self._challenge())
        return owner

    async def administrator(self, request: Request) -> Owner:
        """Who asks, if it is an administrator. Raises Refused: 401 for nobody, 403 for others."""
        owner = await self.somebody(request)
        if not owner.admin:
            raise Refused(403, "only an administrator may do this")
        return owner

    async def _by_password(self, visit: Visit, name: str, password: str) -> Owner:
        owner = await run_in_threadpool(self.identities.recall, name, password)
        if owner is not None:
            return owner
        address = address_key(visit.address)
        buckets = (
            (self._limits.logins, f"{address} {name[:NAME_LIMIT]}"),
            (self._limits.logins_of_address, address),
        )

        def exhausted() -> Verdict | None:
            verdicts = (limiter.look(key) for limiter, key in buckets)
            return next((verdict for verdict in verdicts if not verdict.allowed), None)

        def guess() -> Owner | Verdict | None:
            # others may have guessed while this one waited for its thread
            result = exhausted() or self.identities.check(name, password)
            if result is None:
                for limiter, key in buckets:
                    limiter.take(key)
            return result

        # who has guessed too often need not wait for a thread, and takes none
        result: Owner | Verdict | None = exhausted() or await to_thread.run_sync(guess, limiter=self._limiter)
        if isinstance(result, Verdict):
            raise _too_many(result, "failed logins")
        if result is None:
            raise Refused(401, "username or password is wrong", self._challenge())
        return result

    async def _by_token(self, tokens: Tokens, visit: Visit, token: str) -> Owner:
        try:
            bearer = await tokens.bearer(token)
        except InvalidToken as error:
            self._count(visit, f"address {address_key(visit.address)}")
            raise Refused(
                401, str(error), self._challenge(f', error="invalid_token", error_description="{error}"')
            ) from None
        except Insufficient as error:
            self._count(visit, f"address {address_key(visit.address)}")
            scopes = f', scope="{" ".join(error.scopes)}"' if error.scopes else ""
            challenge = f'Bearer realm="Fairlead", error="insufficient_scope"{scopes}'
            raise Refused(403, str(error), {"WWW-Authenticate": challenge}) from None
        except IssuerUnreachable as error:
            raise Refused(503, str(error), {"Retry-After": str(error.retry_seconds)}) from None
        owner = await run_in_threadpool(
            self.identities.of_token, bearer.issuer, bearer.subject, bearer.username, bearer.role
        )
        if owner is None:
            visit.username = bearer.username
            raise Refused(403, "this identity is disabled here")
        return owner

    def _credentials(self, scheme: str, token: str) -> tuple[str, str]:
        if scheme.lower() != "basic":
            # the scheme is not repeated: who forgets it has sent a credential in its place
            known = "Basic is" if self._tokens is None else "Basic and Bearer are"
            raise Refused(401, f"this way of authentication is not known here: {known}", self._challenge())
        try:
            text = base64.b64decode(token.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise Refused(
                401, "the credentials are not Base64 of USERNAME:PASSWORD in UTF-8", self._challenge()
            ) from None
        name, colon, password = text.partition(":")
        if not colon or "\0" in text:
            raise Refused(401, "the credentials are not of the form USERNAME:PASSWORD", self._challenge())
        return name, password

    def _challenge(self, fault: str = "") -> dict[str, str]:
        """What may be tried (RFC 9110, section 11.6.1); `fault` is what is wrong with a token (RFC 6750)."""
        challenges = ['Basic realm="Fairlead", charset="UTF-8"']
        if self._tokens is not None:
            challenges.insert(0 if fault else 1, f'Bearer realm="Fairlead"{fault}')
        return {"WWW-Authenticate": ", ".join(challenges)}

    def _count(self, visit: Visit, caller: str) -> None:
        """Take one request from the caller's bucket. Raises Refused (429) where there is none."""
        if self._limits.callers is None or visit.counted:
            return
        visit.counted = True
        verdict = self._limits.callers.take(caller)
        visit.headers.update(verdict.headers())
        if not verdict.allowed:
            raise _too_many(verdict, "requests")


def _too_many(verdict: Verdict, what: str) -> Refused:
    headers = verdict.headers()
    return Refused(429, f"too many {what}: come again in {headers['Retry-After']} s", headers)
