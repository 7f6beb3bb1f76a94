"""Move one file over HTTP to this host, as `python -m netprobe.mover fetch URL PATH`.

Runs as a child process at the site that receives (in its namespace, or over SSH), hence the standard library
alone: httpx takes longer to import than a small file takes to move.

Standard output is one JSON object a line: {"event": "progress", "bytes", "seconds"} a few times a second, at
last {"event": "done", ...} or {"event": "error", "error"}. `head URL` prints what the server says of it.
Exit status: 0 done, 2 wrong usage, 3 failed, 128 + N ended by signal N. What is at PATH is whole, verified
and on the disk, or it isn't there.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

from netprobe import mover_http
from netprobe.addresses import Allowed, allowed_from
from netprobe.mover_http import BrokenError, MoverError, Resource

BLOCK_BYTES = 1024 * 1024
PROGRESS_SECONDS = 0.25
# in all; a broken connection is taken up again after pauses of 0.2, 0.4, 0.8 and 1.6 s
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.2
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Done:
    """What was moved, and how long each part took. `seconds` is from the first connect to synced on disk."""

    url: str
    size_bytes: int = 0
    sha256: str = ""
    attempts: int = 1
    seconds: float = 0.0
    connect_seconds: float = 0.0
    first_byte_seconds: float = 0.0
    body_seconds: float = 0.0
    sync_seconds: float = 0.0
    source_address: str | None = None
    destination_address: str | None = None
    event: str = field(default="done", init=False)


class Stopped(BaseException):
    """SIGTERM or SIGINT: unwinds, so that the partial file is removed."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Sink:
    """The partial file: written in order, its checksum kept beside, restarted where a server can't resume."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.restart()

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size_bytes = 0
        self.checksum = hashlib.sha256()

    def write(self, block: memoryview) -> None:
        self.checksum.update(block)
        written = 0
        while written < len(block):
            written += os.write(self._descriptor, block[written:])
        self.size_bytes += len(block)


def fetch(
    url: str,
    path: str,
    size_bytes: int | None = None,
    checksum: str | None = None,
    stall_seconds: float = 30.0,
    attempts: int = ATTEMPTS,
    progress: Callable[[int, float], None] = lambda size, seconds: None,
    allowed: Allowed | None = None,
) -> Done:
    """Bring `url` to `path`. Raises MoverError, with nothing left at `path` that wasn't there before.

    `allowed` None: from any address. `checksum` is "sha256:HEX". A server that sends nothing for
    `stall_seconds` counts as a broken connection.
    """
    wanted = _wanted(checksum)
    directory = Path(path).absolute().parent
    partial = directory / f".fairlead-{os.getpid()}-{time.time_ns():x}.part"
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            sink = _Sink(descriptor)
            done = _body(url, path, sink, size_bytes, stall_seconds, attempts, progress, allowed)
            if wanted is not None and done.sha256 != wanted:
                found = f"expected sha256:{wanted}, got sha256:{done.sha256}"
                raise MoverError(f"{mover_http.shown(url)}: wrong checksum: {found}")
            before = time.monotonic()
            os.fsync(descriptor)
            partial.replace(path)
            _sync_directory(directory)
            done.sync_seconds = time.monotonic() - before
            done.seconds += done.sync_seconds
            return done
        finally:
            os.close(descriptor)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MoverError(f"{path}: no space left on the disk") from problem
        raise MoverError(f"{path}: can't be written: {problem.strerror or problem}") from problem
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _wanted(checksum: str | None) -> str | None:
    if checksum is None:
        return None
    kind, _, digits = checksum.partition(":")
    digits = digits.lower()
    if kind != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise MoverError(f"expected a checksum sha256:HEX with 64 digits, got {checksum!r}")
    return digits


def _body(
    url: str,
    path: str,
    sink: _Sink,
    size_bytes: int | None,
    stall_seconds: float,
    attempts: int,
    progress: Callable[[int, float], None],
    allowed: Allowed | None,
) -> Done:
    begun = time.monotonic()
    done = Done(mover_http.shown(url))
    total, validator = size_bytes, None
    buffer = memoryview(bytearray(BLOCK_BYTES))
    shown = begun
    for attempt in range(1, attempts + 1):
        done.attempts = attempt
        try:
            # without a validator the rest could be that of another file: begin again
            offset = sink.size_bytes if validator else 0
            with mover_http.opened(url, offset, validator, stall_seconds, allowed) as resource:
                if resource.offset != sink.size_bytes:
                    sink.restart()
                validator = resource.validator
                total = _check_size(url, path, resource, size_bytes)
                if attempt == 1:
                    done.connect_seconds = resource.connect_seconds
                    done.first_byte_seconds = resource.first_byte_seconds
                done.source_address = resource.remote_address
                done.destination_address = resource.local_address
                while count := resource.read_into(buffer):
                    if total is not None and sink.size_bytes + count > total:
                        raise MoverError(f"{mover_http.shown(url)}: longer than the {total} bytes expected")
                    sink.write(buffer[:count])
                    now = time.monotonic()
                    if now - shown >= PROGRESS_SECONDS:
                        shown = now
                        progress(sink.size_bytes, now - begun)
            if total is not None and sink.size_bytes < total:
                raise BrokenError(f"ended after {sink.size_bytes} of {total} bytes")
            break
        except BrokenError as problem:
            never_began = attempt == 1 and problem.hopeless
            if never_began or attempt == attempts:
                tries = "" if never_began else f", tried {attempt} times"
                raise MoverError(f"{mover_http.shown(url)}: {problem}{tries}") from problem
            time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    done.size_bytes = sink.size_bytes
    done.sha256 = sink.checksum.hexdigest()
    done.seconds = time.monotonic() - begun
    done.body_seconds = done.seconds - done.connect_seconds - done.first_byte_seconds
    return done


def _check_size(url: str, path: str, resource: Resource, expected: int | None) -> int | None:
    """The size to wait for. Raises MoverError at once where it is wrong, or has no room on the disk."""
    total = resource.size_bytes if resource.size_bytes is not None else expected
    if expected is not None and total != expected:
        raise MoverError(
            f"{mover_http.shown(url)}: wrong size: expected {expected} bytes, the server has {total}"
        )
    room = os.statvfs(Path(path).absolute().parent)
    free = room.f_bavail * room.f_frsize
    if total is not None and total - resource.offset > free:
        raise MoverError(f"{path}: no space left on the disk: {total} bytes needed, {free} free")
    return total


def _sync_directory(directory: Path) -> None:
    # or a crash could undo the rename
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _say(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _stop(number: int, frame: object) -> NoReturn:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # a second one must not interrupt the tidying up
    raise Stopped(number)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m netprobe.mover", description="Move one file over HTTP.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("fetch", help="bring URL to PATH")
    one.add_argument("url")
    one.add_argument("path")
    one.add_argument("--size", type=int, help="bytes that the file must have")
    one.add_argument("--checksum", help="sha256:HEX that it must have")
    one.add_argument("--stall-seconds", type=float, default=30.0, help="silence that counts as broken")
    one.add_argument("--attempts", type=int, default=ATTEMPTS, help="how often it is tried at most")
    two = commands.add_parser("head", help="say how large the file at URL is")
    two.add_argument("url")
    two.add_argument("--stall-seconds", type=float, default=30.0)
    for each in (one, two):
        each.add_argument("--allow", type=_allowed, help="addresses besides public ones, as JSON (any)")
    return parser.parse_args(argv)


def _allowed(text: str) -> Allowed:
    try:
        return allowed_from(json.loads(text))
    except (KeyError, TypeError, ValueError) as problem:
        raise argparse.ArgumentTypeError(f"expected hosts, peers and networks: {problem!r}") from problem


def main(argv: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    chosen = _arguments(sys.argv[1:] if argv is None else argv)
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        if chosen.command == "head":
            _say(asdict(mover_http.head(chosen.url, chosen.stall_seconds, chosen.allow)))
        else:

            def progress(size: int, seconds: float) -> None:
                try:
                    _say({"event": "progress", "bytes": size, "seconds": round(seconds, 3)})
                except BrokenPipeError:
                    # whoever started us is gone: nobody wants the file
                    raise Stopped(signal.SIGPIPE) from None

            checks = chosen.size, chosen.checksum
            limits = chosen.stall_seconds, chosen.attempts
            done = fetch(chosen.url, chosen.path, *checks, *limits, progress, chosen.allow)
            _say(asdict(done))
    except MoverError as problem:
        # the HTTP status tells "there is no such file" from "the server can't be reached"
        status, reason = getattr(problem, "status", None), getattr(problem, "reason", None)
        _say({"event": "error", "error": str(problem), "status": status, "reason": reason})
        return 3
    except Stopped as stopped:
        # nothing more to say, nor to flush at exit into a pipe that may be broken
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + stopped.number
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
