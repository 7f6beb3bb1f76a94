"""The wide-area network: every packet between two sites passes through this one process.

The router namespace sends all traffic between sites into a TUN device. This program reads each packet
there, holds it as long as its directed path asks, and writes it back, so that the router delivers it.
A directed path is one first-in-first-out line:

    arrive -> (queue full? drop) -> leave at the path's rate -> (lost?) -> delay and jitter -> deliver

Run as `python -m lab.emulator DEVICE DESCRIPTION` inside the router's namespace. It prints `ready` once
packets flow. SIGHUP reads the description again and changes the paths in place: packets that are already
on their way keep the times they were given. SIGTERM ends it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import random
import select
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from federation.errors import FairleadError
from lab import description

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
PR_SET_TIMERSLACK = 29

# A wake-up costs more than a packet. While packets are under way the loop looks at the device and the lines
# once a tick, whatever comes in between, and gives a packet back when that is nearer its time than the next
# look would be.
TICK_SECONDS = 0.00025
# The longest sleep, so that a signal is noticed soon.
IDLE_SECONDS = 0.2
# With the next packet due later than this, an arrival wakes the loop at once.
BUSY_SECONDS = 2 * TICK_SECONDS
# Packets taken from the device, or given back to one path, before the other side gets its turn.
BATCH = 64


class Line:
    """The state of one directed path. Times are nanoseconds of the monotonic clock."""

    __slots__ = ("delay", "free_at", "jitter", "last_due", "loss", "per_byte", "queue", "waiting")

    def __init__(self) -> None:
        self.delay = 0
        self.jitter = 0
        self.loss = 0.0
        self.per_byte = 0.0
        self.queue = 0
        self.free_at = 0
        self.last_due = 0
        # (when to deliver, packet), in the order of delivery
        self.waiting: deque[tuple[int, bytes]] = deque()

    def configure(self, path: description.Path) -> None:
        """Take over what the description says; packets under way keep their times."""
        self.delay = round(path.delay_seconds * 1e9)
        self.jitter = round(path.jitter_seconds * 1e9)
        self.loss = path.loss
        self.per_byte = 8e9 / path.bits_per_second
        self.queue = round(path.queue_seconds * 1e9)

    def accept(self, packet: bytes, now: int) -> None:
        """Line up `packet`, which arrived at `now`, unless the queue is full or the path loses it."""
        start = self.free_at if self.free_at > now else now
        if start - now > self.queue:
            return
        self.free_at = start + int(len(packet) * self.per_byte)
        if self.loss and random.random() < self.loss:
            return
        due = self.free_at + self.delay
        if self.jitter:
            due += int((2 * random.random() - 1) * self.jitter)
        # jitter moves packets closer together or apart, but never past each other
        if due < self.last_due:
            due = self.last_due
        self.last_due = due
        self.waiting.append((due, packet))


def address_pair(source: str, destination: str) -> bytes:
    """The eight bytes of an IPv4 header that name the two ends."""
    return bytes(int(part) for part in f"{source}.{destination}".split("."))


def configure(lines: dict[bytes, Line], lab: description.Lab) -> None:
    """Bring `lines` in step with the description: one for each directed path."""
    for path in lab.paths:
        pair = address_pair(lab.sites[path.source].address, lab.sites[path.destination].address)
        lines.setdefault(pair, Line()).configure(path)


def open_device(name: str) -> int:
    """Attach to the TUN device `name`, non-blocking, one IP packet for each read and write."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return device


def deliver(device: int, lines: Iterable[Line], now: int) -> None:
    """Write what is due."""
    write = os.write
    for line in lines:
        waiting = line.waiting
        for _ in range(BATCH):
            if not waiting or waiting[0][0] > now:
                break
            packet = waiting.popleft()[1]
            try:
                write(device, packet)
            except OSError:
                # the device is full or down: a network loses the packet too
                continue


def receive(device: int, lines: dict[bytes, Line], size: int) -> bool:
    """Read up to a batch of packets into their lines; false when the device had nothing more."""
    read, clock, find = os.read, time.monotonic_ns, lines.get
    try:
        for _ in range(BATCH):
            packet = read(device, size)
            line = find(packet[12:20])
            if line is not None:
                line.accept(packet, clock())
    except OSError:
        # nothing to read (or the device is down, which the wait below paces)
        return False
    return True


def prefer_this_process() -> None:
    """Ask for prompt wake-ups: a late emulator is a wrong network. Without the right to, do without."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.nice(-10)
    # nothing here makes reference cycles, and a collection would hold packets up
    gc.disable()


def run(device_name: str, file: Path) -> None:
    """Carry packets until SIGTERM."""
    lab = description.load(file)
    lines: dict[bytes, Line] = {}
    configure(lines, lab)
    device = open_device(device_name)
    prefer_this_process()
    stop: list[int] = []
    changed: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    signal.signal(signal.SIGHUP, lambda number, frame: changed.append(number))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    half_tick = round(TICK_SECONDS / 2 * 1e9)
    while not stop:
        if changed:
            changed.clear()
            try:
                configure(lines, description.load(file))
            except FairleadError as error:
                sys.stderr.write(f"kept the old paths: {error}\n")
        deliver(device, lines.values(), time.monotonic_ns() + half_tick)
        if receive(device, lines, lab.mtu):
            continue
        next_due = min((line.waiting[0][0] for line in lines.values() if line.waiting), default=0)
        wait = (next_due - time.monotonic_ns()) / 1e9 if next_due else IDLE_SECONDS
        if wait < BUSY_SECONDS:
            time.sleep(TICK_SECONDS)
        else:
            select.select([device], [], [], wait)
    os.close(device)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
