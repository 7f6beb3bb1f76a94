"""A job's server: made once, followed by what its console says, ended, removed. Blocks: called from threads.

Nova knows names, but lets two servers have the same, and a request whose answer was lost may have made one.
So what must be known later is written down before and after, and the server carries the job's id.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from broker.platforms import PlatformError, State, Status, Unreachable
from broker.platforms.openstack_learnt import came_of, pulled_of
from broker.platforms.openstack_lines import read
from broker.platforms.openstack_nova import Nova, Server
from broker.platforms.openstack_records import Record, Records, Sent
from broker.platforms.openstack_reports import (
    BOOTING,
    MAKING,
    TERMINATED,
    broken_status,
    ended_status,
    going_status,
    sent_of,
)
from broker.platforms.podman_run import container_name
from federation.clock import Clock
from federation.units import format_seconds

log = logging.getLogger(__name__)

# a server that was asked for, without an answer, may still be made for so long
SETTLE = timedelta(minutes=1)
# a server that was deleted is gone after some seconds
GONE_SECONDS = 60.0
PAUSE_SECONDS = 1.0
BUILDING = frozenset({"BUILD", "REBUILD"})
# of a server in one of these nothing runs any more, nor will
HALTED = frozenset({"SHUTOFF", "SHELVED", "SHELVED_OFFLOADED"})


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Listing:
    """The servers of all sessions as Nova listed them last, which is `seconds` ago at most. A cloud that
    couldn't be asked isn't asked again for as long: others wait for the answer."""

    def __init__(self, nova: Nova, clock: Clock, seconds: float) -> None:
        self._nova, self._clock, self._seconds = nova, clock, seconds
        self._guard = threading.Lock()
        self._last: tuple[datetime, Mapping[str, Server] | Unreachable] | None = None

    def find(self, server_id: str) -> Server | None:
        """None where it isn't listed. Raises PlatformError."""
        with self._guard:
            now = self._clock.now()
            if self._last is None or (now - self._last[0]).total_seconds() > self._seconds / 2:
                found = self._ask()
                # a failure can take long, and whoever waited for it has its answer
                self._last = self._clock.now() if isinstance(found, Unreachable) else now, found
            servers = self._last[1]
        if isinstance(servers, Unreachable):
            raise Unreachable(str(servers))
        return servers.get(server_id)

    def _ask(self) -> Mapping[str, Server] | Unreachable:
        try:
            return self._nova.tagged()
        except Unreachable as error:
            return error


@dataclass(frozen=True)
class Heard:
    """The number of a server's last report, and since when there was none after it."""

    number: int
    at: datetime


