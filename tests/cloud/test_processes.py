"""However a run of tests ends, nothing of the cloud stays; and two clouds on a machine don't meet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.cloud import environment, ports
from tests.cloud.processes import CloudError, Processes
from tests.waiting import until

CHECKOUT = Path(__file__).parents[2]
# a process that ignores being asked, with a child in a session of its own
STUBBORN = "trap '' TERM; setsid sleep 600 & echo $! > child; echo ready; while :; do sleep 600; done"
# one whose child has lost its parent, too
LOOSE = f"({STUBBORN.partition('echo ready')[0]}); echo ready; exec sleep 600"
USER = f"""
import sys, time
from pathlib import Path
from tests.cloud.processes import Processes
processes = Processes(Path(sys.argv[1]))
print(processes.start("loose", ["sh", "-c", {LOOSE!r}]), flush=True)
time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()


def child_in(directory: Path) -> int:
    path = directory / "state" / "child"
    until(lambda: path.exists() and path.read_text().strip(), "a child that says its number")
    return int(path.read_text())


def wait_for_end(*pids: int) -> None:
    until(lambda: not any(map(psutil.pid_exists, pids)), f"the end of {pids}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_run_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(tmp_path)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        first = int(run.stdout.readline())
        second = child_in(tmp_path)
        log = tmp_path / "logs" / "loose.log"
        until(lambda: log.read_text() == "ready\n", "a parent that is about to leave", log.read_text)
        run.send_signal(how)
        run.wait(60)
    wait_for_end(first, second)
    until(lambda: not (tmp_path / "state").exists(), "an end that leaves no state")
    assert log.read_text() == "ready\n"


def test_a_killed_supervisor_takes_its_processes_with_it(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    started = processes.start("sleep", ["sleep", "600"])
    # before that it hasn't said yet that it is to go with its parent
    until(lambda: psutil.Process(started).name() == "sleep", "setpriv that has become its command")
    os.kill(psutil.Process(started).ppid(), signal.SIGKILL)
    wait_for_end(started)
    with pytest.raises(CloudError, match="the supervisor"):
        processes.ended("sleep")
    processes.end()


def test_one_process_is_stopped_with_what_it_started(processes: Processes, tmp_path: Path) -> None:
    stubborn = processes.start("stubborn", ["sh", "-c", STUBBORN])
    other = processes.start("other", ["sleep", "600"])
    child = child_in(tmp_path)
    processes.stop("stubborn", patience_seconds=0.2)
    wait_for_end(stubborn, child)
    assert processes.ended("other") is None
    assert psutil.pid_exists(other)


def test_what_does_not_come_up_is_told_with_its_log(processes: Processes) -> None:
    processes.start("broken", ["sh", "-c", "echo no such database; exit 3"])
    claim = ports.claim()
    with pytest.raises(CloudError, match=r"(?s)broken ended with 3.*no such database"):
        processes.wait_for_port("broken", claim.first)
    processes.start("silent", ["sleep", "600"])
    with pytest.raises(CloudError, match="silent doesn't open its port"):
        processes.wait_for_port("silent", claim.first, timeout_seconds=0.1)
    with pytest.raises(CloudError, match="no-such-program"):
        processes.run("missing", ["no-such-program"])
    claim.release()


def test_nobody_gets_a_range_of_ports_that_is_claimed_or_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    # where no cloud of other tests may take what is given back here
    monkeypatch.setattr(ports, "FIRST", ports.LAST)
    monkeypatch.setattr(ports, "LAST", 32768)
    first = ports.claim()
    monkeypatch.setattr(ports, "FIRST", first.first)
    monkeypatch.setattr(ports, "LAST", first.first + ports.SIZE)
    with pytest.raises(OSError, match="no 16 ports in a row"):
        ports.claim()
    first.release()
    with socket.create_server(("127.0.0.1", first.first + 3)), pytest.raises(OSError, match="no 16 ports"):
        ports.claim()
    again = ports.claim()
    assert again.first == first.first
    again.release()


def test_a_machine_without_the_packages_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MARIADB", Path("/no/such/mariadbd"))
    reason = environment.impossible()
    assert reason is not None
    assert "mariadb-server" in reason
    allowed = (CHECKOUT / "tests" / "allowed_skips.txt").read_text().splitlines()
    assert not any(line in reason for line in allowed if line and not line.startswith("#"))
