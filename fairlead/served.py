"""`fairlead serve` as a process of its own: for the demo, and for tests that want the real thing."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.client import BrokerClient
from federation.errors import OutsideError

START_SECONDS = 120.0  # seconds; two, where the machine does nothing else
STOP_SECONDS = 60.0
SAID_BYTES = 65_536


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
        _end(self.process)


def start(arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Served:
    """Start `fairlead serve ARGUMENTS` on a free loopback port and wait until it answers.

    It is in a session of its own: a Ctrl-C in the terminal is for its parent, which then stops it. What it
    says goes to `log`. Raises OutsideError with its last line where it doesn't come up.
    """
    given = {
        "FAIRLEAD_ADMIN_USER": "admin",
        "FAIRLEAD_ADMIN_PASSWORD": secrets.token_urlsafe(12),
        **(environment or {}),
    }
    user, password = given["FAIRLEAD_ADMIN_USER"], given["FAIRLEAD_ADMIN_PASSWORD"]
    command = [
        sys.executable,
        "-m",
        "fairlead",
        "serve",
        *arguments,
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--json",
    ]
    with log.open("wb") as sink, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, **given},
        )
        try:
            served = Served(process, _url(process, said.fileno(), log), user, password, log)
            with served.client() as client:
                _wait(client.is_up, process, log)
        except BaseException:
            _end(process)
            raise
    return served


def _url(process: subprocess.Popen[bytes], said: int, log: Path) -> str:
    """Where it listens, as it says itself."""
    found: list[str] = []

    def look() -> bool:
        with contextlib.suppress(ValueError):  # nothing yet, or not all of it
            found.append(json.loads(os.pread(said, SAID_BYTES, 0))["url"])
        return bool(found)

    _wait(look, process, log)
    return found[0]


def _wait(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        if process.poll() is not None:
            raise OutsideError(f"the broker ended at once: {_last_line(log)}")
        if time.monotonic() > deadline:
            raise OutsideError(f"the broker doesn't answer after {START_SECONDS:.0f} s: {_last_line(log)}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"
