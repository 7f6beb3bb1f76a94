"""The log of a container as podman (and Kubernetes) writes it: `<time> stdout|stderr P|F <text>` a line."""

from __future__ import annotations

import os
from pathlib import Path

TAIL_BYTES = 64 * 1024
# time and marks before each text make the log longer than what they hold
READ_BYTES = 16 * TAIL_BYTES


def read_log(path: Path) -> tuple[str, str]:
    """The last 64 KiB that the container wrote to standard output and to standard error; empty without a log.

    Only the last MiB of the log is read: what one of the two wrote before that is not found.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - READ_BYTES, 0))
            text = file.read()
    except OSError:
        return "", ""
    if size > READ_BYTES:
        text = text.partition(b"\n")[2]
    return parse_log(text)


def parse_log(log: bytes) -> tuple[str, str]:
    """Standard output and standard error out of whole lines of a log. P marks a line that goes on."""
    streams: dict[bytes, list[bytes]] = {b"stdout": [], b"stderr": []}
    for line in log.split(b"\n"):
        fields = line.split(b" ", 3)
        if len(fields) == 4 and fields[1] in streams:
            streams[fields[1]].append(fields[3] + (b"" if fields[2] == b"P" else b"\n"))
    stdout, stderr = (b"".join(parts)[-TAIL_BYTES:].decode(errors="replace") for parts in streams.values())
    return stdout, stderr
