"""The demo: the whole story, and a clean end of it, also when it is cut short."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until

# a few of the lab's paths, so that the whole demo takes a quarter of a minute
SHORT_PLAN = """
parallel = 1
[[mesh]]
tool = "ping"
count = 3
interval = "100 ms"
[[star]]
tool = "iperf3"
centre = "manchester"
sites = ["capetown", "lausanne"]
direction = "in"
duration = "1 s"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    # a lab of its own: whoever plays with theirs is not disturbed
    return {**os.environ, "FAIRLEAD_LAB_NAME": f"demo{os.getpid()}", "TMPDIR": str(tmp_path)}


@pytest.fixture
def lab_name(environment: dict[str, str]) -> Iterator[str]:
    yield environment["FAIRLEAD_LAB_NAME"]
    # only where a test failed is anything there to remove
    subprocess.run([sys.executable, "-m", "fairlead", "lab", "down"], env=environment, capture_output=True)


def demo(arguments: list[str], environment: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], Any]:
    command = [sys.executable, "-m", "fairlead", "demo", "--json", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    return done, json.loads(done.stdout) if done.returncode in (0, 1) else None


def in_order(text: str, *parts: str) -> None:
    place = 0
    for part in parts:
        place = text.find(part, place)
        assert place >= 0, f"{part!r} is missing, or too early, in:\n{text}"


def test_simulated(tmp_path: Path, environment: dict[str, str]) -> None:
    output = tmp_path / "out"
    done, outcome = demo(["--simulated", "--output", str(output)], environment)
    assert done.returncode == 0, done.stderr
    assert outcome["simulated"] is True
    assert outcome["session"]["phase"] == "COMPLETED"
    in_order(done.stderr, "1. ", "2. ", "3. ", "4. ", "5. ", "Offers, best first", "6. ", "COMPLETED", "7. ")
    assert (output / "matrix.png").read_bytes().startswith(b"\x89PNG")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["out"], "something temporary stays behind"


@pytest.mark.lab
@pytest.mark.podman
def test_on_the_lab(tmp_path: Path, environment: dict[str, str], lab_name: str) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(SHORT_PLAN)
    done, outcome = demo(["--plan", str(plan), "--output", str(tmp_path / "out")], environment)
    assert done.returncode == 0, done.stderr
    assert outcome["right"] is True
    assert outcome["simulated"] is False
    in_order(
        done.stderr, "checksums are those", "predicted and actual", "everything that was started has ended"
    )
    assert outcome["transfers"]
    for transfer in outcome["transfers"]:
        assert transfer["seconds"] > 0
        assert transfer["predicted_seconds"] > 0
    nothing_left(lab_name)


@pytest.mark.lab
@pytest.mark.podman
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_cut_short(
    number: signal.Signals, status: int, tmp_path: Path, environment: dict[str, str], lab_name: str
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "fairlead", "demo", "--output", str(tmp_path / "out")]
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink)
    measuring = "measuring: 10 %"
    until(lambda: measuring in log.read_text() or process.poll() is not None, measuring, log.read_text, 600)
    process.send_signal(number)
    assert process.wait(300) == status, log.read_text()
    assert "Traceback" not in log.read_text()
    nothing_left(lab_name)


def nothing_left(lab_name: str) -> None:
    """No namespace of the lab, and no process that knows its name, which every site's command line holds."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"{lab_name}-" not in listed
    # what was ended a moment ago may still be there
    until(lambda: not knowing(lab_name), "the end of what was started", lambda: knowing(lab_name))


def knowing(lab_name: str) -> list[str]:
    """The processes that know it: the test's own has set nothing, only children of the demo have the name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            # whole entries: demo123 isn't demo1234, which is another run's
            if f"FAIRLEAD_LAB_NAME={lab_name}".encode() in path.read_bytes().split(b"\0"):
                found.append(str(path.parent))
    return found
