"""`fairlead probe watch`: it says what it will do, and ends cleanly with the status of the signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federation.database import connect
from netprobe.archive import Archive
from netprobe.measurement import Kind

PLAN = """
[[mesh]]
tool = "ping"
count = 2
interval = "10 ms"
every = "1 s"

[[pairs]]
pairs = [["a", "b"]]
tool = "iperf3"
every = "1 h"
calendar = "never"

[calendars.never]
not_during = ["2000-01-01/2100-01-01"]

[[budget]]
bytes_per_day = "10 GB"
"""
CATALOGUE = """
name = "loopback"
[sites.a]
name = "A"
latitude = 0.0
longitude = 0.0
iperf3_address = "127.0.0.1"
[sites.b]
name = "B"
latitude = 1.0
longitude = 1.0
iperf3_address = "127.0.0.2"
"""


def command(tmp_path: Path, plan: str) -> list[str]:
    (tmp_path / "plan.toml").write_text(plan)
    (tmp_path / "sites.toml").write_text(CATALOGUE)
    program = [sys.executable, "-m", "fairlead", "probe", "watch", str(tmp_path / "plan.toml")]
    return [*program, "--catalogue", str(tmp_path / "sites.toml"), "--database", f"sqlite:///{tmp_path}/w.db"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_all_is_kept(tmp_path: Path, number: signal.Signals, status: int) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(command(tmp_path, PLAN), stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stderr is not None
        lines = [child.stderr.readline() for _ in range(2)]
        child.send_signal(number)
        _, errors = child.communicate(timeout=300)
    assert child.returncode == status, errors
    assert all(line.startswith("plan plan: ") for line in lines)
    (last,) = [line for line in errors.splitlines() if line.startswith("plan plan: stopped: ")]
    assert "Traceback" not in errors
    kept = Archive(connect(f"sqlite:///{tmp_path}/w.db")).recent(Kind.LATENCY)
    assert len(kept) >= 4
    assert f"stopped: {len(kept)} tests succeeded" in last


def test_a_dry_run_says_how_often_and_how_much(tmp_path: Path) -> None:
    argv = [*command(tmp_path, PLAN), "--dry-run"]
    end = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
    lines = end.stdout.splitlines()
    assert "2 tests with ping every 1 s" in lines[0]
    # 24 tests of 5 s at the assumed 1 Gbit/s
    assert "1 test with iperf3 every 1 h, at most 15 GB in 24 h, its calendars are never open" in lines[1]
    assert lines[2:] == [
        "budget 10 GB in 24 h per path: a to b needs 15 GB of 10 GB in 24 h: tests will be left out",
        "all at once: 2 rounds",
    ]
    document = json.loads(subprocess.run([*argv, "--json"], capture_output=True, check=True).stdout)
    assert [one["tests"] for one in document["blocks"]] == [2, 1]
    assert document["budgets"][0]["bytes_per_day"] == 15e9


def test_a_plan_without_every_is_not_watched(tmp_path: Path) -> None:
    argv = command(tmp_path, '[[mesh]]\ntool = "ping"\n')
    end = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert end.returncode == 2
    assert "plan.toml: nothing to watch: expected a block with `every" in end.stderr
    assert len(end.stderr.splitlines()) == 1
