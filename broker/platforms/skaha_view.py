"""What a Skaha can run, as it said last: images, registries, sizes, what is free. Asked again when it is old.

Whoever wants to know never waits for Skaha: a thread of ours asks, and until it has heard, the last answer
counts, also that of the process before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from broker.platforms import PlatformError
from broker.platforms.places import write_private
from broker.platforms.skaha_answers import (
    FAILED,
    INTERACTIVE,
    SUCCEEDED,
    TERMINATING,
    Context,
    Free,
    Image,
)
from broker.platforms.skaha_client import Skaha
from federation.clock import Clock

log = logging.getLogger(__name__)

# the name of the threads that ask while nobody waits for them
ASKING_BESIDE = "skaha"
# what is older than this is not worth a promise any more
STALE = timedelta(hours=1)


@dataclass(frozen=True)
class View:
    """`interactive`: how many interactive sessions our account has. `free` None: `free_problem` says why."""

    images: Mapping[str, Image]
    hosts: tuple[str, ...]
    context: Context
    interactive: int
    free: Free | None
    free_problem: str
    seen: datetime


class Views:
    """The last View of one Skaha, kept in `file`; may be used from several threads."""

    def __init__(self, skaha: Skaha, clock: Clock, refresh_seconds: float, file: Path) -> None:
        self._skaha, self._clock, self._file = skaha, clock, file
        self._fresh = timedelta(seconds=refresh_seconds)
        self._asking = threading.Lock()
        self._last = self._kept()
        self._tried: datetime | None = None
        self._problem = "it is being asked, for the first time: ask again in a moment"

    def last(self) -> View | str:
        """What it said last, or why that isn't known. Doesn't block: an old answer is renewed beside."""
        now = self._clock.now()
        if self._tried is None or now - self._tried >= self._fresh:
            self._tried = now
            threading.Thread(target=self._renew, args=(now,), name=ASKING_BESIDE, daemon=True).start()
        last = self._last
        if last is None or now - last.seen > STALE:
            return self._problem
        return last

    def learn(self, age_seconds: float = 0.0) -> View:
        """What it says now, or said that long ago at most. Blocks; raises PlatformError."""
        with self._asking:
            last, oldest = self._last, self._clock.now() - timedelta(seconds=age_seconds)
            return last if last is not None and last.seen > oldest else self._learn()

    def _renew(self, wanted: datetime) -> None:
        with self._asking:
            if self._last is not None and self._last.seen >= wanted:
                return  # somebody else has asked meanwhile
            try:
                self._learn()
            except PlatformError as error:
                log.warning("what it can run is not known: %s", error)

    def _learn(self) -> View:
        self._tried = self._clock.now()
        try:
            self._last = self._ask()
        except PlatformError as error:
            self._problem = str(error)
            raise
        self._keep(self._last)
        return self._last

    def _kept(self) -> View | None:
        try:
            # of another service, where the catalogue names a new one: then it says nothing
            url, view = msgspec.json.decode(self._file.read_bytes(), type=tuple[str, View])
        except (OSError, msgspec.MsgspecError):
            return None
        return view if url == self._skaha.url else None

    def _keep(self, view: View) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._file, msgspec.json.encode((self._skaha.url, view)).decode())
        except OSError as error:
            log.warning("%s can't be written: %s", self._file, error.strerror)

    def _ask(self) -> View:
        images = {image.id: image for image in self._skaha.images()}
        hosts, context, sessions = self._skaha.hosts(), self._skaha.context(), self._skaha.sessions()
        ended = SUCCEEDED | FAILED | {TERMINATING}
        interactive = sum(each.type in INTERACTIVE and each.status not in ended for each in sessions)
        free, problem = None, ""
        try:
            free = self._skaha.free()
        except PlatformError as error:
            # its statistics come from a service of their own, without which all else works
            problem = str(error)
        return View(images, hosts, context, interactive, free, problem, self._clock.now())
