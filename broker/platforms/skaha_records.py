"""What we must know of a session although Skaha forgets it: kept in a file, so that it outlives us both."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from broker.model import Connector
from broker.platforms import PlatformError, Status
from broker.platforms.places import job_directory, write_private

FILE_NAME = "skaha.json"


@dataclass(frozen=True)
class Record:
    """One job's session. It is written down before Skaha is asked for one, and so may name none yet.

    `unsure`: when one was asked for before, of which nobody knows whether it was made. `seen`: when Skaha
    last listed it. `stopping`: we are about to end it. `ended`: how it ended, and why
    Skaha need not be asked any more. `pull_told`: how long its image took was looked for.
    """

    asked: datetime
    session_id: str | None = None
    unsure: datetime | None = None
    seen: datetime | None = None
    stopping: bool = False
    output: str = ""
    ended: Status | None = None
    connectors: tuple[Connector, ...] = ()
    pull_told: bool = False


class Records:
    """The records of all jobs, in one directory a job. May be used from several threads."""

    def __init__(self, site_id: str, root: Path) -> None:
        self._site_id, self._root = site_id, root
        # with what the file was then: another process may have driven the job meanwhile
        self._known: dict[str, tuple[object, Record]] = {}
        self._guard = threading.Lock()

    def find(self, job_id: str) -> Record | None:
        """Raises PlatformError where it can't be read."""
        with self._guard:
            file, known = self._file(job_id), self._known.get(job_id)
            try:
                stamp = _stamp(file)
                if known is None or known[0] != stamp:
                    known = stamp, msgspec.json.decode(file.read_bytes(), type=Record)
            except FileNotFoundError:
                self._known.pop(job_id, None)
                return None
            except (OSError, msgspec.MsgspecError) as error:
                raise PlatformError(f"site {self._site_id}: {file} can't be read") from error
            self._known[job_id] = known
            return known[1]

    def keep(self, job_id: str, record: Record, write: bool = True) -> None:
        """`write` False: it is worth no write yet. Raises PlatformError where it can't be written."""
        with self._guard:
            file = self._file(job_id)
            try:
                if write:
                    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    write_private(file, msgspec.json.encode(record).decode())
                self._known[job_id] = _stamp(file), record
            except OSError as error:
                raise PlatformError(f"site {self._site_id}: {file}: {error.strerror}") from error

    def forget(self, job_id: str) -> None:
        """Raises PlatformError."""
        with self._guard:
            self._known.pop(job_id, None)
            file = self._file(job_id)
            try:
                file.unlink(missing_ok=True)
                if file.parent.is_dir() and not any(file.parent.iterdir()):
                    file.parent.rmdir()
            except OSError as error:
                raise PlatformError(f"site {self._site_id}: {file}: {error.strerror}") from error

    def _file(self, job_id: str) -> Path:
        return job_directory(self._root, job_id) / FILE_NAME


def _stamp(file: Path) -> object:
    found = file.stat()
    return found.st_mtime_ns, found.st_ino
