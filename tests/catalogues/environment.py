"""The servers that the catalogues are held against, in a Python environment of their own.

Made once by uv from pinned versions, in `.tools/catalogues`, or where `FAIRLEAD_TEST_CATALOGUES` says.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cloud.environment import digest

CHECKOUT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def python() -> Path:
    """Its interpreter; the environment is made where it is missing or was made from other versions."""
    home = Path(os.environ.get("FAIRLEAD_TEST_CATALOGUES") or CHECKOUT / ".tools" / "catalogues").resolve()
    home.mkdir(parents=True, exist_ok=True)
    ready = home / f"venv-{digest(REQUIREMENTS.read_bytes(), sys.version.encode())}"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (ready / "whole").exists():
            for other in home.glob("venv-*"):
                shutil.rmtree(other)
            _make(ready)
    return ready / "bin" / "python"


def _make(ready: Path) -> None:
    uv = shutil.which("uv") or shutil.which(CHECKOUT / ".tools" / "bin" / "uv")
    assert uv is not None, "the servers of the catalogues' tests need uv"
    settings = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    settings.pop("VIRTUAL_ENV", None)
    base = getattr(sys, "_base_executable", sys.executable)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(ready / "bin" / "python")]
    for command in (
        [uv, "venv", "--quiet", "--python", base, str(ready)],
        [*install, "-r", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, f"the servers can't be installed: {done.stderr[-400:]}"
    # whoever is interrupted before this begins again
    (ready / "whole").touch()
