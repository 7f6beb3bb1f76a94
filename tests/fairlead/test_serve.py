"""`fairlead serve` as a process: it starts, answers, and ends in one clear line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fairlead.served import start
from tests.waiting import until

START = re.compile(r"http://127\.0\.0\.1:\d+")


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fairlead", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def one_line(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        one_line(serve("--simulated", "--port", port), 3, "127.0.0.1", port, "in use")


def test_a_bad_catalogue(tmp_path: Path) -> None:
    bad = tmp_path / "sites.toml"
    bad.write_text('name = "mine"\n[sites.perth]\nname = 7\n')
    one_line(serve("--catalogue", str(bad), "--port", "0"), 2, f"{bad}:3")


def test_no_catalogue(tmp_path: Path) -> None:
    done = serve("--port", "0", FAIRLEAD_CATALOGUE="", XDG_DATA_HOME=str(tmp_path))
    one_line(done, 2, "--catalogue", "--simulated")
    assert serve("--simulated", "--catalogue", "sites.toml").returncode == 2


def test_a_database_that_can_not_be_had(tmp_path: Path) -> None:
    catalogue = Path(__file__).resolve().parents[2] / "federation" / "data" / "simulated.toml"
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path / 'file' / 'fairlead.db'}"
    done = serve("--catalogue", str(catalogue), "--port", "0", FAIRLEAD_DATABASE_URL=url)
    one_line(done, 3, "file")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_clean_on_a_signal(number: signal.Signals, status: int, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    before = set(tmp_path.iterdir())
    served = start(["--simulated"], log, {"TMPDIR": str(tmp_path)})
    assert any(path.name.startswith("fairlead-") for path in tmp_path.iterdir())
    served.process.send_signal(number)
    assert served.process.wait(300) == status
    assert set(tmp_path.iterdir()) == before | {log}, "the temporary database stays behind"
    assert "Traceback" not in log.read_text()


def test_a_password_is_made_up_and_shown_once(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "FAIRLEAD_ADMIN_USER": "",
        "FAIRLEAD_ADMIN_PASSWORD": "",
    }
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "fairlead", "serve", "--simulated", "--port", "0"]
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
    try:
        until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, "it", log.read_text, 300)
        text = log.read_text()
        url = START.search(text)
        password = re.search(r"administrator: admin, password \(shown once\): (\S+)", text)
        assert url is not None
        assert password is not None
        identity = {"username": "ada", "password": "a long enough secret"}
        # it listens already; the request waits until the application is up
        answers = [
            httpx.post(
                f"{url[0]}/admin/identities",
                json=identity,
                auth=("admin", word),
                trust_env=False,
                timeout=300,
            )
            for word in ("wrong", password[1])
        ]
        assert [answer.status_code for answer in answers] == [401, 201]
        assert text.count(password[1]) == 1
    finally:
        process.terminate()
        process.wait(300)


def test_json_says_where_it_listens(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "FAIRLEAD_ADMIN_PASSWORD": "chosen"}
    settings = tmp_path / "settings.toml"
    # who may do what is said there for simulated sites, too
    settings.write_text('oidc_issuer = "https://127.0.0.1/"\noidc_audience = "us"\n')
    command = [sys.executable, "-m", "fairlead", "serve", "--simulated", "--port", "0", "--json"]
    command += ["--settings", str(settings)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            text = ""
            for line in process.stdout:
                text += line
                if line == "}\n":
                    break
            said = json.loads(text)
            assert said["generated_password"] is None
            assert "perth" in said["sites"]
            health = httpx.get(f"{said['url']}/health", trust_env=False, timeout=300)
            assert health.status_code == 200
            refused = httpx.get(f"{said['url']}/sessions", trust_env=False, timeout=300)
            assert "Bearer" in refused.headers["WWW-Authenticate"]
        finally:
            process.terminate()
            process.wait(300)
