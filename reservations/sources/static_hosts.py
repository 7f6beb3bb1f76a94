"""Hosts and bookings as tables: in the options of a site's space, or in a file of their own.

[[sites.perth.space]]
source = "static"
[sites.perth.space.options]
file = "/etc/fairlead/perth-hosts.toml"  # instead of the tables below: the same tables, without a prefix
longest = "7d"                           # the longest booking (any)
furthest = "90d"                         # how far ahead of now one may end (any)
step = "1h"                              # starts and ends lie on multiples of it (1 min)

[[sites.perth.space.options.hosts]]
name = "gpu"             # required; with a count, the hosts are gpu-1, gpu-2, ...
count = 4                # (1)
cores = 64               # required
memory = "512 GiB"       # required
disk = "2 TiB"           # (none)
gpus = 4                 # (none)
properties = { gpu = "True", zone = "az1" }
bookable = true          # false: broken, or not for booking (true)

[[sites.perth.space.options.bookings]]
start = 2026-12-01T08:00:00Z
end = 2026-12-02T08:00:00Z   # left out: until further notice
every = "7d"                 # again after so long, for ever (once)
host = "gpu-2"               # left out: every host
cores = 16                   # without cores, memory, disk and gpus the whole host is taken
memory = "64 GiB"
name = "maintenance"         # what people may know of it
holder = "operations"
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from federation.errors import InputError
from federation.sites import Site, Space
from federation.toml_lines import read_toml
from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Host, Rules, Taken
from reservations.tables import Table

# any number that no site reaches, so that a slip ("count = 100000000") is told and not counted
MOST_HOSTS = 100_000


@dataclass(frozen=True)
class Repeated:
    """What is taken, the first time, and again after `every` (None: once)."""

    first: Taken
    every: timedelta | None

    def within(self, start: datetime, end: datetime) -> Iterator[Taken]:
        """Each time that overlaps [start, end)."""
        first = self.first
        if self.every is None or first.end is None:
            if first.start < end and (first.end is None or start < first.end):
                yield first
            return
        number = max(0, (start - first.end) // self.every + 1)
        while (shift := number * self.every) + first.start < end:
            booking = f"{first.booking}-{number}"
            yield replace(first, start=first.start + shift, end=first.end + shift, booking=booking)
            number += 1


Inventory = tuple[tuple[Host, ...], tuple[Repeated, ...], Rules]


def read_inventory(site: Site, space: Space) -> Inventory | None:
    """What the options say, None where they name no hosts. Raises InputError with the table and the key."""
    options = Table(space.options, f"[sites.{site.id}.space.options]")
    file = options.path("file", None)
    if file is not None:
        text_and_values = read_toml(file, "the file of hosts")
        tables = Table(text_and_values[1], str(file))
        for key in ("hosts", "bookings"):
            if key in options:
                raise InputError(f"{options.where}: expected either file or {key}, got both")
    else:
        tables = options
    rules = Rules(
        step=options.duration("step", timedelta(minutes=1)),
        longest=options.duration("longest", None),
        furthest=options.duration("furthest", None),
    )
    hosts = _unique(host for table in tables.tables("hosts") for host in _hosts(table))
    taken = tuple(
        part
        for number, table in enumerate(tables.tables("bookings"))
        for part in _booking(table, hosts, f"operator-{number}")
    )
    tables.end()
    options.end()
    if not hosts and (file is not None or "hosts" in options or "bookings" in options):
        raise InputError(f"{tables.where}.hosts: expected at least one host, got none")
    return (tuple(hosts.values()), taken, rules) if hosts else None


def _unique(hosts: Iterator[tuple[str, Host]]) -> dict[str, Host]:
    found: dict[str, Host] = {}
    for where, host in hosts:
        if host.name in found:
            raise InputError(f"{where}.name: expected a name of one host alone, got {host.name!r} again")
        if len(found) >= MOST_HOSTS:
            raise InputError(f"{where}.count: expected at most {MOST_HOSTS} hosts in all")
        found[host.name] = host
    return found


def _hosts(table: Table) -> Iterator[tuple[str, Host]]:
    name, count = table.text("name"), table.whole("count", 1, least=1)
    amounts = {
        VCPU: table.whole("cores", least=1),
        MEMORY_MB: table.size_bytes("memory") >> 20,
        DISK_GB: table.size_bytes("disk", 0) >> 30,
        PGPU: table.whole("gpus", 0),
    }
    properties, bookable = table.texts("properties", {}), table.truth("bookable", True)
    numbered = "count" in table
    table.end()
    for number in range(1, count + 1):
        own = f"{name}-{number}" if numbered else name
        yield table.where, Host(own, own, amounts, properties, bookable=bookable)


def _booking(table: Table, hosts: dict[str, Host], booking: str) -> Iterator[Repeated]:
    start, end, host = table.instant("start"), table.instant("end", None), table.text("host", None)
    amounts = {
        VCPU: table.whole("cores", 0),
        MEMORY_MB: table.size_bytes("memory", 0) >> 20,
        DISK_GB: table.size_bytes("disk", 0) >> 30,
        PGPU: table.whole("gpus", 0),
    }
    part = any(key in table for key in ("cores", "memory", "disk", "gpus"))
    name, holder = table.text("name", None), table.text("holder", None)
    every = table.duration("every", None)
    table.end()
    if end is not None and end <= start:
        raise InputError(
            f"{table.where}: expected an end after the start {start.isoformat()}, got {end.isoformat()}"
        )
    if every is not None and (end is None or every < end - start):
        raise InputError(f"{table.where}.every: expected an end, and at least the time from start to end")
    if host is not None and host not in hosts:
        known = ", ".join(list(hosts)[:8]) + (", ..." if len(hosts) > 8 else "")
        raise InputError(f"{table.where}.host: expected one of {known or 'no hosts'}, got {host!r}")
    for each in hosts if host is None else (host,):
        yield Repeated(Taken(each, start, end, amounts if part else None, booking, name, holder), every)
