"""What a session's job has printed so far: the log that podman keeps, or two files that it wrote itself."""

from __future__ import annotations

import os
from pathlib import Path

from broker.platforms.container_log import TAIL_BYTES, read_log
from broker.platforms.podman_run import LOG_NAME
from broker.platforms.slurm_script import STDERR_NAME, STDOUT_NAME

# a file starts anew when it is this long, so that a chatty job can't fill the file system
LONGEST_BYTES = 64 * 2**20


def read_output(batch: Path) -> tuple[str, str]:
    """The last 64 KiB of standard output and of standard error; empty where there is none. Blocks."""
    if (batch / LOG_NAME).exists():
        return read_log(batch / LOG_NAME)
    return _tail(batch / STDOUT_NAME), _tail(batch / STDERR_NAME)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL_BYTES, 0))
            text = file.read(TAIL_BYTES)
        if size > LONGEST_BYTES:
            # it is written by appending: what comes next stands at the beginning
            os.truncate(path, 0)
    except OSError:
        return ""
    return text.decode(errors="replace")
