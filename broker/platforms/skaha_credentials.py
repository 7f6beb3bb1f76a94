"""Who we are at a Skaha, and at the registries behind it. What is secret is in no message of these."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import jwt
from cryptography import x509

from broker.images.credentials import read_secret
from broker.platforms import PlatformError
from broker.platforms.skaha_options import Options
from federation.errors import InputError
from federation.tls import client_tls


class Credentials:
    """A token or a certificate, from files that are read again when they change.

    Proxy certificates live for days and tokens for hours: whoever renews them replaces the file.
    """

    def __init__(self, site_id: str, options: Options) -> None:
        self._site_id, self._options = site_id, options

    def headers(self) -> Mapping[str, str]:
        """What signs a request. Raises PlatformError where the token can't be read."""
        if self._options.token_file is None:
            return {}
        token = self._read(self._options.token_file, "token")
        if not token or not token.isascii() or any(letter.isspace() for letter in token):
            raise self._error(f"{self._options.token_file} holds no token")
        return {"Authorization": f"Bearer {token}"}

    def registry(self) -> Mapping[str, str]:
        """What lets Skaha fetch images that it doesn't list. Raises PlatformError."""
        file = self._options.registry_auth_file
        if file is None:
            return {}
        try:
            login = read_secret(file)
        except InputError as error:
            raise self._error(f"the registry's credentials: {error}") from None
        text = f"{login.user}:{login.password}"
        return {"X-Skaha-Registry-Auth": base64.b64encode(text.encode()).decode()}

    def stamp(self) -> object:
        """Something else whenever the certificate's file is another."""
        file = self._options.certificate_file
        if file is None:
            return None
        try:
            found = file.stat()
        except OSError:
            return "absent"
        return found.st_mtime_ns, found.st_ino, found.st_size

    def tls(self) -> ssl.SSLContext | bool:
        """How to connect, with our certificate if there is one; False: without TLS. Raises PlatformError."""
        if urlsplit(self._options.url).scheme == "http":
            return False
        try:
            return client_tls(self._options.ca_file, self._options.certificate_file, None)
        except InputError as error:
            raise self._error(str(error)) from None

    def why_refused(self, now: datetime) -> str:
        """What may be wrong with what we showed, to follow "it doesn't take our credentials"."""
        until = self._expiry()
        if until is None:
            return (
                "the token may have expired"
                if self._options.token_file
                else "the certificate may be another's"
            )
        what = "token" if self._options.token_file else "certificate"
        if until <= now:
            return f"the {what} expired at {until:%Y-%m-%dT%H:%M:%SZ}"
        return f"the {what} is for another service, or was withdrawn"

    def expired(self, now: datetime) -> str | None:
        """Words for a certificate whose time is over, which no server would take; else None."""
        if self._options.certificate_file is None:
            return None
        until = self._expiry()
        return None if until is None or until > now else self.why_refused(now)

    def secrets(self) -> tuple[str, ...]:
        """Everything that must not be in a message, as far as it can be read."""
        found = []
        for file in (self._options.token_file, self._options.registry_auth_file):
            try:
                text = "" if file is None else file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if text:
                found += [text, text.partition(":")[2], base64.b64encode(text.encode()).decode()]
        return tuple(each for each in found if each)

    def _expiry(self) -> datetime | None:
        """Until when they are good, where they say so themselves."""
        try:
            if self._options.certificate_file is not None:
                data = self._options.certificate_file.read_bytes()
                chain = x509.load_pem_x509_certificates(data)
                return min(each.not_valid_after_utc for each in chain)
            assert self._options.token_file is not None
            token = self._options.token_file.read_text(encoding="utf-8").strip()
            claims = jwt.decode(token, options={"verify_signature": False})
            return datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, jwt.PyJWTError):
            return None

    def _read(self, file: Path, what: str) -> str:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"the {what} can't be read from {file}") from error

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site_id}: {text}")
