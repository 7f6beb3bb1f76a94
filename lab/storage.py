"""The files on the sites' storage: made once, kept in a cache, and linked to each site that serves them.

The bytes follow from a file's name and size alone: SHAKE-256 of `name:block` for each block of 1 MiB, the
same on every machine, so that checksums can stand in examples.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.errors import OutsideError
from lab import state
from lab.description import File, Lab

BLOCK_BYTES = 1024 * 1024
FITS_BLOCK_BYTES = 2880
# a row of the image is one FITS block of 16-bit integers, so that the data end on a block without padding
FITS_ROW_PIXELS = FITS_BLOCK_BYTES // 2


class CancelledError(Exception):
    """Making the files was called off."""


@dataclass(frozen=True)
class Made:
    """A finished file in the cache. `modified` tells (in ns) whether somebody has changed it since."""

    name: str
    path: Path
    size_bytes: int
    sha256: str
    modified: int


def fits_header(name: str, rows: int) -> bytes:
    """The header block of an image of `rows` by 1440 16-bit integers (FITS standard 4.0, section 4.4.1)."""
    cards = [
        f"{'SIMPLE':<8}= {'T':>20} / a FITS file",
        f"{'BITPIX':<8}= {16:>20} / 16-bit integers",
        f"{'NAXIS':<8}= {2:>20}",
        f"{'NAXIS1':<8}= {FITS_ROW_PIXELS:>20}",
        f"{'NAXIS2':<8}= {rows:>20}",
        f"{'OBJECT':<8}= '{name.removesuffix('.fits')[:60]:<8}'",
        f"{'ORIGIN':<8}= 'Fairlead lab'",
        "END",
    ]
    return "".join(f"{card:<80}" for card in cards).ljust(FITS_BLOCK_BYTES).encode("ascii")


def content(file: File) -> Iterator[bytes]:
    """The bytes of a file, piece by piece. A FITS file is cut down to whole blocks of 2880 bytes."""
    left = file.size_bytes
    if file.name.endswith(".fits"):
        rows = left // FITS_BLOCK_BYTES - 1
        yield fits_header(file.name, rows)
        left = rows * FITS_BLOCK_BYTES
    number = 0
    while left:
        size = min(left, BLOCK_BYTES)
        yield hashlib.shake_256(f"{file.name}:{number}".encode()).digest(size)
        left -= size
        number += 1


def make(file: File, cancelled: threading.Event) -> Made:
    """The file in the cache, made now unless it is there untouched. Raises OutsideError, CancelledError."""
    folder = state.cache_dir()
    path = folder / f"{file.size_bytes}-{file.name}"
    note = path.with_name(f"{path.name}.json")
    known = state.read_json(note)
    if isinstance(known, dict) and path.exists():
        found = path.stat()
        if (found.st_size, found.st_mtime_ns) == (known.get("size_bytes"), known.get("modified")):
            return Made(file.name, path, found.st_size, str(known.get("sha256")), found.st_mtime_ns)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size, checksum = _write(file, fresh, cancelled)
        # the sites share these bytes: whoever wants other ones replaces the file and leaves this one alone
        fresh.chmod(0o444)
        fresh.replace(path)
        modified = path.stat().st_mtime_ns
        state.write(note, json.dumps({"size_bytes": size, "modified": modified, "sha256": checksum}))
    except OSError as error:
        raise OutsideError(f"{fresh}: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)
    return Made(file.name, path, size, checksum, modified)


def _write(file: File, path: Path, cancelled: threading.Event) -> tuple[int, str]:
    size, checksum = 0, hashlib.sha256()
    with path.open("wb") as output:
        for piece in content(file):
            if cancelled.is_set():
                raise CancelledError
            output.write(piece)
            checksum.update(piece)
            size += len(piece)
    return size, checksum.hexdigest()


def make_all(lab: Lab, cancelled: threading.Event) -> list[Made]:
    """All files of the lab, in its order. Raises OutsideError, CancelledError."""
    for leftover in state.cache_dir().glob(".*.*"):
        # of an `up` that was killed while it wrote
        if not Path(f"/proc/{leftover.name.rpartition('.')[2]}").exists():
            leftover.unlink(missing_ok=True)
    return [make(file, cancelled) for file in lab.files]


def data_dir(site_id: str) -> Path:
    """What a site serves over HTTP."""
    return state.state_dir() / "sites" / site_id / "data"


def staging_dir(site_id: str) -> Path:
    """Where a site brings data for its sessions."""
    return state.state_dir() / "sites" / site_id / "staging"


def place(lab: Lab, made: Sequence[Made]) -> None:
    """Give each site its files and its staging directory. A changed or missing file is put right.

    Raises OutsideError.
    """
    by_name: Mapping[str, Made] = {one.name: one for one in made}
    try:
        for site_id in lab.sites:
            data_dir(site_id).mkdir(parents=True, exist_ok=True)
            staging_dir(site_id).mkdir(parents=True, exist_ok=True)
        for file in lab.files:
            for site_id in file.sites:
                _link(by_name[file.name], data_dir(site_id) / file.name)
    except OSError as error:
        raise OutsideError(f"{error.filename}: {error.strerror}") from None


def _link(made: Made, target: Path) -> None:
    if target.exists():
        found = target.stat()
        if (found.st_size, found.st_mtime_ns) == (made.size_bytes, made.modified):
            return
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        os.link(made.path, fresh)
    except OSError:
        # another file system, or one that has no links
        shutil.copy2(made.path, fresh)
    fresh.replace(target)
