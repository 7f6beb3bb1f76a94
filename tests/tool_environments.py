"""Python environments of their own for tools of the tests, made once by uv from pinned versions.

They pin what the project doesn't, or are under other licences: none of them ever meets the project's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


class CannotInstallError(Exception):
    """The environment can't be had here; says what and why."""


def digest(*parts: bytes) -> str:
    """A short name for what something was made from."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def find_uv() -> str | None:
    """The `uv` command: the machine's, or the one that the checkout brought."""
    return shutil.which("uv") or shutil.which(CHECKOUT / ".tools" / "bin" / "uv")


@dataclass(frozen=True)
class ToolEnvironment:
    """`what` is in it, for whoever reads that it can't be had; `name` is its directory below `.tools`, unless
    the variable FAIRLEAD_TEST_NAME says another; `requirements` is every package with its version."""

    name: str
    what: str
    requirements: Path

    @property
    def home(self) -> Path:
        """Where it is kept between runs, with what else belongs to it."""
        told = os.environ.get(f"FAIRLEAD_TEST_{self.name.upper()}")
        return Path(told or CHECKOUT / ".tools" / self.name).resolve()

    @contextmanager
    def locked(self) -> Iterator[int]:
        """The home is for one process at a time; the descriptor of its lock."""
        home = self.home
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock.fileno()

    def programs(self) -> Path:
        """The directory with its interpreter and commands, made if need be."""
        with self.locked() as lock:
            return self.made(lock) / "bin"

    def made(self, lock: int) -> Path:
        """The environment, made where it is missing or of other versions, under the `lock` of `locked`.

        Raises:
            CannotInstallError: uv or the package index says no.
        """
        ready = self.home / f"venv-{digest(self.requirements.read_bytes(), sys.version.encode())}"
        if (ready / "whole").exists():
            return ready
        for other in self.home.glob("venv-*"):
            shutil.rmtree(other)
        uv = find_uv()
        if uv is None:
            raise CannotInstallError(f"{self.what} needs uv to be installed")
        settings = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        settings.pop("VIRTUAL_ENV", None)
        # scripts have the environment's path in them: it is made where it stays, and marked when it is whole
        base, python = getattr(sys, "_base_executable", sys.executable), str(ready / "bin" / "python")
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--python", python]
        for command in (
            [uv, "venv", "--quiet", "--python", base, str(ready)],
            [*install, "-r", str(self.requirements)],
        ):
            # uv holds the lock, too: it outlives a process that is killed, and goes on writing
            done = subprocess.run(command, env=settings, capture_output=True, text=True, pass_fds=[lock])
            if done.returncode != 0:
                shutil.rmtree(ready, ignore_errors=True)
                raise CannotInstallError(
                    f"{self.what} can't be installed: {' '.join(command[:3])}: {done.stderr.strip()[-400:]}"
                )
        (ready / "whole").touch()
        return ready
