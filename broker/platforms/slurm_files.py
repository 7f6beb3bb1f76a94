"""What a session's job left in its directory, read so that nothing of it does harm here.

Without a container a job may put anything there: links to files of this machine, pipes that nobody writes to,
gigabytes. Neither the directory nor a file in it may be a link, and no more is read than is asked for.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.platforms.results import DIRECTORY

# a pipe would wait for its other end
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def head(path: Path, most_bytes: int) -> str:
    """The beginning of a file. All calls block, and raise OSError."""
    with _opened(path, os.O_RDONLY) as file:
        return os.pread(file, most_bytes, 0).decode(errors="replace")


def tail(path: Path, most_bytes: int) -> tuple[str, int]:
    """The end of a file, and how many bytes there are in all."""
    with _opened(path, os.O_RDONLY) as file:
        size = os.fstat(file).st_size
        return os.pread(file, most_bytes, max(size - most_bytes, 0)).decode(errors="replace"), size


def empty(path: Path) -> None:
    """Have a file begin anew."""
    with _opened(path, os.O_WRONLY) as file:
        os.ftruncate(file, 0)


@contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    directory = os.open(path.parent, DIRECTORY)
    try:
        file = os.open(path.name, how | _PLAIN, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield file
    finally:
        os.close(file)
