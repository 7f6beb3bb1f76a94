"""The mover, as it is run: a child process. What it leaves is whole and verified, or isn't there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netprobe.servers import FileServer, file_server
from tests.ports import free_port

CONTENT = random.Random(1).randbytes(3_000_000)
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
COMMAND = [sys.executable, "-m", "netprobe.mover"]


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as running:
        yield running


def mover(*arguments: object, limit: float = 300.0) -> tuple[int, dict[str, Any]]:
    """Run the mover; its exit status, and the last line that it wrote."""
    end = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=limit, check=False
    )
    assert end.stderr == ""
    return end.returncode, json.loads(end.stdout.splitlines()[-1])


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_arrives_whole_and_its_phases_add_up(server: FileServer, tmp_path: Path) -> None:
    path = tmp_path / "file"
    checks = ["--size", str(len(CONTENT)), "--checksum", CHECKSUM]
    status, last = mover("fetch", server.url("/good"), path, *checks)
    assert status == 0
    assert path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["file"]
    assert last["event"] == "done"
    assert last["size_bytes"] == len(CONTENT)
    assert "sha256:" + last["sha256"] == CHECKSUM
    assert last["source_address"] == last["destination_address"] == "127.0.0.1"
    phases = [last[f"{phase}_seconds"] for phase in ("connect", "first_byte", "body", "sync")]
    assert all(seconds >= 0 for seconds in phases)
    assert sum(phases) == pytest.approx(last["seconds"])


@pytest.mark.parametrize("path", ["/breaks-once", "/no-ranges", "/unavailable-once"])
def test_a_broken_connection_is_taken_up_again(server: FileServer, tmp_path: Path, path: str) -> None:
    status, last = mover("fetch", server.url(path), tmp_path / "file", "--checksum", CHECKSUM)
    assert (status, last["attempts"]) == (0, 2)
    assert (tmp_path / "file").read_bytes() == CONTENT
    if path == "/breaks-once":
        # the second try asks for the other half alone
        assert server.requests[-1] == ("GET", path, f"bytes={len(CONTENT) // 2}-")


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("/missing", [], "the server answered 404"),
        ("/short", [], f"of {len(CONTENT)} bytes, tried 3 times"),
        ("/good", ["--size", "3"], f"wrong size: expected 3 bytes, the server has {len(CONTENT)}"),
        ("/no-length", ["--size", "3"], "longer than the 3 bytes expected"),
        ("/no-length", ["--size", "9000000"], f"expected 9000000 bytes, the server has {len(CONTENT)}"),
        ("/good", ["--checksum", "sha256:" + "0" * 64], "wrong checksum: expected sha256:0000"),
        ("/good", ["--checksum", "md5:00"], "expected a checksum sha256:HEX"),
        ("/loop", [], "redirected more than 5 times"),
        ("/to-file", [], "which is not followed"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(
    server: FileServer, tmp_path: Path, path: str, options: list[str], said: str
) -> None:
    status, last = mover("fetch", server.url(path), tmp_path / "file", "--attempts", 3, *options)
    assert status == 3
    assert last["event"] == "error"
    assert said in last["error"]
    assert "\n" not in last["error"]
    assert left_in(tmp_path) == []


def test_what_was_there_before_stays_where_the_new_one_is_wrong(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    status, _ = mover("fetch", server.url("/good"), tmp_path / "file", "--size", "3")
    assert status == 3
    assert (tmp_path / "file").read_text() == "old"


def test_no_server_and_no_such_scheme_are_said_at_once(tmp_path: Path) -> None:
    status, last = mover("fetch", f"http://127.0.0.1:{free_port()}/x", tmp_path / "file")
    assert (status, last["error"].partition(": ")[2]) == (3, "connection refused")
    status, last = mover("fetch", "file:///etc/hostname", tmp_path / "file")
    assert status == 3
    assert "expected a http:// or https:// URL" in last["error"]
    status, last = mover("fetch", "http://user:secret@127.0.0.1/", tmp_path / "file")
    assert status == 3
    assert "secret" not in last["error"]


def test_silence_counts_as_broken(server: FileServer, tmp_path: Path) -> None:
    # long enough for what comes before the silence
    status, last = mover(
        "fetch", server.url("/stalled"), tmp_path / "file", "--stall-seconds", "3", "--attempts", 2
    )
    assert status == 3
    assert "the server stopped sending, tried 2 times" in last["error"]
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_it_with_nothing_left(tmp_path: Path, number: signal.Signals) -> None:
    # of its own: nobody else comes so far there
    with file_server(CONTENT) as server:
        command = [*COMMAND, "fetch", server.url("/stalled"), str(tmp_path / "file")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert server.reached.wait(300)
            assert left_in(tmp_path) == []
            child.send_signal(number)
            assert child.wait(300) == (-number if number == signal.SIGKILL else 128 + number)
    assert left_in(tmp_path) == []


@pytest.mark.lab
@pytest.mark.parametrize("path", ["/good", "/no-length"])
def test_a_full_disk_is_one_line_and_leaves_nothing(server: FileServer, tmp_path: Path, path: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], check=True)
    try:
        status, last = mover("fetch", server.url(path), tmp_path / "file")
        assert status == 3
        assert "no space left on the disk" in last["error"]
        assert left_in(tmp_path) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_head_says_size_and_ranges_also_where_the_server_knows_no_head(server: FileServer) -> None:
    status, last = mover("head", server.url("/good"))
    assert (status, last["size_bytes"], last["etag"]) == (0, len(CONTENT), '"one"')
    status, last = mover("head", server.url("/no-head"))
    assert (status, last["size_bytes"], last["accept_ranges"]) == (0, len(CONTENT), True)
    status, last = mover("head", server.url("/moved"))
    assert (status, last["size_bytes"]) == (0, len(CONTENT))
    status, last = mover("head", server.url("/missing"))
    assert status == 3
    assert "404" in last["error"]


def test_the_child_imports_the_standard_library_alone() -> None:
    script = "import sys, netprobe.mover; print(*sorted(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ).stdout
    roots = {name.partition(".")[0] for name in output.split()}
    assert roots - set(sys.stdlib_module_names) <= {"netprobe", "__main__"}
