"""A chain of network namespaces for a test: two ends and the routers between them."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence

from federation.hosts import NamespaceHost
from netprobe.tools import Endpoint, Test
from tests.waiting import SECONDS

_numbers = itertools.count()


class Chain:
    """Namespaces in a row. Link `n` between two is 10.79.n.0/24, with .1 on the left and .2 on the right."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def run(self, place: int, *command: str) -> str:
        """Run `command` in the namespace number `place`."""
        line = NamespaceHost(self.names[place]).argv(command)
        return subprocess.run(line, check=True, capture_output=True, text=True, timeout=300).stdout

    def test(self, time_limit_seconds: float = SECONDS, **parameters: object) -> Test:
        """From the first namespace, "here", to the last, "there"."""
        last = len(self.names) - 1
        here = Endpoint("here", NamespaceHost(self.names[0]), "10.79.0.1")
        there = Endpoint("there", NamespaceHost(self.names[last]), f"10.79.{last - 1}.2")
        return Test(here, there, parameters, time_limit_seconds)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=300)


@contextlib.contextmanager
def chain(routers: int) -> Iterator[Chain]:
    """Two ends with so many routers between them; everything is gone afterwards."""
    prefix = f"flt{os.getpid()}-{next(_numbers)}"
    made = Chain([f"{prefix}-{place}" for place in range(routers + 2)])
    try:
        for name in made.names:
            _ip("netns", "add", name)
        for link, (left, right) in enumerate(itertools.pairwise(made.names)):
            _ip("-n", left, "link", "add", "right", "type", "veth", "peer", "name", "left", "netns", right)
            for place, device, end in ((link, "right", 1), (link + 1, "left", 2)):
                made.run(place, "ip", "address", "add", f"10.79.{link}.{end}/24", "dev", device)
                made.run(place, "ip", "link", "set", device, "up")
        last = len(made.names) - 1
        for place in range(last + 1):
            made.run(place, "ip", "link", "set", "lo", "up")
            made.run(place, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0")
            for link in range(last):
                # towards the right by the neighbour on the right, towards the left by the one on the left
                if link > place:
                    made.run(place, "ip", "route", "add", f"10.79.{link}.0/24", "via", f"10.79.{place}.2")
                elif link < place - 1:
                    made.run(place, "ip", "route", "add", f"10.79.{link}.0/24", "via", f"10.79.{place - 1}.1")
        yield made
    finally:
        for name in made.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=300)
