"""A simulated pScheduler node on loopback: it answers with what a real one (5.2.5) was seen to answer.

The documents are in data/pscheduler: runs that were recorded, and the text of errors with their status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.loopback import Asked, Said, serving

DATA = Path(__file__).parent / "data" / "pscheduler"
TASK = "2784ddf3-17f0-4d7e-8849-ecefbf38cb41"


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def recorded_error(name: str) -> tuple[int, str]:
    """The status and the text of an answer that was recorded with its headers."""
    head, _, body = (DATA / name).read_text().replace("\r\n", "\n").partition("\n\n")
    return int(head.split()[1]), body


@dataclass
class Simulated:
    """What the node does next, and what it was asked. The last of `runs` is its answer for ever."""

    task: dict[str, Any]
    runs: list[Any]
    refusal: tuple[int, str] | None = None
    url: str = ""
    asked: list[str] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, kind: str | None, body: bytes) -> tuple[int, str, Any]:
        self.asked.append(f"{method} {path}")
        if (method, path) == ("POST", "/pscheduler/tasks"):
            return self._post(kind, body)
        if not re.match(rf"/pscheduler/tasks/{TASK}(/runs/first)?$", path):
            return 404, "text/plain", "Resource not found.\n"
        if method == "DELETE":
            return 200, "text/plain", "OK\n"
        if not path.endswith("/runs/first"):
            return 200, "application/json", self.task
        found = self.runs[0] if len(self.runs) == 1 else self.runs.pop(0)
        if found is None:
            status, text = recorded_error("rtt-first-early.txt")
            return status, "text/plain", text
        return 200, "application/json", found

    def _post(self, kind: str | None, body: bytes) -> tuple[int, str, Any]:
        # with a form's media type the body never arrives
        if kind not in ("application/json", "text/plain"):
            return 400, "text/plain", "Invalid JSON: Expecting value: line 1 column 1 (char 0)\n"
        self.posted.append(json.loads(body.decode("ascii")))
        if self.refusal is not None:
            return self.refusal[0], "text/plain", self.refusal[1]
        # the node's own name for itself, which means nothing here
        return 200, "application/json", f"https://hosta/pscheduler/tasks/{TASK}"


@contextmanager
def node(simulated: Simulated) -> Iterator[Simulated]:
    def answer(asked: Asked) -> Said:
        kind = asked.headers.get("Content-Type")
        status, kind, found = simulated.answer(asked.method, asked.path, kind, asked.body)
        data = (json.dumps(found) if kind == "application/json" else str(found)).encode()
        return Said(status, data, {"Content-Type": kind})

    with serving(answer) as server:
        simulated.url = f"{server.origin}/pscheduler"
        yield simulated
