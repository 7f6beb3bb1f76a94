"""One file of the mover: fetched, taken up again where the connection broke, verified, synced, then named.

Standard library only. What is at the path is whole, verified and on the disk, or it isn't there: until then
the bytes lie in a file without a name, which the kernel removes however the mover ends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from netprobe import mover_http
from netprobe.mover_http import BrokenError, Connections, MoverError, Resource

BLOCK_BYTES = 1024 * 1024
# in all; a broken connection is taken up again after pauses of 0.2, 0.4, 0.8 and 1.6 s
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.2
STALL_SECONDS = 30.0
# Linux has files without a name, but for some file systems, which say one of these.
UNNAMED = hasattr(os, "O_TMPFILE")
_UNNAMED_REFUSED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
# partial files that have a name because of that
_named: set[Path] = set()
# held while a name is made that isn't to stay, until it is in `_named` or gone
_naming = threading.Lock()
CLEAN_SECONDS = 5.0


@dataclass(frozen=True)
class File:
    """What to bring and where to. `checksum` is "sha256:HEX"; `s3`: the URL is of an object in an S3 store,
    which is asked for its checksum. Files of one `group` share a path of the network."""

    url: str
    path: str
    size_bytes: int | None = None
    checksum: str | None = None
    group: str = ""
    s3: bool = False


@dataclass
class Done:
    """What was moved, and how long each part took. `seconds` is from the first connect to synced on disk.

    `verified` says against what: "sha256" (as expected), "store-sha256" or "store-md5" (as the S3 store
    says), "size", or "" where neither the caller nor the server said anything.
    """

    url: str
    size_bytes: int = 0
    sha256: str = ""
    verified: str = ""
    attempts: int = 1
    seconds: float = 0.0
    connect_seconds: float = 0.0
    first_byte_seconds: float = 0.0
    body_seconds: float = 0.0
    sync_seconds: float = 0.0
    source_address: str | None = None
    destination_address: str | None = None
    event: str = field(default="done", init=False)


class _Sink:
    """The partial file: written in order, its checksums kept, restarted where a server can't resume."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # what the store says: (algorithm, hexadecimal)
        self.stated: tuple[str, str] | None = None
        self.restart()

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)

    def write(self, block: memoryview) -> None:
        self.sha256.update(block)
        if self.stated is not None and self.stated[0] == "md5":
            self.md5.update(block)
        written = 0
        while written < len(block):
            written += os.write(self._descriptor, block[written:])
        self.size_bytes += len(block)


def fetch(
    file: File,
    connections: Connections,
    stall_seconds: float = STALL_SECONDS,
    attempts: int = ATTEMPTS,
    progress: Callable[[int], None] = lambda size: None,
) -> Done:
    """Bring `file` to its path. Raises MoverError, with nothing left at the path that wasn't there before.

    A server that sends nothing for `stall_seconds` counts as a broken connection. `progress` gets the bytes
    that have come, block by block; fewer than before where the file had to begin again.
    """
    wanted = _wanted(file.checksum)
    path = Path(file.path).absolute()
    try:
        with _unnamed(path) as (descriptor, publish):
            sink = _Sink(descriptor)
            done = _body(file, connections, sink, stall_seconds, attempts, progress)
            _verify(file, sink, wanted, done)
            before = time.monotonic()
            os.fsync(descriptor)
            publish()
            done.sync_seconds = time.monotonic() - before
            done.seconds += done.sync_seconds
            return done
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MoverError(f"{file.path}: no space left on the disk") from problem
        raise MoverError(f"{file.path}: can't be written: {problem.strerror or problem}") from problem


