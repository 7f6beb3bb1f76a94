"""The lab's processes are known by id and start time, and ended by id."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from federation.errors import OutsideError
from lab import processes

STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


def test_a_started_process_runs_until_it_is_ended(tmp_path: Path) -> None:
    process = processes.start(["sleep", "600"], tmp_path / "log")
    assert process.alive()
    assert processes.from_document(process.document()) == process
    processes.end([process])
    assert not process.alive()
    # once more is harmless
    processes.end([process])


def test_a_process_that_ignores_the_polite_request_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    process = processes.start([sys.executable, "-c", STUBBORN], tmp_path / "log", ready_line=True)
    processes.end([process])
    assert not process.alive()


def test_another_process_under_the_same_id_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        there = processes.identify(child.pid)
        assert there is not None
        earlier = replace(there, started=there.started - 1)
        before_the_restart = replace(there, boot="another")
        processes.end([earlier, before_the_restart])
        assert child.poll() is None
        child.kill()


def test_a_process_that_ended_is_not_alive_even_while_nobody_has_waited_for_it() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        process = processes.identify(child.pid)
        assert process is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.alive()


def test_a_process_that_ends_instead_of_getting_ready_says_why(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="did not start: no such device"):
        processes.start(["sh", "-c", "echo no such device >&2; exit 1"], tmp_path / "log", ready_line=True)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="fairlead-no-such-program: No such file"):
        processes.start(["fairlead-no-such-program"], tmp_path / "log")


@pytest.mark.parametrize("document", [None, [], {}, {"pid": "x", "started": 1, "boot": "b"}, "text"])
def test_a_spoilt_note_names_no_process(document: object) -> None:
    assert processes.from_document(document) is None
