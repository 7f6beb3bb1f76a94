"""Commands on another machine: a real OpenSSH server on loopback plays it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.hosts import Host
from federation.ssh import MOST_INPUT_BYTES, remote_line
from netprobe.tools import _process
from tests.federation.sshd import Server, new_key, seen_by_everybody, ssh_server
from tests.waiting import SECONDS, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def run(host: Host, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        host.argv(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


def gone(pid: int) -> bool:
    try:
        # a zombie that nobody has reaped yet has ended all the same
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def until_gone(found: Sequence[int]) -> None:
    # what was killed has ended as soon as the machine gets to it
    until(lambda: all(map(gone, found)), "their end on the other side", lambda: found)


def test_output_errors_and_status_are_those_of_the_command(server: Server) -> None:
    done = run(server.host, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


ODD = ["$HOME `id` $(id)", "a  b", "", "'\"\\", "*", "line\nline", "!!", "--", "-x", "; exit 3", "é"]


def test_every_word_arrives_as_it_is(server: Server) -> None:
    done = run(server.host, "printf", "%s\\0", *ODD, "end")
    assert done.stdout.split("\0")[:-1] == [*ODD, "end"]


WORD = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=20)


def there(shell: Sequence[str], command: Sequence[str], given: bytes) -> tuple[bytes, int]:
    """What the other side does, by that shell; our end stays open until it has ended."""
    with subprocess.Popen(
        [*shell, "-c", remote_line(command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"%d\n%b" % (len(given), given))
        running.stdin.flush()
        return running.stdout.read(), running.wait()


@settings(max_examples=30, deadline=None)
@given(st.lists(WORD, max_size=4), st.binary(max_size=50))
def test_any_word_and_any_input_survive_a_login_shell(words: list[str], given: bytes) -> None:
    said, _ = there(["sh"], ["sh", "-c", 'cat; printf "%s\\0" "$@"', "sh", *words, "end"], given)
    assert said == given + b"".join(word.encode() + b"\0" for word in [*words, "end"])


SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["zsh"]]


@pytest.mark.parametrize("shell", [each for each in SHELLS if shutil.which(each[0])], ids=" ".join)
def test_every_shell_hands_on_what_it_is_given(shell: list[str], tmp_path: Path) -> None:
    # what a login shell runs as `sh` there
    (tmp_path / "sh").symlink_to(str(shutil.which(shell[0])))
    command = ["env", f"PATH={tmp_path}:{os.environ['PATH']}", *shell]
    given = os.urandom(300_000)
    assert there(command, ["cat"], given) == (given, 0)
    assert there(command, ["cat"], b"") == (b"", 0)
    # the rest is nobody's: whoever doesn't read it isn't held up
    assert there(command, ["sh", "-c", "head -c 3; sleep 300 & exit 5"], given) == (given[:3], 5)


def test_the_command_finds_our_input_and_its_end(server: Server) -> None:
    given = os.urandom(1_000_000)
    done = subprocess.run(server.host.argv(["cat"]), input=given, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == given


def test_input_is_on_no_command_line_and_in_no_environment(server: Server, tmp_path: Path) -> None:
    # it stays until it has been looked at: nobody opens its end of the pipe before
    os.mkfifo(looked := tmp_path / "looked")
    script = 'echo ready; read -r input; cat "$0"; echo got $input'
    with subprocess.Popen(
        server.host.argv(["sh", "-c", script, str(looked)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as ours:
        assert ours.stdin is not None
        assert ours.stdout is not None
        ours.stdin.write(b"s3cret-input\n" + bytes(1_000_000))
        ours.stdin.close()
        assert ours.stdout.readline() == b"ready\n"
        seen = seen_by_everybody()
        looked.write_text("looked\n")
        assert ours.stdout.read() == b"looked\ngot s3cret-input\n"
    assert script in seen
    assert "s3cret-input" not in seen


def test_more_input_than_is_handed_on_is_said_and_nothing_runs(server: Server) -> None:
    with subprocess.Popen(
        server.host.argv(["echo", "ran"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as ours:
        with contextlib.suppress(BrokenPipeError):
            ours.communicate(bytes(MOST_INPUT_BYTES + 1), timeout=60)
        assert ours.returncode == 255


def test_input_that_is_cut_off_never_looks_whole(tmp_path: Path) -> None:
    took = tmp_path / "took"
    command = ["sh", "-c", "trap '' TERM; echo ready; cat >/dev/null; echo whole >\"$0\"", str(took)]
    with subprocess.Popen(
        ["sh", "-c", remote_line(command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"300000\n" + bytes(299_999))
        running.stdin.flush()
        assert running.stdout.readline() == b"ready\n"
        running.stdin.close()
        assert running.wait(60) == 128 + signal.SIGKILL
    assert not took.exists()


def test_a_program_that_is_not_there_is_said_by_name(server: Server) -> None:
    done = run(server.host, "no-such-program")
    assert done.returncode == 127
    assert "no-such-program: not found" in done.stderr


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
    # more than any pipe on the way holds, for a command that doesn't read it
    command, given = server.host.argv(["sh", "-c", LONG]), "x" * 3_000_000
    # a busy machine takes a while to begin it
    for limit in (2.0, 10.0, 60.0):
        end = asyncio.run(_process.run(command, limit, grace_seconds=SECONDS, given=given))
        assert end.timed_out
        if end.stdout:
            break
    # SIGTERM was passed on, and waited for
    assert len(pids(end.stdout)) == 2
    until_gone(pids(end.stdout))


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

        command = server.host.argv(["sh", "-c", LONG])
        running = asyncio.ensure_future(_process.run(command, SECONDS, on_line, grace_seconds=SECONDS))
        await asyncio.wait_for(begun.wait(), 60)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert len(found) == 2
    until_gone(found)


@pytest.mark.parametrize("given", [b"", bytes(3_000_000)], ids=["alone", "with input"])
@pytest.mark.parametrize("script", [LONG, STUBBORN])
def test_when_we_are_killed_the_other_side_ends_it(server: Server, script: str, given: bytes) -> None:
    ours = subprocess.Popen(
        server.host.argv(["sh", "-c", script]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with ours:
        try:
            assert ours.stdin is not None
            assert ours.stdout is not None
            ours.stdin.write(given)
            ours.stdin.close()
            found = pids(ours.stdout.readline().decode())
            assert len(found) == 2
            assert not any(gone(pid) for pid in found)
        finally:
            os.killpg(ours.pid, signal.SIGKILL)
    try:
        until_gone(found)
    finally:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
