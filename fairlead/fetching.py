"""Bringing what a session wrote here: which files, where to, and never half of one under its own name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fairlead.client import BrokerClient, Document
from federation.errors import InputError, OutsideError


@dataclass(frozen=True)
class Remote:
    """A file in a storage of a session."""

    storage: str
    path: str
    size: int


@dataclass(frozen=True)
class Fetched(Remote):
    """A file that is here now, at `local`."""

    local: Path


def wanted_files(document: Document, storage: str | None, path: str | None) -> list[Remote]:
    """The files of a session's storage document: all, those of one storage, or what is at one path of it.

    Raises InputError where a storage or path is named that isn't there.
    """
    found = [
        Remote(str(each["name"]), str(file["path"]), int(file["size"]))
        for each in document.get("storage", ())
        for file in each.get("files", ())
    ]
    if storage is None:
        return found
    names = [str(each["name"]) for each in document.get("storage", ())]
    if storage not in names:
        raise InputError(f"there is no storage {storage!r}: expected one of {', '.join(names) or 'none'}")
    found = [file for file in found if file.storage == storage]
    if path is None:
        return found
    folder = path.rstrip("/") + "/"
    found = [file for file in found if file.path == path or file.path.startswith(folder)]
    if not found:
        raise InputError(f"there is no file {path!r} in the storage {storage!r}")
    return found


def fetch_files(client: BrokerClient, uuid: str, files: Sequence[Remote], out: Path) -> Iterator[Fetched]:
    """Fetch one file after the other, and say so. Raises OutsideError where one can't be had or written.

    Names come from a broker, and from a container before that: none of them leads out of `out`.
    """
    for file in files:
        local = out.joinpath(*_parts(file.storage, only=True), *_parts(file.path))
        partial = local.with_name(f".{local.name[:200]}.part")
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as sink:
                for piece in client.file(uuid, file.storage, file.path):
                    sink.write(piece)
            partial.replace(local)
        except OSError as error:
            raise OutsideError(f"{local}: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)
        yield Fetched(file.storage, file.path, local.stat().st_size, local)


def _parts(name: str, only: bool = False) -> tuple[str, ...]:
    """The parts of a path inside a directory. Raises OutsideError where it isn't one."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or (only and len(parts) > 1):
        raise OutsideError(f"the broker names a file {name!r}, which can't be written here")
    return parts
