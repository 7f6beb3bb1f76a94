"""What jobs left in their storages, where those are directories that this process can read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from broker.platforms import StoredFile
from broker.platforms.places import job_directory, plain_name, storage_path

# so many files of one storage are listed: a job may have written millions
FILES_LIMIT = 10_000


def list_files(root: Path, job_id: str, name: str) -> Sequence[StoredFile]:
    """The regular files below the storage, by path. Links are neither told nor followed."""
    storage = storage_path(root, job_id, name)
    found: list[StoredFile] = []
    for directory, folders, files in os.walk(storage):
        folders.sort()
        for file in sorted(files):
            path = Path(directory, file)
            if path.is_symlink() or not path.is_file():
                continue
            stat = path.stat()
            relative = path.relative_to(storage).as_posix()
            found.append(StoredFile(relative, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)))
            if len(found) >= FILES_LIMIT:
                return sorted(found, key=lambda each: each.path)
    return sorted(found, key=lambda each: each.path)


def open_file(root: Path, job_id: str, name: str, path: str) -> Path | None:
    """The file, where it is a regular one inside the storage: no link on the way leads elsewhere."""
    storage = storage_path(root, job_id, name)
    wanted = storage / path
    try:
        if wanted.is_symlink() or not wanted.is_file():
            return None
        if not wanted.resolve().is_relative_to(storage.resolve()):
            return None
    except (OSError, ValueError):
        return None
    return wanted


def remove_all_but(root: Path, job_id: str, keep: Collection[str]) -> None:
    """Remove what belongs to the job but the storages in `keep`; with none to keep, all of it."""
    directory = job_directory(root, job_id)
    kept = {plain_name(name) for name in keep}
    if not kept:
        shutil.rmtree(directory)
        return
    for entry in directory.iterdir():
        if entry.name == "storage":
            for storage in entry.iterdir():
                if storage.name not in kept:
                    shutil.rmtree(storage)
        elif entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
