"""What podman says of our containers: one `podman ps` answers everybody who asks meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.platforms import PlatformError
from broker.platforms.one_answer import OneAnswer
from broker.platforms.podman_cli import podman_ok

LABEL = "fairlead.session"
NEVER_RAN = {"created", "configured", "initialized"}
ENDED = {"exited", "stopped", "dead", "removing"}


@dataclass(frozen=True)
class Container:
    """A container as podman has it. Neither running nor ended: it was never started, or a restart of the
    machine took it away."""

    running: bool
    exit_code: int | None  # None: it hasn't ended


class Containers:
    """Asking by `inspect` for each of a hundred sessions twice a second would take ten cores."""

    def __init__(self) -> None:
        self._answer = OneAnswer(_list)

    async def find(self, name: str) -> Container | None:
        """The container called `name` as it is now; None where there is none. Raises PlatformError."""
        return (await self._answer.get()).get(name)


async def _list() -> Mapping[str, Container]:
    ps = ("ps", "--all", "--format", "json", "--filter", f"label={LABEL}")
    # there is one of these at a time, and a hundred starts must not hide what runs
    said = await podman_ok(*ps, waits=True)
    try:
        listed: list[dict[str, Any]] = json.loads(said or "[]") or []
        return {name: read_container(each) for each in listed for name in each["Names"]}
    except (ValueError, KeyError, TypeError) as problem:
        raise PlatformError(f"podman ps said something unexpected: {problem!r}") from problem


def read_container(listed: Mapping[str, Any]) -> Container:
    """One entry of `podman ps --format json`. Times are seconds since 1970, far below 0 where unset."""
    state = str(listed["State"])
    if state in NEVER_RAN:
        return Container(running=False, exit_code=None)
    if state in ENDED:
        # with the machine's restart podman only knows that it runs no more, not how it ended. The start is
        # noted after it: a short container on a busy machine has ended before
        lost = int(listed.get("ExitedAt") or 0) <= 0
        return Container(running=False, exit_code=None if lost else int(listed["ExitCode"]))
    return Container(running=True, exit_code=None)
