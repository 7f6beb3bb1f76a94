"""What explains a test's figures at its two ends: load and processor use, buffers, MTU, interface counters.

One small program a read, run through the site's Host before and after the test, no shell and no script. What
can't be read is left out: context never makes a test fail.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from federation.hosts import Host, LocalHost
from netprobe.measurement import Measurement
from netprobe.tools import _process

_SYSCTL = "/proc/sys/net/"
# whole files, each line with its file's name before it; /proc/sys/net is that of the host's own namespace
_FILES = (
    "/proc/loadavg",
    "/proc/stat",
    "/proc/net/dev",
    f"{_SYSCTL}ipv4/tcp_rmem",
    f"{_SYSCTL}ipv4/tcp_wmem",
    f"{_SYSCTL}ipv4/tcp_congestion_control",
    f"{_SYSCTL}core/rmem_max",
    f"{_SYSCTL}core/wmem_max",
    f"{_SYSCTL}core/default_qdisc",
)
# the interfaces' MTU: its directory's other files, and /proc/stat's long lines, are left there
_MTU = f"{_SYSCTL}ipv6/conf"
_SKIPPED = "^(cpu[0-9]|intr|softirq|ctxt|btime|processes|procs_)"
READ = (
    *("grep", "-rsHvE", _SKIPPED, "--include=mtu"),
    *(f"--include={name.rpartition('/')[2]}" for name in _FILES),
    *_FILES,
    _MTU,
)
READ_SECONDS = 5.0
# of a test's time, for each of the readings before and after it
_SHARE = 0.1
_LINE = re.compile(r"(/proc/[^:]+):(.*)")


@dataclass(frozen=True)
class Snapshot:
    """A host at one moment; what couldn't be read is empty or None.

    `processor`: ticks since the start, those of idling, and all. `counters`: of each interface, bytes,
    errors and drops, received and sent.
    """

    load: float | None = None
    processor: tuple[int, int] | None = None
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    mtus: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def parse(output: str) -> Snapshot:
    """What READ wrote. A line that isn't as expected is left out."""
    load: float | None = None
    processor: tuple[int, int] | None = None
    counters: dict[str, dict[str, int]] = {}
    mtus: dict[str, int] = {}
    settings: dict[str, Any] = {}
    for path, text in _LINE.findall(output):
        try:
            if path == "/proc/loadavg":
                load = float(text.split()[0])
            elif path == "/proc/stat" and text.startswith("cpu "):
                # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already
                ticks = [int(word) for word in text.split()[1:9]]
                processor = (ticks[3] + ticks[4], sum(ticks))
            elif path == "/proc/net/dev" and "|" not in text:
                name, _, numbers = text.rpartition(":")
                counters[name.strip()] = _counters([int(word) for word in numbers.split()])
            elif path.startswith(f"{_MTU}/") and path.endswith("/mtu"):
                mtus[path.split("/")[-2]] = int(text)
            elif path.startswith(_SYSCTL):
                words = [int(word) if word.isdigit() else word for word in text.split()]
                settings[path.rpartition("/")[2]] = words[0] if len(words) == 1 else words
        except (IndexError, ValueError):
            continue
    return Snapshot(load, processor, counters, mtus, settings)


def _counters(numbers: Sequence[int]) -> dict[str, int]:
    names = {"received_bytes": 0, "receive_errors": 2, "receive_drops": 3}
    names |= {"sent_bytes": 8, "send_errors": 10, "send_drops": 11}
    return {name: numbers[index] for name, index in names.items()}


