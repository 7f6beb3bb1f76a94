"""The parent of all processes of a cloud: it ends when its standard input does, and takes them all with it.

Run as a program. It reads one JSON command a line and answers each with one line. However the process that
started it ends, also by SIGKILL, the pipe closes: then every descendant is ended by its id, and the state
removed.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]

PR_SET_CHILD_SUBREAPER = 36
KILLED_SECONDS = 10


def _living(process: psutil.Process) -> list[psutil.Process]:
    """What descends from the process and is more than an entry in the process table."""
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


class Supervisor:
    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: list[str], log: str, environment: dict[str, str], cwd: str) -> int:
        with open(log, "ab") as output:  # noqa: PTH123 - a string came by JSON
            self.running[name] = subprocess.Popen(
                # should the supervisor itself be killed
                ["setpriv", "--pdeathsig", "KILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        return self.running[name].pid

    def status(self, name: str) -> int | None:
        """How the process ended; None while it runs."""
        return self.running[name].poll()

    def stop(self, name: str, patience_seconds: float) -> int | None:
        """End a process and what it started: asked first, killed when it doesn't within its time."""
        process = self.running.pop(name)
        if process.poll() is not None:
            return process.returncode
        family = _living(psutil.Process(process.pid))
        process.terminate()
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        _kill(family)
        status = process.wait()
        # they are our children now, and waiting takes them out of the process table
        psutil.wait_procs(family, timeout=KILLED_SECONDS)
        return status

    def end(self) -> None:
        """End everything; nothing here has anything to keep."""
        me = psutil.Process()
        while living := _living(me):
            _kill(living)
            time.sleep(0.02)


def main(state: str) -> None:
    # what its parent left behind becomes ours, so that it is found
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    supervisor = Supervisor()
    try:
        for line in sys.stdin:
            command: dict[str, Any] = json.loads(line)
            try:
                answer = {"result": getattr(supervisor, command.pop("do"))(**command)}
            except OSError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)  # noqa: T201 - the answer
    finally:
        supervisor.end()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    os.chdir("/")
    main(sys.argv[1])
