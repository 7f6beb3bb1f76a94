"""The mover as a child process: what it is told on its command line and its standard input, what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from federation.errors import OutsideError
from federation.hosts import Host
from netprobe.addresses import Allowed
from netprobe.tools import _process, _shipped

MOVER = "netprobe.mover"
# what the mover may take to remove its partial file
GRACE_SECONDS = 0.8


class TransferError(OutsideError):
    """The file was not moved, and nothing is left of it. One line: what failed, and where.

    `status` is what the server answered over HTTP, where that is the failure. `reason` is "forbidden" for an
    address that is not allowed (the URL's own or that of a redirect; nothing was sent to it), "unknown-host"
    for a name without an address, and None for everything else.
    """

    def __init__(self, text: str, status: int | None = None, reason: str | None = None) -> None:
        super().__init__(text)
        self.status, self.reason = status, reason


def allow(allowed: Allowed | None) -> list[str]:
    return [] if allowed is None else ["--allow", json.dumps(allowed.document(), separators=(",", ":"))]


async def last_said(
    host: Host,
    arguments: Sequence[str],
    given: str,
    about: str,
    time_limit_seconds: float,
    on_document: Callable[[dict[str, Any]], None] = lambda document: None,
) -> dict[str, Any]:
    """The last document that the mover says, which is `given` that on its standard input."""
    last: dict[str, Any] = {}

    def on_line(line: str) -> None:
        nonlocal last
        last = read_line(line, about)
        on_document(last)

    end = await run(host, MOVER, arguments, given, about, time_limit_seconds, on_line)
    if not end.timed_out:
        raise_error(last)
    check_end(end, about, time_limit_seconds)
    return last


async def run(
    host: Host,
    module: str,
    arguments: Sequence[str],
    given: str,
    about: str,
    time_limit_seconds: float,
    on_line: Callable[[str], None] | None = None,
) -> _process.Finished:
    """The mover, or another `module` that is run at a site as it is."""
    command, given = _shipped.started(host, module, arguments, given)
    try:
        return await _process.run(command, time_limit_seconds, on_line, GRACE_SECONDS, given=given)
    except OSError as problem:
        raise TransferError(f"{about}: the mover can't be started: {problem.strerror}") from problem


def read_line(line: str, about: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (TypeError, ValueError) as problem:
        raise TransferError(f"{about}: the mover said something else than JSON") from problem


def raise_error(said: Mapping[str, Any]) -> None:
    if said.get("event") == "error":
        raise TransferError(str(said["error"]), said.get("status"), said.get("reason"))


def check_end(end: _process.Finished, about: str, time_limit_seconds: float) -> None:
    if end.timed_out:
        raise TransferError(f"{about}: not done within {time_limit_seconds:.3g} s")
    if end.returncode != 0:
        raise TransferError(f"{about}: the mover failed: {end.complaint}")
