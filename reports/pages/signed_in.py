"""Who is signed in: a cookie in the place of the Authorization header that a browser doesn't keep.

What was signed in with is kept for each cookie, encrypted with a key that only the cookie has, and is put
to the API's own gate at every request: a changed password, a disabled user, an expired token end it at once.
It is kept in the process: a restart signs everybody out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.fernet import Fernet, InvalidToken

from federation.clock import Clock

LIFETIME = timedelta(hours=12)
# who signed in longest ago is signed out first
MOST = 10_000
_TOKEN_USE = b"fairlead form"


@dataclass(frozen=True)
class _Kept:
    until: datetime
    authorization: bytes


class SignedIn:
    """Cookies and what they stand for, on the clock that is handed in. Thread-safe."""

    def __init__(self, clock: Clock, lifetime: timedelta = LIFETIME, most: int = MOST) -> None:
        self._clock, self._lifetime, self._most = clock, lifetime, most
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, authorization: str) -> str:
        """A new cookie that stands for this Authorization header."""
        name, key = secrets.token_urlsafe(18), Fernet.generate_key()
        kept = _Kept(self._clock.now() + self._lifetime, Fernet(key).encrypt(authorization.encode()))
        with self._lock:
            self._kept[name] = kept
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return f"{name}.{key.decode()}"

    def authorization(self, cookie: str) -> str | None:
        """What the cookie stands for; None where it is none of ours, or over."""
        name, _, key = cookie.partition(".")
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None and kept.until <= self._clock.now():
                del self._kept[name]
                kept = None
        if kept is None:
            return None
        try:
            return Fernet(key.encode()).decrypt(kept.authorization).decode()
        except (InvalidToken, ValueError):
            return None

    def end(self, cookie: str) -> None:
        """The cookie is worth nothing from now on."""
        with self._lock:
            self._kept.pop(cookie.partition(".")[0], None)


def form_token(cookie: str) -> str:
    """What a form of ours carries and one of another site can't know (a token against forged requests)."""
    return hmac.new(cookie.encode(), _TOKEN_USE, hashlib.sha256).hexdigest()


def same_token(cookie: str, given: str) -> bool:
    """Whether the form was ours."""
    return hmac.compare_digest(form_token(cookie).encode(), given.encode())
