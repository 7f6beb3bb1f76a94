"""A real Slurm on loopback: its own munge, a controller, and some nodes that are all this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

START_SECONDS = 30.0
COMMANDS = ("slurmctld", "slurmd", "munged", "sinfo", "squeue", "scontrol", "sbatch", "scancel")
# each daemon ends with the tests, however they end
_WITH_US = ["setpriv", "--pdeathsig", "TERM"]

CONFIGURATION = """ClusterName=fairlead
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool.%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,bf_continue,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
DefMemPerCPU=500
EnforcePartLimits=ALL
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
{nodes}
PartitionName=batch Nodes=n[1-{count}] Default=YES MaxTime=1-00:00:00 DefaultTime=01:00:00 State=UP
"""
NODE = (
    "NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 Sockets=1 CoresPerSocket=2 "
    "ThreadsPerCore=1 RealMemory=4000 Gres=gpu:a100:2 State=UNKNOWN"
)


@cache
def slurm_is_impossible() -> str | None:
    """Why Slurm can't run here, or None where it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    missing = [command for command in (*COMMANDS, "setpriv") if shutil.which(command) is None]
    return f"Slurm needs the commands {', '.join(missing)}" if missing else None


@dataclass(frozen=True)
class Cluster:
    """A running cluster; commands find it by its configuration file."""

    directory: Path

    @property
    def configuration(self) -> Path:
        return self.directory / "slurm.conf"

    def run(self, *command: str) -> str:
        """What a command of Slurm's prints; it must succeed."""
        done = subprocess.run(
            command,
            env={**os.environ, "SLURM_CONF": str(self.configuration), "TZ": "UTC"},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def submit(self, *options: str) -> str:
        """A job that sleeps until it is cancelled; its number."""
        wanted = ["--parsable", "--output=/dev/null", *options, "--wrap", "exec sleep 300"]
        return self.run("sbatch", *wanted)

    def wait(self, command: Sequence[str], wanted: str) -> None:
        """Until a command prints what is wanted."""
        deadline = time.monotonic() + START_SECONDS
        while (found := self.run(*command)) != wanted:
            assert time.monotonic() < deadline, f"{' '.join(command)}: expected {wanted!r}, got {found!r}"
            time.sleep(0.1)

    def clean(self) -> None:
        """No jobs and no reservations."""
        for line in self.run("scontrol", "--oneliner", "show", "reservation").splitlines():
            if line.startswith("ReservationName="):
                name = line.split()[0].partition("=")[2]
                self.run("scontrol", "delete", f"ReservationName={name}")
        self.run("scancel", "--user=root")
        self.wait(["squeue", "--noheader", "--format=%i"], "")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


@contextlib.contextmanager
def running(count: int = 2) -> Iterator[Cluster]:
    """A cluster of `count` nodes n1, n2, ..., each with 2 CPUs, 4000 MB and 2 GPUs that are files."""
    directory = Path(tempfile.mkdtemp(prefix="fairlead-slurm-"))
    directory.chmod(0o755)
    cluster, host, ports = Cluster(directory), socket.gethostname().split(".")[0], _free_ports(count + 1)
    (directory / "state").mkdir()
    key = directory / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    nodes = [NODE.format(number=n, host=host, port=ports[n]) for n in range(1, count + 1)]
    text = CONFIGURATION.format(
        directory=directory, host=host, ports=ports, nodes="\n".join(nodes), count=count
    )
    cluster.configuration.write_text(text)
    (directory / "gres.conf").write_text("Name=gpu Type=a100 Count=2 File=/dev/null,/dev/zero\n")
    munged = ["munged", "--foreground", f"--socket={directory}/munge.socket", f"--key-file={key}"]
    munged += [f"--{name}-file={directory}/munge.{name}" for name in ("pid", "log", "seed")]
    commands = [munged, ["slurmctld", "-D"], *(["slurmd", "-D", "-N", f"n{n}"] for n in range(1, count + 1))]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        with (directory / "daemons.log").open("wb") as log:
            for command in commands:
                environment = {**os.environ, "SLURM_CONF": str(cluster.configuration)}
                daemons.append(
                    subprocess.Popen([*_WITH_US, *command], stdout=log, stderr=log, env=environment)
                )
                if command is munged:
                    _appears(directory / "munge.socket")
        _idle(cluster)
        yield cluster
    finally:
        # what a job left running would outlive the daemons
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            cluster.clean()
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _appears(path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} doesn't appear"
        time.sleep(0.02)


def _idle(cluster: Cluster) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(AssertionError):
            if set(cluster.run("sinfo", "--noheader", "--format=%t").split()) == {"idle"}:
                return
        logs = "\n".join(path.read_text(errors="replace") for path in cluster.directory.glob("*.log"))
        assert time.monotonic() < deadline, f"Slurm doesn't come up:\n{logs}"
        time.sleep(0.1)
