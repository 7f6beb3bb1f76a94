"""Who is asking: HTTP Basic authentication (RFC 7617)."""

from __future__ import annotations

import base64
import binascii

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from broker.http.media import Refused
from broker.identities import Identities
from broker.records import Owner

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Fairlead", charset="UTF-8"'}


class Gate:
    """Tells who asks. Guessing passwords keeps two threads busy at most, none of those that answer."""

    def __init__(self, identities: Identities) -> None:
        self.identities = identities
        self._limiter = CapacityLimiter(2)

    async def who(self, request: Request) -> Owner | None:
        """Who asks; None where the request doesn't say. Raises Refused (401) where what it says is wrong."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        name, password = _credentials(header)
        owner = await run_in_threadpool(self.identities.recall, name, password)
        if owner is None:
            owner = await to_thread.run_sync(self.identities.check, name, password, limiter=self._limiter)
        if owner is None:
            raise Refused(401, "username or password is wrong", _CHALLENGE)
        return owner

    async def somebody(self, request: Request) -> Owner:
        """Who asks. Raises Refused (401) for nobody."""
        owner = await self.who(request)
        if owner is None:
            raise Refused(401, "this needs a username and a password (HTTP Basic)", _CHALLENGE)
        return owner

    async def administrator(self, request: Request) -> Owner:
        """Who asks, if it is the administrator. Raises Refused: 401 for nobody, 403 for others."""
        owner = await self.somebody(request)
        if not owner.admin:
            raise Refused(403, "only the administrator may do this")
        return owner


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Refused(401, f"authentication by {scheme[:40]!r} is not known here: Basic is", _CHALLENGE)
    try:
        text = base64.b64decode(token.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refused(
            401, "the credentials are not Base64 of USERNAME:PASSWORD in UTF-8", _CHALLENGE
        ) from None
    name, colon, password = text.partition(":")
    if not colon or "\0" in text:
        raise Refused(401, "the credentials are not of the form USERNAME:PASSWORD", _CHALLENGE)
    return name, password
