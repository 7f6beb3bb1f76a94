"""The cloud's own Python environment: made once by uv from pinned versions, outside the project's."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.tool_environments import ToolEnvironment, find_uv

CLOUD = ToolEnvironment("cloud", "the test cloud", Path(__file__).with_name("requirements.txt"))
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
MARIADB = Path("/usr/sbin/mariadbd")


def impossible() -> str | None:
    """Why no cloud can be brought up here, or None where it can."""
    for program, package in ((RABBITMQ, "rabbitmq-server"), (MARIADB, "mariadb-server")):
        if not program.exists():
            return f"the test cloud needs the system package {package}: scripts/system-packages --tests"
    for tool in ("epmd", "mariadb-install-db", "setpriv"):
        if shutil.which(tool) is None:
            return f"the test cloud needs the command {tool}"
    return None if find_uv() else "the test cloud needs uv"
