"""Ports for programs that must be told theirs, and for addresses where nobody listens."""

from __future__ import annotations

import random
import socket

# below those that the kernel hands out by itself, and those of tests/cloud/ports.py
FIRST, LAST = 10_000, 20_000

_held: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 that no other test on this machine gets while this process lasts.

    One that the kernel names may be another's by the time that a program listens there.
    """
    for port in random.sample(range(FIRST, LAST), LAST - FIRST):
        # an abstract Unix socket stands for it, freed by the kernel however a process ends
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.bind(f"\0fairlead-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            ours.close()
            continue
        _held.append(ours)
        return port
    raise OSError(f"there is no free port from {FIRST} to {LAST}")
