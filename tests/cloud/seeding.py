"""What a cloud has from its start: hosts, accounts, projects, the catalogue of services, flavours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openstack
import yaml

from tests.cloud.configuration import PASSWORD, Configuration
from tests.cloud.processes import CloudError

# service type -> its name, and which process answers for it
SERVICES = {
    "identity": ("keystone", "keystone"),
    "compute": ("nova", "nova-api"),
    "placement": ("placement", "placement"),
    "reservation": ("blazar", "blazar-api"),
}
PROJECTS = ("astro", "solar")
# (user, project, role)
GRANTS = (
    ("alice", "astro", "member"),
    ("alice", "solar", "member"),
    ("bob", "solar", "member"),
    ("rita", "astro", "reader"),
)
# the name in clouds.yaml -> (user, project)
CLOUDS = {
    "admin": ("admin", "admin"),
    "member": ("alice", "astro"),
    "member-solar": ("alice", "solar"),
    "other": ("bob", "solar"),
    "reader": ("rita", "astro"),
}


@dataclass(frozen=True)
class Host:
    """A compute host, and what Blazar is told of it beyond that (`capabilities`)."""

    name: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    inventory: Mapping[str, int] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    capabilities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flavor:
    """A flavour; its id is its name."""

    name: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    extra: Mapping[str, str] = field(default_factory=dict)


HOSTS = (
    Host("cpu1", 16, 65536, 1000, capabilities={"gpu": "False", "zone": "az1"}),
    Host("cpu2", 16, 65536, 1000, capabilities={"gpu": "False", "zone": "az1"}),
    Host(
        "gpu1",
        32,
        262144,
        2000,
        inventory={"PGPU": 4},
        traits=("CUSTOM_GPU_A100",),
        capabilities={"gpu": "True", "gpu_model": "A100", "zone": "az2"},
    ),
)
FLAVORS = (
    Flavor("small", 1, 2048, 10),
    Flavor("large", 4, 8192, 40),
    Flavor("gpu", 8, 32768, 100, {"resources:PGPU": "1"}),
)


def clouds_yaml(configuration: Configuration) -> Path:
    """Write the file by which a client finds the cloud, by each of its accounts."""
    clouds = {}
    for name, (user, project) in CLOUDS.items():
        names = {"username": user, "project_name": project}
        domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
        clouds[name] = {
            "auth": {"auth_url": configuration.url("keystone"), "password": PASSWORD, **names, **domains},
            "region_name": "RegionOne",
            # Blazar's v2 is announced, but its leases can't be read
            "reservation_api_version": "1",
        }
    path = configuration.directory / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": clouds}))
    return path


def connect(clouds: Path, name: str, **settings: Any) -> openstack.connection.Connection:
    """A connection by one entry of a clouds.yaml, whatever the environment says of other clouds; for the
    caller to close."""
    config = openstack.config.OpenStackConfig(config_files=[str(clouds)], secure_files=[], load_envvars=False)
    connection = openstack.connection.Connection(config=config.get_one(cloud=name, **settings))
    # else `close` doesn't know of the session by which its services ask
    assert connection.session is not None
    return connection


def identity(admin: openstack.connection.Connection, configuration: Configuration) -> dict[str, str]:
    """Make accounts and catalogue; the ids of the projects by name."""
    # its type is that of either version of the API
    keystone: Any = admin.identity
    roles = {role.name: role for role in keystone.roles()}
    domain = "default"
    projects = {name: keystone.create_project(name=name, domain_id=domain) for name in ("service", *PROJECTS)}

    def user(name: str) -> Any:
        return keystone.create_user(name=name, domain_id=domain, password=PASSWORD)

    for name in ("nova", "placement", "blazar"):
        account = user(name)
        for role in ("admin", "service"):
            keystone.assign_project_role_to_user(projects["service"], account, roles[role])
    users = {name: user(name) for name in sorted({grant[0] for grant in GRANTS})}
    for name, project, role in GRANTS:
        keystone.assign_project_role_to_user(projects[project], users[name], roles[role])
    neighbours = f"http://127.0.0.1:{configuration.neighbours_port}"
    urls = {kind: (name, configuration.url(process)) for kind, (name, process) in SERVICES.items()}
    urls |= {"image": ("glance", neighbours), "network": ("neutron", f"{neighbours}/network")}
    for kind, (name, url) in urls.items():
        service = keystone.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            keystone.create_endpoint(
                service_id=service.id, interface=interface, url=url, region_id="RegionOne"
            )
    return {name: project.id for name, project in projects.items() if name in PROJECTS}


def compute(
    admin: openstack.connection.Connection,
    hosts: tuple[Host, ...],
    still_run: Callable[[], None],
    *,
    timeout_seconds: float = 300,
) -> None:
    """Wait for the hosts, and make the flavours and the aggregate in which Blazar keeps what it may lend.

    Raises:
        CloudError: a host didn't come, or what they need doesn't `still_run`.
    """
    admin.compute.create_aggregate(name="freepool")
    for flavor in FLAVORS:
        sizes = {"vcpus": flavor.vcpus, "ram": flavor.memory_mb, "disk": flavor.disk_gb}
        made = admin.compute.create_flavor(name=flavor.name, id=flavor.name, **sizes)
        if flavor.extra:
            admin.compute.create_flavor_extra_specs(made, dict(flavor.extra))
    deadline = time.monotonic() + timeout_seconds
    while missing := {host.name for host in hosts if not _is_here(admin, host)}:
        still_run()
        if time.monotonic() > deadline:
            raise CloudError(f"compute hosts that didn't come: {', '.join(sorted(missing))}")
        time.sleep(0.1)


def _is_here(admin: openstack.connection.Connection, host: Host) -> bool:
    """Whether Nova lists it, and has told Placement what it has, which it does some time after: Blazar takes
    no host that isn't there, and reads then what it has."""
    found = admin.placement.get(f"/resource_providers?name={host.name}").json()["resource_providers"]
    if not found or host.name not in {node.name for node in admin.compute.hypervisors()}:
        return False
    told = admin.placement.get(f"/resource_providers/{found[0]['uuid']}/inventories").json()
    return {"VCPU", *host.inventory} <= set(told["inventories"])


def lendable(admin: openstack.connection.Connection, hosts: tuple[Host, ...]) -> None:
    """Give Blazar the hosts that it hasn't."""
    have = {host["hypervisor_hostname"] for host in admin.reservation.get("/os-hosts").json()["hosts"]}
    for host in hosts:
        if host.name not in have:
            answer = admin.reservation.post("/os-hosts", json={"name": host.name, **host.capabilities})
            if answer.status_code != 201:
                raise CloudError(f"Blazar doesn't take the host {host.name}: {answer.text}")
