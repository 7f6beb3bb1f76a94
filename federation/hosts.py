"""How a site's hosts are reached: what to put before a command so that it runs there."""

from __future__ import annotations

import sys
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


@dataclass(frozen=True)
class SshHost:
    """Another machine, by the OpenSSH client and what it is set up with (`~/.ssh/config`, an agent).

    Through `federation.ssh`: its host key must be known already, words arrive as they are, so does standard
    input, and a command that is ended here is ended there. `name` is "host" or "user@host". Without
    `known_hosts` the client's own files count, without `identity` its own keys. `python` (3.10 or newer) runs
    programs of ours there.
    """

    name: str
    port: int = 22
    known_hosts: str | None = None
    identity: str | None = None
    python: str = "python3"

    def argv(self, command: Sequence[str]) -> list[str]:
        line = [sys.executable, "-m", "federation.ssh", "--port", str(self.port)]
        line += [] if self.known_hosts is None else ["--known-hosts", self.known_hosts]
        line += [] if self.identity is None else ["--identity", self.identity]
        return [*line, self.name, "--", *command]
