"""Random states of a cloud, and random questions about them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Amounts, Need, Spread
from reservations.openstack.kinds import FLAVOUR, KINDS, PHYSICAL, VIRTUAL
from reservations.properties import ANYTHING, parse_expression

Flavours = Mapping[str, tuple[str, Amounts]]

# of the hosts of tests/cloud/seeding.py
PROPERTIES = (
    '["==", "$gpu", "True"]',
    '["!=", "$gpu", "True"]',
    '["==", "$zone", "az1"]',
    '["and", ["==", "$zone", "az2"], ["==", "$gpu", "True"]]',
    '["==", "$gpu_model", "V100"]',
)


@dataclass(frozen=True)
class Asked:
    """One question: would this be granted during [start, end)?"""

    need: Need
    kind: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.kind} {self.start:%d %H:%M}-{self.end:%d %H:%M} {self.need}"


def asked(
    chance: random.Random, flavours: Flavours, since: datetime, kinds: tuple[str, ...] = KINDS
) -> Asked:
    """A question about the six hours from `since` (a whole hour); mostly on a coarse grid: much touches."""
    kind = chance.choice(kinds)
    step = chance.choice((1, 30, 30, 30))
    start = since + timedelta(minutes=step * chance.randrange(360 // step))
    end = start + timedelta(minutes=step * chance.randint(1, 240 // step))
    return Asked(need(chance, kind, flavours), kind, start, end)


def need(chance: random.Random, kind: str, flavours: Flavours) -> Need:
    """Sizes that a host of 16 cores and 64 GiB, or of 32 and 256 GiB, sometimes has and sometimes hasn't."""
    properties = parse_expression(chance.choice(PROPERTIES)) if chance.random() < 0.3 else ANYTHING
    if kind == PHYSICAL:
        amounts = {}
        if chance.random() < 0.4:
            amounts[VCPU] = chance.choice((8, 16, 17, 32, 33))
        if chance.random() < 0.2:
            amounts[MEMORY_MB] = chance.choice((65536, 65537, 262144))
        if chance.random() < 0.2:
            amounts[PGPU] = chance.choice((1, 2, 3, 10, 11))
        return Need(amounts, chance.choice((1, 1, 2, 2, 3, 4)), whole_hosts=True, properties=properties)
    if kind == VIRTUAL:
        return Need(
            {
                VCPU: chance.choice((1, 2, 4, 5, 8, 16, 20)),
                MEMORY_MB: chance.choice((1024, 8192, 20000, 65536, 100000)),
                DISK_GB: chance.choice((0, 10, 300)),
            },
            chance.choice((1, 2, 3, 5, 8, 20)),
            spread=chance.choice((Spread.ANY, Spread.ANY, Spread.TOGETHER, Spread.APART)),
            properties=properties,
        )
    flavour = chance.choice(sorted(flavours))
    return Need(flavours[flavour][1], chance.choice((1, 2, 4, 8, 20, 60)), flavour=flavour)


def states(chance: random.Random) -> Iterator[tuple[str, ...]]:
    """The kinds of which a state's reservations are, in turn: each alone, and mixtures."""
    while True:
        yield from ((PHYSICAL,), (VIRTUAL,), (FLAVOUR,), KINDS, (PHYSICAL, VIRTUAL), (PHYSICAL, FLAVOUR))
