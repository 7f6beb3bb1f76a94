"""Commands on another machine: a real OpenSSH server on loopback plays it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.hosts import Host
from federation.ssh import remote_line
from netprobe.tools import _process
from tests.federation.sshd import Server, new_key, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def run(host: Host, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        host.argv(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )


def until(happened: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


def gone(pid: int) -> bool:
    try:
        # a zombie that nobody has reaped yet has ended all the same
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_output_errors_and_status_are_those_of_the_command(server: Server) -> None:
    done = run(server.host, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


ODD = ["$HOME `id` $(id)", "a  b", "", "'\"\\", "*", "line\nline", "!!", "--", "-x", "; exit 3", "é"]


def test_every_word_arrives_as_it_is(server: Server) -> None:
    done = run(server.host, "printf", "%s\\0", *ODD, "end")
    assert done.stdout.split("\0")[:-1] == [*ODD, "end"]


WORD = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=20)


@settings(max_examples=30)
@given(st.lists(WORD, max_size=4))
def test_any_word_survives_a_login_shell(words: list[str]) -> None:
    line = remote_line(["printf", "%s\\0", *words, "end"])
    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.read().decode().split("\0")[:-1] == [*words, "end"]


def test_a_program_that_is_not_there_is_said_by_name(server: Server) -> None:
    done = run(server.host, "no-such-program")
    assert done.returncode == 127
    assert "no-such-program: No such file or directory" in done.stderr


def test_a_machine_whose_key_nobody_knows_is_not_talked_to(server: Server) -> None:
    stranger = server.with_known_hosts("")
    done = run(stranger, "true")
    assert done.returncode == 255
    assert done.stderr == (
        f"ssh: {stranger.name} port {stranger.port}: its host key is not in {stranger.known_hosts}: "
        "add it there once you have verified it\n"
    )


def test_a_machine_whose_key_has_changed_is_not_talked_to(server: Server, tmp_path: Path) -> None:
    other = server.with_known_hosts(f"[127.0.0.1]:{server.host.port} {new_key(tmp_path / 'other')}\n")
    done = run(other, "true")
    assert done.returncode == 255
    assert done.stderr == (
        f"ssh: {other.name} port {other.port}: its host key is not the one in {other.known_hosts}: "
        "another machine, or one that was set up anew\n"
    )


def test_a_machine_that_does_not_take_our_key_is_said(server: Server, tmp_path: Path) -> None:
    new_key(tmp_path / "mine")
    done = run(replace(server.host, identity=str(tmp_path / "mine")), "true")
    assert done.returncode == 255
    assert done.stderr.count("\n") == 1
    assert "it takes none of our keys" in done.stderr


def test_a_machine_that_is_not_there_is_said(server: Server) -> None:
    done = run(replace(server.host, port=1), "true")
    assert done.returncode == 255
    assert done.stderr.startswith(f"ssh: {server.host.name} port 1: connect to host 127.0.0.1 port 1: ")
    assert done.stderr.count("\n") == 1


def test_a_status_of_255_is_the_commands_own(server: Server) -> None:
    done = run(server.host, "sh", "-c", "exit 255")
    assert (done.returncode, done.stderr) == (255, "")


# it says its own id and that of a process that it has started, and goes on
LONG = "sleep 300 & echo $$ $!; wait"
STUBBORN = "trap '' TERM HUP INT; sleep 300 & echo $$ $!; while :; do sleep 1; done"


def pids(line: str) -> list[int]:
    return [int(word) for word in line.split()]


def test_out_of_time_everything_there_has_ended(server: Server) -> None:
    end = asyncio.run(_process.run(server.host.argv(["sh", "-c", LONG]), 4.0))
    assert end.timed_out
    # at once: SIGTERM was passed on, and waited for
    assert all(gone(pid) for pid in pids(end.stdout))
    assert len(pids(end.stdout)) == 2


def test_what_a_program_says_when_it_is_ended_still_arrives(server: Server) -> None:
    script = "trap 'echo the end; exit 0' TERM; echo begun; while :; do sleep 0.05; done"
    with subprocess.Popen(
        server.host.argv(["sh", "-c", script]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == b"begun\n"
        os.killpg(ours.pid, signal.SIGTERM)
        assert ours.stdout.read() == b"the end\n"
    assert ours.returncode == 128 + signal.SIGTERM


def test_cancelled_everything_there_has_ended(server: Server) -> None:
    found: list[int] = []

    async def cancelled() -> None:
        begun = asyncio.Event()

        def on_line(line: str) -> None:
            found.extend(pids(line))
            begun.set()

        running = asyncio.ensure_future(_process.run(server.host.argv(["sh", "-c", LONG]), 60.0, on_line))
        await asyncio.wait_for(begun.wait(), 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert len(found) == 2
    assert all(gone(pid) for pid in found)


@pytest.mark.parametrize("script", [LONG, STUBBORN])
def test_when_we_are_killed_the_other_side_ends_it(server: Server, script: str) -> None:
    ours = subprocess.Popen(
        server.host.argv(["sh", "-c", script]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with ours:
        try:
            assert ours.stdout is not None
            found = pids(ours.stdout.readline().decode())
            assert len(found) == 2
            assert not any(gone(pid) for pid in found)
        finally:
            os.killpg(ours.pid, signal.SIGKILL)
    try:
        assert until(lambda: all(gone(pid) for pid in found))
    finally:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
