"""What a session's job has printed so far: the log that podman keeps, or two files that it wrote itself."""

from __future__ import annotations

from pathlib import Path

from broker.platforms import slurm_files
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
        text, size = slurm_files.tail(path, TAIL_BYTES)
        if size > LONGEST_BYTES:
            # it is written by appending: what comes next stands at the beginning
            slurm_files.empty(path)
    except OSError:
        return ""
    return text
