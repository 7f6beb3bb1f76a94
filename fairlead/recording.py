"""Records each hour how much of the clouds is taken, beside `fairlead serve`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from federation.clock import Clock, SystemClock
from federation.errors import FairleadError
from reservations.credits import load_credits
from reservations.history.record import keeping, record_purses
from reservations.occupancy import HOUR, hour_of
from reservations.snapshots import Snapshots
from reservations.sources import load_sources

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from federation.sites import Federation

_log = logging.getLogger(__name__)
# not on the hour itself: bookings begin and end then
_AFTER_THE_HOUR = timedelta(minutes=2)
_PATIENCE = 1.0


@contextmanager
def recording(federation: Federation, engine: Engine, clock: Clock | None = None) -> Iterator[None]:
    """While the block runs, a thread asks every site's sources once an hour, beginning now, and records what
    they say. Raises InputError for a source that nobody knows."""
    recorder = Recorder(federation, engine, clock or SystemClock())
    stopped = threading.Event()
    thread = threading.Thread(target=_run, args=(recorder, stopped), name="space-record", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # one that waits for a cloud is not waited for: it writes in one transaction, or not at all
        stopped.set()
        thread.join(_PATIENCE)


class Recorder:
    """Asks all sources of a federation, and records what they say."""

    def __init__(self, federation: Federation, engine: Engine, clock: Clock) -> None:
        self._federation, self._engine, self.clock = federation, engine, clock
        sources = load_sources(federation, clock)
        self._snapshots = Snapshots(sources, clock, None, keep=keeping(lambda: engine))

    def record(self) -> None:
        """Once. What can't be asked is logged, and not recorded: nothing is known of that hour then."""
        now = self.clock.now()
        sites: Sequence[str] = list(self._federation.sites)
        for known in self._snapshots.known(sites, now + HOUR):
            for remark in known.remarks:
                _log.warning("not recorded: %s", remark)
        for site in self._federation:
            try:
                source = load_credits(site, self.clock)
                if source is not None:
                    record_purses(self._engine, site.id, source.accounts(), now)
            except FairleadError as error:
                _log.warning("the credits of %s are not recorded: %s", site.id, error)

    def seconds_to_next(self) -> float:
        """Until it is to be done again."""
        now = self.clock.now()
        return (hour_of(now) + HOUR + _AFTER_THE_HOUR - now).total_seconds()


def _run(recorder: Recorder, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            recorder.record()
        except Exception:
            # the next hour is tried all the same
            _log.exception("how much of the clouds is taken could not be recorded")
        stopped.wait(recorder.seconds_to_next())
