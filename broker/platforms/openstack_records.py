"""What we must know of a session's server although the cloud forgets it, and what it is to do: kept in files
of the session's directory, for us alone to read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from broker.platforms import PlatformError, Status
from broker.platforms.openstack_learnt import Came
from broker.platforms.openstack_user_data import Data
from broker.platforms.places import job_directory, write_private
from broker.platforms.staging import make_job_directory

T = TypeVar("T")
RECORD_NAME, DATA_NAME = "openstack.json", "openstack-data.json"


@dataclass(frozen=True)
class Sent:
    """What a server has put into the object store: the size and the checksum of its manifest."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """One job's server. It is written down before the cloud is asked for one, and so may name none yet.

    `word`: what the server's reports are known by. `asked`: when one was asked for; with no `server_id`
    nobody knows whether it was made. `stopping`: we are about to end it. `ended`: how it ended, and why the
    cloud need not be asked any more. `sent`: what is to be fetched of it then. `came`: how its data was
    fetched. `pulled`: the seconds that its image took, and whether that was told already.
    """

    word: str
    asked: datetime | None = None
    server_id: str | None = None
    stopping: bool = False
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    ended: Status | None = None
    sent: Sent | None = None
    came: Came | None = None
    pulled: float | None = None
    pull_told: bool = False

    @property
    def unsure(self) -> datetime | None:
        return self.asked if self.server_id is None and self.ended is None else None


class Records:
    """The files of all jobs, in one directory a job. May be used from several threads; raises PlatformError
    where they can't be read or written."""

    def __init__(self, site_id: str, root: Path) -> None:
        self._site_id, self._root = site_id, root
        self._guard = threading.Lock()

    def find(self, job_id: str) -> Record | None:
        return self._read(job_id, RECORD_NAME, Record)

    def keep(self, job_id: str, record: Record) -> None:
        self._write(job_id, RECORD_NAME, record)

    def data(self, job_id: str) -> Data:
        return self._read(job_id, DATA_NAME, Data) or Data()

    def keep_data(self, job_id: str, data: Data) -> None:
        self._write(job_id, DATA_NAME, data)

    def forget(self, job_id: str) -> None:
        directory = job_directory(self._root, job_id)
        with self._guard:
            try:
                for name in (DATA_NAME, RECORD_NAME):
                    (directory / name).unlink(missing_ok=True)
                if directory.is_dir() and not any(directory.iterdir()):
                    directory.rmdir()
            except OSError as error:
                raise self._error(directory, error) from error

    def _read(self, job_id: str, name: str, kind: type[T]) -> T | None:
        file = job_directory(self._root, job_id) / name
        try:
            return msgspec.json.decode(file.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise PlatformError(f"site {self._site_id}: {file} can't be read") from error
        except OSError as error:
            raise self._error(file, error) from error

    def _write(self, job_id: str, name: str, what: object) -> None:
        file = job_directory(self._root, job_id) / name
        with self._guard:
            try:
                make_job_directory(self._root, job_id)
                write_private(file, msgspec.json.encode(what).decode())
            except OSError as error:
                raise self._error(file, error) from error

    def _error(self, file: Path, error: OSError) -> PlatformError:
        return PlatformError(f"site {self._site_id}: {file}: {error.strerror or error}")
