"""The `canfar` client in a Python environment of its own: under the AGPL, it is a tool of the tests alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tool_environments import ToolEnvironment

_CLIENT = ToolEnvironment("canfar", "the canfar client", Path(__file__).with_name("requirements.txt"))
CALLS = Path(__file__).with_name("canfar_calls.py")


def python() -> Path:
    """Its interpreter."""
    return _CLIENT.programs() / "python"


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
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
