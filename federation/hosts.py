"""How a site's hosts are reached: what to put before a command so that it runs there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Host(Protocol):
    """A place where commands run. `argv` may be called any number of times and never blocks."""

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on this host when it is started on this machine."""
        ...


@dataclass(frozen=True)
class LocalHost:
    """This machine."""

    def argv(self, command: Sequence[str]) -> list[str]:
        return list(command)


@dataclass(frozen=True)
class NamespaceHost:
    """A network namespace of this machine, as the lab makes them.

    `nsenter --net` changes the network alone; `ip netns exec` would also mount a new /sys and so hide
    the control groups from a container engine.
    """

    namespace: str

    def argv(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command]
