"""Which flavours a cloud has for servers without a reservation, as Nova said last. Whoever wants to know
never waits: a thread of ours asks when that is old."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from broker.platforms import PlatformError
from federation.clock import Clock
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU
from reservations.openstack.flavours import Flavour

log = logging.getLogger(__name__)
# a cloud that couldn't be asked is asked again so soon
RETRY_SECONDS = 30.0
# flavours with anything else (GPUs, cores of their own) are for those who ask for it
PLAIN = frozenset({VCPU, MEMORY_MB, DISK_GB})


class Sizes:
    """`ask` is `Nova.flavours`; `names` are those that may be used, empty: all plain ones."""

    def __init__(
        self,
        ask: Callable[[], Mapping[str, Flavour]],
        names: Collection[str],
        clock: Clock,
        refresh_seconds: float,
    ) -> None:
        self._ask, self._names, self._clock, self._refresh = ask, frozenset(names), clock, refresh_seconds
        self._guard = threading.Lock()
        self._last: tuple[Flavour, ...] | str = "Nova hasn't been asked yet"
        self._asked: datetime | None = None

    def last(self) -> tuple[Flavour, ...] | str:
        """The flavours; or why they aren't known. Doesn't wait."""
        with self._guard:
            now = self._clock.now()
            pause = RETRY_SECONDS if isinstance(self._last, str) else self._refresh
            old = self._asked is None or (now - self._asked).total_seconds() >= pause
            if old:
                self._asked = now
        if old:
            threading.Thread(target=self._learn_quietly, name="openstack-flavours", daemon=True).start()
        return self._last

    def learn(self) -> tuple[Flavour, ...]:
        """Ask now. Raises PlatformError."""
        self._asked = self._clock.now()
        try:
            found = tuple(each for each in self._ask().values() if self._usable(each))
        except PlatformError as error:
            if isinstance(self._last, str):
                self._last = str(error)
            raise
        self._last = found
        return found

    def _learn_quietly(self) -> None:
        try:
            self.learn()
        except PlatformError as error:
            log.warning("%s", error)

    def _usable(self, flavour: Flavour) -> bool:
        if self._names:
            return flavour.name in self._names
        return set(flavour.amounts) <= PLAIN and not flavour.required


def smallest(flavours: Collection[Flavour], cores: int, memory_gib: int, disk_gib: int) -> Flavour | None:
    """The smallest that has so much; None: none has. One whose disk is 0 has as much as its image says, which
    isn't known here."""
    fitting = [
        each
        for each in flavours
        if each.amounts.get(VCPU, 0) >= cores
        and each.amounts.get(MEMORY_MB, 0) >= memory_gib * 1024
        and each.amounts.get(DISK_GB, 0) >= disk_gib
    ]
    return min(fitting, key=_size, default=None)


def _size(flavour: Flavour) -> tuple[list[int], str]:
    return [flavour.amounts.get(name, 0) for name in (VCPU, MEMORY_MB, DISK_GB)], flavour.name
