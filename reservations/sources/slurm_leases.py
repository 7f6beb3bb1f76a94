"""Slurm's advance reservations as leases: the one way in which Slurm promises a start.

A reservation is called `fairlead-<reference>`, holds whole cores, and lets in the jobs of `users` alone.
Slurm reserves no memory: a node's memory may be taken by others although its cores are kept, unless whole
hosts are asked for. Making reservations takes an operator's rights (`scontrol create reservation`).
"""

from __future__ import annotations

import builtins
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from federation.clock import Clock
from federation.errors import OutsideError
from reservations.calendar import VCPU, Need
from reservations.leases import Lease, LeaseState, RefusedError
from reservations.sources.slurm_words import fields, instant, node_names, value_of

PREFIX = "fairlead-"
# how often a reservation that a job has not quite left is tried to be given up
_TRIES = 20
_PAUSE_SECONDS = 0.5
_RIGHTS = "the account may make no reservations: they take an operator's rights"
# which words of Slurm's stand for which limit, and what they mean
_REFUSALS: Sequence[tuple[str, str, str]] = (
    ("nodes are busy", "capacity", "others have the nodes then"),
    ("node configuration is not available", "capacity", "there are not that many free nodes of this kind"),
    ("nodes not available", "capacity", "nodes are out of use then"),
    ("permission denied", "rights", _RIGHTS),
    # Slurm's words for both (22.05)
    ("invalid user", "rights", f"{_RIGHTS}; or Slurm doesn't know the user that it is for"),
    ("partition", "kind", "there is no such partition"),
)
_AWAY = re.compile(r"unable to contact|timed out|zero bytes|connection|munge|authentication", re.IGNORECASE)
_IN_USE = "in use"
_UNKNOWN = re.compile(r"not found|reservation is invalid|invalid reservation", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


# runs a command on the site's host; raises OutsideError where it doesn't end
Run = Callable[..., Said]


class SlurmLeases:
    """Implements `reservations.leases.Leases`."""

    def __init__(self, site: str, run: Run, clock: Clock, partition: str | None, users: str | None) -> None:
        self._site, self._run, self._clock = site, run, clock
        self._partition, self._users = partition, users

    def reserve(self, reference: str, need: Need, kind: str, start: datetime | None, end: datetime) -> Lease:
        name = f"{PREFIX}{reference}"
        known = self.get(name)
        if known is not None:
            return known
        wanted = [f"ReservationName={name}", f"StartTime={'now' if start is None else _time(start)}"]
        wanted += [f"EndTime={_time(end)}", f"Users={self._users or self._user()}", f"NodeCnt={need.units}"]
        cores = need.units * self._cores(need.amounts.get(VCPU, 1))
        if not need.whole_hosts:
            wanted.append(f"CoreCnt={cores}")
        if self._partition is not None:
            wanted.append(f"PartitionName={self._partition}")
        said = self._run("scontrol", "create", "reservation", *wanted)
        if said.status != 0 and "duplicate" not in said.stderr.lower():
            raise self._refused(said)
        record = self._record(name)
        if record is None:
            raise OutsideError(f"site {self._site}: Slurm made a reservation, and doesn't show it")
        # asked for more nodes than there are, Slurm may give fewer and say nothing
        held = len(node_names(value_of(record, "Nodes"))), _whole(record, "CoreCnt")
        if held[0] < need.units or (not need.whole_hosts and held[1] < cores):
            self.cancel(name)
            text = f"{self._site}: Slurm gave {held[0]} nodes with {held[1]} cores"
            raise RefusedError(f"{text}, where {need.units} with {cores} were asked for", "capacity", "")
        return self._lease(record)

    def extend(self, lease_id: str, end: datetime) -> Lease:
        said = self._run("scontrol", "update", f"ReservationName={lease_id}", f"EndTime={_time(end)}")
        if said.status != 0:
            raise self._refused(said)
        record = self._record(lease_id)
        if record is None:
            raise RefusedError(f"{self._site}: there is no reservation {lease_id}", "gone", "")
        return self._lease(record)

    def cancel(self, lease_id: str) -> None:
        for attempt in range(_TRIES):
            said = self._run("scontrol", "delete", f"ReservationName={lease_id}")
            if said.status == 0 or _UNKNOWN.search(said.stderr):
                return
            if _IN_USE not in said.stderr or attempt == _TRIES - 1:
                break
            # its job has ended, and Slurm is still at it
            time.sleep(_PAUSE_SECONDS)
        raise self._refused(said)

    def get(self, lease_id: str) -> Lease | None:
        record = self._record(lease_id)
        return None if record is None else self._lease(record)

    def list(self) -> Sequence[Lease]:
        found = [self._lease(each) for each in self._records() if _name(each).startswith(PREFIX)]
        return sorted(found, key=lambda lease: (lease.start, lease.id))

    def follow(self, lease_id: str, until: datetime, every_seconds: float = 5.0) -> Iterator[Lease]:
        last: Lease | None = None
        while True:
            lease = self.get(lease_id)
            if lease is None:
                raise RefusedError(f"{self._site}: there is no reservation {lease_id} any more", "gone", "")
            if lease != last:
                yield lease
            if lease.state is not LeaseState.PENDING or self._clock.now() >= until:
                return
            last = lease
            time.sleep(every_seconds)

    def _record(self, name: str) -> Mapping[str, str] | None:
        return next((each for each in self._records() if _name(each) == name), None)

    def _records(self) -> builtins.list[Mapping[str, str]]:
        lines = self._ask("scontrol", "--oneliner", "show", "reservation").splitlines()
        return [fields(line) for line in lines if line.startswith("ReservationName=")]

    def _lease(self, record: Mapping[str, str]) -> Lease:
        name, start, end = _name(record), instant(record.get("StartTime")), instant(record.get("EndTime"))
        if start is None or end is None:
            raise OutsideError(f"site {self._site}: Slurm doesn't say when the reservation {name} is")
        now = self._clock.now()
        state = LeaseState.PENDING
        if record.get("State") == "ACTIVE":
            state = LeaseState.ACTIVE
        elif now >= end:
            state = LeaseState.ENDED
        return Lease(
            id=name,
            reference=name.removeprefix(PREFIX) if name.startswith(PREFIX) else None,
            name=name,
            kind="slurm",
            start=start,
            end=end,
            state=state,
            need=None,
            hosts=tuple(node_names(value_of(record, "Nodes"))),
            holder=value_of(record, "Users"),
            reservation=name,
            said=record.get("State"),
        )

    def _user(self) -> str:
        return self._ask("id", "-un").strip()

    def _cores(self, cpus: int) -> int:
        """Whole cores that have so many CPUs: Slurm's CPUs are threads where its cores have several."""
        nodes = map(fields, self._ask("scontrol", "--oneliner", "show", "node").splitlines())
        threads = min(
            (_whole(node, "ThreadsPerCore") or 1 for node in nodes if "NodeName" in node), default=1
        )
        return -(-cpus // threads)

    def _ask(self, *command: str) -> str:
        said = self._run(*command)
        if said.status != 0:
            raise OutsideError(f"site {self._site}: {command[0]} failed: {_words(said)}")
        return said.stdout

    def _refused(self, said: Said) -> Exception:
        words = _words(said)
        if _AWAY.search(said.stderr):
            return OutsideError(f"site {self._site}: scontrol failed: {words}")
        for text, limit, meaning in _REFUSALS:
            if text in said.stderr.lower():
                return RefusedError(f"{self._site}: {meaning} (Slurm: {words})", limit, words)
        return RefusedError(f"{self._site}: Slurm refuses the reservation: {words}", "request", words)


def _words(said: Said) -> str:
    lines = [line.strip() for line in said.stderr.splitlines() if line.strip()]
    return (
        lines[-1].removeprefix("Error creating the reservation: ")[:300] if lines else f"status {said.status}"
    )


def _time(when: datetime) -> str:
    """As Slurm's commands take it where the time zone is UTC; a part of a second is given away."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def _name(record: Mapping[str, str]) -> str:
    return record.get("ReservationName", "")


def _whole(record: Mapping[str, str], key: str) -> int:
    value = record.get(key, "")
    return int(value) if value.isdecimal() else 0
