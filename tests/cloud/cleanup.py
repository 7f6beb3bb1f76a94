"""Back to an empty calendar: what tests left in Blazar and Nova is deleted, as an operator would."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import openstack

from tests.cloud import seeding
from tests.cloud.processes import CloudError


def wait_for_manager(admin: openstack.connection.Connection, *, timeout_seconds: float = 300) -> None:
    """Wait until Blazar's manager answers what its API asks.

    Raises:
        CloudError: the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while admin.reservation.get("/leases", raise_exc=False).status_code != 200:
        if time.monotonic() > deadline:
            raise CloudError("blazar-manager doesn't answer")
        time.sleep(0.1)


def clear(
    admin: openstack.connection.Connection,
    hosts: tuple[seeding.Host, ...],
    projects: Iterable[str],
    *,
    timeout_seconds: float = 600,
) -> None:
    """Delete all servers and leases, and put quotas and hosts back.

    Raises:
        CloudError: something is still there when the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    for server in admin.compute.servers(details=False, all_projects=True):
        # one that goes meanwhile is an error where it is forced
        with contextlib.suppress(openstack.exceptions.NotFoundException):
            admin.compute.delete_server(server, force=True)
    while leases := admin.reservation.get("/leases").json()["leases"]:
        for lease in leases:
            # one that is just starting or ending refuses: asked again
            answer = admin.reservation.delete(f"/leases/{lease['id']}", raise_exc=False)
        if time.monotonic() > deadline:
            raise CloudError(f"leases that can't be deleted: {leases}: {answer.text}")
    while left := [server.id for server in admin.compute.servers(details=False, all_projects=True)]:
        if time.monotonic() > deadline:
            raise CloudError(f"servers that can't be deleted: {left}")
        time.sleep(0.1)
    for project in projects:
        admin.compute.delete(f"/os-quota-sets/{project}")
    _restore_hosts(admin, hosts)


def _restore_hosts(admin: openstack.connection.Connection, hosts: tuple[seeding.Host, ...]) -> None:
    known = {host["hypervisor_hostname"]: host for host in admin.reservation.get("/os-hosts").json()["hosts"]}
    for host in hosts:
        now = known.get(host.name)
        wanted = {"reservable": True, **host.capabilities}
        if now is not None and any(now.get(key) != value for key, value in wanted.items()):
            admin.reservation.delete(f"/os-hosts/{now['id']}")
    seeding.lendable(admin, hosts)
