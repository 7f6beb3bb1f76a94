"""The cloud's own Python environment: made once by uv from pinned versions, outside the project's."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
MARIADB = Path("/usr/sbin/mariadbd")


class CannotInstallError(Exception):
    """What the cloud is made of can't be had here; says what."""


def home() -> Path:
    """Where environment and databases are kept between runs: `FAIRLEAD_TEST_CLOUD`, or `.tools/cloud`."""
    return Path(os.environ.get("FAIRLEAD_TEST_CLOUD") or CHECKOUT / ".tools" / "cloud").resolve()


def _uv() -> str | None:
    return shutil.which("uv") or shutil.which(CHECKOUT / ".tools" / "bin" / "uv")


def impossible() -> str | None:
    """Why no cloud can be brought up here, or None where it can."""
    for program, package in ((RABBITMQ, "rabbitmq-server"), (MARIADB, "mariadb-server")):
        if not program.exists():
            return f"the test cloud needs the system package {package}: scripts/system-packages --tests"
    for tool in ("epmd", "mariadb-install-db", "setpriv"):
        if shutil.which(tool) is None:
            return f"the test cloud needs the command {tool}"
    return None if _uv() else "the test cloud needs uv"


@contextmanager
def locked() -> Iterator[Path]:
    """The home, for one process at a time."""
    directory = home()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def digest(*parts: bytes) -> str:
    """A short name for what something was made from."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def python_environment() -> Path:
    """The environment, made where it is missing or was made from other versions; call it `locked`.

    Raises:
        CannotInstallError: uv or the package index says no.
    """
    name = f"venv-{digest(REQUIREMENTS.read_bytes(), sys.version.encode())}"
    ready = home() / name
    if (ready / "whole").exists():
        return ready
    for other in home().glob("venv-*"):
        shutil.rmtree(other)
    uv = _uv()
    assert uv is not None
    # the scripts have the environment's path in them: it is made where it stays, and marked when it is whole
    python = getattr(sys, "_base_executable", sys.executable)
    settings = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    settings.pop("VIRTUAL_ENV", None)
    install = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--compile-bytecode",
        "--python",
        str(ready / "bin" / "python"),
    ]
    for command in (
        [uv, "venv", "--quiet", "--python", python, str(ready)],
        [*install, "-r", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, env=settings, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(ready, ignore_errors=True)
            raise CannotInstallError(
                f"the test cloud can't be installed: {' '.join(command[:3])}: {done.stderr.strip()[-400:]}"
            )
    (ready / "whole").touch()
    return ready
