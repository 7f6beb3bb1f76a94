"""A registry over HTTP: the distribution specification 1.1, and Docker's token authentication.

Every address is checked before anything is sent to it, those of the token service and of redirects too; the
connection goes to the address that was checked. A login goes to the registry that it is for, or to the token
service that this names, and never over plain HTTP unless the operator calls the registry insecure.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from broker.images import Access, ImageError, Trouble
from broker.images.credentials import Login, find_login, has_other_login, read_secret
from broker.images.documents import ACCEPTED
from broker.images.references import Reference
from federation import http_asking
from federation.errors import InputError, one_line
from federation.http_words import in_words
from netprobe.addresses import ForbiddenError, UnknownHostError, targets

# what registries themselves take at most is 4 MiB
DOCUMENT_BYTES = 4 * 1024 * 1024
CONFIG_BYTES = 8 * 1024 * 1024
TOKEN_BYTES = 256 * 1024
REDIRECTS = 5
CONNECT_SECONDS = 3.0
TLS_SECONDS = 1.0
LONGEST_WORDS = 200
# containers-certs.d(5)
CERTIFICATES = Path("/etc/containers/certs.d")
_REDIRECTS = (301, 302, 303, 307, 308)
_CHALLENGE = re.compile(r'([a-zA-Z]+)="([^"]*)"')


@dataclass(frozen=True)
class Answer:
    status: int
    headers: httpx.Headers
    content: bytes


class Registry:
    """One repository at one registry, asked as one site would. To be used with `with`; for one thread.

    `deadline`: on time.monotonic(). All calls raise ImageError.
    """

    def __init__(self, reference: Reference, insecure: bool, access: Access, deadline: float) -> None:
        self._reference, self._insecure, self._access = reference, insecure, access
        self._deadline = deadline
        self._authorization: str | None = None
        self._connect_seconds = CONNECT_SECONDS
        # the scheme that worked
        self._scheme: str | None = None
        self._http = http_asking.client(_tls(insecure, reference.registry))

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *problem: object) -> None:
        self._http.close()

    def manifest(self, name: str) -> tuple[bytes, str]:
        """The manifest or index of that tag or digest, and its digest, which is checked."""
        answer = self._get(f"manifests/{name}", {"Accept": ", ".join(ACCEPTED)}, DOCUMENT_BYTES, name)
        digest = digest_of(answer.content)
        if name.startswith("sha256:") and digest != name:
            text = f"{self._where(name)}: the registry sent something else, of digest {digest}"
            raise ImageError(Trouble.DIGEST, text, "use another registry")
        return answer.content, digest

    def config(self, digest: str) -> bytes:
        answer = self._get(f"blobs/{digest}", {}, CONFIG_BYTES, digest)
        if digest_of(answer.content) != digest:
            text = f"{self._where(digest)}: the registry sent another configuration than the manifest names"
            raise ImageError(Trouble.DIGEST, text, "use another registry")
        return answer.content

    def _where(self, name: str) -> str:
        return f"{self._reference.name}{'@' if name.startswith('sha256:') else ':'}{name}"

    def _get(self, path: str, headers: Mapping[str, str], limit: int, name: str) -> Answer:
        answer = self._at_registry(path, headers, limit)
        if answer.status == 401 and self._authorization is None:
            self._log_in(answer.headers.get_list("www-authenticate"))
            answer = self._at_registry(path, headers, limit)
        if answer.status == 200:
            return answer
        where, host = self._where(name), self._reference.host
        if answer.status in (401, 403):
            raise self._private(f"{where} is not for this site to read{_said(answer)}")
        if answer.status == 404:
            remedy = "name a tag or digest that it has"
            raise ImageError(Trouble.GONE, f"{host} has no {where}{_said(answer)}", remedy)
        if answer.status == 429:
            raise ImageError(Trouble.UNKNOWN, f"{host} answers no more of our questions just now (429)")
        raise ImageError(Trouble.UNKNOWN, f"{host} answered {answer.status}{_said(answer)}")

    def _at_registry(self, path: str, headers: Mapping[str, str], limit: int) -> Answer:
        """With the login, by HTTPS; an insecure registry that doesn't speak it is asked by HTTP."""
        sent = dict(headers)
        if self._authorization is not None:
            sent["Authorization"] = self._authorization
        schemes = [self._scheme] if self._scheme else ["https", "http"] if self._insecure else ["https"]
        for number, scheme in enumerate(schemes):
            # one that doesn't speak TLS may wait for more of what it takes for a question
            self._connect_seconds = CONNECT_SECONDS if number == len(schemes) - 1 else TLS_SECONDS
            url = f"{scheme}://{self._reference.host}/v2/{self._reference.repository}/{path}"
            try:
                answer = self._follow(url, sent, limit)
            except ImageError:
                if number == len(schemes) - 1:
                    raise
            else:
                self._scheme = scheme
                return answer
        raise AssertionError("there is a scheme")

    def _log_in(self, challenges: list[str]) -> None:
        """Have an Authorization header for what the registry asks for; none where nothing can be done."""
        login = self._login()
        for challenge in challenges:
            kind, _, rest = challenge.strip().partition(" ")
            if kind.lower() == "bearer":
                self._authorization = f"Bearer {self._token(dict(_CHALLENGE.findall(rest)), login)}"
                return
            if kind.lower() == "basic" and login is not None:
                self._authorization = _basic(login)
                return

    def _login(self) -> Login | None:
        try:
            if self._access.secret_file is not None:
                return read_secret(self._access.secret_file)
            return find_login(self._access.auth_file, self._reference)
        except InputError as problem:
            raise ImageError(Trouble.UNKNOWN, str(problem)) from None

    def _token(self, challenge: Mapping[str, str], login: Login | None) -> str:
        """A token of the service that the registry names, for reading this repository."""
        realm, host = challenge.get("realm", ""), self._reference.host
        if urlsplit(realm).scheme != "https" and not (self._insecure and realm.startswith("http://")):
            raise ImageError(Trouble.UNKNOWN, f"{host} names no token service that could be asked")
        scope = challenge.get("scope") or f"repository:{self._reference.repository}:pull"
        query = {name: challenge[name] for name in ("service",) if name in challenge} | {"scope": scope}
        headers = {"Authorization": _basic(login)} if login is not None else {}
        answer = self._follow(
            f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", headers, TOKEN_BYTES
        )
        if answer.status in (401, 403):
            text = f"{self._reference.name} is not for this site to read: the token service of {host} "
            text += "gives none" if login is None else "doesn't take the site's login"
            raise self._private(text)
        try:
            document = json.loads(answer.content)
            token = document.get("token") or document.get("access_token")
            if answer.status != 200 or not isinstance(token, str) or not token.isascii():
                raise ValueError
        except (ValueError, AttributeError, RecursionError):
            text = f"the token service of {host} gave no token (status {answer.status})"
            raise ImageError(Trouble.UNKNOWN, text) from None
        return token

    def _private(self, text: str) -> ImageError:
        if has_other_login(self._access.auth_file, self._reference):
            return ImageError(Trouble.UNKNOWN, f"{text}; its login there isn't one that the broker can use")
        remedy = "make it public, or have the site's operator log in there"
        return ImageError(Trouble.PRIVATE, text, remedy)

    def _follow(self, url: str, headers: dict[str, str], limit: int) -> Answer:
        """GET, redirects followed. What is elsewhere doesn't get the login."""
        for _ in range(REDIRECTS + 1):
            answer = self._once(url, headers, limit)
            if answer.status not in _REDIRECTS:
                return answer
            target = urljoin(url, answer.headers.get("location", ""))
            old, new = urlsplit(url), urlsplit(target)
            if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
                raise ImageError(Trouble.UNKNOWN, f"{old.hostname} redirects to what is not followed")
            if (old.scheme, old.netloc) != (new.scheme, new.netloc):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise ImageError(Trouble.UNKNOWN, f"{self._reference.host} redirects more than {REDIRECTS} times")

    def _once(self, url: str, headers: Mapping[str, str], limit: int) -> Answer:
        host, port = _parts(url)
        address = self._checked(host, port)
        # to the address that was checked; the certificate must be that of the name
        literal = f"[{address}]" if ":" in address else address
        pinned = httpx.URL(url).copy_with(host=literal, port=port)
        named = {
            "Host": urlsplit(url).netloc,
            "Accept-Encoding": "identity",
            "User-Agent": "fairlead",
            **headers,
        }
        try:
            with (
                http_asking.over_by(self._deadline),
                self._http.stream(
                    "GET", pinned, headers=named, timeout=self._timeout(), extensions={"sni_hostname": host}
                ) as answer,
            ):
                content = bytearray()
                for piece in answer.iter_raw():
                    content += piece
                    if len(content) > limit:
                        text = f"{host} sent more than {limit} bytes for one document"
                        raise ImageError(Trouble.UNKNOWN, text)
                    self._timeout()
                return Answer(answer.status_code, answer.headers, bytes(content))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
            text = f"{host} can't be asked: {in_words(problem)[:LONGEST_WORDS]}"
            raise ImageError(Trouble.UNKNOWN, text) from None

    def _checked(self, host: str, port: int) -> str:
        try:
            found = targets(host, port, self._access.allowed)
        except ForbiddenError:
            text = f"{host} is no public address, and no registry that the site knows"
            raise ImageError(
                Trouble.ADDRESS, text, "use a public registry, or one of the federation"
            ) from None
        except UnknownHostError as problem:
            raise ImageError(Trouble.UNKNOWN, str(problem)) from None
        # IPv4 first: a host without IPv6 is more usual than one without IPv4
        return str(min(found, key=lambda target: ":" in str(target[1][0]))[1][0])

    def _timeout(self) -> httpx.Timeout:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ImageError(Trouble.UNKNOWN, f"{self._reference.host} didn't answer in time")
        return httpx.Timeout(left, connect=min(left, self._connect_seconds))


def _tls(insecure: bool, registry: str) -> ssl.SSLContext:
    """With the certificates of those who sign for the registry alone, where podman has some."""
    own = sorted((CERTIFICATES / registry).glob("*.crt"))
    context = _new_tls(insecure) if own else _shared_tls(insecure)
    for file in own:
        # podman says what is wrong with one when it pulls
        with contextlib.suppress(OSError, ssl.SSLError):
            context.load_verify_locations(file)
    return context


def _new_tls(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


# reading all authorities of a machine takes a while
_shared_tls = functools.cache(_new_tls)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _parts(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or "@" in parts.netloc:
        raise ImageError(Trouble.UNKNOWN, "the registry names a place that is no URL")
    return host, port or (443 if parts.scheme == "https" else 80)


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _said(answer: Answer) -> str:
    """The registry's own words, where it has some: ": manifest unknown"."""
    try:
        message = json.loads(answer.content)["errors"][0]["message"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    words = one_line(message)[:LONGEST_WORDS]
    return f": {words}" if words else ""
