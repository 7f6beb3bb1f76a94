"""`fairlead run` against a broker on simulated sites: what is shown, and the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fairlead.served import Served, start

JOB = Path(__file__).resolve().parents[2] / "examples" / "checksum.yaml"
SITES = {"perth", "capetown", "manchester", "lausanne", "penticton"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(["--simulated"], tmp_path_factory.mktemp("broker") / "server.log")
    yield served
    served.stop()


def run(broker: Served, *arguments: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "FAIRLEAD_URL": broker.url,
        "FAIRLEAD_USER": broker.user,
        "FAIRLEAD_PASSWORD": password or broker.password,
    }
    command = [sys.executable, "-m", "fairlead", "run", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
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
