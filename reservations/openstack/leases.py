"""Reserving at Blazar: asked once, looked for after every doubt, verified by what is really allocated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from federation.clock import Clock
from federation.errors import OutsideError
from reservations.calendar import Need
from reservations.leases import Lease, LeaseState, RefusedError
from reservations.openstack import said
from reservations.openstack.blazar import Blazar, Document, Hidden, SaidNoError
from reservations.openstack.dates import asked, minute_down, minute_up
from reservations.openstack.kinds import reservation
from reservations.openstack.states import CHANGING, lease_name, read_lease, reference_of
from reservations.openstack.verify import doubts_of

# Blazar deletes the servers of a lease that is given up, and waits up to 10 minutes for that.
GIVING_UP = timedelta(minutes=11)
# A change of a lease is done within seconds.
_SETTLES = timedelta(seconds=30)
_PAUSE_SECONDS = 2.0


class BlazarLeases:
    """The leases of one project at one cloud (`reservations.leases.Leases`).

    `pause` waits so many seconds, where something has to happen at the cloud first.
    """

    def __init__(
        self,
        blazar: Blazar,
        clock: Clock,
        *,
        gpu_property: str | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._blazar, self._clock, self._pause = blazar, clock, pause
        self._gpu_property = gpu_property

    def reserve(self, reference: str, need: Need, kind: str, start: datetime | None, end: datetime) -> Lease:
        """Book; the same reference again gives the same lease. Starts and ends are rounded up to minutes."""
        called = minute_down(self._clock.now())
        wanted = reservation(need, kind, self._gpu_property, self._gpu_values(need))
        existing = self._called(reference)
        if existing is not None:
            return self._verified(existing, need)
        now = minute_down(self._clock.now())
        begins = now if start is None else minute_up(start)
        if begins >= called:
            # a slow cloud has been looked through until after it: for Blazar that would be the past
            begins = max(begins, now)
        body = {
            "name": lease_name(reference),
            "start_date": "now" if begins == now else asked(begins),
            "end_date": asked(end),
            "reservations": [wanted],
            "events": [],
        }
        try:
            made = self._blazar.create(body)
        except OutsideError as error:
            made = self._after_silence(reference, error)
        except SaidNoError as error:
            made = self._after_refusal(reference, error)
        return self._verified(self._only(reference, made), need)

    def extend(self, lease_id: str, end: datetime) -> Lease:
        """Move the end, rounded up to a whole minute, which is Blazar's step; one that is over: end it now.

        An end within this minute becomes the next one's: this one's may be the start of a lease that has just
        begun.
        """
        lease = self._blazar_lease(lease_id)
        now = minute_down(self._clock.now())
        ends = minute_up(end)
        current = read_lease(lease).end
        if current == ends or (ends <= now and current <= now):
            return self._verified(lease)
        try:
            self._blazar.update(lease_id, {"end_date": "now" if ends <= now else asked(ends)})
        except OutsideError:
            settled = self._settled(lease_id)
            if settled is None or read_lease(settled).end != ends:
                raise
        except SaidNoError as error:
            raise self._refused(error) from None
        return self._verified(self._settled(lease_id) or lease)

    def cancel(self, lease_id: str) -> None:
        """Give it up. A running lease's servers are deleted first, which is waited for."""
        try:
            self._blazar.delete(lease_id)
            return
        except OutsideError as error:
            silence: Exception = error
        except SaidNoError as error:
            if said.meaning(error.said, error.status).limit != said.FAULT:
                raise self._refused(error) from None
            # Blazar's own API waits for a minute only, and then says "Internal Server Error".
            silence = self._refused(error)
        deadline = self._clock.now() + GIVING_UP
        while (lease := self._blazar.lease(lease_id)) is not None:
            if lease["status"] not in CHANGING or self._clock.now() >= deadline:
                raise silence
            self._pause(_PAUSE_SECONDS)

    def get(self, lease_id: str) -> Lease | None:
        lease = self._said(lambda: self._blazar.lease(lease_id))
        return None if lease is None else self._verified(lease)

    def list(self) -> Sequence[Lease]:
        return sorted((read_lease(each) for each in self._own()), key=lambda lease: (lease.start, lease.id))

    def follow(self, lease_id: str, until: datetime, every_seconds: float = 5.0) -> Iterator[Lease]:
        """The lease at once, and each time its state or doubts change, until it is active, ended or failed,
        or until `until`. Raises RefusedError where it is gone."""
        last: Lease | None = None
        while True:
            lease = self._verified(self._blazar_lease(lease_id))
            if last is None or (lease.state, lease.doubts, lease.said) != (
                last.state,
                last.doubts,
                last.said,
            ):
                yield lease
            if lease.state is not LeaseState.PENDING or self._clock.now() >= until:
                return
            last = lease
            self._pause(every_seconds)

    def _own(self) -> Sequence[Document]:
        """An administrator is shown the leases of all projects; those of other ones are not ours."""
        project = self._blazar.cloud.caller().project_id
        return [each for each in self._said(self._blazar.leases) if each.get("project_id") == project]

    def _all_called(self, reference: str) -> Sequence[Document]:
        found = [each for each in self._own() if reference_of(each["name"]) == reference]
        return sorted(found, key=lambda each: (each["created_at"], each["id"]))

    def _called(self, reference: str) -> Document | None:
        found = self._all_called(reference)
        return found[0] if found else None

    def _only(self, reference: str, made: Document) -> Document:
        """The first lease of this reference: what two of us made at the same time is given back but one."""
        found = self._all_called(reference)
        if len(found) > 1 and found[0]["id"] != made["id"]:
            self._blazar.delete(made["id"])
            return found[0]
        return made

    def _after_silence(self, reference: str, error: OutsideError) -> Document:
        """Nobody answered: the lease may be there all the same."""
        found = self._called(reference)
        if found is None:
            raise OutsideError(
                f"{error}; it isn't known whether the reservation will be made: ask again with the same "
                "reference"
            ) from None
        return found

    def _after_refusal(self, reference: str, error: SaidNoError) -> Document:
        refusal = self._refused(error)
        if refusal.limit == said.FAULT:
            # what took Blazar's manager longer than its API waits for is made all the same
            found = self._called(reference)
            if found is not None:
                return found
        raise refusal from None

    def _refused(self, error: SaidNoError) -> RefusedError:
        meaning = said.meaning(error.said, error.status)
        caller = self._blazar.cloud.caller()
        if (
            meaning.limit == said.FAULT
            and error.said == "Internal Server Error"
            and caller.application_credential
        ):
            return RefusedError(
                "this cloud makes no reservations for application credentials (Keystone refuses the trust "
                "that Blazar needs): expected a password or a token",
                said.RIGHTS,
                error.said,
            )
        return RefusedError(meaning.text, meaning.limit, error.said)

    def _said(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except SaidNoError as error:
            raise self._refused(error) from None

    def _blazar_lease(self, lease_id: str) -> Document:
        lease: Document | None = self._said(lambda: self._blazar.lease(lease_id))
        if lease is None:
            raise RefusedError(f"there is no reservation {lease_id} (any more)", said.GONE, "")
        return lease

    def _settled(self, lease_id: str) -> Document | None:
        """The lease once it isn't changing any more, or after a while as it is."""
        deadline = self._clock.now() + _SETTLES
        while True:
            lease: Document | None = self._said(lambda: self._blazar.lease(lease_id))
            if lease is None or lease["status"] not in CHANGING or self._clock.now() >= deadline:
                return lease
            self._pause(_PAUSE_SECONDS)

    def _verified(self, document: Document, need: Need | None = None) -> Lease:
        """The lease with the hosts that it holds, and what isn't as it was asked for."""
        lease = read_lease(document)
        if need is not None:
            lease = replace(lease, need=need)
        if lease.state in (LeaseState.ENDED, LeaseState.FAILED):
            return replace(lease, doubts=lease.doubts + self._why_failed(lease))
        hosts, allocations = self._blazar.hosts(), self._blazar.allocations()
        if isinstance(hosts, Hidden) or isinstance(allocations, Hidden):
            if lease.state is LeaseState.ACTIVE:
                return lease
            return replace(
                lease,
                doubts=(
                    *lease.doubts,
                    "this cloud doesn't show what a reservation holds: whether this one is kept can be "
                    "told only once it is active",
                ),
            )
        names, doubts = doubts_of(document, hosts, allocations, self._said(self._blazar.leases))
        return replace(lease, hosts=names, doubts=lease.doubts + tuple(doubts))

    def _why_failed(self, lease: Lease) -> tuple[str, ...]:
        if lease.state is LeaseState.FAILED:
            return ("Blazar couldn't start it: another reservation may hold its hosts",)
        return ()

    def _gpu_values(self, need: Need) -> Sequence[str]:
        if not self._gpu_property or "PGPU" not in need.amounts:
            return ()
        hosts = self._blazar.hosts()
        if isinstance(hosts, Hidden):
            return ()
        return [str(each[self._gpu_property]) for each in hosts if each.get(self._gpu_property) is not None]
