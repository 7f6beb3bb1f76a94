"""The processes of a cloud, all children of one supervisor that doesn't outlive this process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG_LINES_TOLD = 15


class CloudError(Exception):
    """The cloud, or a part of it, doesn't work; says which, with the end of its log."""


class Processes:
    """Starts, watches and ends processes; may be called from several threads.

    Each writes `logs/<name>.log` in the directory; `state/` there is removed when all have been ended.
    """

    def __init__(self, directory: Path) -> None:
        self.logs = directory / "logs"
        self.state = directory / "state"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._supervisor = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("supervisor.py")), str(self.state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # an interrupt at the terminal is for us: we end the supervisor when we have ended the tests
            start_new_session=True,
        )

    def _ask(self, do: str, **arguments: Any) -> Any:
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        with self._lock:
            try:
                self._supervisor.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
                self._supervisor.stdin.flush()
                answer = json.loads(self._supervisor.stdout.readline())
            except (OSError, ValueError) as error:
                raise CloudError(f"the supervisor of the cloud's processes is gone: {error}") from error
        if "error" in answer:
            raise CloudError(f"{do} {arguments.get('name')}: {answer['error']}")
        return answer["result"]

    def start(
        self, name: str, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> int:
        """Start a process; its id."""
        pid: int = self._ask(
            "start",
            name=name,
            argv=[str(part) for part in argv],
            log=str(self.logs / f"{name}.log"),
            environment={**os.environ, **(environment or {})},
            cwd=str(self.state),
        )
        return pid

    def ended(self, name: str) -> int | None:
        """The process's exit status; None while it runs."""
        status: int | None = self._ask("status", name=name)
        return status

    def stop(self, name: str, *, patience_seconds: float = 5) -> None:
        """End a process and all that it started."""
        self._ask("stop", name=name, patience_seconds=patience_seconds)

    def run(
        self, name: str, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a command to its end.

        Raises:
            CloudError: it failed.
        """
        self.start(name, argv, environment)
        while (status := self.ended(name)) is None:
            time.sleep(0.05)
        if status != 0:
            raise CloudError(f"{name} ended with {status}:\n{self.end_of_log(name)}")

    def wait_for_port(self, name: str, port: int, *, timeout_seconds: float = 300) -> None:
        """Wait until the process accepts connections on a port of 127.0.0.1.

        Raises:
            CloudError: it ended, or the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                status = self.ended(name)
                if status is not None or time.monotonic() > deadline:
                    why = "doesn't open its port" if status is None else f"ended with {status}"
                    raise CloudError(f"{name} {why}:\n{self.end_of_log(name)}") from None
                time.sleep(0.05)

    def still_run(self, names: Iterable[str]) -> None:
        """Raise CloudError where one of them has ended."""
        for name in names:
            if (status := self.ended(name)) is not None:
                raise CloudError(f"{name} ended with {status}:\n{self.end_of_log(name)}")

    def end_of_log(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_TOLD:])

    def end(self) -> None:
        """End all processes and remove their state; may be called again."""
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        with suppress(BrokenPipeError):
            self._supervisor.stdin.close()
        self._supervisor.wait()
        self._supervisor.stdout.close()
        # where the supervisor was killed, it didn't
        shutil.rmtree(self.state, ignore_errors=True)
