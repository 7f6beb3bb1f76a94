"""Containers in containers: which kinds a site's containers can make, found out by trying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# the variable of a request's environment that names what it needs, several with commas between them
VARIABLE = "FAIRLEAD_NESTING"


class Kind(StrEnum):
    """A way to make a container inside of one, the least demanding first."""

    USERNS = "userns"
    USERNS_PROC = "userns-proc"
    BWRAP_NO_PROC = "bwrap-no-proc"
    BWRAP = "bwrap"
    PODMAN = "podman"
    PODMAN_SHARED = "podman-shared"
    SOCKET = "socket"


KINDS: Mapping[str, Kind] = {each.value: each for each in Kind}

MEANING: Mapping[Kind, str] = {
    Kind.USERNS: "a user namespace of one's own (`unshare -Ur`)",
    Kind.USERNS_PROC: "one with processes and a /proc of its own",
    Kind.BWRAP_NO_PROC: "bubblewrap on the container's /proc",
    Kind.BWRAP: "bubblewrap with a /proc of its own",
    Kind.PODMAN: "podman, as it comes",
    Kind.PODMAN_SHARED: "podman with the network, host name and control groups of the container around it",
    Kind.SOCKET: "the socket of the machine's engine: containers beside, not inside",
}
# what a tool prints where its program isn't in the image: shells say so by this exit code
NOT_TRIED = 127


@dataclass(frozen=True)
class Attempt:
    """How one kind ended: its exit code, and the last line that it complained with ("" where it worked)."""

    exit_code: int
    said: str = ""

    @property
    def works(self) -> bool | None:
        """None: it wasn't tried."""
        return None if self.exit_code == NOT_TRIED else self.exit_code == 0


@dataclass(frozen=True)
class Trial:
    """What one container found. `facts`: kernel, user (its number), bwrap-version, podman-version."""

    attempts: Mapping[Kind, Attempt]
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Nesting:
    """What works at a site, tried at `tried` in containers of `image`.

    `privileged`: the same in a privileged container, or, in one line, why there are none.
    """

    site: str
    tried: datetime
    image: str
    plain: Trial
    privileged: Trial | str
