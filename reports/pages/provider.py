"""Signing in at the federation's OpenID provider: the authorization code flow with PKCE.

OpenID Connect Core 1.0, section 3.1; RFC 6749, 7636 (S256), 9207 (`iss` in the answer), 9700. What comes of
it is a token: whose it is, and what they may, is up to the API's own gate.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from broker.http.issuer_keys import DOCUMENT_LIMIT, FETCH_SECONDS
from federation.http_asking import UnreadableError, whole_async
from federation.http_words import in_words
from federation.settings import Settings
from federation.urls import is_loopback, is_secure

_log = logging.getLogger(__name__)


class ProviderError(Exception):
    """Nobody was signed in; the text says why, without anything secret."""


@dataclass(frozen=True)
class Begun:
    """What is remembered of a sign-in while its browser is at the provider."""

    state: str
    nonce: str
    verifier: str
    after: str

    def text(self) -> str:
        """For a cookie of the browser that begins."""
        return ".".join((self.state, self.nonce, self.verifier, _encoded(self.after.encode())))

    @classmethod
    def of(cls, text: str) -> Begun | None:
        """None where it is none."""
        try:
            state, nonce, verifier, after = text.split(".")
            known = cls(state, nonce, verifier, _decoded(after).decode())
        except ValueError:
            return None
        return known if state and nonce and verifier else None


def _new_client(url: str) -> httpx.AsyncClient:
    # a proxy of the environment is of no use for what is on this machine
    outside = not is_loopback(urlsplit(url).hostname)
    return httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False, trust_env=outside)


@dataclass(frozen=True)
class Provider:
    """An issuer, and as which client we come there."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: tuple[str, ...]
    # makes the client for an URL's requests
    client: Callable[[str], httpx.AsyncClient] = field(default=_new_client, repr=False)

    @property
    def name(self) -> str:
        """What people call it."""
        return urlsplit(self.issuer).netloc

    async def begin(self, back: str, after: str) -> tuple[str, Begun]:
        """Where to send the browser, which comes back to the URL `back`, and what to remember until then.

        Raises ProviderError.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = Begun(state, nonce, verifier, after)
        known = await self._discovered()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": back,
            "scope": " ".join(self.scopes),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": _encoded(hashlib.sha256(begun.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        where = _endpoint(known, "authorization_endpoint")
        return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(query)}", begun

    async def finish(self, back: str, begun: Begun | None, answer: Mapping[str, str]) -> list[str]:
        """The tokens that the provider gives for the query with which the browser came back: the access
        token, and the ID token if there is one. Raises ProviderError."""
        if begun is None or not hmac.compare_digest(begun.state.encode(), answer.get("state", "").encode()):
            raise ProviderError("this was not begun here, or too long ago: sign in again")
        if answer.get("iss", self.issuer) != self.issuer:
            raise ProviderError("another provider answered: sign in again")
        if "code" not in answer:
            reason = _word(answer.get("error", "no reason given"))
            raise ProviderError(f"the provider {self.name} signed nobody in: {reason}")
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": back,
            "code_verifier": begun.verifier,
        }
        known = await self._discovered()
        given = await self._ask("POST", _endpoint(known, "token_endpoint"), form)
        access, identity = given.get("access_token"), given.get("id_token")
        if identity is not None and _nonce_of(identity) != begun.nonce:
            raise ProviderError(f"the provider {self.name} answered for another sign-in: sign in again")
        return [token for token in (access, identity) if isinstance(token, str) and token]

    async def _discovered(self) -> Mapping[str, Any]:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = await self._ask("GET", url)
        if found.get("issuer") != self.issuer:
            raise ProviderError(f"the provider {self.name} is another issuer than {self.issuer}")
        return found

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """A JSON object. Raises ProviderError; the log has the reason."""
        credentials = None
        if form is not None and self.client_secret is None:
            form = {**form, "client_id": self.client_id}
        elif form is not None:
            # RFC 6749, section 2.3.1: both are encoded as in a form before they are credentials
            credentials = httpx.BasicAuth(_quoted(self.client_id), _quoted(self.client_secret or ""))
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                self.client(url) as client,
                client.stream(method, url, data=form, auth=credentials, headers=headers) as answer,
            ):
                document = json.loads(await whole_async(answer, DOCUMENT_LIMIT))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            _log.warning("the OpenID provider %s can't be asked: %s", self.issuer, in_words(error))
            raise ProviderError(f"the provider {self.name} can't be reached now: try again later") from None
        except (UnreadableError, ValueError, RecursionError):
            document = None
        if answer.status_code != 200 or not isinstance(document, dict):
            reason = document.get("error", "") if isinstance(document, dict) else ""
            _log.warning("the OpenID provider %s answered %s %s", url, answer.status_code, _word(reason))
            raise ProviderError(
                f"the provider {self.name} gave no usable answer ({answer.status_code} {_word(reason)})"
            )
        return document


def provider_of(settings: Settings) -> Provider | None:
    """The provider that the settings name for signing in; None: there is none."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    return Provider(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret,
        tuple(dict.fromkeys(("openid", *settings.oidc_sign_in_scopes, *settings.oidc_scopes))),
    )


def _endpoint(known: Mapping[str, Any], name: str) -> str:
    where = known.get(name)
    if not isinstance(where, str) or not is_secure(where):
        raise ProviderError(f"the provider's {name} is not https")
    return where


def _nonce_of(token: Any) -> object:
    """Of an ID token. That it is genuine is known from where it came: OpenID Connect Core 1.0, 3.1.3.7."""
    try:
        claims = json.loads(_decoded(str(token).split(".")[1]))
        return claims.get("nonce")
    except (ValueError, IndexError, AttributeError, RecursionError):
        return None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _quoted(text: str) -> str:
    return urlencode({"": text})[1:]


def _word(text: object) -> str:
    """What a provider says, fit for a line of ours."""
    return "".join(letter for letter in str(text)[:80] if letter.isalnum() or letter in " _-.,")