@contextlib.contextmanager
def _unnamed(path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """(descriptor, publish): a new file on the file system of `path`, which `publish` gives that name."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # unique among the mover's threads, too
    partial: str | None = f".fairlead-{os.getpid()}-{directory}-{time.time_ns():x}.part"
    name, descriptor = partial, -1
    try:
        try:
            if UNNAMED:
                descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644)
                partial = None
        except OSError as problem:
            if problem.errno not in _UNNAMED_REFUSED:
                raise
        if descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with _naming:
                descriptor = os.open(str(name), flags, 0o644, dir_fd=directory)
                _named.add(path.parent / str(name))

        def publish() -> None:
            nonlocal partial
            with _naming:
                if partial is None:
                    # a link can't take the place of another file, so it gets a name of its own for a moment
                    unnamed = f"/proc/self/fd/{descriptor}"
                    os.link(unnamed, str(name), dst_dir_fd=directory, follow_symlinks=True)
                    partial = name
                os.rename(str(partial), path.name, src_dir_fd=directory, dst_dir_fd=directory)
                partial = None
            # or a crash could undo the rename
            os.fsync(directory)

        yield descriptor, publish
    finally:
        if partial is not None and descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(partial, dir_fd=directory)
        _named.discard(path.parent / str(name))
        if descriptor >= 0:
            os.close(descriptor)
        os.close(directory)


def clean() -> None:
    """Remove what is half done and has a name, for who ends the process while threads still work: they get no
    name for anything any more."""
    # a file system that hangs keeps nobody from ending
    _naming.acquire(timeout=CLEAN_SECONDS)
    for partial in list(_named):
        partial.unlink(missing_ok=True)


def _wanted(checksum: str | None) -> str | None:
    if checksum is None:
        return None
    kind, _, digits = checksum.partition(":")
    digits = digits.lower()
    if kind != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise MoverError(f"expected a checksum sha256:HEX with 64 digits, got {checksum!r}")
    return digits


def _verify(file: File, sink: _Sink, wanted: str | None, done: Done) -> None:
    """What was expected goes before what the store says: a store that is wrong agrees with itself."""
    algorithm, expected, whose = "sha256", wanted, "expected"
    if wanted is None and sink.stated is not None:
        (algorithm, expected), whose = sink.stated, "the store says"
    if expected is None:
        return
    got = done.sha256 if algorithm == "sha256" else sink.md5.hexdigest()
    if got != expected:
        found = f"{whose} {algorithm}:{expected}, got {algorithm}:{got}"
        raise MoverError(f"{mover_http.shown(file.url)}: wrong checksum: {found}")
    done.verified = algorithm if wanted is not None else f"store-{algorithm}"


def _body(
    file: File,
    connections: Connections,
    sink: _Sink,
    stall_seconds: float,
    attempts: int,
    progress: Callable[[int], None],
) -> Done:
    begun = time.monotonic()
    shown = mover_http.shown(file.url)
    done = Done(shown)
    total, validator = file.size_bytes, None
    buffer = memoryview(bytearray(BLOCK_BYTES))
    for attempt in range(1, attempts + 1):
        done.attempts = attempt
        try:
            # without a validator the rest could be that of another file: begin again
            offset = sink.size_bytes if validator else 0
            request = file.url, offset, validator, stall_seconds, connections, file.s3
            with mover_http.opened(*request) as resource:
                if resource.offset != sink.size_bytes:
                    sink.restart()
                validator = resource.validator
                sink.stated = resource.stated or (sink.stated if sink.size_bytes else None)
                total = _check_size(file, resource)
                if attempt == 1:
                    done.connect_seconds = resource.connect_seconds
                    done.first_byte_seconds = resource.first_byte_seconds
                done.source_address = resource.remote_address
                done.destination_address = resource.local_address
                while count := resource.read_into(buffer):
                    if total is not None and sink.size_bytes + count > total:
                        raise MoverError(f"{shown}: longer than the {total} bytes expected")
                    sink.write(buffer[:count])
                    progress(sink.size_bytes)
            if total is not None and sink.size_bytes < total:
                raise BrokenError(f"ended after {sink.size_bytes} of {total} bytes")
            break
        except BrokenError as problem:
            never_began = attempt == 1 and problem.hopeless
            if never_began or attempt == attempts:
                tries = "" if never_began else f", tried {attempt} times"
                raise MoverError(f"{shown}: {problem}{tries}") from problem
            time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    done.size_bytes = sink.size_bytes
    done.sha256 = sink.sha256.hexdigest()
    done.verified = "" if total is None else "size"
    done.seconds = time.monotonic() - begun
    done.body_seconds = done.seconds - done.connect_seconds - done.first_byte_seconds
    return done


def _check_size(file: File, resource: Resource) -> int | None:
    """The size to wait for. Raises MoverError at once where it is wrong, or has no room on the disk."""
    expected = file.size_bytes
    total = resource.size_bytes if resource.size_bytes is not None else expected
    if expected is not None and total != expected:
        raise MoverError(
            f"{mover_http.shown(file.url)}: wrong size: expected {expected} bytes, the server has {total}"
        )
    room = os.statvfs(Path(file.path).absolute().parent)
    free = room.f_bavail * room.f_frsize
    if total is not None and total - resource.offset > free:
        raise MoverError(f"{file.path}: no space left on the disk: {total} bytes needed, {free} free")
    return total
