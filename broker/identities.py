"""Who may write: users in the database with argon2 hashes, and the one administrator of the settings."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from broker.records import Owner, Role
from broker.tables import identities
from federation.clock import Clock
from federation.database import write

ADMIN_ID = "admin"
# the issuer of those who have a password here
OURS = ""
NAME_LIMIT, PASSWORD_LIMIT = 128, 1024  # characters
_REMEMBERED = 1024


@dataclass(frozen=True)
class Identity:
    uuid: str
    username: str


class Taken(Exception):  # noqa: N818 - an answer, not a failure
    """The user name exists already; `identity` is whose it is, None for the administrator's."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        super().__init__("this username is taken")


class Identities:
    """Checks and makes users. Calls may block (argon2, on purpose) and are thread-safe."""

    def __init__(
        self, engine: Engine, clock: Clock, admin_user: str | None, admin_password: str | None
    ) -> None:
        """Without both an admin user and a password there is no administrator."""
        self._engine, self._clock = engine, clock
        self._admin = (admin_user, admin_password) if admin_user and admin_password else None
        # the least that OWASP's password storage cheat sheet recommends for argon2id: 19 MiB, 2 passes
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        # checked for users who don't exist, so that the time tells nothing
        self._nobody = self._hasher.hash(secrets.token_hex())
        # Basic authentication sends the password with each request: what was right a moment ago needs no
        # second argon2. Keys are MACs under a key of this process that also cover the stored hash.
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def recall(self, username: str, password: str) -> Owner | None:
        """Who this is, where that takes no argon2: the administrator, or who was right a moment ago."""
        if self._admin is not None:
            # both are compared in any case, and in constant time
            same_user = self._same(username, self._admin[0])
            same_password = self._same(password, self._admin[1])
            if same_user and same_password:
                return Owner(ADMIN_ID, username, Role.ADMIN)
        found, stored = self._find(username, password)
        token = self._token(stored, password)
        with self._lock:
            if found is None or token not in self._right:
                return None
            self._right.move_to_end(token)
        return found

    def check(self, username: str, password: str) -> Owner | None:
        """Who this is, or None where name or password is wrong."""
        known = self.recall(username, password)
        if known is not None:
            return known
        found, stored = self._find(username, password)
        try:
            self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return None
        if found is not None:
            with self._lock:
                self._right[self._token(stored, password)] = None
                while len(self._right) > _REMEMBERED:
                    self._right.popitem(last=False)
        return found

    def create(self, username: str, password: str) -> Identity:
        """A new user. Raises ValueError for a name or password that can't be one, Taken where it exists."""
        _check_name(username)
        if not password.strip() or len(password) > PASSWORD_LIMIT:
            raise ValueError(f"password: expected 1 to {PASSWORD_LIMIT} characters, not all of them blanks")
        if self._admin is not None and self._same(username, self._admin[0]):
            raise Taken(None)
        made = Identity(str(uuid.uuid4()), username)
        row = {
            "uuid": made.uuid,
            "issuer": OURS,
            "subject": username,
            "username": username,
            "password_hash": self._hasher.hash(password),
            "role": Role.USER.value,
            "disabled": False,
            "created": self._clock.now(),
        }
        try:
            with write(self._engine) as connection:
                connection.execute(identities.insert().values(row))
        except IntegrityError:
            query = select(identities.c.uuid).where(
                identities.c.issuer == OURS, identities.c.subject == username
            )
            with self._engine.connect() as connection:
                existing = connection.execute(query).scalar_one()
            raise Taken(Identity(existing, username)) from None
        return made

    def _find(self, username: str, password: str) -> tuple[Owner | None, str]:
        """The user of that name and its hash; nobody and nobody's hash where there is none."""
        if len(username) > NAME_LIMIT or len(password) > PASSWORD_LIMIT:
            return None, self._nobody
        query = select(identities.c.uuid, identities.c.password_hash, identities.c.role).where(
            identities.c.issuer == OURS,
            identities.c.subject == username,
            identities.c.disabled.is_(False),
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return (Owner(row.uuid, username, Role(row.role)), row.password_hash) if row else (None, self._nobody)

    def _token(self, stored: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")

    def _same(self, text: str, expected: str | None) -> bool:
        # digests first: compare_digest tells the length
        return hmac.compare_digest(
            *(hashlib.sha256((each or "").encode()).digest() for each in (text, expected))
        )


def _check_name(username: str) -> None:
    if not username.strip() or len(username) > NAME_LIMIT:
        raise ValueError(f"username: expected 1 to {NAME_LIMIT} characters, not all of them blanks")
    if ":" in username or not username.isprintable():
        raise ValueError(
            "username: a colon or a control character can't be sent by HTTP Basic authentication"
        )
