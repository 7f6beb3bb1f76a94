"""Bring one file to a site, for every platform that keeps real files: room, the move, the proof."""

from __future__ import annotations

import asyncio
import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broker.model import DataItem
from broker.platforms import PlatformError, Progress
from broker.platforms.places import data_path, job_directory
from federation.clock import Clock
from federation.sites import Site
from netprobe.addresses import Allowed
from netprobe.cost import Move
from netprobe.measurement import Measurement
from netprobe.tools.transfer import TransferError, fetch, measurement

BLOCK_BYTES = 1024 * 1024
# the source, where no site of the federation holds the file
OUTSIDE = "outside"


async def stage_file(
    site: Site,
    allowed: Allowed,
    clock: Clock,
    root: Path,
    job_id: str,
    item: DataItem,
    move: Move,
    progress: Progress,
) -> tuple[Path, Measurement | None]:
    """See `Platform.stage`. The mover runs on the site's host; `allowed` is what it may fetch there."""
    path = data_path(root, job_id, item)
    try:
        if await asyncio.to_thread(is_right, path, item):
            return path, None
        make_job_directory(root, job_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        size = item.size_bytes if item.size_bytes is not None else move.size_bytes
        check_room(site, path.parent, size)
    except OSError as problem:
        raise PlatformError(f"site {site.id}: {path}: {problem.strerror or problem}") from problem
    started = clock.now()
    # the mover itself verifies sha256 while it writes; the others are left to us
    by_mover = item.checksum is not None and item.checksum[0] == "sha256"
    try:
        moved = await fetch(
            site.host,
            move.url,
            path,
            item.size_bytes,
            ":".join(item.checksum) if item.checksum and by_mover else None,
            progress,
            time_limit_seconds=time_limit_seconds(move),
            allowed=allowed,
        )
    except TransferError as problem:
        raise PlatformError(f"site {site.id}: {item.name}: {problem}") from problem
    if item.checksum is not None and not by_mover:
        await asyncio.to_thread(verify, site, path, item.name, item.checksum)
    source = move.source or OUTSIDE
    return path, measurement(moved, source, site.id, started, move.seconds)


def time_limit_seconds(move: Move) -> float:
    """When a transfer is given up: well past what the forecast holds for possible, and never early."""
    return 300.0 + 5 * move.seconds.p90


def make_job_directory(root: Path, job_id: str) -> Path:
    """The job's directory, closed to other users of the machine: what lies in it may be open."""
    directory = job_directory(root, job_id)
    root.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def check_room(site: Site, directory: Path, size_bytes: int) -> None:
    """Raises PlatformError where the file system of `directory` can't hold `size_bytes` more."""
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if free < size_bytes:
        raise PlatformError(
            f"site {site.id}: {size_bytes / 1e6:.0f} MB needed in {directory}, {free / 1e6:.0f} MB free"
        )


def is_right(path: Path, item: DataItem) -> bool:
    """Whether the file is there already, whole and with the right checksum. Reads all of it."""
    if not path.is_file():
        return False
    if item.size_bytes is not None and path.stat().st_size != item.size_bytes:
        return False
    return item.checksum is None or digest(path, item.checksum[0]) == item.checksum[1].lower()


def verify(site: Site, path: Path, name: str, checksum: tuple[str, str]) -> None:
    """Raises PlatformError, and removes the file, where its checksum is wrong."""
    algorithm, expected = checksum
    got = digest(path, algorithm)
    if got != expected.lower():
        path.unlink(missing_ok=True)
        raise PlatformError(
            f"site {site.id}: {name}: wrong checksum: expected {algorithm}:{expected}, got {algorithm}:{got}"
        )


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file in hexadecimal: adler32 (8 digits), or any that hashlib knows."""
    update: Callable[[bytes], Any]
    if algorithm == "adler32":
        value = 1

        def update(block: bytes) -> None:
            nonlocal value
            value = zlib.adler32(block, value)

        _read(path, update)
        return f"{value:08x}"
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    _read(path, hasher.update)
    return hasher.hexdigest()


def _read(path: Path, update: Callable[[bytes], Any]) -> None:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            update(block)
