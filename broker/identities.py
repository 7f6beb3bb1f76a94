"""Who may write: users of the database, those who come with tokens, and the administrator of the settings.

A row of `identities` is somebody: by user name with a password kept here, or by the issuer and subject of
their tokens. A token's subject never meets a user name, nor the same subject of another issuer.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, select, tuple_
from sqlalchemy.exc import IntegrityError

from broker.passwords import Passwords, same
from broker.records import Owner, Role
from broker.sessions.listing import Cursor
from broker.tables import identities
from federation.clock import Clock
from federation.database import write

ADMIN_ID = "admin"
# the issuer of those who have a password here
OURS = ""
NAME_LIMIT = 128  # characters
SUBJECT_LIMIT = 255  # characters; OpenID Connect allows no more


@dataclass(frozen=True)
class Identity:
    """`issuer` and `subject` make somebody the same person; a token's `username` is only shown.

    `role` of somebody with tokens: what the last token gave.
    """

    uuid: str
    username: str
    issuer: str
    subject: str
    role: Role
    disabled: bool
    created: datetime

    @property
    def local(self) -> bool:
        """Whether this is a user with a password here."""
        return self.issuer == OURS


@dataclass(frozen=True)
class Change:
    """What is changed of an identity; None: as it is."""

    role: Role | None = None
    disabled: bool | None = None
    password: str | None = None


class Taken(Exception):  # noqa: N818 - an answer, not a failure
    """The user name exists already; `identity` is whose it is, None for the administrator's."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        super().__init__("this username is taken")


class ForeignIdentity(Exception):  # noqa: N818 - an answer, not a failure
    """What was asked for can't be changed here: the issuer of somebody's tokens decides it."""


