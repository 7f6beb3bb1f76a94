"""Start the services of a cloud. What can be started beside something else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.cloud import databases, environment, seeding
from tests.cloud.configuration import Configuration
from tests.cloud.processes import Processes

INSIDE = Path(__file__).with_name("inside")
# the configuration file that a service reads
FILES = {
    "keystone": "keystone.conf",
    "placement": "placement.conf",
    "nova-api": "nova.conf",
    "nova-conductor": "nova.conf",
    "nova-scheduler": "nova.conf",
    "blazar-manager": "blazar.conf",
    "blazar-api": "blazar.conf",
}
APPLICATIONS = {
    "keystone": "keystone.wsgi.api:application",
    "placement": "placement.wsgi.api:application",
    "nova-api": "nova.wsgi.osapi_compute:application",
    "blazar-api": "blazar.api.wsgi_app:init_app()",
}


def start(processes: Processes, configuration: Configuration, service: str) -> None:
    """Start one of the services in `FILES`; doesn't wait for it."""
    if service in APPLICATIONS:
        etc = str(configuration.etc)
        places = {
            "OS_KEYSTONE_CONFIG_FILES": str(configuration.etc / "keystone.conf"),
            "OS_PLACEMENT_CONFIG_DIR": etc,
            "OS_NOVA_CONFIG_DIR": etc,
            "OS_BLAZAR_CONFIG_DIR": etc,
        }
        serve = [configuration.program("python"), INSIDE / "serve.py"]
        processes.start(service, [*serve, str(configuration.port(service)), APPLICATIONS[service]], places)
        return
    if service == "blazar-manager":
        program = [configuration.program("python"), INSIDE / "blazar_manager.py"]
    else:
        program = [configuration.program(service)]
    processes.start(service, [*program, "--config-file", configuration.etc / FILES[service]])


def compute_name(host: str) -> str:
    return f"nova-compute-{host}"


def start_compute(processes: Processes, configuration: Configuration, host: seeding.Host) -> None:
    """Start one compute host; doesn't wait for it."""
    state = configuration.state / "nova" / host.name
    state.mkdir(parents=True, exist_ok=True)
    own = configuration.etc / f"{compute_name(host.name)}.conf"
    lines = ["[DEFAULT]", f"host = {host.name}", f"state_path = {state}"]
    own.write_text("\n".join([*lines, "[oslo_concurrency]", f"lock_path = {state}/locks", ""]))
    files = ["--config-file", str(configuration.etc / "nova.conf"), "--config-file", str(own)]
    program = [configuration.program("python"), INSIDE / "nova_compute.py"]
    processes.start(compute_name(host.name), [*program, *files], {"CLOUD_HOST": json.dumps(asdict(host))})


def _start_queue(processes: Processes, configuration: Configuration) -> None:
    epmd = str(configuration.epmd_port)
    processes.start("epmd", ["epmd", "-address", "127.0.0.1", "-port", epmd])
    processes.wait_for_port("epmd", configuration.epmd_port)
    state = configuration.state / "rabbitmq"
    state.mkdir()
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    settings: Mapping[str, str] = {
        "HOME": str(state),
        "ERL_EPMD_PORT": epmd,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "cloud@localhost",
        "RABBITMQ_DIST_PORT": str(configuration.erlang_port),
        "RABBITMQ_CONFIG_FILE": str(configuration.etc / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_MNESIA_BASE": str(state),
        "RABBITMQ_LOG_BASE": str(state),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(state / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +S 2:2 +sbwt none",
    }
    processes.start("rabbitmq", [environment.RABBITMQ], settings)


def services(
    processes: Processes, configuration: Configuration, template: Path, hosts: tuple[seeding.Host, ...]
) -> tuple[Path, dict[str, str]]:
    """Start and fill everything; the clouds.yaml, and the ids of the projects by name.

    Raises:
        CloudError: a service doesn't come up; says which, with the end of its log.
    """
    for name in ("rabbitmq.conf", *sorted(set(FILES.values()))):
        configuration.write(name)
    shutil.copy(configuration.environment / "etc" / "nova" / "api-paste.ini", configuration.etc)
    configuration.policy.touch()
    clouds = seeding.clouds_yaml(configuration)
    _start_queue(processes, configuration)
    shutil.copytree(template, configuration.state, dirs_exist_ok=True)
    databases.start(processes, configuration)
    (configuration.state / "nova").mkdir()
    start(processes, configuration, "keystone")

    def seed_identity() -> dict[str, str]:
        processes.wait_for_port("keystone", configuration.port("keystone"))
        url = configuration.url("keystone")
        with seeding.connect(clouds, "admin", identity_endpoint_override=url) as admin:
            return seeding.identity(admin, configuration)

    with ThreadPoolExecutor() as pool:
        identity = pool.submit(seed_identity)
        for service in ("placement", "nova-api"):
            start(processes, configuration, service)
        projects = identity.result()
    # these sign in at their start, and end where they can't; or need a queue
    processes.wait_for_port("rabbitmq", configuration.queue_port)
    for service in ("nova-conductor", "nova-scheduler"):
        start(processes, configuration, service)
    for host in hosts:
        start_compute(processes, configuration, host)
    start(processes, configuration, "blazar-manager")
    start(processes, configuration, "blazar-api")
    for service in ("placement", "nova-api"):
        processes.wait_for_port(service, configuration.port(service))
    with seeding.connect(clouds, "admin") as admin:
        needed = ["nova-conductor", "nova-scheduler", *(compute_name(host.name) for host in hosts)]
        seeding.compute(admin, hosts, lambda: processes.still_run(needed))
        processes.wait_for_port("blazar-api", configuration.port("blazar-api"))
        seeding.lendable(admin, hosts)
    return clouds, projects
