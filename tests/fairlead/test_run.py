"""`fairlead run` against a broker on simulated sites: what is shown, and the exit status."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from fairlead.client import Offer
from fairlead.following import offer_table
from fairlead.served import Served, start

JOB = Path(__file__).resolve().parents[2] / "examples" / "checksum.yaml"
SITES = {"perth", "capetown", "manchester", "lausanne", "penticton"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(["--simulated"], tmp_path_factory.mktemp("broker") / "server.log")
    yield served
    served.stop()


COMMAND = (sys.executable, "-m", "fairlead", "run")


def environment(broker: Served, password: str | None = None) -> dict[str, str]:
    mine = {"FAIRLEAD_URL": broker.url, "FAIRLEAD_USER": broker.user}
    return {**os.environ, **mine, "FAIRLEAD_PASSWORD": password or broker.password}


def run(broker: Served, *arguments: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(broker, password),
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def test_look_only(broker: Served) -> None:
    done = run(broker, str(JOB), "--accept", "none")
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert {line.split("│")[2].strip() for line in table} == SITES
    # replica, path, figures and their age stand below the table
    for words in ("hi-cube-small.fits", "(10, 50, 90 %)", "iperf3", "old"):
        assert words in done.stdout
    assert "?" not in "".join(table)


def test_accept_the_best_and_see_its_output(broker: Served) -> None:
    done = run(broker, str(JOB), "--yes")
    assert done.returncode == 0, done.stderr
    assert "COMPLETED" in done.stderr
    assert "simulated:" in done.stdout


def test_accept_another_as_json(broker: Served) -> None:
    done = run(broker, str(JOB), "--accept", "2", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["session"]["phase"] == "COMPLETED"
    assert document["session"]["meta"]["uuid"] == document["offerset"]["offers"][1]["meta"]["uuid"]


def test_an_offer_that_is_none(broker: Served) -> None:
    done = run(broker, str(JOB), "--accept", "99")
    assert done.returncode == 2
    assert "there are 5 offers" in done.stderr


def test_a_no_has_its_reasons(broker: Served, tmp_path: Path) -> None:
    request = yaml.safe_load(JOB.read_text())
    request["compute"]["cores"] = {"min": 1_000_000}
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(request))
    done = run(broker, str(job), "--yes")
    assert done.returncode == 1
    assert "NO" in done.stderr
    assert "cores" in done.stderr


def test_a_wrong_password(broker: Served) -> None:
    done = run(broker, str(JOB), "--yes", password="wrong")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "password" in done.stderr


def test_ctrl_c_at_the_question_interrupts_as_elsewhere(broker: Served) -> None:
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [*COMMAND, str(JOB)], env=environment(broker), stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    try:
        said = b""
        while b"Accept which offer" not in said:
            said += os.read(ours, 4096)
        asking.send_signal(signal.SIGINT)
        assert asking.wait(timeout=300) == 130
        # it ends with EIO, and until then comes in pieces
        with contextlib.suppress(OSError):
            while more := os.read(ours, 4096):
                said += more
        assert b"fairlead: interrupted" in said
    finally:
        asking.kill()
        asking.wait()
        os.close(ours)


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (None, "-"),
        ((0.0, 0.0), "0.00"),
        ((0.0018333, 0.0018333), "0.0018"),
        ((0.0018, 2.5), "0.0018 to 2.50"),
        ((1.004, 1.001), "1.00"),
    ],
)
def test_what_costs_little_is_not_shown_as_free(cost: tuple[float, float] | None, shown: str) -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(offer_table([Offer("1", "perth", None, None, None, None, cost, None, ())]))
    (row,) = [line for line in console.export_text().splitlines() if line.startswith("│")]
    assert row.split("│")[6].strip() == shown
