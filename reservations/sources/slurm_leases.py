"""Slurm's advance reservations as leases: the one way in which Slurm promises a start.

A reservation is called `fairlead-<reference>`, holds whole cores, and lets in the jobs of `users` alone.
Slurm reserves no memory: a node's memory may be taken by others although its cores are kept, unless whole
hosts are asked for. Making reservations takes an operator's rights.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from federation.clock import Clock
from federation.errors import OutsideError
from reservations.calendar import VCPU, Need
from reservations.leases import Lease, LeaseState, RefusedError
from reservations.sources.slurm_orders import DeniedError, Orders, Wanted
from reservations.sources.slurm_words import PREFIX, instant, node_names, value_of, whole_number

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
    # what slurmrestd says of one whom it doesn't know (26.05)
    (
        "unspecified error",
        "rights",
        "Slurm gives no reason, as where it doesn't know the user that it is for",
    ),
    ("partition", "kind", "there is no such partition"),
)
_AWAY = re.compile(r"unable to contact|timed out|zero bytes|connection|munge|authentication", re.IGNORECASE)
_IN_USE = "in use"
_UNKNOWN = re.compile(r"not found|reservation is invalid|invalid reservation", re.IGNORECASE)


class SlurmLeases:
    """Implements `reservations.leases.Leases`. `orders` finds the way to ask, and raises OutsideError."""

    def __init__(
        self,
        site: str,
        orders: Callable[[], Orders],
        clock: Clock,
        partition: str | None,
        users: str | None,
    ) -> None:
        self._site, self._orders, self._clock = site, orders, clock
        self._partition, self._users = partition, users

    def reserve(self, reference: str, need: Need, kind: str, start: datetime | None, end: datetime) -> Lease:
        name = f"{PREFIX}{reference}"
        known = self.get(name)
        if known is not None:
            return known
        orders = self._orders()
        cores = need.units * _cores(orders, need.amounts.get(VCPU, 1))
        wanted = Wanted(
            name,
            start or self._clock.now(),
            end,
            self._users or orders.user(),
            need.units,
            None if need.whole_hosts else cores,
            self._partition,
        )
        try:
            orders.create(wanted)
        except DeniedError as denied:
            raise self._refused(denied) from denied
        record = self._record(name)
        if record is None:
            raise OutsideError(f"site {self._site}: Slurm made a reservation, and doesn't show it")
        # asked for more nodes than there are, Slurm may give fewer and say nothing
        held = len(node_names(value_of(record, "Nodes"))), whole_number(record, "CoreCnt")
        if held[0] < need.units or (not need.whole_hosts and held[1] < cores):
            self.cancel(name)
            text = f"{self._site}: Slurm gave {held[0]} nodes with {held[1]} cores"
            raise RefusedError(f"{text}, where {need.units} with {cores} were asked for", "capacity", "")
        return self._lease(record)

    def extend(self, lease_id: str, end: datetime) -> Lease:
        try:
            self._orders().move_end(lease_id, end)
        except DeniedError as denied:
            raise self._refused(denied) from denied
        record = self._record(lease_id)
        if record is None:
            raise RefusedError(f"{self._site}: there is no reservation {lease_id}", "gone", "")
        return self._lease(record)

    def cancel(self, lease_id: str) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                self._orders().delete(lease_id)
                return
            except DeniedError as denied:
                if _UNKNOWN.search(str(denied)):
                    return
                if _IN_USE not in str(denied) or not tries_left:
                    raise self._refused(denied) from denied
            # its job has ended, and Slurm is still at it
            time.sleep(_PAUSE_SECONDS)

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

    def _records(self) -> Sequence[Mapping[str, str]]:
        return self._orders().reservations()

    def _lease(self, record: Mapping[str, str]) -> Lease:
        name, start, end = _name(record), instant(record.get("StartTime")), instant(record.get("EndTime"))
        if start is None or end is None:
            raise OutsideError(f"site {self._site}: Slurm doesn't say when the reservation {name} is")
        now, told = self._clock.now(), record.get("State")
        state = LeaseState.PENDING
        # slurmrestd doesn't say it
        if told == "ACTIVE" or (told is None and start <= now < end):
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
            said=told,
        )

    def _refused(self, denied: DeniedError) -> Exception:
        words = str(denied)
        if _AWAY.search(words):
            return OutsideError(f"site {self._site}: Slurm fails: {words}")
        for text, limit, meaning in _REFUSALS:
            if text in words.lower():
                return RefusedError(f"{self._site}: {meaning} (Slurm: {words})", limit, words)
        return RefusedError(f"{self._site}: Slurm refuses the reservation: {words}", "request", words)


def _cores(orders: Orders, cpus: int) -> int:
    """Whole cores that have so many CPUs: Slurm's CPUs are threads where its cores have several."""
    nodes = orders.nodes()
    threads = min(
        (whole_number(node, "ThreadsPerCore") or 1 for node in nodes if "NodeName" in node), default=1
    )
    return -(-cpus // threads)


def _name(record: Mapping[str, str]) -> str:
    return record.get("ReservationName", "")
