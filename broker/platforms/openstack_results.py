"""Results of sessions, fetched from the object store into the broker's own directory of the session.

They appear there all at once, proved by the checksum that the server said on its console, or not at all. The
server is the client's machine: what it says is bounded, and where its files go is decided here.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import utime
from pathlib import Path
from typing import IO

import msgspec

from broker.catalogues.s3_store import clash
from broker.platforms import PlatformError
from broker.platforms.openstack_records import Sent
from broker.platforms.openstack_store import ResultStore, part_bytes
from broker.platforms.places import job_directory
from broker.platforms.results import DEPTH_LIMIT, FILES_LIMIT
from broker.platforms.staging import make_job_directory
from federation.units import format_size
from netprobe.mover_file import File, fetch
from netprobe.mover_http import BrokenError, Connections, MoverError, RefusedError

log = logging.getLogger(__name__)
PATH_BYTES, NAME_BYTES = 4000, 255
BLOCK_BYTES = 1024 * 1024
# a store that can't be asked for so long has lost them; and between two tries
PATIENCE_SECONDS = 600.0
PAUSE_SECONDS = 5.0
# sessions whose results come at the same time
TOGETHER = 4
STORAGE, ARRIVING = "storage", ".arriving-"


@dataclass(frozen=True)
class Parcel:
    """What is to be fetched for a session, and how much of it is taken at most. `storages` are names of
    directories."""

    job_id: str
    folder: str
    sent: Sent
    storages: Sequence[str]
    most_bytes: int


class Manifest(msgspec.Struct):
    """As `openstack_sending.send` writes it."""

    # storage, path, size in bytes, time of the last change
    files: list[tuple[str, str, int, float]]
    # size in bytes, SHA-256
    parts: list[tuple[int, str]]


class StoppedError(Exception):
    """Nobody wants it any more."""


@dataclass
class Fetching:
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    # why it can't be had; empty: it is here
    end: str | None = None


class Results:
    """The results of all sessions below `root`. May be used from several threads."""

    def __init__(self, root: Path, store: ResultStore, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._root, self._store, self._patience = root, store, patience_seconds
        self._guard, self._slots = threading.Lock(), threading.Semaphore(TOGETHER)
        self._fetching: dict[str, Fetching] = {}

    def are_here(self, job_id: str) -> bool:
        return (job_directory(self._root, job_id) / STORAGE).is_dir()

    def look(self, parcel: Parcel, wait_seconds: float = 0.0) -> str | None:
        """Whether they are here: empty; else why they can't be had; None: they are on their way."""
        if self.are_here(parcel.job_id):
            return ""
        with self._guard:
            going = self._fetching.get(parcel.job_id)
            if going is None:
                going = self._fetching[parcel.job_id] = Fetching()
                name = f"openstack-results-{parcel.job_id}"
                going.thread = threading.Thread(
                    target=self._fetch, args=(parcel, going), name=name, daemon=True
                )
                going.thread.start()
        if wait_seconds and going.thread is not None:
            going.thread.join(wait_seconds)
        return going.end

    def give_up(self, job_id: str) -> None:
        """Nothing of it comes any more when this returns."""
        with self._guard:
            going = self._fetching.pop(job_id, None)
        if going is not None and going.thread is not None:
            going.stop.set()
            going.thread.join()

    def _fetch(self, parcel: Parcel, going: Fetching) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                with self._slots:
                    self._bring(parcel, going.stop)
                going.end = ""
                return
            except StoppedError:
                return
            except MoverError as error:
                # what came and was wrong will be so again
                passing = isinstance(error, RefusedError) or isinstance(error.__cause__, BrokenError)
                if not passing or time.monotonic() >= until:
                    going.end = str(error)
                    return
                log.warning("session %s: its results can't be fetched yet: %s", parcel.job_id, error)
            except PlatformError as error:
                going.end = str(error)
                return
            except OSError as error:
                log.warning("session %s: its results can't be written: %s", parcel.job_id, error)
                going.end = f"the broker can't write them: {error.strerror or type(error).__name__}"
                return
            if going.stop.wait(PAUSE_SECONDS):
                return

    def _bring(self, parcel: Parcel, stop: threading.Event) -> None:
        """Raises MoverError where another try may help, PlatformError where not, OSError, StoppedError."""
        home = make_job_directory(self._root, parcel.job_id)
        arriving = home / f"{ARRIVING}{secrets.token_hex(8)}"
        arriving.mkdir(mode=0o700)
        try:
            self._bring_to(arriving, parcel, stop)
            try:
                (arriving / STORAGE).rename(home / STORAGE)
            except OSError:
                # somebody else was first
                if not self.are_here(parcel.job_id):
                    raise
        finally:
            shutil.rmtree(arriving, ignore_errors=True)

    def _bring_to(self, arriving: Path, parcel: Parcel, stop: threading.Event) -> None:
        manifest_key, keys = self._store.keys(parcel.folder, parcel.most_bytes)
        coming = arriving / "coming"

        def progress(_: int) -> None:
            if stop.is_set():
                raise StoppedError

        with contextlib.closing(Connections(None)) as connections:

            def bring(key: str, size_bytes: int, sha256: str) -> None:
                file = File(self._store.url(key), str(coming), size_bytes, f"sha256:{sha256}")
                fetch(file, connections, progress=progress)

            bring(manifest_key, parcel.sent.size_bytes, parcel.sent.sha256)
            manifest = checked(coming.read_bytes(), parcel)
            check_room(arriving, manifest)
            for name in parcel.storages:
                (arriving / STORAGE / name).mkdir(parents=True)
            with contextlib.closing(_Files(arriving / STORAGE, manifest)) as files:
                for key, (size_bytes, sha256) in zip(keys, manifest.parts, strict=False):
                    bring(key, size_bytes, sha256)
                    files.take(coming, stop)


