"""What Blazar sends to an external enforcement service, read into what a lease takes and when.

Shapes as Blazar 17 and 18 send them: `context`, `lease` with `reservations`, each with the hosts in
`allocations`. Blazar keeps one list of hosts for each type of reservation: where a lease has several of one
type, all of them carry the hosts of the last. Instants are in UTC without an offset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Amounts, Need

# what a flavour takes, by its id; None: nobody knows
FlavourSizes = Callable[[str], Amounts | None]
HOST = "HOST"
# so many units that each take these amounts
Units = tuple[int, Amounts]


class BodyError(Exception):
    """What was sent is nothing that Blazar sends; the text says what was expected."""


class UnpriceableError(Exception):
    """What a lease takes can't be told; the text is for its user."""


@dataclass(frozen=True)
class Asked:
    """A lease as it is asked for, or as it is. `need` is for words: its unit is the largest of the lease.

    `amounts` is all that it takes. `lease` is Blazar's id, None before there is one.
    """

    project: str
    name: str
    start: datetime
    end: datetime
    amounts: Amounts
    need: Need
    noun: str
    lease: str | None = None


def read_lease(
    document: Mapping[str, Any], project: str, sizes: FlavourSizes, gpu_property: str | None = None
) -> Asked:
    """One lease. `gpu_property`: the capability of hosts that counts their GPUs.

    Raises BodyError, and UnpriceableError for a flavour of unknown size or hosts that there are not.
    """
    reservations = _list(document, "reservations")
    kinds = Counter(str(each.get("resource_type")) for each in reservations)
    parts = [_part(each, kinds[str(each.get("resource_type"))], sizes, gpu_property) for each in reservations]
    total: Counter[str] = Counter()
    for part in parts:
        for count, amounts in part:
            total.update({name: count * amount for name, amount in amounts.items()})
    only = parts[0] if len(parts) == 1 else []
    largest = (
        {name: max(amounts.get(name, 0) for _, amounts in only) for name in total} if only else dict(total)
    )
    noun = {"physical:host": "host"}.get(next(iter(kinds), ""), "instance") if len(parts) == 1 else "lease"
    start, end = read_instant(document, "start_date"), read_instant(document, "end_date")
    if end <= start:
        raise BodyError("lease.end_date: expected an instant after start_date")
    return Asked(
        project=project,
        name=str(document.get("name", ""))[:255],
        start=start,
        end=end,
        amounts=dict(total),
        need=Need(largest, max(sum(count for count, _ in only), 1)),
        noun=noun,
        lease=None if document.get("id") is None else str(document["id"]),
    )


def read_project(body: Any) -> str:
    """Whose lease it is. Raises BodyError."""
    project = _mapping(_mapping(body, "body").get("context"), "context").get("project_id")
    if not isinstance(project, str) or not 0 < len(project) <= 64:
        raise BodyError("context.project_id: expected a project's id")
    return project


def read_part(body: Any, key: str) -> Mapping[str, Any]:
    """The object under `key`. Raises BodyError."""
    return _mapping(_mapping(body, "body").get(key), key)


def changed(current: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A lease after an update: what the update doesn't name stays, of each reservation, too."""
    known = {each.get("id"): each for each in _list(current, "reservations")}
    new = {each.get("id"): each for each in _list(values, "reservations")} if "reservations" in values else {}
    merged: list[Mapping[str, Any]] = [{**each, **new.get(number, {})} for number, each in known.items()]
    merged += [each for number, each in new.items() if number not in known]
    return {**current, **values, "reservations": merged}


def _part(
    reservation: Mapping[str, Any], alike: int, sizes: FlavourSizes, gpu_property: str | None
) -> list[Units]:
    """What the units of a reservation take."""
    kind = str(reservation.get("resource_type"))
    if kind == "physical:host":
        return _hosts(reservation, alike, gpu_property)
    units = _whole(reservation, "amount", 1)
    if kind in ("virtual:instance", "flavor:instance"):
        return [(units, _instance(reservation, sizes))]
    return [(units, {kind.upper().replace(":", "_"): 1})]


def _hosts(reservation: Mapping[str, Any], alike: int, gpu_property: str | None) -> list[Units]:
    given = [_host(each, gpu_property) for each in _list(reservation, "allocations")]
    least, most = _whole(reservation, "min", 1), _whole(reservation, "max", 1)
    if not given:
        raise UnpriceableError(
            f"not enough hosts are free for the whole of this lease (asked for: at least {least}); "
            "this is not about credits, and none were taken"
        )
    if alike == 1:
        return [(1, host) for host in given]
    # whose hosts these are can't be told: as many as may be, as large as the largest
    largest = {name: max(host.get(name, 0) for host in given) for name in given[0]}
    return [(most, largest)]


def _host(host: Mapping[str, Any], gpu_property: str | None) -> Amounts:
    amounts = {
        HOST: 1,
        VCPU: _whole(host, "vcpus", 0),
        MEMORY_MB: _whole(host, "memory_mb", 0),
        DISK_GB: _whole(host, "local_gb", 0),
    }
    count = str(host.get(gpu_property, "")) if gpu_property is not None else ""
    return {**amounts, PGPU: int(count)} if count.isdecimal() else amounts


def _instance(reservation: Mapping[str, Any], sizes: FlavourSizes) -> Amounts:
    if reservation.get("vcpus") is not None:
        return {
            VCPU: _whole(reservation, "vcpus", 0),
            MEMORY_MB: _whole(reservation, "memory_mb", 0),
            DISK_GB: _whole(reservation, "disk_gb", 0),
        }
    flavour = str(reservation.get("flavor_id"))
    found = sizes(flavour)
    if found is None:
        raise UnpriceableError(
            f"the credit service doesn't know how large the flavour {flavour!r} is: "
            "its operator can say it with `fairlead credits flavour`"
        )
    return found


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BodyError(f"{where}: expected an object")
    return value


def _list(document: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    value = document.get(key)
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise BodyError(f"{key}: expected a list of objects")
    return value


def _whole(document: Mapping[str, Any], key: str, default: int) -> int:
    value = document.get(key, default)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise BodyError(f"{key}: expected a whole number") from None
    if not 0 <= number <= 10**9:
        raise BodyError(f"{key}: expected a whole number of at least 0")
    return number


def read_instant(document: Mapping[str, Any], key: str) -> datetime:
    try:
        found = datetime.fromisoformat(str(document.get(key)))
    except ValueError:
        raise BodyError(f"{key}: expected an instant such as 2026-11-23T17:27:00") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
