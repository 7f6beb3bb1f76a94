"""A tiny cloud that can be booked: hosts, leases on them, and what may go wrong with it. Lives in memory, and
longer than any broker."""

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta

from federation.errors import OutsideError
from federation.sites import Space
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Calendar, Host, Rules, Sight, Taken
from reservations.leases import Lease, LeaseState, RefusedError
from reservations.sources import Placed
from reservations.windows import Question, openings

KIND = "virtual:instance"


def host(name="h1", cores=8, memory_gib=32):
    return Host(name, name, {VCPU: cores, MEMORY_MB: memory_gib * 1024, DISK_GB: 1000})


@dataclass
class TinyCloud:
    """Source and leases in one. `leases_now` by id; what others hold has no reference."""

    clock: object
    site: str
    hosts: tuple = (host(),)
    sight: Sight = Sight.ALL
    rules: Rules = field(default_factory=Rules)
    caps: dict = field(default_factory=dict)
    down: bool = False
    # a reason with which the next leases are refused, and by which limit
    refusing: str | None = None
    limit: str = "capacity"
    # answers get lost after it has done what it was asked
    deaf: bool = False
    # called with the name of each call, before it is done and after it
    fate: object = None

    def __post_init__(self):
        self.leases_now, self.made, self.calls, self.turn = {}, 0, [], threading.RLock()

    # the source

    def calendars(self, start, end):
        self._ask("calendars")
        hidden = Host("hidden", "hidden", {}, bookable=False)
        hosts = (hidden,) if self.sight is Sight.OWN else self.hosts
        taken = () if self.sight is Sight.OWN else self._taken()
        now = self.clock.now()
        return [
            Calendar(self.site, "tiny", KIND, hosts, taken, self.rules, now, end, self.sight, caps=self.caps),
        ]

    def leases(self):
        return self

    # its leases

    def reserve(self, reference, need, kind, start, end):
        self._step("reserve")
        assert kind == KIND
        with self.turn:
            mine = next((each for each in self.leases_now.values() if each.reference == reference), None)
            if mine is None:
                if self.refusing is not None:
                    raise RefusedError(self.refusing, self.limit, "said")
                mine = self.book(
                    need, start or self.clock.now().replace(second=0, microsecond=0), end, reference
                )
                if mine is None:
                    raise RefusedError("not enough hosts are free for all of that time", "capacity", "said")
        self._survived()
        if self.deaf:
            raise OutsideError("the cloud doesn't answer")
        return self._as_now(mine)

    def book(self, need, start, end, reference=None):
        """A lease; None where there is no room for it."""
        calendar = Calendar(
            self.site,
            "tiny",
            KIND,
            self.hosts,
            self._taken(),
            Rules(),
            self.clock.now(),
            end + timedelta(days=1),
        )
        found = openings(calendar, Question(need, end - start, start, start), 1)
        if not found:
            return None
        self.made += 1
        name = f"lease-{self.made}"
        made = Lease(name, reference, name, KIND, start, end, LeaseState.PENDING, need, found[0].hosts)
        self.leases_now[name] = made
        return made

    def cancel(self, lease_id):
        self._step("cancel")
        self.leases_now.pop(lease_id, None)
        self._survived()

    def get(self, lease_id):
        self._step("get")
        found = self.leases_now.get(lease_id)
        return None if found is None else self._as_now(found)

    def list(self):
        self._step("list")
        return [self._as_now(each) for each in self.leases_now.values()]

    def break_lease(self, lease_id, **changes):
        """State or doubts that the cloud says of it from now on."""
        self.leases_now[lease_id] = replace(self.leases_now[lease_id], **changes)

    def _as_now(self, lease):
        if lease.state is not LeaseState.PENDING:
            return lease
        now = self.clock.now()
        state = LeaseState.PENDING if now < lease.start else LeaseState.ACTIVE
        return replace(lease, state=state if now < lease.end else LeaseState.ENDED)

    def _taken(self):
        return tuple(
            Taken(each.hosts[0], each.start, each.end, each.need.amounts, each.id, ours=each.reference)
            for each in list(self.leases_now.values())
        )

    def _ask(self, call):
        self.calls.append(call)
        if self.down:
            raise OutsideError("the cloud doesn't answer")

    def _step(self, call):
        self._survived()
        self._ask(call)

    def _survived(self):
        if self.fate is not None:
            self.fate.step()

    @property
    def ours(self):
        """The references of the leases that sessions have."""
        return [each.reference for each in self.leases_now.values() if each.reference is not None]


def placed(cloud, book=KIND):
    return Placed(cloud.site, Space("tiny", {}, book), cloud)
