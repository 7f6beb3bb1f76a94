"""The `canfar` client in a Python environment of its own: under the AGPL, it is a tool of the tests alone.

Made once by uv from pinned versions, in `.tools/canfar`, or where `FAIRLEAD_TEST_CANFAR` says.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cloud.environment import digest

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CALLS = Path(__file__).with_name("canfar_calls.py")


def python() -> Path:
    """Its interpreter; the environment is made where it is missing or was made from other versions."""
    home = Path(os.environ.get("FAIRLEAD_TEST_CANFAR") or CHECKOUT / ".tools" / "canfar").resolve()
    home.mkdir(parents=True, exist_ok=True)
    ready = home / f"venv-{digest(REQUIREMENTS.read_bytes(), sys.version.encode())}"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (ready / "whole").exists():
            for other in home.glob("venv-*"):
                shutil.rmtree(other)
            _make(ready)
    return ready / "bin" / "python"


def _make(ready: Path) -> None:
    uv = shutil.which("uv") or shutil.which(CHECKOUT / ".tools" / "bin" / "uv")
    assert uv is not None, "the canfar client needs uv"
    settings = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    settings.pop("VIRTUAL_ENV", None)
    base = getattr(sys, "_base_executable", sys.executable)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(ready / "bin" / "python")]
    for command in (
        [uv, "venv", "--quiet", "--python", base, str(ready)],
        [*install, "-r", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, f"the canfar client can't be installed: {done.stderr[-400:]}"
    # whoever is interrupted before this begins again
    (ready / "whole").touch()


class Canfar:
    """The client in a process of its own; `call` makes one of its classes and calls a method."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, method: str, options: dict[str, Any], /, **arguments: Any) -> Any:
        """The result. Raises RuntimeError with the name of the client's own exception."""
        asked = {"class": name, "method": method, "options": options, "arguments": arguments}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


@contextmanager
def canfar(directory: Path) -> Iterator[Canfar]:
    """A running client, whose settings are in `directory` and nowhere else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CANFAR_")}
    process = subprocess.Popen(
        [python(), str(CALLS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "HOME": str(directory), "NO_PROXY": "127.0.0.1"},
    )
    try:
        yield Canfar(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
