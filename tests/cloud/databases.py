"""MariaDB with the tables of all services: made once by their own migrations, and copied for every cloud."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cloud import environment, ports
from tests.cloud.configuration import PASSWORD, Configuration
from tests.cloud.processes import Processes
from tests.tool_environments import digest

NAMES = ("keystone", "placement", "nova_api", "nova_cell0", "nova_cell1", "blazar")
# made by the migrations, and needed by every cloud
KEPT = ("mariadb", "fernet", "credential")


def _me() -> str:
    """The user that all of this runs as."""
    return pwd.getpwuid(os.geteuid()).pw_name


def start(processes: Processes, configuration: Configuration) -> None:
    """Start MariaDB on its data directory. It doesn't wait for the disk: nobody needs its data tomorrow."""
    data = configuration.state / "mariadb"
    settings = {
        "datadir": data,
        "socket": data / "socket",
        "pid-file": data / "pid",
        "bind-address": "127.0.0.1",
        "port": configuration.database_port,
        "max-connections": 300,
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-doublewrite": 0,
        "innodb-flush-method": "nosync",
        "innodb-buffer-pool-size": "128M",
        "innodb-log-file-size": "48M",
        "performance-schema": "OFF",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    flags = ["--no-defaults", f"--user={_me()}", "--skip-log-bin", "--skip-name-resolve"]
    processes.start("mariadb", [environment.MARIADB, *flags, *options])
    processes.wait_for_port("mariadb", configuration.database_port)


def _create(processes: Processes, configuration: Configuration) -> None:
    data = configuration.state / "mariadb"
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    processes.run(
        "mariadb-install-db", [*install, "--auth-root-authentication-method=normal", f"--user={_me()}"]
    )
    start(processes, configuration)
    statements = [f"create database {name} character set utf8mb3;" for name in NAMES]
    statements.append(
        f"create user cloud@127.0.0.1 identified by '{PASSWORD}'; grant all on *.* to cloud@127.0.0.1;"
    )
    client = ["mariadb", "--no-defaults", f"--socket={data / 'socket'}", "--user=root"]
    processes.run("mariadb-create", [*client, "-e", "".join(statements)])


def _migrate(processes: Processes, configuration: Configuration) -> None:
    def run(program: str, file: str, *commands: list[str]) -> None:
        manage = [str(configuration.program(program)), "--config-file", str(configuration.etc / file)]
        for command in commands:
            processes.run(program, [*manage, *command])

    (configuration.state / "fernet").mkdir(mode=0o700)
    (configuration.state / "credential").mkdir(mode=0o700)
    owner = ["--keystone-user", _me(), "--keystone-group", grp.getgrgid(os.getegid()).gr_name]
    # a cell's record names no port: Nova fills it in from what is configured
    address = "{scheme}://{username}:{password}@{hostname}:{port}/"
    cell0 = ["cell_v2", "map_cell0", "--database_connection", address + "nova_cell0?{query}"]
    cell1 = ["cell_v2", "create_cell", "--name", "cell1", "--transport-url", address]
    cell1 += ["--database_connection", address + "nova_cell1?{query}"]
    with ThreadPoolExecutor() as pool:
        for job in [
            pool.submit(
                run,
                "keystone-manage",
                "keystone.conf",
                ["db_sync"],
                ["fernet_setup", *owner],
                ["credential_setup", *owner],
                ["bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "RegionOne"],
            ),
            pool.submit(run, "placement-manage", "placement.conf", ["db", "sync"]),
            pool.submit(run, "blazar-db-manage", "blazar.conf", ["upgrade", "head"]),
            pool.submit(run, "nova-manage", "nova.conf", ["api_db", "sync"], cell0, ["db", "sync"], cell1),
        ]:
            job.result()


def template(python: Path) -> Path:
    """The directory to copy into a cloud's state, made where it is missing; call it `CLOUD.locked`.

    Raises:
        CloudError: a migration failed.
    """
    version = subprocess.run([environment.MARIADB, "--version"], capture_output=True, check=True).stdout
    made_from = (environment.CLOUD.requirements.read_bytes(), Path(__file__).read_bytes(), version)
    ready = environment.CLOUD.home / f"databases-{digest(*made_from)}"
    if ready.is_dir():
        return ready
    for other in environment.CLOUD.home.glob("databases-*"):
        shutil.rmtree(other)
    directory = Path(tempfile.mkdtemp(prefix="fairlead-cloud-"))
    claim = ports.claim()
    processes = Processes(directory)
    try:
        configuration = Configuration(directory, python, claim.first)
        for name in ("keystone.conf", "placement.conf", "blazar.conf", "nova.conf"):
            configuration.write(name)
        _create(processes, configuration)
        _migrate(processes, configuration)
        # in good order: the files are copied
        processes.stop("mariadb", patience_seconds=60)
        making = ready.with_name(f"making-{ready.name}")
        shutil.rmtree(making, ignore_errors=True)
        for name in KEPT:
            shutil.copytree(configuration.state / name, making / name)
        making.rename(ready)
    finally:
        processes.end()
        claim.release()
        shutil.rmtree(directory, ignore_errors=True)
    return ready
