"""The public keys of an OpenID Connect issuer: found by discovery, kept, and fetched again when they change.

OpenID Connect Discovery 1.0, section 4; JSON Web Key sets, RFC 7517. A key that is known goes on to be of use
while the issuer can't be reached; only a key that is not known has to wait for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import httpx
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from federation.clock import Clock
from federation.http_asking import UnreadableError, whole_async
from federation.http_words import in_words
from federation.urls import is_loopback, is_secure

# The signatures that are taken, and the kind of key that each needs. No "none", and none where who can check
# can also sign.
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
}
# The issuer is asked again for a key that is not known, but not more often than this; and for all of them
# when they are this old, so that a key that was withdrawn is of no use for longer.
ASK_AGAIN_SECONDS = 10.0
OLD_SECONDS = 600.0
FETCH_SECONDS = 10.0
DOCUMENT_LIMIT = 1 << 20  # bytes
MOST_KEYS = 64

_log = logging.getLogger(__name__)


class IssuerUnreachable(Exception):  # noqa: N818 - an answer, not a failure of ours
    """Whether a token is genuine can't be said now; `retry_seconds`: when to ask again."""

    def __init__(self, retry_seconds: int) -> None:
        self.retry_seconds = retry_seconds
        super().__init__("the issuer of tokens can't be reached")


class _Unusable(Exception):  # noqa: N818 - said in the log alone
    """What the issuer answered is of no use."""


class IssuerKeys:
    """The keys of one issuer, for one event loop."""

    def __init__(
        self, issuer: str, clock: Clock, client: Callable[[], httpx.AsyncClient] | None = None
    ) -> None:
        """`client` makes an HTTP client; None: one that follows no redirects."""
        self._issuer, self._clock = issuer, clock
        self._client = client or self._new_client
        self._keys: list[Mapping[str, Any]] = []
        self._fetched: datetime | None = None
        self._not_before: datetime | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str, again: bool = False) -> list[PyJWK]:
        """The keys that may have made such a signature: one where `kid` names it. None of them: not genuine.

        `again`: the issuer is asked though there are such keys, as often as it may be. Raises
        IssuerUnreachable where the issuer has to be asked, and doesn't answer.
        """
        if self._knows(kid) and not again:
            if self._old():
                self._fetch()
            return self._fitting(kid, algorithm)
        running = self._fetch()
        if running is not None:
            # one fetch for all who wait; none of them ends it by going away
            await asyncio.shield(running)
        if self._failed and (again or not self._knows(kid)):
            assert self._not_before is not None
            left = (self._not_before - self._clock.now()).total_seconds()
            raise IssuerUnreachable(max(1, math.ceil(left)))
        return self._fitting(kid, algorithm)

    def _knows(self, kid: str | None) -> bool:
        return any(kid is None or key.get("kid") == kid for key in self._keys)

    def _fitting(self, kid: str | None, algorithm: str) -> list[PyJWK]:
        wanted, curve = ALGORITHMS[algorithm]
        found = []
        for key in self._keys:
            fits = key.get("kty") == wanted and (curve is None or key.get("crv") == curve)
            if not fits or (kid is not None and key.get("kid") != kid):
                continue
            if key.get("alg", algorithm) != algorithm:
                continue
            try:
                found.append(PyJWK(dict(key), algorithm))
            except (PyJWTError, ValueError, TypeError):
                _log.warning("a key of %s can't be read, and is left out", self._issuer)
        return found

    def _old(self) -> bool:
        return self._fetched is None or self._clock.now() - self._fetched > timedelta(seconds=OLD_SECONDS)

    def _fetch(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one; None where it is too early for one."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if self._not_before is not None and self._clock.now() < self._not_before:
            return None
        self._not_before = self._clock.now() + timedelta(seconds=ASK_AGAIN_SECONDS)
        self._fetching = asyncio.create_task(self._refresh(), name="keys of the issuer")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._client() as client:
                base = self._issuer.rstrip("/")
                found = await self._get(client, f"{base}/.well-known/openid-configuration")
                if found.get("issuer") != self._issuer:
                    raise _Unusable("its discovery document is of another issuer")
                where = found.get("jwks_uri")
                if not isinstance(where, str) or not is_secure(where):
                    raise _Unusable("its jwks_uri is not https")
                keys = (await self._get(client, where)).get("keys")
                if not isinstance(keys, list):
                    raise _Unusable("its key set has no keys")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, _Unusable) as error:
            self._failed = True
            _log.warning(
                "the keys of the token issuer %s can't be had: %s",
                self._issuer,
                in_words(error),
            )
        else:
            self._failed = False
            self._fetched = self._clock.now()
            usable = (key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig")
            self._keys = list(islice(usable, MOST_KEYS))
        self._not_before = self._clock.now() + timedelta(seconds=ASK_AGAIN_SECONDS)

    async def _get(self, client: httpx.AsyncClient, url: str) -> Mapping[str, Any]:
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        try:
            async with client.stream("GET", url, headers=headers) as answer:
                if answer.status_code != 200:
                    raise _Unusable(f"status {answer.status_code} from {url}")
                document = json.loads(await whole_async(answer, DOCUMENT_LIMIT))
        except UnreadableError as error:
            raise _Unusable(f"{error} from {url}") from None
        except (ValueError, RecursionError):
            raise _Unusable(f"no JSON from {url}") from None
        if not isinstance(document, dict):
            raise _Unusable(f"no JSON object from {url}")
        return document

    def _new_client(self) -> httpx.AsyncClient:
        # a proxy of the environment is of no use for what is on this machine
        outside = not is_loopback(urlsplit(self._issuer).hostname)
        return httpx.AsyncClient(timeout=FETCH_SECONDS / 2, follow_redirects=False, trust_env=outside)
