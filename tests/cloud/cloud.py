"""A real cloud on loopback: Keystone, Nova on its fake hypervisor, Placement and Blazar.

`Cloud.up` brings it up, a test works with it by openstacksdk or by what it tests, and `down` ends it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openstack
import yaml

from tests.cloud import boot, cleanup, databases, neighbours, ports, seeding, tls
from tests.cloud.configuration import Configuration, Options
from tests.cloud.environment import CLOUD
from tests.cloud.processes import CloudError, Processes

__all__ = ["Cloud", "CloudError"]

# what a member needs to see when space is free, and doesn't by Blazar's own policy
OPEN_CALENDAR = (
    "blazar:oshosts:get",
    "blazar:oshosts:get_allocations",
    "blazar:oshosts:get_resource_properties",
)


class Cloud:
    """A cloud that is up. Everything that a test changes by these methods is undone by `clean`."""

    def __init__(
        self,
        processes: Processes,
        configuration: Configuration,
        hosts: Sequence[seeding.Host],
        held: list[Any],
    ) -> None:
        self._processes = processes
        self._configuration = configuration
        self._held = held
        self._changed: dict[str, Options] = {}
        self._stopped: set[str] = set()
        # what was connected to it, and isn't closed yet
        self._connections = ExitStack()
        self.directory = configuration.directory
        self.hosts = tuple(hosts)
        self.clouds_yaml = Path()
        self.projects: dict[str, str] = {}
        self.up_seconds = 0.0

    @classmethod
    def up(cls, directory: Path | None = None, hosts: Sequence[seeding.Host] = seeding.HOSTS) -> Cloud:
        """Bring up a cloud, in an empty directory of its own.

        Raises:
            CannotInstallError: its Python packages can't be had.
            CloudError: a part of it doesn't come up; the logs are left in the directory.
        """
        with CLOUD.locked() as lock:
            python = CLOUD.made(lock)
            template = databases.template(python)
        started = time.monotonic()
        directory = directory or Path(tempfile.mkdtemp(prefix="fairlead-cloud-"))
        claim = ports.claim()
        processes = Processes(directory)
        configuration = Configuration(directory, python, claim.first)
        cloud = cls(processes, configuration, hosts, [claim, neighbours.serve(configuration.neighbours_port)])
        try:
            cloud.clouds_yaml, cloud.projects = boot.services(processes, configuration, template, cloud.hosts)
        except BaseException:
            cloud.down(keep_logs=True)
            raise
        cloud.up_seconds = time.monotonic() - started
        return cloud

    def down(self, *, keep_logs: bool = False) -> None:
        """End it and remove its directory, but for the logs where they are asked for; may be called again."""
        self._connections.close()
        self._processes.end()
        while self._held:
            held = self._held.pop()
            if isinstance(held, ports.Claim):
                held.release()
            else:
                held.shutdown()
                held.server_close()
        if not keep_logs:
            shutil.rmtree(self.directory, ignore_errors=True)

    # Who and where

    @property
    def auth_url(self) -> str:
        return self._configuration.url("keystone")

    def endpoint(self, service_type: str) -> str:
        """The URL of `identity`, `compute`, `placement` or `reservation`."""
        return self._configuration.url(seeding.SERVICES[service_type][1])

    def connect(self, name: str = "admin", **settings: Any) -> openstack.connection.Connection:
        """A new connection by an entry of `clouds_yaml` (`seeding.CLOUDS` has them). It is closed with the
        `connections` that it is one of, else with the cloud."""
        return self._connections.enter_context(seeding.connect(self.clouds_yaml, name, **settings))

    @contextmanager
    def connections(self) -> Iterator[None]:
        """What is connected in the block is closed at its end."""
        before, self._connections = self._connections, ExitStack()
        try:
            yield
        finally:
            self._connections.close()
            self._connections = before

    @cached_property
    def _operator(self) -> openstack.connection.Connection:
        return self.connect()

    # What an operator may set

    def open_calendar(self, is_open: bool = True) -> None:
        """Let every member of a project see hosts and allocations, or administrators alone as Blazar has it.

        Blazar reads the policy again at its next request.
        """
        rule = "role:reader or role:member or role:admin"
        policy = dict.fromkeys(OPEN_CALENDAR, rule) if is_open else {}
        self._configuration.policy.write_text(yaml.safe_dump(policy))

    def keep_from_blazar(self, host: str) -> None:
        """Let servers without a reservation have that host, too."""
        [found] = [
            each
            for each in self._operator.reservation.get("/os-hosts").json()["hosts"]
            if each["hypervisor_hostname"] == host
        ]
        self._operator.reservation.delete(f"/os-hosts/{found['id']}").raise_for_status()

    def configure(self, service: str, options: Options) -> None:
        """Restart a service (a name of `boot.FILES`) with options that go before its own; {} undoes that."""
        self._configuration.write(boot.FILES[service], options)
        self._changed[service] = options
        if not options:
            del self._changed[service]
        self.stop(service)
        self.start(service)

    def enforce(
        self,
        *,
        external_service: str | None = None,
        token: str | None = None,
        max_lease_seconds: int | None = None,
    ) -> None:
        """Have Blazar ask a service of credits (its base URL), and refuse long leases; none undoes that."""
        filters, options = [], {}
        if max_lease_seconds is not None:
            filters.append("MaxLeaseDurationFilter")
            options["max_lease_duration"] = str(max_lease_seconds)
        if external_service is not None:
            filters.append("ExternalServiceFilter")
            options["external_service_base_endpoint"] = external_service
        if token is not None:
            options["external_service_token"] = token
        enforcement = {"enabled_filters": ",".join(filters), **options}
        self.configure("blazar-manager", {"enforcement": enforcement} if filters else {})

    # When something fails

    def stop(self, service: str) -> None:
        """End one service: one of `boot.FILES`, or `nova-compute-<host>`."""
        self._stopped.add(service)
        self._processes.stop(service, patience_seconds=3)

    def start(self, service: str) -> None:
        """Start a stopped service again, and wait until it answers."""
        host = next((host for host in self.hosts if boot.compute_name(host.name) == service), None)
        if host is not None:
            boot.start_compute(self._processes, self._configuration, host)
        else:
            boot.start(self._processes, self._configuration, service)
        if service in boot.APPLICATIONS:
            self._processes.wait_for_port(service, self._configuration.port(service))
        elif service == "blazar-manager":
            cleanup.wait_for_manager(self._operator)
        self._stopped.discard(service)

    @contextmanager
    def tls(self, service_type: str) -> Iterator[tls.Front]:
        """The endpoint of a service at an `https` URL, with a certificate that nobody trusts yet."""
        endpoint = urlsplit(self.endpoint(service_type))
        assert endpoint.port is not None
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        with tls.proxy(endpoint.port, directory) as front:
            yield replace(front, url=front.url + endpoint.path)

    def clean(self) -> None:
        """As at the start: services with their own settings, no lease, no server, first quotas, all hosts.

        Raises:
            CloudError: a lease or a server can't be got rid of.
        """
        for service in list(self._changed):
            self._configuration.write(boot.FILES[service])
            del self._changed[service]
            if service not in self._stopped:
                self.stop(service)
        for service in list(self._stopped):
            self.start(service)
        if self._configuration.policy.read_text() not in ("", "{}\n"):
            self.open_calendar(False)
        cleanup.clear(self._operator, self.hosts, self.projects.values())
