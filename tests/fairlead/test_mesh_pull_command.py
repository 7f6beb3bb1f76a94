"""`fairlead mesh pull` against a stand-in archive: counts, exit statuses, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.cli import main
from tests.netprobe import pscheduler_samples as samples
from tests.netprobe.archive5_mapping import document
from tests.netprobe.mesh_servers import MeshServer, mesh_server
from tests.waiting import until

RECORDS = [name for name in samples.RUNS if name not in ("tp-run-pending.json", "tp2-run.json")]
# the recordings are of this month; how far back doesn't matter here
SINCE = ("--since", "5000d")


@pytest.fixture
def server() -> Iterator[MeshServer]:
    with mesh_server() as running:
        running.documents = [document(samples.record(name)) for name in RECORDS]
        yield running


def command(directory: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {
        **os.environ,
        "FAIRLEAD_DATABASE_URL": f"sqlite:///{directory}/fairlead.db",
        "XDG_STATE_HOME": str(directory),
    }
    return [sys.executable, "-m", "fairlead", "mesh", "pull", *arguments], environment


def pull(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words, environment = command(directory, *arguments)
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )


def test_it_ends_with_counts_and_takes_nothing_twice(server: MeshServer, tmp_path: Path) -> None:
    nameless = document(samples.record("trace.json"))
    nameless["test"]["type"] = "dns"
    server.documents.append(nameless)
    done = pull(tmp_path, server.url, *SINCE)
    assert done.returncode == 0, done.stderr
    assert f"{len(RECORDS)} taken, 0 repeated, 1 refused" in done.stdout
    assert "refused 1: test type not known, as dns run" in done.stdout
    assert "100 %" in done.stderr
    again = pull(tmp_path, server.url, *SINCE, "--json")
    told = json.loads(again.stdout)
    assert (told["taken"], told["repeated"]) == (0, len(RECORDS))
    assert told["refused"] == {"test type not known": 1}


def test_a_mesh_that_fails_is_an_outside_failure(server: MeshServer, tmp_path: Path) -> None:
    server.forever = (200, b"<html>Login</html>")
    done = pull(tmp_path, server.url, *SINCE)
    assert done.returncode == 3
    assert "0 taken" in done.stdout
    assert "expected JSON, got <html>Login</html>; what came before is kept" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_readers_password_comes_from_a_file(server: MeshServer, tmp_path: Path) -> None:
    server.credentials = "reader:top secret"
    (tmp_path / "password").write_text("top secret\n", encoding="utf-8")
    access = ("--user", "reader", "--password-file", str(tmp_path / "password"))
    done = pull(tmp_path, server.url, *access, *SINCE)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_keeps_what_was_taken(server: MeshServer, tmp_path: Path) -> None:
    one = document(samples.record("trace.json"))
    server.documents = [
        {**one, "pscheduler": {**one["pscheduler"], "run_id": f"run {number:04}"}} for number in range(1200)
    ]
    # the second page never comes: the server asks for time, and the command waits
    server.lies, server.forever = [None], "busy 50"
    words, environment = command(tmp_path, server.url, *SINCE)
    running = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: len(server.requests) >= 2, "a second page that is asked for", running.poll)
        running.send_signal(signal.SIGINT)
        told, said = running.communicate(timeout=300)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert "1,000 taken" in told
    assert "interrupted" in said
    assert "Traceback" not in said
    server.forever = None
    assert "200 taken, 1,000 repeated" in pull(tmp_path, server.url).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["archive.example.org"], 'expected an address such as "https://'),
        (["ftp://archive.example.org"], 'expected an address such as "https://'),
        (["https://me:secret@archive.example.org"], "expected no credentials"),
        (["https://archive.example.org", "--user", "me"], "expected with --password-file"),
        (["https://archive.example.org", "--insecure", "--ca-file", "x"], "either this or --ca-file"),
        (["https://archive.example.org", "--kind", "nagios"], "expected one of"),
        (["https://archive.example.org", "--since", "ever"], "--since: expected a duration"),
        (["https://archive.example.org", "--ca-file", "/none.pem"], "expected certificates in PEM"),
        (
            ["https://archive.example.org", "--user", "a", "--password-file", "/none"],
            "/none can't be read",
        ),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", f"sqlite:///{tmp_path}/fairlead.db")
    with pytest.raises(SystemExit) as left:
        main(["mesh", "pull", *arguments])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert expected in said
    assert "secret" not in said
