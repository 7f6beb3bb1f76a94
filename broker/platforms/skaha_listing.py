"""Our sessions at a Skaha, as it lists them: one list for all who ask within a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from broker.platforms import PlatformError, Unreachable
from broker.platforms.skaha_answers import Session
from broker.platforms.skaha_client import Skaha
from federation.clock import Clock

log = logging.getLogger(__name__)

NOW = timedelta(0)


class Listing:
    """Asking for each of a hundred sessions every few seconds would keep a Skaha busy that asks Kubernetes
    each time. May be used from several threads, and blocks while Skaha is asked."""

    def __init__(self, site_id: str, skaha: Skaha, clock: Clock) -> None:
        self._site_id, self._skaha, self._clock = site_id, skaha, clock
        self._asking = threading.Lock()
        self._listed: tuple[datetime, Mapping[str, list[Session]]] | None = None
        self._failed: tuple[datetime, PlatformError] | None = None
        self._silent_since: datetime | None = None

    def named(self, name: str, age: timedelta = NOW) -> Sequence[Session]:
        """The sessions of that name, by a list of that age at most; one failure serves all as a list does.

        Raises PlatformError.
        """
        with self._asking:
            now = self._clock.now()
            if self._listed is not None and age and now - self._listed[0] < age:
                return self._listed[1].get(name, [])
            if self._failed is not None and age and now - self._failed[0] < age:
                raise Unreachable(str(self._failed[1]))
            try:
                sessions = self._skaha.sessions()
            except PlatformError as error:
                self._failed = self._clock.now(), error
                if self._silent_since is None:
                    self._silent_since = now
                    log.warning("site %s: its sessions can't be looked at: %s", self._site_id, error)
                raise
            by_name: dict[str, list[Session]] = {}
            for session in sessions:
                by_name.setdefault(session.name, []).append(session)
            self._listed, self._silent_since = (now, by_name), None
            return by_name.get(name, [])

    def changed(self) -> None:
        """We have changed something: what was listed before isn't so any more."""
        self._listed = None

    def silence(self) -> timedelta:
        """For how long it hasn't been heard; zero where it answered last."""
        since = self._silent_since
        return NOW if since is None else self._clock.now() - since
