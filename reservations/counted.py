"""A source's machines, each counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reservations.asking import PARTS
from reservations.calendar import Calendar, Host, Sight


def counted(calendars: Sequence[Calendar]) -> Calendar | None:
    """One calendar for all machines of a source: of several ways to book the same machines the one that shows
    most, parts of hosts before whole ones; where each has machines of its own (partitions), all together.
    None where no bookings are shown.
    """
    seen = [one for one in calendars if one.sight is not Sight.NONE and one.hosts]
    if not seen:
        return None
    telling = min(seen, key=lambda one: one.kind not in PARTS)
    known = {host.id: host.bookable for host in telling.hosts}
    if all(host.id in known and known[host.id] >= host.bookable for one in seen for host in one.hosts):
        return telling
    hosts: dict[str, Host] = {}
    for host in (host for one in seen for host in one.hosts):
        before = hosts.get(host.id)
        hosts[host.id] = replace(host, bookable=host.bookable or (before is not None and before.bookable))
    taken = {(part.host, part.start, part.end, part.booking): part for one in seen for part in one.taken}
    return replace(
        telling,
        kind=telling.source,
        hosts=tuple(hosts.values()),
        taken=tuple(taken.values()),
        until=min(one.until for one in seen),
        sight=Sight.OWN if any(one.sight is Sight.OWN for one in seen) else Sight.ALL,
        remarks=tuple(dict.fromkeys(text for one in seen for text in one.remarks)),
    )