class _Files:
    """Writes the files of a manifest, one behind the other, from parts as they come."""

    def __init__(self, top: Path, manifest: Manifest) -> None:
        self._top, self._left = top, iter(manifest.files)
        self._file: IO[bytes] | None = None
        self._missing, self._modified = 0, 0.0
        self._next()

    def take(self, part: Path, stop: threading.Event) -> None:
        with part.open("rb") as source:
            while self._file is not None and (block := source.read(min(BLOCK_BYTES, self._missing))):
                if stop.is_set():
                    raise StoppedError
                self._file.write(block)
                self._missing -= len(block)
                if not self._missing:
                    self._next()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            # a client's file may have a time that no calendar has
            with contextlib.suppress(OSError, OverflowError, ValueError):
                utime(self._file.name, (self._modified, self._modified))
            self._file = None

    def _next(self) -> None:
        """The next file that has something in it; empty ones are made on the way."""
        while not self._missing:
            self.close()
            found = next(self._left, None)
            if found is None:
                return
            storage, path, self._missing, self._modified = found
            place = self._top / storage / path
            place.parent.mkdir(parents=True, exist_ok=True)
            self._file = place.open("xb")


def check_room(directory: Path, manifest: Manifest) -> None:
    """Raises PlatformError where the file system of `directory` can't hold the files, and a part beside them
    that is being fetched."""
    needed = sum(size for _, _, size, _ in manifest.files)
    needed += max((size for size, _ in manifest.parts), default=0)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise PlatformError(
            f"the broker has {format_size(free)} free, and {format_size(needed)} are needed to fetch them"
        )


def checked(document: bytes, parcel: Parcel) -> Manifest:
    """The manifest. Raises PlatformError where it isn't one, or wants more than the session was given."""
    try:
        manifest = msgspec.json.decode(document, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise PlatformError("what its server says of them can't be read") from None
    sizes = [size for _, _, size, _ in manifest.files]
    total, limit = sum(sizes), part_bytes(parcel.most_bytes)
    if len(sizes) > FILES_LIMIT:
        raise PlatformError(f"its server sends {len(sizes)} files: expected {FILES_LIMIT} at most")
    if min(sizes, default=0) < 0 or total > parcel.most_bytes:
        most = format_size(parcel.most_bytes)
        raise PlatformError(f"its server sends {format_size(max(total, 0))}: expected {most} at most")
    whole, last = divmod(total, limit)
    if [size for size, _ in manifest.parts] != [limit] * whole + [last] * (last > 0):
        raise PlatformError("its server sends other parts than its files need")
    for storage, path, _, _ in manifest.files:
        if storage not in parcel.storages or not _is_plain(path):
            raise PlatformError(f"its server sends a file with the path {path[:200]!r} in {storage[:200]!r}")
    paths = [f"{storage}/{path}" for storage, path, _, _ in manifest.files]
    if (twice := clash(paths)) is not None:
        raise PlatformError(f"its server sends two files for the path {twice[:200]!r}")
    return manifest


def _is_plain(path: str) -> bool:
    """Whether it leads down, and nowhere else."""
    parts = path.split("/")
    if len(parts) > DEPTH_LIMIT or "\0" in path or any(part in ("", ".", "..") for part in parts):
        return False
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        return False
    return longest <= NAME_BYTES and len(path.encode()) <= PATH_BYTES
