"""Where a platform keeps what belongs to one job: one directory a job, so that release is one removal.

`<root>/<job id>/data/<uuid>/<name>` is a staged file, `<root>/<job id>/storage/<name>` a storage. Names come
from clients, and so never decide where a file lies: whatever is not plain is replaced.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from broker.file_names import plain_name
from broker.model import DataItem

# removing what a job wrote: a container can make millions of files
REMOVE_SECONDS = 280.0


def job_directory(root: Path, job_id: str) -> Path:
    return root / plain_name(job_id)


def data_path(root: Path, job_id: str, item: DataItem) -> Path:
    """Each item has a directory of its own: two items of a job may have the same name."""
    data = job_directory(root, job_id) / "data"
    if item.folder is None:
        return data / plain_name(item.uuid) / plain_name(item.name)
    uuid, name = item.folder
    return (data / plain_name(uuid) / plain_name(name)).joinpath(*parts_of(item.name))


def parts_of(path: str) -> list[str]:
    """A path in a folder, part by part, as it lies at a site. It leads nowhere but down."""
    return [plain_name(part) for part in path.split("/") if part]


def storage_path(root: Path, job_id: str, name: str) -> Path:
    return job_directory(root, job_id) / "storage" / plain_name(name)


def removal(paths: Iterable[Path]) -> tuple[str, ...]:
    """The command that removes them: rm, for a container may have made more levels of directories than Python
    can go down."""
    return ("rm", "-rf", "--one-file-system", "--", *map(str, paths))


def write_private(path: Path, text: str) -> None:
    """`path` with `text`, for us alone to read, whole or not at all. Raises OSError."""
    new = path.with_name(f".{secrets.token_hex(8)}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    new.replace(path)