class Servers:
    """All raise PlatformError. `pause` waits so many seconds, where something has to happen first."""

    def __init__(
        self,
        site_id: str,
        nova: Nova,
        records: Records,
        clock: Clock,
        options: Mapping[str, Any],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._site_id, self._nova, self._records, self._clock = site_id, nova, records, clock
        self._options, self._pause = options, pause
        # one thing at a time is done with a job; they are there as long as somebody has them
        self._turns = WeakValueDictionary[str, _Turn]()
        self._guard = threading.Lock()
        self._listing = Listing(nova, clock, options["poll_seconds"])
        self._heard: dict[str, Heard] = {}
        self._seen: dict[str, tuple[datetime, Status]] = {}

    def start(self, job_id: str, word: str, body: Callable[[str], Mapping[str, Any]]) -> None:
        """Make the server, unless there is one. `body` says what Nova is asked, by the session's word; `word`
        is a new one."""
        with self._turn(job_id):
            record = self._records.find(job_id) or Record(word)
            if record.ended is not None or self._found(job_id, record) is not None:
                return
            now = self._clock.now()
            if record.unsure is not None and now - record.unsure < SETTLE:
                raise self._unsure()
            asked = body(record.word)
            # whoever finds this knows that a server may come, though nobody has heard of it
            record = Record(record.word, now)
            self._records.keep(job_id, record)
            try:
                server_id = self._nova.create(asked)
            except Unreachable:
                raise
            except PlatformError:
                # refused: none will come of it
                self._records.keep(job_id, Record(record.word))
                raise
            self._records.keep(job_id, replace(record, server_id=server_id))
            self._seen.pop(job_id, None)

    def poll(self, job_id: str) -> Status:
        with self._turn(job_id):
            record = self._known(job_id)
            if record is None:
                return Status(State.ABSENT)
            if record.ended is not None:
                return record.ended
            now, known = self._clock.now(), self._seen.get(job_id)
            if known is not None and (now - known[0]).total_seconds() < self._options["poll_seconds"]:
                return known[1]
            status = self._look(job_id, record, self._polled(job_id, record))
            self._seen[job_id] = now, status
            return status

    def change(self, job_id: str, change: Callable[[Record], Record]) -> None:
        """Change what is written down of the job, if anything is."""
        with self._turn(job_id):
            record = self._records.find(job_id)
            if record is not None:
                self._records.keep(job_id, change(record))

    def stop(self, job_id: str) -> None:
        """End what runs: the server halts, which ends its container; then it is removed."""
        with self._turn(job_id):
            record = self._known(job_id)
            if record is None:
                return
            if record.ended is not None:
                # its results are waited for no longer
                self._records.keep(job_id, replace(record, stopping=True))
                return
            server = self._server(job_id, record)
            if server is None:
                return
            record = replace(record, server_id=server.id, stopping=True)
            self._records.keep(job_id, record)
            before = self._look(job_id, record, server)
            if before.state is State.RUNNING and server.status not in BUILDING:
                self._halt(job_id, record, server)
            last = self._records.find(job_id) or record
            if last.ended is None:
                never = None if before.waiting is None else f"it never ran: {before.waiting.reason}"
                code = TERMINATED if never is None else None
                self._keep_end(job_id, last, Status(State.EXITED, code, last.stdout, last.stderr, never))
            self._nova.delete(server.id)

    def release(self, job_id: str, gone: Callable[[Record], None] = lambda record: None) -> None:
        """Leave nothing of it there; and forget what was written down, once that is sure. `gone` is called
        with that when no server of it can do anything any more."""
        with self._turn(job_id):
            record = self._records.find(job_id)
            ids = {each.id for each in self._nova.named(container_name(job_id), job_id)}
            if record is not None and record.server_id is not None:
                ids.add(record.server_id)
            for server_id in sorted(ids):
                self._nova.delete(server_id)
            unsure = None if record is None else record.unsure
            if unsure is not None and not ids and self._clock.now() - unsure < SETTLE:
                raise self._unsure()
            self._wait_until_gone(ids)
            if record is not None:
                gone(record)
            self._records.forget(job_id)
            self._heard.pop(job_id, None)
            self._seen.pop(job_id, None)

    def _halt(self, job_id: str, record: Record, server: Server) -> None:
        """Tell the server to halt, and wait until it has told how its container ended, or for so long."""
        self._nova.shut_down(server.id)
        waited = 0.0
        while waited < self._options["stop_seconds"]:
            self._pause(PAUSE_SECONDS)
            waited += PAUSE_SECONDS
            record = self._records.find(job_id) or record
            now = self._nova.server(server.id)
            if now is None or self._look(job_id, record, now).state is not State.RUNNING:
                return

    def _look(self, job_id: str, record: Record, server: Server | None) -> Status:
        """How it stands; an end is written down."""
        if server is None:
            if not record.stopping:
                return Status(State.ABSENT)
            ended = Status(State.EXITED, TERMINATED, record.stdout, record.stderr)
            return self._keep_end(job_id, record, ended)
        if server.status == "ERROR":
            return self._keep_end(job_id, record, broken_status(record, server.fault))
        if server.status in BUILDING:
            return going_status(record, MAKING)
        console = self._nova.console(server.id)
        found = None if console is None else read(record.word, console)
        if found is not None:
            record = self._learnt(job_id, record, server, found[1])
        if found is not None and found[1].get("step") == "end":
            return self._keep_end(job_id, record, ended_status(record, found[1]), sent_of(found[1]))
        if server.status in HALTED:
            problem = None if record.stopping else f"its server was halted from outside ({server.status})"
            code = TERMINATED if record.stopping else None
            ended = Status(State.EXITED, code, record.stdout, record.stderr, problem)
            return self._keep_end(job_id, record, ended)
        status = going_status(record, BOOTING if found is None else found[1])
        if found is not None and (status.stdout, status.stderr) != (record.stdout, record.stderr):
            record = replace(record, stdout=status.stdout, stderr=status.stderr)
            self._records.keep(job_id, record)
        # a console that can't be read says nothing of the server
        problem = None if console is None else self._silent(job_id, 0 if found is None else found[0])
        if problem is None:
            return status
        return self._keep_end(
            job_id, record, replace(status, state=State.EXITED, problem=problem, waiting=None)
        )

    def _learnt(self, job_id: str, record: Record, server: Server, report: Mapping[str, Any]) -> Record:
        """With what the report says of data and image for the first time, which is written down."""
        if record.came is not None and record.pulled is not None:
            return record
        times = record.asked or server.created, self._clock.now()
        came = record.came or came_of(report, *times)
        pulled = pulled_of(report, *times) if record.pulled is None else record.pulled
        if (came, pulled) != (record.came, record.pulled):
            record = replace(record, came=came, pulled=pulled)
            self._records.keep(job_id, record)
        return record

    def _silent(self, job_id: str, number: int) -> str | None:
        """Why the server is given up, where it has said nothing new for too long."""
        now = self._clock.now()
        heard = self._heard.get(job_id)
        if heard is None or heard.number != number:
            self._heard[job_id] = Heard(number, now)
            return None
        limit = float(self._options["silence_seconds" if number else "boot_seconds"])
        if (now - heard.at).total_seconds() <= limit:
            return None
        if number:
            return f"its server has said nothing for {format_seconds(limit)}: it hangs, or was restarted"
        text = f"its server said nothing for {format_seconds(limit)}: expected an image with cloud-init, "
        return text + f"Python 3.10 at {self._options['python']}, and a console that the cloud keeps"

    def _keep_end(self, job_id: str, record: Record, ended: Status, sent: Sent | None = None) -> Status:
        self._records.keep(job_id, replace(record, ended=ended, sent=sent, stdout="", stderr=""))
        return ended

    def _known(self, job_id: str) -> Record | None:
        """What was written down; where another broker did that elsewhere, the server itself says it."""
        record = self._records.find(job_id)
        if record is None and self._found(job_id, Record("")) is not None:
            return self._records.find(job_id)
        return record

    def _server(self, job_id: str, record: Record) -> Server | None:
        if record.server_id is None:
            return self._found(job_id, record)
        server = self._nova.server(record.server_id)
        return None if server is None or server.leaving else server

    def _polled(self, job_id: str, record: Record) -> Server | None:
        """As `_server`; where others are followed, too, one question is for all of them."""
        if record.server_id is not None and self._seen.keys() - {job_id}:
            server = self._listing.find(record.server_id)
            if server is not None and not server.leaving:
                return server
        # what isn't listed may be younger than the list
        return self._server(job_id, record)

    def _found(self, job_id: str, record: Record) -> Server | None:
        """The job's server, by what it carries. Should there be two, the older stays."""
        there = [each for each in self._nova.named(container_name(job_id), job_id) if not each.leaving]
        if not there:
            return None
        first, *others = there
        for other in others:
            log.warning("session %s: a second server of it is removed: %s", job_id, other.id)
            self._nova.delete(other.id)
        if record.server_id != first.id:
            self._records.keep(job_id, replace(record, server_id=first.id, word=first.word or record.word))
        return first

    def _wait_until_gone(self, ids: set[str]) -> None:
        waited = 0.0
        for server_id in sorted(ids):
            while self._nova.server(server_id) is not None:
                if waited >= GONE_SECONDS:
                    raise Unreachable(f"site {self._site_id}: the server {server_id} is still being removed")
                self._pause(PAUSE_SECONDS)
                waited += PAUSE_SECONDS

    def _unsure(self) -> Unreachable:
        text = "a server was asked for, and nobody knows yet whether it was made"
        return Unreachable(f"site {self._site_id}: {text}")

    @contextmanager
    def _turn(self, job_id: str) -> Iterator[None]:
        with self._guard:
            turn = self._turns.setdefault(job_id, _Turn())
        with turn.lock:
            yield
