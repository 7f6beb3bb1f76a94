"""How the commands of meshes reach their servers, and the examples of docs/meshes.md against stand-ins."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import main
from federation.database import connect
from netprobe.archive import Archive
from tests.netprobe import pscheduler_samples as samples
from tests.netprobe.archive5_mapping import document
from tests.netprobe.mesh_servers import mesh_server, tls_context
from tests.netprobe.test_maddash import dashboard
from tests.netprobe.web import answering
from tests.test_docs_examples import EXAMPLES, ROOT, Example

TEMPLATE = ROOT / "tests" / "netprobe" / "data" / "psconfig" / "example-1-simple.json"
MESHES = [one for one in EXAMPLES if one.page.name == "meshes.md"]


def template(path: str, _query: dict[str, str]) -> Any:
    return TEMPLATE.read_bytes() if path == "/mesh.json" else None


@pytest.fixture(autouse=True)
def _own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", f"sqlite:///{tmp_path}/fairlead.db")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def status(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return left.value.code


@pytest.mark.parametrize(("command", "path"), [("expected", "/mesh.json"), ("grids", "/maddash")])
def test_a_reader_with_a_password_is_let_in(
    command: str, path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text("top secret\n", encoding="utf-8")
    login = ("--user", "reader", "--password-file", str(tmp_path / "password"))
    with answering(template if command == "expected" else dashboard, "reader:top secret") as url:
        assert status("mesh", command, url + path) == 3
        refused = capfd.readouterr().err
        assert status("mesh", command, url + path, *login) in (0, 1)
        served = capfd.readouterr()
    assert "no access (HTTP 401): expected --user and --password-file of a reader" in refused
    assert "example-task" in served.out or "Mesh - Throughput" in served.out
    assert "secret" not in refused + served.out + served.err


@pytest.mark.parametrize("command", ["pull", "expected", "grids"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--user", "me"], "--user: expected with --password-file, or none of the two"),
        (["--insecure", "--ca-file", "x"], "--insecure: expected either this or --ca-file"),
        (["--user", "a", "--password-file", "/none"], "--password-file: /none can't be read"),
    ],
)
def test_all_three_read_the_options_alike(
    command: str, options: list[str], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert status("mesh", command, "https://mesh.example.org/", *options) == 2
    assert expected in capfd.readouterr().err


def test_a_password_is_not_sent_in_the_clear_to_an_include(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same host and port by http instead of https is another server."""
    asked: list[str] = []

    def other(path: str, _query: dict[str, str]) -> Any:
        asked.append(path)
        return {}

    with answering(other, "reader:top secret") as clear:
        including = {"includes": [f"{clear}/more.json"], **json.loads(TEMPLATE.read_text())}
        certificate, key = certify(tmp_path)
        (tmp_path / "password").write_text("top secret\n", encoding="utf-8")
        login = ("--user", "reader", "--password-file", str(tmp_path / "password"))
        with answering(lambda *_: including, "reader:top secret", tls_context(certificate, key)) as url:
            assert status("mesh", "expected", url, "--ca-file", str(certificate), *login) == 0
    assert "no access (HTTP 401)" in capfd.readouterr().err
    assert asked == []


def certify(directory: Path) -> tuple[Path, Path]:
    """A certificate for loopback that signs itself, and its key."""
    certificate, key = directory / "lab-ca.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=archive"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Servers for the addresses of the page; one that is reached with --ca-file or --insecure has TLS."""
    (tmp_path / "reader.txt").write_text("top secret\n", encoding="utf-8")
    tls = tls_context(*certify(tmp_path))
    # runs of an hour ago, whatever the day is
    record = document(samples.record("tp-run.json"))
    record["pscheduler"]["start_time"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    run, task = samples.run("rtt-run.json"), samples.task("rtt-run.json")
    run["start-time"] = record["pscheduler"]["start_time"]
    with ExitStack() as stack:
        archive, guarded, node = (stack.enter_context(mesh_server(how)) for how in (None, tls, tls))
        archive.documents = guarded.documents = [record]
        guarded.credentials = "reader:top secret"
        node.tasks = [(task, [run])]
        yield {
            "https://archive.example.org/ --ca-file": f"{guarded.url}/ --ca-file",
            "https://archive.example.org/": f"{archive.url}/",
            "https://node.example.org/": f"{node.url}/",
            "https://psconfig.example.org/": f"{stack.enter_context(answering(template))}/",
            "https://dashboard.example.org/": f"{stack.enter_context(answering(dashboard))}/",
        }


# 1: nothing of what is expected was measured, or some check of the dashboard isn't ok
ENDS = {"pull": (0, "1 taken, 0 repeated, 0 refused"), "grids": (1, "Mesh - Throughput: ")}


@pytest.mark.parametrize("example", MESHES, ids=str)
def test_the_examples_of_the_page_do_what_it_says(
    example: Example,
    stand_ins: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = example.command
    for address, here in stand_ins.items():
        command = command.replace(address, here)
    assert "example.org" not in command, "who answers for it?"
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    covered = "--since" in words
    ended, said = ENDS.get(words[1], (1 if covered else 0, "cells: " if covered else "example-task"))
    assert status(*words) == ended
    assert said in capfd.readouterr().out
    if words[1] == "pull":
        engine = connect(f"sqlite:///{tmp_path}/fairlead.db")
        assert len(list(Archive(engine).all())) == 1
        engine.dispose()


def test_the_page_has_examples() -> None:
    assert {shlex.split(one.command)[2] for one in MESHES} == {"pull", "expected", "grids"}
