"""What a server says on its console, and how it is found there: lines that prove to be whole, and whose.

The console is shared with the kernel and with whatever else the image writes there, may be cut off at its
beginning, and loses or mixes lines now and then. So a report is cut into lines, each with a checksum and the
session's own word, and the last report of which all lines are there counts. Standard library alone: the
server uses it, too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from typing import Any

MARK = "fairlead"
# a console is no place for long lines: 80 letters would be many lines, the kernel's own are up to a thousand
CHUNK_LETTERS = 600
# what a report can be at most, unpacked: nothing on a console is worth more
REPORT_BYTES = 1024 * 1024
# no number is longer than what a server of ours would count to
_NUMBER = "([0-9]{1,9})"
_LINE = re.compile(rf"{MARK} ([0-9a-f]+) {_NUMBER} {_NUMBER}/{_NUMBER} ([A-Za-z0-9+/=]*) ([0-9a-f]{{8}})")


def written(word: str, number: int, report: dict[str, Any]) -> list[str]:
    """`report` as lines. `word` is the session's own, in hexadecimal; `number` grows from one to the next."""
    packed = base64.b64encode(zlib.compress(json.dumps(report).encode(), 9)).decode()
    chunks = [packed[start : start + CHUNK_LETTERS] for start in range(0, len(packed), CHUNK_LETTERS)]
    lines = []
    for position, chunk in enumerate(chunks, 1):
        text = f"{word} {number} {position}/{len(chunks)} {chunk}"
        lines.append(f"{MARK} {text} {_sum(text)}")
    return lines


def read(word: str, console: str) -> tuple[int, dict[str, Any]] | None:
    """The last whole report of the session with that word, and its number; None: there is none (yet)."""
    parts: dict[tuple[int, int], dict[int, str]] = {}
    for found in _LINE.finditer(console):
        whose, number, position, count, chunk, checksum = found.groups()
        if whose == word and checksum == _sum(f"{whose} {number} {position}/{count} {chunk}"):
            parts.setdefault((int(number), int(count)), {})[int(position)] = chunk
    for (number, count), chunks in sorted(parts.items(), reverse=True):
        if len(chunks) == count and all(position in chunks for position in range(1, count + 1)):
            report = _unpacked("".join(chunks[position] for position in range(1, count + 1)))
            if report is not None:
                return number, report
    return None


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _unpacked(packed: str) -> dict[str, Any] | None:
    try:
        report = json.loads(zlib.decompressobj().decompress(base64.b64decode(packed), REPORT_BYTES))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
