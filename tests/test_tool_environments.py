"""The environments of tools are made by one process at a time, also when that one is killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tool_environments import CHECKOUT
from tests.waiting import until

MAKE = """
from pathlib import Path
from tests.tool_environments import ToolEnvironment
ToolEnvironment("held", "what is held", Path("/dev/null")).programs()
"""


def test_what_a_killed_process_began_keeps_the_next_one_out(tmp_path: Path) -> None:
    begun, end = tmp_path / "begun", tmp_path / "end"
    os.mkfifo(end)
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ntouch {begun}\nread word <{end}\n")
    uv.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "FAIRLEAD_TEST_HELD": str(tmp_path / "home"),
    }
    with subprocess.Popen([sys.executable, "-c", MAKE], env=environment) as maker:
        until(lambda: begun.exists() or maker.poll() is not None, "uv", maker.poll)
        assert maker.poll() is None
        maker.kill()
    with (tmp_path / "home" / "lock").open("w") as lock:
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            end.write_text("over\n")
        # uv has ended, and nobody else holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
