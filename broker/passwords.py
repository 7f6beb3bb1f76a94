"""Passwords: argon2 hashes, and a memory of what was right a moment ago."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

PASSWORD_LIMIT = 1024  # characters
_REMEMBERED = 1024


class Passwords:
    """Makes and checks hashes. Calls may block (argon2, on purpose) and are thread-safe."""

    def __init__(self) -> None:
        # the least that OWASP's password storage cheat sheet recommends for argon2id: 19 MiB, 2 passes
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        # checked for users who don't exist, so that the time tells nothing
        self.nobody = self._hasher.hash(secrets.token_hex())
        # Basic authentication sends the password with each request: what was right a moment ago needs no
        # second argon2. Keys are MACs under a key of this process that also cover the stored hash.
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def hash(self, password: str) -> str:
        """What to store. Raises ValueError for a password that can't be one."""
        if not password.strip() or len(password) > PASSWORD_LIMIT:
            raise ValueError(f"password: expected 1 to {PASSWORD_LIMIT} characters, not all of them blanks")
        try:
            password.encode()
        except UnicodeEncodeError:
            raise ValueError("password: half a surrogate pair is no character") from None
        return self._hasher.hash(password)

    def recall(self, stored: str, password: str) -> bool:
        """Whether this password was right for this hash a moment ago. Takes no argon2."""
        token = self._token(stored, password)
        with self._lock:
            if token not in self._right:
                return False
            self._right.move_to_end(token)
        return True

    def verify(self, stored: str, password: str) -> bool:
        """Whether the password is the one of the hash."""
        if len(password) > PASSWORD_LIMIT:
            return False
        try:
            self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False
        with self._lock:
            self._right[self._token(stored, password)] = None
            while len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        return True

    def _token(self, stored: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")


def same(text: str, expected: str) -> bool:
    """Whether the texts are the same, in constant time."""
    # digests first: compare_digest tells the length
    return hmac.compare_digest(*(hashlib.sha256(each.encode()).digest() for each in (text, expected)))
