"""Who is signed in: a cookie in the place of the Authorization header that a browser doesn't keep.

What was signed in with is kept for each cookie, encrypted with a key that only the cookie has, and is put
to the API's own gate at every request: a changed password, a disabled user, an expired token end it at once.
It is kept in the database: all processes on it know the same cookies, and a restart signs nobody out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from federation.clock import Clock
from federation.database import write
from reports.tables import sign_ins

LIFETIME = timedelta(hours=12)
# who signed in longest ago is signed out first
MOST = 10_000
_NAME_LIMIT = 32
_TOKEN_USE = b"fairlead form"


class SignedIn:
    """Cookies and what they stand for, on the clock that is handed in. Thread-safe; all of it may block."""

    def __init__(
        self, engine: sa.Engine, clock: Clock, lifetime: timedelta = LIFETIME, most: int = MOST
    ) -> None:
        """`engine`: a database with the tables of this wing."""
        self._engine, self._clock, self._lifetime, self._most = engine, clock, lifetime, most

    def begin(self, authorization: str) -> str:
        """A new cookie that stands for this Authorization header."""
        name, key = secrets.token_urlsafe(18), Fernet.generate_key()
        now = self._clock.now()
        row = {
            "name": name,
            "until": now + self._lifetime,
            "authorization": Fernet(key).encrypt(authorization.encode()),
        }
        table = sign_ins.c
        with write(self._engine) as connection:
            connection.execute(sa.delete(sign_ins).where(table.until <= now))
            # so many may stay beside the new one
            over = sa.select(table.name).order_by(table.until.desc(), table.name).offset(self._most - 1)
            connection.execute(sa.delete(sign_ins).where(table.name.in_(over)))
            connection.execute(sa.insert(sign_ins).values(row))
        return f"{name}.{key.decode()}"

    def authorization(self, cookie: str) -> str | None:
        """What the cookie stands for; None where it is none of ours, or over."""
        name, _, key = cookie.partition(".")
        if not _possible(name):
            return None
        query = sa.select(sign_ins.c.authorization).where(
            sign_ins.c.name == name, sign_ins.c.until > self._clock.now()
        )
        with self._engine.connect() as connection:
            kept = connection.execute(query).scalar()
        if kept is None:
            return None
        try:
            return Fernet(key.encode()).decrypt(kept).decode()
        except (InvalidToken, ValueError):
            return None

    def end(self, cookie: str) -> None:
        """The cookie is worth nothing from now on."""
        name = cookie.partition(".")[0]
        if _possible(name):
            with write(self._engine) as connection:
                connection.execute(sa.delete(sign_ins).where(sign_ins.c.name == name))


def _possible(name: str) -> bool:
    """Whether it may be the name of a cookie of ours: what isn't need not be looked for."""
    return 0 < len(name) <= _NAME_LIMIT and name.isascii() and name.isprintable()


def form_token(cookie: str) -> str:
    """What a form of ours carries and one of another site can't know (a token against forged requests)."""
    return hmac.new(cookie.encode(), _TOKEN_USE, hashlib.sha256).hexdigest()


def same_token(cookie: str, given: str) -> bool:
    """Whether the form was ours."""
    return hmac.compare_digest(form_token(cookie).encode(), given.encode())
