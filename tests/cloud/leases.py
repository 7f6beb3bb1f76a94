"""Leases as Blazar's API takes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import openstack

FORMAT = "%Y-%m-%d %H:%M"


def hours_from_now(hours: float) -> str:
    """A time as Blazar reads it."""
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime(FORMAT)


def between_hours(first: float, last: float) -> dict[str, str]:
    """When a lease starts and ends, `last - first` hours apart: of two looks at the clock a minute may lie
    between."""
    now = datetime.now(UTC)
    ends = {"start": first, "end": last}
    return {name: (now + timedelta(hours=hours)).strftime(FORMAT) for name, hours in ends.items()}


def whole_hosts(count: int = 1, properties: str = "") -> dict[str, Any]:
    """A reservation of hosts of their own, with what `properties` asks of them."""
    asked = {"hypervisor_properties": "", "resource_properties": properties}
    return {"resource_type": "physical:host", "min": count, "max": count, **asked}


def instances(
    amount: int, vcpus: int, memory_mb: int, *, disk_gb: int = 10, properties: str = ""
) -> dict[str, Any]:
    """A reservation of room for servers of a size."""
    size = {"vcpus": vcpus, "memory_mb": memory_mb, "disk_gb": disk_gb}
    rest = {"affinity": None, "resource_properties": properties}
    return {"resource_type": "virtual:instance", "amount": amount, **size, **rest}


def flavor(amount: int, flavor_id: str) -> dict[str, Any]:
    """A reservation of room for servers of a flavour."""
    return {"resource_type": "flavor:instance", "amount": amount, "flavor_id": flavor_id, "affinity": None}


def ask(
    connection: openstack.connection.Connection,
    *reservations: dict[str, Any],
    start: str = "now",
    end: str | None = None,
    name: str = "lease",
) -> Any:
    """Ask for a lease, of two hours where no end is given; the answer as it came, whatever it is."""
    dates = {"start_date": start, "end_date": end or hours_from_now(2), "events": []}
    body = {"name": name, **dates, "reservations": list(reservations)}
    return connection.reservation.post("/leases", json=body, raise_exc=False)


def create(
    connection: openstack.connection.Connection, *reservations: dict[str, Any], **dates: str
) -> dict[str, Any]:
    """The lease that was asked for, which Blazar has to give."""
    answer = ask(connection, *reservations, **dates)
    assert answer.status_code == 201, answer.text
    lease: dict[str, Any] = answer.json()["lease"]
    return lease


def wait_until(
    connection: openstack.connection.Connection,
    lease: dict[str, Any],
    status: str,
    *,
    timeout_seconds: float = 300,
) -> dict[str, Any]:
    """The lease once it has a status.

    Raises:
        AssertionError: it goes to ERROR instead, or the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        now: dict[str, Any] = connection.reservation.get(f"/leases/{lease['id']}").json()["lease"]
        if now["status"] == status:
            return now
        assert now["status"] != "ERROR", now
        assert time.monotonic() < deadline, now
        time.sleep(0.1)


def boot(connection: openstack.connection.Connection, flavor_id: str, *, name: str = "server") -> Any:
    """A server on a flavour, once it is ACTIVE or in ERROR."""
    image = "11111111-2222-3333-4444-555555555555"
    server = connection.compute.create_server(name=name, flavor_id=flavor_id, image_id=image, networks="none")
    deadline = time.monotonic() + 300
    while server.status not in ("ACTIVE", "ERROR"):
        assert time.monotonic() < deadline, server
        time.sleep(0.1)
        server = connection.compute.get_server(server)
    return server
