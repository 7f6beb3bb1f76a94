"""`fairlead serve` as a process of its own: for the demo, and for tests that want the real thing."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.client import BrokerClient
from federation.errors import OutsideError

START_SECONDS = 30.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Served:
    """A running broker and who may ask it."""

    process: subprocess.Popen[bytes]
    url: str
    user: str
    password: str
    log: Path

    def client(self) -> BrokerClient:
        return BrokerClient(self.url, self.user, self.password)

    def stop(self) -> None:
        """End it, gently first. Called again: does nothing."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Served:
    """Start `fairlead serve ARGUMENTS` on a free loopback port and wait until it answers.

    It is in a session of its own: a Ctrl-C in the terminal is for its parent, which then stops it. What it
    says goes to `log`. Raises OutsideError with its last line where it doesn't come up.
    """
    from fairlead.serving import listen

    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    user, password = "admin", secrets.token_urlsafe(12)
    given = {"FAIRLEAD_ADMIN_USER": user, "FAIRLEAD_ADMIN_PASSWORD": password, **(environment or {})}
    command = [
        sys.executable,
        "-m",
        "fairlead",
        "serve",
        *arguments,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, **given},
        )
    served = Served(process, f"http://127.0.0.1:{port}", given["FAIRLEAD_ADMIN_USER"], password, log)
    try:
        _wait(served)
    except BaseException:
        served.stop()
        raise
    return served


def _wait(served: Served) -> None:
    deadline = time.monotonic() + START_SECONDS
    with served.client() as client:
        while not client.is_up():
            if served.process.poll() is not None:
                raise OutsideError(f"the broker ended at once: {_last_line(served.log)}")
            if time.monotonic() > deadline:
                raise OutsideError(
                    f"the broker doesn't answer after {START_SECONDS:.0f} s: {_last_line(served.log)}"
                )
            time.sleep(0.05)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"
