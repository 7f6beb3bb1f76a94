"""The audit log: who did what, when, and how it ended. Never a credential, never a body.

Entries are handed over when a request's answer is decided, and written by a thread of their own, many in one
transaction: no request waits for its entry, and none fails for it. A clean stop writes what is left. A killed
process loses what it had not written yet: that of the last BATCH_SECONDS, as long as the database keeps up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, String, delete, insert, select

from broker.tables import audit
from federation.clock import Clock
from federation.database import write

BATCH_SECONDS = 0.2
MOST_IN_A_BATCH = 1000
# Entries that wait while the database can't be written. One more, and the oldest goes to the service's log.
MOST_WAITING = 20_000
TRY_AGAIN_SECONDS = 2.0
PRUNE_SECONDS = 3600.0
FLUSH_SECONDS = 10.0

# what a request is called, by its method and the path of the API; of any other these two themselves
OF_THE_API: Mapping[tuple[str, str], str] = {
    ("POST", "/requests"): "request.create",
    ("POST", "/direct"): "session.direct",
    ("POST", "/sessions/{uuid}"): "session.update",
    ("POST", "/admin/identities"): "identity.create",
    ("PATCH", "/admin/identities/{uuid}"): "identity.change",
    ("DELETE", "/admin/identities/{uuid}"): "identity.remove",
    ("GET", "/sessions"): "session.list",
    ("GET", "/offersets"): "offerset.list",
    ("GET", "/offersets/{uuid}"): "offerset.read",
    ("GET", "/sessions/{uuid}"): "session.read",
    ("GET", "/sessions/{uuid}/logs"): "session.logs",
    ("GET", "/sessions/{uuid}/storage"): "session.storage",
    ("GET", "/sessions/{uuid}/storage/{name}/{path:path}"): "session.file",
}
LOGIN, LOGOUT, LOGIN_FAILED = "login", "logout", "login.fail"
ACTIONS = (*OF_THE_API.values(), LOGIN, LOGOUT, LOGIN_FAILED)

_LENGTHS: Mapping[str, int] = {
    column.name: column.type.length
    for column in audit.columns
    if isinstance(column.type, String) and column.type.length
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """`actor` is Owner.id, and `username` theirs; of a failed login, the name that was tried.

    `target` is the uuid of what it was done to; `status` the HTTP status of the answer.
    """

    time: datetime
    action: str
    status: int
    request_id: str | None = None
    actor: str | None = None
    username: str | None = None
    target: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class Filters:
    """What is listed; None: whatever it is. `since` included, `until` not."""

    actor: str | None = None
    username: str | None = None
    action: str | None = None
    target: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """Writes entries in the background. `record` never blocks and never fails; thread-safe."""

    def __init__(self, engine: Engine, clock: Clock, retention: timedelta) -> None:
        self._engine, self._clock, self._retention = engine, clock, retention
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        # entries that are being written
        self._under_way = 0
        self._hurry = False
        self._pruned: datetime | None = None

    def record(self, entry: Entry) -> None:
        """Have it written soon."""
        entry = _storable(entry)
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                _log.error("the audit log can't be written; not kept: %s", self._waiting.popleft())
            self._waiting.append(entry)
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> bool:
        """Wait until what was recorded so far is written. False: it isn't, the database doesn't take it."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._under_way, FLUSH_SECONDS)

    def stop(self) -> None:
        """Write what is left. What can't be written goes to the service's log. What comes later does, too."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(FLUSH_SECONDS)
        with self._changed:
            lost = [*self._waiting]
            self._waiting.clear()
        for entry in lost:
            _log.error("the audit log could not be written; not kept: %s", entry)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                # more may come while this one waits; nobody is kept waiting by it
                self._changed.wait_for(lambda: self._hurry or self._stopping, BATCH_SECONDS)
                batch = [self._waiting.popleft() for _ in range(min(MOST_IN_A_BATCH, len(self._waiting)))]
                self._under_way = len(batch)
                last = self._stopping
            written = self._write(batch)
            with self._changed:
                self._under_way = 0
                if not written:
                    self._waiting.extendleft(reversed(batch))
                if not self._waiting:
                    self._hurry = False
                self._changed.notify_all()
                if last and (not self._waiting or not written):
                    return
                if not written:
                    self._changed.wait_for(lambda: self._stopping, TRY_AGAIN_SECONDS)

    def _write(self, batch: list[Entry]) -> bool:
        if not batch:
            return True
        try:
            with write(self._engine) as connection:
                connection.execute(insert(audit), [vars(entry) for entry in batch])
                self._prune(connection)
        except Exception as error:  # whatever it is, the thread must go on
            _log.error("the audit log can't be written, and is tried again: %s", type(error).__name__)
            return False
        return True

    def _prune(self, connection: Any) -> None:
        now = self._clock.now()
        if self._pruned is None or now - self._pruned >= timedelta(seconds=PRUNE_SECONDS):
            connection.execute(delete(audit).where(audit.c.time < now - self._retention))
            self._pruned = now


def read(
    engine: Engine, filters: Filters, before: int | None = None, limit: int = 100
) -> list[tuple[int, Entry]]:
    """Entries with their numbers, the newest first; those before the number `before`."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    same: Mapping[str, str | None] = {
        name: getattr(filters, name) for name in ("actor", "username", "action", "target", "request_id")
    }
    for name, value in same.items():
        if value is not None:
            query = query.where(audit.c[name] == value)
    if filters.since is not None:
        query = query.where(audit.c.time >= filters.since)
    if filters.until is not None:
        query = query.where(audit.c.time < filters.until)
    if before is not None:
        query = query.where(audit.c.id < before)
    with engine.connect() as connection:
        return [(row.id, _entry(row)) for row in connection.execute(query)]


def document(number: int, entry: Entry) -> dict[str, Any]:
    """How an entry is shown; what isn't known is left out."""
    shown = {"id": number} | vars(entry) | {"time": entry.time.isoformat().replace("+00:00", "Z")}
    return {name: value for name, value in shown.items() if value is not None}


def _storable(entry: Entry) -> Entry:
    """What no database refuses: texts as long as their columns, without NUL and halves of surrogate pairs."""
    fitting: dict[str, Any] = {}
    for name, value in vars(entry).items():
        if isinstance(value, str):
            text = value.encode(errors="replace").decode().replace("\0", "?")
            value = text[: _LENGTHS[name]]
        fitting[name] = value
    return Entry(**fitting)


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__})
