"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from federation.errors import OutsideError


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write `data` to `path`: what was there before stays until all of it is on the disk.

    `mode` is the new file's permissions; None: what the process gives its files. Raises OutsideError.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), _usual_mode() if mode is None else mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise OutsideError(f"{path}: it can't be written: {error.strerror}") from error


def _usual_mode() -> int:
    """What the process's umask leaves of a file's permissions; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
