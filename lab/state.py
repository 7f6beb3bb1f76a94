"""Where a lab keeps what it must remember, and how two commands keep out of each other's way."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from federation.errors import InputError, OutsideError

# A second lab beside the usual one: other namespaces, other state, the same addresses inside.
NAME_VARIABLE = "FAIRLEAD_LAB_NAME"
DEFAULT_NAME = "fl"
# as long as another `up` may take on a machine that does much else
LOCK_PATIENCE_SECONDS = 120.0

# of the locks that this process holds
_held: list[int] = []


def name() -> str:
    """The lab's name: what its namespaces are called before the dash. Raises InputError."""
    value = os.environ.get(NAME_VARIABLE) or DEFAULT_NAME
    if not re.fullmatch(r"[A-Za-z0-9_]{1,32}", value):
        raise InputError(f"{NAME_VARIABLE}: expected 1 to 32 letters, digits or underscores, got {value!r}")
    return value


def _root() -> Path:
    home = os.environ.get("XDG_DATA_HOME")
    if home:
        return Path(home) / "fairlead" / "lab"
    return Path("/var/lib/fairlead/lab")


def state_dir() -> Path:
    """The lab's own directory, on disk: description, catalogue, logs, and each site's data and staging."""
    return _root() / name()


def cache_dir() -> Path:
    """Where generated files stay from one lab to the next."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "fairlead" / "lab-files"


def write(path: Path, text: str) -> None:
    """Put `text` into `path` in one step: a reader sees the old content or the new."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """The document in `path`, or None where there is none or it was cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def lock() -> Iterator[None]:
    """Keep other `lab` commands of the same name out while the block runs.

    The lock is on a file beside the state directory, and both go when the lab does. The kernel drops it
    with the process, however that ends, and with the commands that were given it (`held`). Raises
    OutsideError when another command holds it for too long.
    """
    file = _root() / f".{name()}.lock"
    try:
        descriptor = _acquire(file)
    except PermissionError:
        raise OutsideError(f"{file}: the lab needs root, whose file this is") from None
    except OSError as error:
        raise OutsideError(f"{file}: {error.strerror}") from None
    _held.append(descriptor)
    try:
        yield
    finally:
        _held.remove(descriptor)
        if not state_dir().exists():
            file.unlink(missing_ok=True)
            # the folders above, as far as they are empty
            with suppress(OSError):
                _root().rmdir()
                _root().parent.rmdir()
        os.close(descriptor)


def held() -> tuple[int, ...]:
    """What a command that changes the lab is given of the lock (`pass_fds`): it outlives a process that is
    killed, and until it has ended nobody else may begin."""
    return tuple(_held)


def _acquire(file: Path) -> int:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        descriptor = -1
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever held it may have removed the file meanwhile: then this lock locks nothing
            if os.fstat(descriptor).st_ino == file.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            # removed between two of these lines
            pass
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise OutsideError(
                    f"another `fairlead lab` command has held {file} for {LOCK_PATIENCE_SECONDS:.0f} s"
                ) from None
            time.sleep(0.05)
        if descriptor >= 0:
            os.close(descriptor)
