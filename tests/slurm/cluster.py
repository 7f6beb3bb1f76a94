"""A real Slurm on loopback: its own munge, a controller, and some nodes that are all this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.ports import free_port

START_SECONDS = 90.0
COMMANDS = ("slurmctld", "slurmd", "munged", "sinfo", "squeue", "scontrol", "sbatch", "scancel")
# each daemon ends with the tests, however they end
_WITH_US = ["setpriv", "--pdeathsig", "TERM"]

CONFIGURATION = """ClusterName=fairlead
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
{tokens}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool.%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
ProctrackType=proctrack/{tracking}
TaskPlugin=task/{task}
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
MinJobAge={job_age_seconds}
KillWait=60
SlurmdTimeout=60
{nodes}
PartitionName=batch Nodes={prefix}[1-{count}] Default=YES MaxTime=1-00:00:00 DefaultTime=01:00:00 State=UP
"""
# what lets a slurmrestd in, where it is installed
TOKENS = "AuthAltTypes=auth/jwt\nAuthAltParameters=jwt_key={directory}/jwt.key"
CONTROL_GROUPS = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainRAMSpace=yes\nConstrainCores=no\n"
NODE = (
    "NodeName={prefix}{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 Sockets=1 "
    "CoresPerSocket=2 ThreadsPerCore=1 RealMemory=4000 Gres=gpu:a100:2 State=UNKNOWN"
)


@cache
def slurm_is_impossible() -> str | None:
    """Why Slurm can't run here, or None where it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    missing = [command for command in (*COMMANDS, "setpriv") if shutil.which(command) is None]
    return f"Slurm needs the commands {', '.join(missing)}" if missing else None


@cache
def rest_is_impossible() -> str | None:
    """Why slurmrestd can't run here, or None where it can."""
    if shutil.which("slurmrestd") is None:
        return "there is no slurmrestd"
    plugins = [*Path("/usr/lib").glob("*/slurm*/auth_jwt.so"), *Path("/usr/lib64").glob("slurm/auth_jwt.so")]
    return None if plugins else "Slurm has no auth/jwt"


@dataclass(frozen=True)
class Cluster:
    """A running cluster; commands find it by its configuration file. `daemons` by name: munged, slurmctld,
    and the nodes."""

    directory: Path
    daemons: dict[str, subprocess.Popen[bytes]]
    prefix: str = "n"

    def node(self, number: int) -> str:
        """The name of a node; the first is 1."""
        return f"{self.prefix}{number}"

    @property
    def configuration(self) -> Path:
        return self.directory / "slurm.conf"

    def begin(self, name: str, command: Sequence[str] | None = None) -> None:
        """Start a daemon: slurmctld or a node, or `command` under that name."""
        if command is None:
            command = [name, "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        with (self.directory / "daemons.log").open("ab") as log:
            environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
            self.daemons[name] = subprocess.Popen(
                [*_WITH_US, *command], stdout=log, stderr=log, env=environment
            )

    def end(self, name: str) -> None:
        """End a daemon, at once and without a word, as a machine that fails does."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """While a daemon is away, as for an upgrade: it keeps what it knows."""
        self.daemons[name].terminate()
        self.daemons[name].wait(START_SECONDS)
        try:
            yield
        finally:
            self.begin(name)
            self.answers()

    def answers(self) -> None:
        """Wait until the controller does."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.run("sinfo")
                return
            assert time.monotonic() < deadline, "the controller doesn't answer"
            time.sleep(0.1)

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

    def fill(self) -> str:
        """A job that has all of two nodes until it is cancelled; its number, once it runs."""
        job = self.submit("--nodes=2", "--ntasks=4", "--time=30")
        self.wait(["squeue", "--noheader", f"--jobs={job}", "--format=%T"], "RUNNING")
        return job

    def wait(self, command: Sequence[str], wanted: str) -> None:
        """Until a command prints what is wanted."""
        deadline = time.monotonic() + START_SECONDS
        while (found := self.run(*command)) != wanted:
            assert time.monotonic() < deadline, f"{' '.join(command)}: expected {wanted!r}, got {found!r}"
            time.sleep(0.1)

    def clean(self) -> None:
        """No jobs and no reservations."""
        self.run("scancel", "--user=root")
        self.wait(["squeue", "--noheader", "--format=%i"], "")
        for line in self.run("scontrol", "--oneliner", "show", "reservation").splitlines():
            if line.startswith("ReservationName="):
                name = line.split()[0].partition("=")[2]
                self.run("scontrol", "delete", f"ReservationName={name}")


@contextlib.contextmanager
def running(count: int = 2, control_groups: bool = False, job_age_seconds: int = 3600) -> Iterator[Cluster]:
    """A cluster of `count` nodes, each with 2 CPUs, 4000 MB and 2 GPUs that are files.

    `control_groups`: jobs are kept in some, and their memory is limited by them (version 1 here); without,
    the nodes are n1, n2, .... Slurm forgets a job `job_age_seconds` after its end.
    """
    directory = Path(tempfile.mkdtemp(prefix="fairlead-slurm-"))
    directory.chmod(0o755)
    # control groups are called after their node: clusters of other tests that run now have some, too
    prefix = f"t{secrets.token_hex(3)}n" if control_groups else "n"
    cluster, host, ports = (
        Cluster(directory, {}, prefix),
        socket.gethostname().split(".")[0],
        [free_port() for _ in range(count + 1)],
    )
    (directory / "state").mkdir()
    key = directory / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    secret = directory / "jwt.key"
    secret.write_bytes(os.urandom(32))
    secret.chmod(0o600)
    nodes = [NODE.format(number=n, host=host, port=ports[n], prefix=prefix) for n in range(1, count + 1)]
    text = CONFIGURATION.format(
        directory=directory,
        tokens="" if rest_is_impossible() else TOKENS.format(directory=directory),
        host=host,
        ports=ports,
        nodes="\n".join(nodes),
        count=count,
        prefix=prefix,
        tracking="cgroup" if control_groups else "linuxproc",
        task="cgroup" if control_groups else "none",
        job_age_seconds=job_age_seconds,
    )
    (directory / "cgroup.conf").write_text(CONTROL_GROUPS)
    cluster.configuration.write_text(text)
    (directory / "gres.conf").write_text("Name=gpu Type=a100 Count=2 File=/dev/null,/dev/zero\n")
    munged = ["munged", "--foreground", f"--socket={directory}/munge.socket", f"--key-file={key}"]
    munged += [f"--{name}-file={directory}/munge.{name}" for name in ("pid", "log", "seed")]
    try:
        cluster.begin("munged", munged)
        _appears(directory / "munge.socket")
        cluster.begin("slurmctld")
        for n in range(1, count + 1):
            cluster.begin(cluster.node(n))
        _idle(cluster)
        yield cluster
    finally:
        # what a job left running would outlive the daemons
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            cluster.clean()
        daemons = list(cluster.daemons.values())
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(directory, ignore_errors=True)
        if control_groups:
            _remove_groups(prefix)


def _remove_groups(prefix: str) -> None:
    """What nodes that end leave of their control groups, from the innermost out."""
    for top in Path("/sys/fs/cgroup").glob(f"*/slurm_{prefix}*"):
        inside = sorted((each for each in top.rglob("*") if each.is_dir()), reverse=True)
        for group in (*inside, top):
            with contextlib.suppress(OSError):
                group.rmdir()


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
