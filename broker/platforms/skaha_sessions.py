"""A job's session at a Skaha: created once, followed, ended, forgotten. Blocks: called from threads.

Skaha knows names, but lets two sessions have the same; it knows no end, and forgets a session an hour after
it has ended. So what must be known later is written down before and after, and the name is the job's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from broker.model import Connector
from broker.platforms import PlatformError, State, Status, Unreachable, Waiting
from broker.platforms.skaha_answers import (
    FAILED,
    INTERACTIVE,
    PENDING,
    SUCCEEDED,
    TERMINATING,
    Event,
    Session,
    pull_seconds,
)
from broker.platforms.skaha_client import Parameters, Skaha
from broker.platforms.skaha_launch import session_name
from broker.platforms.skaha_listing import NOW, Listing
from broker.platforms.skaha_records import Record, Records
from federation.clock import Clock

log = logging.getLogger(__name__)

# what a shell reports for a process ended by SIGTERM, which is what Kubernetes sends
STOPPED_EXIT_CODE, KILLED_EXIT_CODE = 143, 137
# a session that was just asked for may not be listed yet
SETTLE = timedelta(minutes=1)
# Skaha forgets a session an hour after its end: one that was seen later than this ago can't have ended so
FORGOTTEN = timedelta(minutes=55)
# `seen` is written to the disk this often
SEEN = timedelta(minutes=5)
EVENTS_SECONDS = 30.0
# an interactive session that Skaha would end so soon is renewed, tried so often
RENEW, RENEW_SECONDS = timedelta(hours=12), 3600.0
# how often, and how long between, a new interactive session is looked for until it has its URL
LOOKS, LOOK_SECONDS = 10, 0.5
# events that say why a session ended
FATAL = frozenset({"Evicted", "DeadlineExceeded", "Preempting", "Preempted", "OOMKilling"})
TURNS = 64


@dataclass(frozen=True)
class Asked:
    """What Skaha is asked for; `secrets` are values of it that no message may hold."""

    parameters: Parameters
    secrets: tuple[str, ...] = ()


class Sessions:
    """All raise PlatformError. `exit_code` reads what a session's script left, where there is one. `pulled`
    is told once a session which image it has, and how many seconds that took."""

    def __init__(
        self,
        site_id: str,
        skaha: Skaha,
        records: Records,
        clock: Clock,
        poll_seconds: float,
        log_seconds: float,
        patience_seconds: float,
        exit_code: Callable[[str], int | None],
        pulled: Callable[[str, float], None],
    ) -> None:
        self._site_id, self._skaha, self._records, self._clock = site_id, skaha, records, clock
        self._poll, self._log_seconds = timedelta(seconds=poll_seconds), log_seconds
        self._patience, self._exit_code = timedelta(seconds=patience_seconds), exit_code
        self._pulled = pulled
        # one thing at a time is done with a job; jobs share these by chance
        self._turns = [threading.Lock() for _ in range(TURNS)]
        self._listing = Listing(site_id, skaha, clock)
        # by job: when its output, and its events, are due to be looked at again
        self._due: dict[tuple[str, str], datetime] = {}

    def start(
        self,
        job_id: str,
        ask: Callable[[], Asked],
        connectors: Callable[[Session], tuple[Connector, ...]] | None,
    ) -> tuple[Connector, ...]:
        """Create the session, unless there is one. `connectors` None: it has none to wait for."""
        with self._turn(job_id):
            record, found = self._records.find(job_id), self._find(job_id)
            if record is not None and record.ended is not None:
                return record.connectors
            if found is None or found.status == TERMINATING:
                record = self._create(job_id, record, ask())
                self._listing.changed()
                found = self._find(job_id)
            elif record is None or record.session_id is None:
                record = Record(self._clock.now(), found.id, seen=self._clock.now())
                self._records.keep(job_id, record)
            if connectors is None or (record is not None and record.connectors):
                return () if record is None else record.connectors
            assert record is not None
            made = connectors(found or self._wait_for(record.session_id or ""))
            self._records.keep(job_id, replace(record, connectors=made))
            return made

    def _create(self, job_id: str, before: Record | None, asked: Asked) -> Record:
        now, unsure = self._clock.now(), None
        if before is not None and before.session_id is None:
            unsure = before.asked
        # whoever finds this knows that a session may come, though nobody has heard of it
        self._records.keep(job_id, Record(now, unsure=unsure))
        try:
            session_id = self._skaha.create(asked.parameters, asked.secrets)
        except Unreachable:
            raise
        except PlatformError:
            # refused: none will come of it, though one may of what was asked for before
            if before is None:
                self._records.forget(job_id)
            else:
                self._records.keep(job_id, before)
            raise
        record = Record(now, session_id, unsure, now)
        self._records.keep(job_id, record)
        return record

    def poll(self, job_id: str) -> Status:
        with self._turn(job_id):
            record = self._records.find(job_id)
            if record is not None and record.ended is not None:
                return record.ended
            try:
                found = self._find(job_id, self._poll)
                return self._status(job_id, record, found)
            except PlatformError as error:
                if record is None or record.session_id is None or self._listing.silence() >= self._patience:
                    raise
                # what it runs goes on, whether it can be asked or not
                log.debug("session %s: %s; it is taken to run on", job_id, error)
                return Status(State.RUNNING, None, record.output)

    def stop(self, job_id: str, problem: str | None = None) -> None:
        """End the session if it runs; `problem`: why, where it isn't our client's wish."""
        with self._turn(job_id):
            record, found = self._records.find(job_id), self._find(job_id)
            if found is None or found.status in SUCCEEDED | FAILED | {TERMINATING}:
                return
            now = self._clock.now()
            if record is None:
                record = Record(now, found.id, seen=now)
            if record.ended is not None:
                return
            never = found.status == PENDING
            if never and problem is None:
                problem = f"it never ran: {self._waiting_for(found.id)}"
            self._end(job_id, record, found, None if never else STOPPED_EXIT_CODE, problem)

    def _end(
        self, job_id: str, record: Record, found: Session, exit_code: int | None, problem: str | None
    ) -> Status:
        # its output goes with it
        record = replace(record, stopping=True, output=self._output(found.id, record.output))
        self._records.keep(job_id, record)
        self._skaha.delete(found.id)
        self._listing.changed()
        ended = Status(State.EXITED, exit_code, record.output, "", problem)
        return self._keep_end(job_id, record, ended)

    def release(self, job_id: str) -> None:
        """Leave nothing of it there; and forget what was written down, once that is sure."""
        with self._turn(job_id):
            record = self._records.find(job_id)
            sessions = self._listing.named(session_name(job_id))
            ids = {each.id for each in sessions if each.status != TERMINATING}
            if record is not None and record.session_id is not None and record.ended is None:
                ids.add(record.session_id)
            for session_id in sorted(ids):
                self._skaha.delete(session_id)
            if ids:
                self._listing.changed()
            if record is not None and self._may_still_come(record, len(sessions)):
                text = "a session was asked for, and nobody knows yet whether it was made"
                raise Unreachable(f"site {self._site_id}: {text}")
            self._records.forget(job_id)
            for what in ("output", "events", "expiry"):
                self._due.pop((job_id, what), None)

    def _may_still_come(self, record: Record, seen: int) -> bool:
        """Whether more sessions may have been made for the job than the `seen` ones."""
        unsure = record.asked if record.session_id is None else record.unsure
        asked_for = 1 if record.session_id is None else 2
        return unsure is not None and seen < asked_for and self._clock.now() - unsure < SETTLE

    def _status(self, job_id: str, record: Record | None, found: Session | None) -> Status:
        now = self._clock.now()
        if found is None:
            return self._unlisted(job_id, record, now)
        if record is None:
            if found.status == TERMINATING:
                return Status(State.ABSENT)
            record = Record(now, found.id, seen=now)
            self._records.keep(job_id, record)
        else:
            old = record.session_id != found.id or record.seen is None or now - record.seen >= SEEN
            record = replace(record, session_id=found.id, seen=now)
            self._records.keep(job_id, record, write=old)
        if found.status not in (PENDING, TERMINATING) and not record.pull_told:
            record = self._tell_pull(job_id, record, found)
        if found.status in SUCCEEDED | FAILED:
            return self._ended(job_id, record, found)
        if found.status == TERMINATING:
            return self._stopped(job_id, record) if record.stopping else self._running(record)
        if found.status == PENDING:
            if (problem := self._hopeless(job_id, found)) is not None:
                return self._end(job_id, record, found, None, problem)
            waiting = Waiting("it waits at Skaha for room, or for its image")
            return Status(State.RUNNING, None, record.output, waiting=waiting)
        self._prolong(job_id, found)
        if self._is_due(job_id, "output", self._log_seconds):
            began = time.monotonic()
            record = replace(record, output=self._output(found.id, record.output))
            self._records.keep(job_id, record, write=False)
            # long output is looked at seldom: all of it is sent each time
            self._put_off(job_id, "output", max(self._log_seconds, 10 * (time.monotonic() - began)))
        return self._running(record)

    def _tell_pull(self, job_id: str, record: Record, found: Session) -> Record:
        record = replace(record, pull_told=True)
        self._records.keep(job_id, record)
        if found.image is not None:
            seconds = pull_seconds(self._events(found.id), found.image)
            if seconds is not None:
                self._pulled(found.image, seconds)
        return record

    def _prolong(self, job_id: str, found: Session) -> None:
        """Skaha ends interactive sessions after some days, unless they are renewed."""
        if found.type not in INTERACTIVE or found.expires is None:
            return
        if found.expires - self._clock.now() < RENEW and self._is_due(job_id, "expiry", RENEW_SECONDS):
            try:
                self._skaha.renew(found.id)
            except PlatformError as error:
                log.warning("session %s can't be renewed at Skaha: %s", job_id, error)

    def _running(self, record: Record) -> Status:
        return Status(State.RUNNING, None, record.output)

    def _unlisted(self, job_id: str, record: Record | None, now: datetime) -> Status:
        """A session that isn't listed: never made, not listed yet, taken away, or long forgotten."""
        if record is None or record.session_id is None:
            return Status(State.ABSENT)
        if record.stopping:
            return self._stopped(job_id, record)
        if now - record.asked < SETTLE or self._skaha.session(record.session_id) is not None:
            return self._running(record)
        if now - (record.seen or record.asked) < FORGOTTEN:
            return Status(State.ABSENT)
        problem = "how it ended isn't known: Skaha forgets a session an hour after its end"
        return self._keep_end(job_id, record, Status(State.EXITED, None, record.output, "", problem))

    def _ended(self, job_id: str, record: Record, found: Session) -> Status:
        output, code = self._output(found.id, record.output), self._exit_code(job_id)
        if found.status in SUCCEEDED:
            return self._keep_end(job_id, record, Status(State.EXITED, code or 0, output))
        problem = self._why(found.id)
        if code == KILLED_EXIT_CODE and problem is None:
            problem = "it was killed, most likely because it wanted more memory than it had"
        if code == 0:
            code = None  # its script ended well, and the session didn't
        return self._keep_end(job_id, record, Status(State.EXITED, code, output, "", problem))

    def _stopped(self, job_id: str, record: Record) -> Status:
        ended = Status(State.EXITED, STOPPED_EXIT_CODE, record.output)
        return self._keep_end(job_id, record, ended)

    def _keep_end(self, job_id: str, record: Record, ended: Status) -> Status:
        self._records.keep(job_id, replace(record, ended=ended, output=""))
        return ended

    def _why(self, session_id: str) -> str | None:
        said = [event for event in self._events(session_id) if event.reason in FATAL]
        return f"Skaha says {said[-1].reason}: {said[-1].message}" if said else None

    def _waiting_for(self, session_id: str) -> str:
        warnings = [event for event in self._events(session_id) if event.type == "Warning"]
        if not warnings:
            return "it waited at Skaha for the whole time"
        return f"it waited at Skaha, which says {warnings[-1].reason}: {warnings[-1].message}"

    def _hopeless(self, job_id: str, found: Session) -> str | None:
        """Why it will never run: Kubernetes would try to get an image until the time is over."""
        if not self._is_due(job_id, "events", EVENTS_SECONDS):
            return None
        for event in self._events(found.id):
            if event.type == "Warning" and event.reason == "Failed" and "pull" in event.message.lower():
                return f"its image can't be had: {event.message}"
        return None

    def _events(self, session_id: str) -> Sequence[Event]:
        try:
            return self._skaha.events(session_id)
        except PlatformError as error:
            log.info("%s: its events can't be read: %s", session_id, error)
            return ()

    def _output(self, session_id: str, before: str) -> str:
        """What it has written; what was known before, where that can't be had now."""
        try:
            return self._skaha.logs(session_id) or before
        except PlatformError as error:
            log.info("%s: its output can't be read: %s", session_id, error)
            return before

    def _wait_for(self, session_id: str) -> Session:
        for _ in range(LOOKS):
            found = self._skaha.session(session_id)
            if found is not None:
                return found
            time.sleep(LOOK_SECONDS)
        raise Unreachable(f"site {self._site_id}: Skaha doesn't show the session that it made")

    def _find(self, job_id: str, age: timedelta = NOW) -> Session | None:
        """The job's session by a list of that age at most. Should there be two, the older stays."""
        same = self._listing.named(session_name(job_id), age)
        if not same:
            return None
        latest = datetime.max.replace(tzinfo=self._clock.now().tzinfo)
        first, *others = sorted(
            same, key=lambda each: (each.status == TERMINATING, each.started or latest, each.id)
        )
        for other in others:
            if other.status not in SUCCEEDED | FAILED | {TERMINATING}:
                log.warning("session %s: a second one of its name is removed: %s", job_id, other.id)
                self._skaha.delete(other.id)
                self._listing.changed()
        return first

    def _is_due(self, job_id: str, what: str, seconds: float) -> bool:
        now = self._clock.now()
        if (due := self._due.get((job_id, what))) is not None and now < due:
            return False
        self._put_off(job_id, what, seconds)
        return True

    def _put_off(self, job_id: str, what: str, seconds: float) -> None:
        self._due[job_id, what] = self._clock.now() + timedelta(seconds=seconds)

    def _turn(self, job_id: str) -> threading.Lock:
        return self._turns[hash(job_id) % TURNS]