class Identities:
    """Checks and makes users. Calls may block (argon2, on purpose) and are thread-safe."""

    def __init__(
        self, engine: Engine, clock: Clock, admin_user: str | None, admin_password: str | None
    ) -> None:
        """Without both an admin user and a password there is no administrator."""
        self._engine, self._clock = engine, clock
        self._admin = (admin_user, admin_password) if admin_user and admin_password else None
        self._passwords = Passwords()

    def recall(self, username: str, password: str) -> Owner | None:
        """Who this is, where that takes no argon2: the administrator, or who was right a moment ago."""
        if self._admin is not None:
            # both are compared in any case
            same_user, same_password = same(username, self._admin[0]), same(password, self._admin[1])
            if same_user and same_password:
                return Owner(ADMIN_ID, username, Role.ADMIN)
        found, stored = self._find(username)
        return found if found is not None and self._passwords.recall(stored, password) else None

    def check(self, username: str, password: str) -> Owner | None:
        """Who this is, or None where name or password is wrong."""
        known = self.recall(username, password)
        if known is not None:
            return known
        found, stored = self._find(username)
        return found if self._passwords.verify(stored, password) else None

    def of_token(self, issuer: str, subject: str, username: str, role: Role) -> Owner | None:
        """Who comes with a token: made at the first call, and kept up to date. None where it is disabled."""
        now = self._clock.now()
        known = self._by_subject(issuer, subject)
        if known is None:
            made = Identity(str(uuid.uuid4()), username, issuer, subject, role, False, now)
            try:
                self._insert(made, None)
                return Owner(made.uuid, username, role)
            except IntegrityError:
                # another request of theirs was first
                known = self._by_subject(issuer, subject)
                assert known is not None
        if known.disabled:
            return None
        if (known.username, known.role) != (username, role):
            with write(self._engine) as connection:
                connection.execute(
                    identities.update()
                    .where(identities.c.uuid == known.uuid)
                    .values(username=username, role=role.value)
                )
        return Owner(known.uuid, username, role)

    def create(self, username: str, password: str, role: Role = Role.USER) -> Identity:
        """A new user. Raises ValueError for a name or password that can't be one, Taken where it exists."""
        _check_name(username)
        if self._admin is not None and same(username, self._admin[0]):
            raise Taken(None)
        made = Identity(str(uuid.uuid4()), username, OURS, username, role, False, self._clock.now())
        try:
            self._insert(made, self._passwords.hash(password))
        except IntegrityError:
            raise Taken(self._by_subject(OURS, username)) from None
        return made

    def get(self, name: str) -> Identity | None:
        """By uuid, or a local user by name."""
        with self._engine.connect() as connection:
            row = connection.execute(select(identities).where(identities.c.uuid == name)).first()
        return _identity(row) if row else self._by_subject(OURS, name)

    def page(self, after: Cursor | None = None, limit: int = 100) -> list[Identity]:
        """The newest first; those behind `after`."""
        key = (identities.c.created, identities.c.uuid)
        query = select(identities).order_by(*(column.desc() for column in key)).limit(limit)
        if after is not None:
            query = query.where(tuple_(*key) < tuple_(after.created, after.uuid))
        with self._engine.connect() as connection:
            return [_identity(row) for row in connection.execute(query)]

    def change(self, uuid: str, change: Change) -> Identity | None:
        """The identity as it is then; None where there is none.

        Takes effect at the next request. Raises ValueError for a password that can't be one, ForeignIdentity
        for role or password of somebody who comes with tokens.
        """
        values: dict[str, Any] = {}
        if change.role is not None:
            values["role"] = change.role.value
        if change.password is not None:
            values["password_hash"] = self._passwords.hash(change.password)
        of_a_user = bool(values)
        if change.disabled is not None:
            values["disabled"] = change.disabled
        with write(self._engine) as connection:
            here = identities.c.uuid == uuid
            row = connection.execute(select(identities).where(here)).first()
            if row is None:
                return None
            if of_a_user and row.issuer != OURS:
                raise ForeignIdentity(
                    "role and password of somebody who comes with tokens are their issuer's to change"
                )
            if values:
                connection.execute(identities.update().where(here).values(**values))
            return _identity(connection.execute(select(identities).where(here)).one())

    def remove(self, uuid: str) -> Identity | None:
        """Who that was; None where there was none. What it owned stays, for operators to see to."""
        here = identities.c.uuid == uuid
        with write(self._engine) as connection:
            row = connection.execute(select(identities).where(here)).first()
            connection.execute(identities.delete().where(here))
        return _identity(row) if row else None

    def _insert(self, identity: Identity, password_hash: str | None) -> None:
        row = vars(identity) | {"role": identity.role.value, "password_hash": password_hash}
        with write(self._engine) as connection:
            connection.execute(identities.insert().values(row))

    def _by_subject(self, issuer: str, subject: str) -> Identity | None:
        query = select(identities).where(identities.c.issuer == issuer, identities.c.subject == subject)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return _identity(row) if row else None

    def _find(self, username: str) -> tuple[Owner | None, str]:
        """The user of that name and its hash; nobody and nobody's hash where there is none."""
        if len(username) > NAME_LIMIT:
            return None, self._passwords.nobody
        query = select(identities.c.uuid, identities.c.password_hash, identities.c.role).where(
            identities.c.issuer == OURS,
            identities.c.subject == username,
            identities.c.disabled.is_(False),
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None, self._passwords.nobody
        return Owner(row.uuid, username, Role(row.role)), row.password_hash


def _identity(row: Row[Any]) -> Identity:
    return Identity(
        row.uuid, row.username, row.issuer, row.subject, Role(row.role), row.disabled, row.created
    )


def _check_name(username: str) -> None:
    if not username.strip() or len(username) > NAME_LIMIT:
        raise ValueError(f"username: expected 1 to {NAME_LIMIT} characters, not all of them blanks")
    if ":" in username or not username.isprintable():
        raise ValueError(
            "username: a colon or a control character can't be sent by HTTP Basic authentication"
        )
