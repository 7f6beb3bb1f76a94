"""Questions as people write them: what is needed, for how long, and in which range of time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from federation.errors import InputError
from federation.units import parse_duration, parse_instant, parse_size_bytes
from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Need, Spread
from reservations.properties import parse_expression

# cores, GPUs, hosts, units
MOST_OF_ANYTHING = 1_000_000
# of memory or disk, all units together, in MiB or GiB; calendars count in 64 bits
MOST_OF_A_SIZE = 1 << 50
FURTHEST = timedelta(days=36_525)
# how what is asked for is called where it is asked: an option of a command, a field of a form
Named = Callable[[str], str]


def as_option(name: str) -> str:
    """As the command line has it."""
    return f"--{name}"


def read_need(
    cores: int | None,
    memory: str | None,
    disk: str | None,
    gpu: int | None,
    hosts: int | None,
    instances: int | None,
    flavour: str | None,
    spread: str,
    properties: str,
    named: Named = as_option,
) -> Need:
    """What is asked for as a need. Raises InputError for what doesn't go together, for nothing at all, and
    for more than there is anywhere."""
    for name, count in (("cores", cores), ("gpu", gpu), ("hosts", hosts), ("instances", instances)):
        if count is not None and not 1 <= count <= MOST_OF_ANYTHING:
            expected = f"a whole number from 1 to {MOST_OF_ANYTHING}"
            raise InputError(f"{named(name)}: expected {expected}, got {count}")
    if hosts is not None and (instances is not None or flavour is not None):
        raise InputError(
            f"{named('hosts')} is whole machines: "
            f"expected it without {named('instances')} and {named('flavour')}"
        )
    if flavour is not None and any(each is not None for each in (cores, memory, disk, gpu)):
        sizes = ", ".join(named(each) for each in ("cores", "memory", "disk", "gpu"))
        raise InputError(f"{named('flavour')} says what a unit has: expected it without {sizes}")
    if spread not in list(Spread):
        raise InputError(f"{named('spread')}: expected one of {', '.join(Spread)}, got {spread!r}")
    amounts = {VCPU: cores, PGPU: gpu}
    for what, name, text, size in (
        ("memory", MEMORY_MB, memory, 1 << 20),
        ("disk", DISK_GB, disk, 1 << 30),
    ):
        if text is not None:
            try:
                amount = -(-parse_size_bytes(text) // size)
            except InputError as error:
                raise InputError(f"{named(what)}: {error}") from None
            if amount * (hosts or instances or 1) > MOST_OF_A_SIZE:
                raise InputError(f"{named(what)}: expected less, got {text!r}")
            amounts[name] = amount
    asked_for = {name: amount for name, amount in amounts.items() if amount}
    if not asked_for and hosts is None and flavour is None:
        *most, last = [named(each) for each in ("cores", "memory", "gpu", "flavour", "hosts")]
        raise InputError(f"nothing is asked for: expected {', '.join(most)} or {last}")
    return Need(
        asked_for,
        units=hosts or instances or 1,
        whole_hosts=hosts is not None,
        spread=Spread(spread),
        properties=parse_expression(properties, named("properties")),
        flavour=flavour,
    )


def read_range(
    duration: str,
    after: str,
    before: str,
    now: datetime,
    named: Named = as_option,
    furthest: timedelta = FURTHEST,
) -> tuple[timedelta, datetime, datetime]:
    """How long, and the range of starts, all of it within `furthest` from now. Raises InputError that names
    what is wrong."""

    def read(name: str, text: str) -> datetime:
        try:
            return parse_instant(text, now)
        except InputError as error:
            raise InputError(f"{named(name)}: {error}") from None

    try:
        length = parse_duration(duration)
    except InputError as error:
        raise InputError(f"{named('for')}: {error}") from None
    if length <= timedelta(0):
        raise InputError(f"{named('for')}: expected more than nothing, got {duration!r}")
    first, last = read("after", after), read("before", before)
    first = max(first, now)
    if last < first:
        raise InputError(
            f"{named('before')}: expected an instant after {first:%Y-%m-%d %H:%M} UTC, got {before!r}"
        )
    if length > furthest or last - now > furthest - length:
        late = named("for" if length > furthest else "before")
        raise InputError(f"{late}: expected an end within {furthest.days} days from now")
    return length, first, last
