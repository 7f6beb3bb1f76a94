"""What podman says of our containers: one `podman ps` answers everybody who asks meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.platforms import PlatformError
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
        # the answer that podman hasn't been asked for yet, and the one that it is being asked for
        self._next: asyncio.Task[Mapping[str, Container]] | None = None
        self._asked: asyncio.Task[Mapping[str, Container]] | None = None

    async def find(self, name: str) -> Container | None:
        """The container called `name` as it is now; None where there is none. Raises PlatformError."""
        answer = self._next
        if answer is None or answer.get_loop() is not asyncio.get_running_loop():
            before = self._asked
            if before is not None and before.get_loop() is not asyncio.get_running_loop():
                before = None
            # whoever comes before podman is really asked shares this answer
            answer = self._next = asyncio.create_task(self._list(before))
            answer.add_done_callback(_heard)
        # shield: one who gives up must not take the answer from the others
        return (await asyncio.shield(answer)).get(name)

    async def _list(self, before: asyncio.Task[Any] | None) -> Mapping[str, Container]:
        if before is not None:
            await asyncio.wait({before})
        self._asked = asyncio.current_task()
        self._next = None
        ps = ("ps", "--all", "--format", "json", "--filter", f"label={LABEL}")
        # there is one of these at a time, and a hundred starts must not hide what runs
        said = await podman_ok(*ps, waits=True)
        try:
            listed: list[dict[str, Any]] = json.loads(said or "[]") or []
            return {name: read_container(each) for each in listed for name in each["Names"]}
        except (ValueError, KeyError, TypeError) as problem:
            raise PlatformError(f"podman ps said something unexpected: {problem!r}") from problem


def _heard(answer: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not answer.cancelled():
        answer.exception()


def read_container(listed: Mapping[str, Any]) -> Container:
    """One entry of `podman ps --format json`. Times are seconds since 1970, far below 0 where unset."""
    state = str(listed["State"])
    if state in NEVER_RAN:
        return Container(running=False, exit_code=None)
    if state in ENDED:
        # with the machine's restart podman only knows that it runs no more, not how it ended
        lost = int(listed.get("ExitedAt") or 0) < int(listed.get("StartedAt") or 0)
        return Container(running=False, exit_code=None if lost else int(listed["ExitCode"]))
    return Container(running=True, exit_code=None)
