"""A range of free ports that no other cloud on the machine takes, be it of another checkout."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

# below what the kernel gives to outgoing connections (32768 on), one of which might sit on a port of ours
FIRST, LAST, SIZE = 20000, 32000, 16


@dataclass(frozen=True)
class Claim:
    """Ports `first` to `first + SIZE - 1` of 127.0.0.1, ours until `release`, or until this process ends."""

    first: int
    held_by: socket.socket

    def release(self) -> None:
        self.held_by.close()


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        # what a former server's closed connections leave behind doesn't count
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def claim() -> Claim:
    """Claim a range. An abstract Unix socket stands for it, freed by the kernel however a process ends."""
    ranges = list(range(FIRST, LAST, SIZE))
    random.shuffle(ranges)
    for first in ranges:
        held_by = socket.socket(socket.AF_UNIX)
        try:
            held_by.bind(f"\0fairlead-test-cloud-{first}")
        except OSError:
            held_by.close()
            continue
        if all(_is_free(port) for port in range(first, first + SIZE)):
            return Claim(first, held_by)
        held_by.close()
    raise OSError("no 16 ports in a row are free on 127.0.0.1")
