"""What a server's reports and Nova's words say of a job, as its status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broker.platforms import State, Status, Waiting
from broker.platforms.openstack_records import Record, Sent
from broker.platforms.openstack_store import MANIFEST_BYTES
from federation.errors import one_line
from federation.units import format_size
from reservations.openstack.said import meaning

TERMINATED = 143
# where the server itself hasn't said anything yet
MAKING: Mapping[str, Any] = {"step": "making"}
BOOTING: Mapping[str, Any] = {"step": "booting"}
_WAITING = {
    "making": "its server is being made",
    "booting": "its server is booting",
    "data": "its server fetches the data",
    "image": "its server fetches the image",
}
# reports are written by a machine of the client's: no more of them is believed than this
TEXT_LETTERS = 64 * 1024
PROBLEM_LETTERS = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def going_status(record: Record, report: Mapping[str, Any]) -> Status:
    """Of one that hasn't ended."""
    if report.get("step") == "run":
        return Status(State.RUNNING, None, _text(report, "stdout"), _text(report, "stderr"))
    if report.get("step") == "results":
        return Status(State.RUNNING, None, record.stdout, record.stderr)
    reason = _WAITING.get(str(report.get("step")), _WAITING["booting"])
    came, size = report.get("bytes"), report.get("size_bytes")
    if isinstance(came, int) and isinstance(size, int) and 0 <= came <= size and size:
        reason += f": {format_size(came)} of {format_size(size)}"
    return Status(State.RUNNING, None, record.stdout, record.stderr, waiting=Waiting(reason))


def ended_status(record: Record, report: Mapping[str, Any]) -> Status:
    """Of one whose server says how it ended."""
    code, problem = report.get("exit_code"), report.get("problem")
    code = code if isinstance(code, int) and -255 <= code <= 255 else None
    problem = one_line(problem)[:PROBLEM_LETTERS] if problem else None
    if code is None and problem is None:
        problem = "its server doesn't say how it ended"
    stdout, stderr = _text(report, "stdout"), _text(report, "stderr")
    return Status(State.EXITED, code, stdout or record.stdout, stderr or record.stderr, problem)


def sent_of(report: Mapping[str, Any]) -> Sent | None:
    """Where an end says what was sent, and that can be."""
    said = report.get("results")
    if not isinstance(said, dict):
        return None
    size, sha256 = said.get("size_bytes"), said.get("sha256")
    if not isinstance(size, int) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        return None
    return Sent(size, sha256) if 0 < size <= MANIFEST_BYTES else None


def broken_status(record: Record, fault: str) -> Status:
    """Of one whose server is in ERROR."""
    problem = f"its server can't be had: {meaning(fault).text}"
    return Status(State.EXITED, None, record.stdout, record.stderr, problem)


def _text(report: Mapping[str, Any], name: str) -> str:
    text = report.get(name)
    return text[-TEXT_LETTERS:] if isinstance(text, str) else ""
