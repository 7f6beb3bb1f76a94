"""Bring files to a site, for every platform that keeps real files: room, the move, the proof."""

from __future__ import annotations

import asyncio
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.model import DataItem
from broker.platforms import PlatformError, Progress, Staged
from broker.platforms.places import data_path, job_directory, storage_path
from federation.clock import Clock
from federation.sites import Site
from federation.units import format_apart, format_size
from federation.urls import server_of
from netprobe.addresses import Allowed
from netprobe.cost import Move, grouped, together
from netprobe.mover_file import File
from netprobe.quantiles import Quantiles
from netprobe.tools import _process
from netprobe.tools.transfer import Moved, TransferError, fetch_all, group_measurement

BLOCK_BYTES = 1024 * 1024
# the source, where no site of the federation holds the file
OUTSIDE = "outside"
S3_KIND = "S3-data-resource"


async def stage_files(
    site: Site,
    allowed: Allowed,
    clock: Clock,
    root: Path,
    job_id: str,
    wanted: Sequence[tuple[DataItem, Move]],
    progress: Progress,
) -> Staged:
    """See `Platform.stage`. One mover on the site's host brings all of them: it has a few workers for each
    source. `allowed` is what it may fetch there."""
    paths = {item.uuid: data_path(root, job_id, item) for item, _ in wanted}
    missing = await asyncio.to_thread(_missing, site, root, job_id, wanted, paths)
    missing = await _without_mounted(site, missing, paths)
    if not missing:
        return Staged(paths)
    started = clock.now()
    moves = [move for _, move in missing]
    groups = grouped(moves)
    try:
        batch = await fetch_all(
            site.host,
            [_file(item, move, paths[item.uuid]) for item, move in missing],
            progress,
            time_limit_seconds(together(groups)),
            allowed,
            bearers=_bearers(missing),
        )
    except TransferError as problem:
        about = f"{missing[0][0].name}: " if len(missing) == 1 else ""
        raise PlatformError(f"site {site.id}: {about}{problem}") from problem
    for item, _ in missing:
        if item.checksum is not None and not _by_mover(item):
            await asyncio.to_thread(verify, site, paths[item.uuid], item.name, item.checksum)
    by_source: dict[str | None, list[Moved]] = {}
    for move, moved in zip(moves, batch.files, strict=True):
        by_source.setdefault(move.source, []).append(moved)
    return Staged(
        paths,
        tuple(
            group_measurement(
                by_source[group.source],
                batch.groups[group.source or OUTSIDE].seconds,
                group.source or OUTSIDE,
                site.id,
                started,
                group.seconds,
            )
            for group in groups
        ),
    )


def _missing(
    site: Site,
    root: Path,
    job_id: str,
    wanted: Sequence[tuple[DataItem, Move]],
    paths: Mapping[str, Path],
) -> list[tuple[DataItem, Move]]:
    """What isn't there yet, with a directory and room for all of it. Reads what is there. Blocks."""
    try:
        missing = [(item, move) for item, move in wanted if not is_right(paths[item.uuid], item)]
        if not missing:
            return []
        make_job_directory(root, job_id)
        for item, _ in missing:
            paths[item.uuid].parent.mkdir(parents=True, exist_ok=True)
        sizes = [move.size_bytes if item.size_bytes is None else item.size_bytes for item, move in missing]
        check_room(site, paths[missing[0][0].uuid].parent, sum(sizes))
    except OSError as problem:
        where = problem.filename or job_directory(root, job_id)
        raise PlatformError(f"site {site.id}: {where}: {problem.strerror or problem}") from problem
    return missing


async def _without_mounted(
    site: Site, missing: Sequence[tuple[DataItem, Move]], paths: Mapping[str, Path]
) -> list[tuple[DataItem, Move]]:
    """Copy what lies in a file system that is mounted here, and return the rest: what isn't seen there is
    fetched."""
    left = []
    for item, move in missing:
        found = next((one.mounted for one in item.replicas if one.url == move.url and one.mounted), None)
        if found is not None and await asyncio.to_thread(os.path.isfile, found):
            await _copy(site, item, found, paths[item.uuid], time_limit_seconds(move.seconds))
        else:
            left.append((item, move))
    return left


async def _copy(site: Site, item: DataItem, source: str, path: Path, seconds: float) -> None:
    """A copy, which shares its blocks with the source where the file system can; proven as others are."""
    new = path.with_name(f".{path.name}.new")
    try:
        done = await _process.run(["cp", "--reflink=auto", "--", source, str(new)], seconds)
        if done.returncode != 0:
            raise PlatformError(f"site {site.id}: {item.name}: {done.complaint}")
        if not await asyncio.to_thread(is_right, new, item):
            raise PlatformError(f"site {site.id}: {item.name}: {source} has a wrong size or checksum")
        new.replace(path)
    except OSError as problem:
        raise PlatformError(f"site {site.id}: {item.name}: {problem.strerror or problem}") from problem
    finally:
        new.unlink(missing_ok=True)


def _by_mover(item: DataItem) -> bool:
    """Whether the mover itself verifies the item while it writes it; the other kinds are left to us."""
    return item.checksum is not None and item.checksum[0] == "sha256"


def _file(item: DataItem, move: Move, path: Path) -> File:
    checksum = ":".join(item.checksum) if item.checksum and _by_mover(item) else None
    s3 = item.kind == S3_KIND
    return File(move.url, str(path), item.size_bytes, checksum, move.source or OUTSIDE, s3)


def _bearers(wanted: Sequence[tuple[DataItem, Move]]) -> dict[str, str]:
    """The tokens of the servers that want one."""
    return {
        server: replica.bearer
        for item, move in wanted
        for replica in item.replicas
        if replica.url == move.url and replica.bearer and (server := server_of(replica.url))
    }


def time_limit_seconds(seconds: Quantiles) -> float:
    """When a transfer is given up: well past what the forecast holds for possible, and never early."""
    return 300.0 + 5 * seconds.p90


def make_job_directory(root: Path, job_id: str) -> Path:
    """The job's directory, closed to other users of the machine: what lies in it may be open."""
    directory = job_directory(root, job_id)
    root.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def make_open_storage(root: Path, job_id: str, name: str) -> Path:
    """The directory of a storage, made if need be. Raises OSError."""
    path = storage_path(root, job_id, name)
    make_job_directory(root, job_id)
    path.mkdir(parents=True, exist_ok=True)
    # the container's user may be anybody; other users of its machine stop at the job's directory
    path.chmod(0o777)
    return path


def check_room(site: Site, directory: Path, size_bytes: int) -> None:
    """Raises PlatformError where the file system of `directory` can't hold `size_bytes` more."""
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    if free < size_bytes:
        needed, found = format_apart(format_size, size_bytes, free, "B")
        raise PlatformError(f"site {site.id}: {needed} needed in {directory}, {found} free")


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