def between(before: Snapshot, after: Snapshot, settings: Collection[str] | None = None) -> dict[str, Any]:
    """What a host did from `before` to `after`: names and units are in docs/netprobe.md.

    The interface is the one that moved the most bytes meanwhile. Of the settings only those in `settings`
    (None: all).
    """
    found: dict[str, Any] = {
        name: value for name, value in before.settings.items() if settings is None or name in settings
    }
    if before.load is not None:
        found["load_before"] = before.load
    if before.processor is not None and after.processor is not None:
        idle, total = (then - now for then, now in zip(after.processor, before.processor, strict=True))
        if total > 0:
            found["processors_percent"] = round(100 * min(1.0, max(0.0, 1 - idle / total)), 1)
    grown = {
        name: {key: after.counters[name][key] - count for key, count in counts.items()}
        for name, counts in before.counters.items()
        if name in after.counters
    }
    if grown:
        name = max(grown, key=lambda each: grown[each]["received_bytes"] + grown[each]["sent_bytes"])
        found["interface"] = name
        found |= grown[name]
        if name in before.mtus:
            found["mtu_bytes"] = before.mtus[name]
    return found


def share(time_limit_seconds: float) -> float:
    """How long reading the ends of a test with such a limit may take, before it and after it."""
    return min(READ_SECONDS, _SHARE * time_limit_seconds)


async def release(host: Host, about: Sequence[str], within_seconds: float) -> str | None:
    """The release of a program on `host`, such as "3.12", by its own answer to `about` ("iperf3 --version").

    It is the first word with a digit. None where it doesn't say.
    """
    try:
        end = await _process.run(host.argv(about), within_seconds, grace_seconds=0.1)
    except OSError:
        return None
    found = None if end.returncode else re.search(r"(?<!\S)[\w.-]*\d[^\s,]*", end.stdout or end.stderr)
    return None if found is None else found[0]


async def read(hosts: Sequence[Host], within_seconds: float = READ_SECONDS) -> list[Snapshot]:
    """How each of `hosts` is now, read side by side; an empty snapshot of one that doesn't answer in time."""
    # cancelled, a group ends when all in it have; gather ends with the first, and the others' programs run on
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(_read(host, within_seconds)) for host in hosts]
    return [each.result() for each in reading]


async def before_test(
    hosts: Sequence[Host], asked: Host, about: Sequence[str], within_seconds: float
) -> tuple[list[Snapshot], str | None]:
    """How `hosts` are, and the release that `about` asks for on the host `asked`, read side by side."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(hosts, within_seconds))
        saying = group.create_task(release(asked, about, within_seconds))
    return reading.result(), saying.result()


async def _read(host: Host, within_seconds: float) -> Snapshot:
    try:
        end = await _process.run(host.argv(READ), within_seconds, grace_seconds=0.1)
    except OSError:
        return Snapshot()
    return parse(end.stdout)


def is_at(host: Host, address: str | None) -> bool:
    """Whether commands on `host` run where `address` is, as far as can be told.

    A site that the catalogue gives no host has this machine for one: its address says that it is elsewhere.
    A name says nothing: nobody is asked for it here.
    """
    if not isinstance(host, LocalHost):
        return True
    try:
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[ipaddress.ip_address(address or "").version]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True


@dataclass
class Beside:
    """What ran while a test called `name` did: the names of those that fill paths, and how many others."""

    name: str
    fills: bool
    filling: list[str] = field(default_factory=list)
    light: int = 0

    def meet(self, other: Beside) -> None:
        if other.fills:
            self.filling.append(other.name)
        else:
            self.light += 1


# the tests that run now in this process
_running: list[Beside] = []


@contextmanager
def running(name: str, *, fills: bool) -> Iterator[Beside]:
    """While the block lasts, a test called `name` runs; gives what runs at the same time.

    `fills`: it takes all that its path has. What is given grows until the block ends.
    """
    mine = Beside(name, fills)
    for other in _running:
        mine.meet(other)
        other.meet(mine)
    _running.append(mine)
    try:
        yield mine
    finally:
        # by identity: two tests may have one name
        _running[:] = [each for each in _running if each is not mine]


def beside(result: Measurement, met: Beside) -> Measurement:
    """`result` with what else ran at the same time, in words such as "iperf3 perth to lausanne"."""
    found: dict[str, Any] = {"beside": met.filling} if met.filling else {}
    found |= {"beside_light": met.light} if met.light else {}
    return replace(result, context={**result.context, **found}) if found else result
