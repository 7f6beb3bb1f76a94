"""What jobs left in their storages, where those are directories that this process can read.

A container may put anything there, and may go on changing it while we look: links to files of this machine,
pipes that never answer, millions of entries. So every step goes from an open directory to its entry, and no
link is ever followed: what was checked is what was opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from broker.file_names import plain_name
from broker.platforms import StoredFile
from broker.platforms.places import job_directory, storage_path

# of one storage so many files are listed, so many entries looked at, and so many directories gone down
FILES_LIMIT = 10_000
ENTRIES_LIMIT = 100_000
DEPTH_LIMIT = 100
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def list_files(root: Path, job_id: str, name: str) -> Sequence[StoredFile]:
    """See `Platform.list_files`. Directories that can't be read are left out, too."""
    try:
        top = os.open(storage_path(root, job_id, name), DIRECTORY)
    except OSError:
        return ()
    found: list[StoredFile] = []
    try:
        for looked_at, file in enumerate(_walk(top, "", DEPTH_LIMIT), 1):
            if file is not None:
                found.append(file)
            if len(found) == FILES_LIMIT or looked_at == ENTRIES_LIMIT:
                break
    finally:
        os.close(top)
    return sorted(found, key=lambda each: each.path)


def _walk(directory: int, prefix: str, depth: int) -> Iterator[StoredFile | None]:
    """Each regular file below; None for every other entry, so that the caller sees that time goes by."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield None
            try:
                entry.name.encode()
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield StoredFile(prefix + entry.name, found.st_size, _time(found.st_mtime))
                elif stat.S_ISDIR(found.st_mode) and depth > 1:
                    below = os.open(entry.name, DIRECTORY, dir_fd=directory)
                    try:
                        yield from _walk(below, f"{prefix}{entry.name}/", depth - 1)
                    finally:
                        os.close(below)
            except (OSError, UnicodeEncodeError):
                continue  # gone meanwhile, closed to us, or a name that no answer could carry


def _time(seconds: float) -> datetime:
    """A file's time; the container may have set one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def open_file(root: Path, job_id: str, name: str, path: str) -> FileIO | None:
    """See `Platform.open_file`. Raises PermissionError where the file may not be read by this process."""
    parts = path.split("/")
    if not path or len(parts) > DEPTH_LIMIT or any(part in ("", ".", "..") for part in parts):
        return None
    directory = -1
    try:
        directory = os.open(storage_path(root, job_id, name), DIRECTORY)
        for part in parts[:-1]:
            below = os.open(part, DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = below
        found = os.open(parts[-1], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except PermissionError:
        raise
    except (OSError, ValueError):
        return None
    finally:
        if directory >= 0:
            os.close(directory)
    # what O_PATH found is not yet opened: opening a device does things, and a pipe waits for a writer
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return None
        return Path(f"/proc/self/fd/{found}").open("rb", buffering=0)
    finally:
        os.close(found)


def all_but(root: Path, job_id: str, keep: Collection[str]) -> Sequence[Path]:
    """What is to be removed of the job, so that the storages in `keep` stay."""
    directory = job_directory(root, job_id)
    kept = {plain_name(name) for name in keep}
    try:
        storages = {entry.name for entry in (directory / "storage").iterdir()}
    except FileNotFoundError:
        storages = set()
    if not storages & kept:
        return (directory,) if directory.exists() else ()
    others = [entry for entry in directory.iterdir() if entry.name != "storage"]
    return (*others, *(directory / "storage" / name for name in sorted(storages - kept)))
