"""What a container wrote, sent from its server to an object store as it is signed for and in no other way.

All files lie one behind the other in a stream, which is cut into parts of one size; a part whose connection
breaks is sent again whole. The manifest goes last: the files with their sizes, and the parts with their
checksums. Its own checksum is said on the console, so all is proved that the broker then fetches. Standard
library alone.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import math
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

BLOCK_BYTES = 1024 * 1024
# as `broker.platforms.results` lists them
FILES_LIMIT, DEPTH_LIMIT = 10_000, 100
STALL_SECONDS = 60.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
# another try may get another answer
PASSING = frozenset({408, 429})


class SendError(Exception):
    """It can't be sent; one line, without the URL."""


@dataclass(frozen=True)
class Written:
    """A regular file: `path` is below its storage, with "/" between its parts; `place` is where it lies."""

    storage: str
    path: str
    size_bytes: int
    modified: float
    place: str


def send(told: Mapping[str, Any], progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Send what lies in the storages; the manifest's size and checksum. Raises SendError.

    `told` is `openstack_results.ResultStore.plan`'s; `progress` gets the bytes sent, and of how many.
    """
    files = [file for name, top in told["storages"].items() for file in _written(name, top)]
    if len(files) > FILES_LIMIT:
        raise SendError(f"{len(files)} files were written into storage, and {FILES_LIMIT} can be kept")
    total = sum(file.size_bytes for file in files)
    if total > told["most_bytes"]:
        gib = 2**30
        # rounded up: what is more than was offered is said to be more
        written = math.ceil(100 * total / gib) / 100
        text = f"{written:.2f} GiB were written into storage, where {told['most_bytes'] / gib:g} GiB were"
        raise SendError(f"{text} offered")
    until = time.monotonic() + told["seconds"]
    parts = []
    for number, start in enumerate(range(0, total, told["part_bytes"])):
        size = min(told["part_bytes"], total - start)
        part = _Part(files, start, size, partial(_told, progress, start, total))
        _put(told["parts"][number], size, part, until)
        parts.append((size, part.sha256.hexdigest()))
    listed = [(file.storage, file.path, file.size_bytes, file.modified) for file in files]
    manifest = json.dumps({"files": listed, "parts": parts}).encode()
    _put(told["manifest"], len(manifest), lambda: [manifest], until)
    return {"size_bytes": len(manifest), "sha256": hashlib.sha256(manifest).hexdigest()}


def _told(progress: Callable[[int, int], None], start: int, total: int, sent: int) -> None:
    progress(start + sent, total)


def _written(storage: str, top: str) -> Iterator[Written]:
    """The regular files below `top`; links are not followed, and names that are no UTF-8 left out."""
    below = [(top, "", DEPTH_LIMIT)]
    while below:
        directory, prefix, depth = below.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    entry.name.encode()
                except UnicodeEncodeError:
                    continue
                path = prefix + entry.name
                if entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    yield Written(storage, path, found.st_size, found.st_mtime, entry.path)
                elif entry.is_dir(follow_symlinks=False) and depth > 1:
                    below.append((entry.path, f"{path}/", depth - 1))


class _Part:
    """So many bytes of the stream; called anew for each try, and its checksum is that of the last."""

    def __init__(self, files: list[Written], start: int, size: int, progress: Callable[[int], None]) -> None:
        self.files, self.start, self.size, self.progress = files, start, size, progress
        self.sha256 = hashlib.sha256()

    def __call__(self) -> Iterator[bytes]:
        self.sha256, sent = hashlib.sha256(), 0
        for block in self._blocks():
            self.sha256.update(block)
            yield block
            sent += len(block)
            self.progress(sent)

    def _blocks(self) -> Iterator[bytes]:
        position, end = 0, self.start + self.size
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        for file in self.files:
            first, last = max(self.start, position), min(end, position + file.size_bytes)
            if first < last:
                with os.fdopen(os.open(file.place, flags), "rb") as source:
                    source.seek(first - position)
                    while first < last:
                        block = source.read(min(BLOCK_BYTES, last - first))
                        if not block:
                            raise SendError(f"{file.path} changed while it was sent")
                        first += len(block)
                        yield block
            position += file.size_bytes


def _form(fields: Mapping[str, str]) -> tuple[bytes, bytes, str]:
    """What goes before and after the file in a form (RFC 7578), and its media type. The file comes last: what
    is behind it isn't looked at."""
    boundary = secrets.token_hex(16)
    parts = [f'form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append('form-data; name="file"; filename="part"\r\nContent-Type: application/octet-stream\r\n\r\n')
    head = "\r\n".join(f"--{boundary}\r\nContent-Disposition: {part}" for part in parts)
    return head.encode(), f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class _Straight(urllib.request.HTTPRedirectHandler):
    """What is signed is signed for this address: an answer that names another is an error."""

    def redirect_request(self, *arguments: object) -> None:
        return None


def _put(
    where: str | Mapping[str, Any], size_bytes: int, body: Callable[[], Iterable[bytes]], until: float
) -> None:
    """The body at that URL, or by that form; tried again until `until` (time.monotonic) where another try may
    help."""
    method, url, head, tail, kind = "PUT", where, b"", b"", "application/octet-stream"
    if not isinstance(where, str):
        method, url = "POST", where["url"]
        head, tail, kind = _form(where["fields"])
    headers = {"Content-Length": str(len(head) + size_bytes + len(tail)), "Content-Type": kind}
    store, pause = urlsplit(str(url)).netloc, FIRST_PAUSE_SECONDS
    opener = urllib.request.build_opener(_Straight)
    while True:
        whole = itertools.chain([head], body(), [tail])
        request = urllib.request.Request(str(url), whole, headers, method=method)
        try:
            with opener.open(request, timeout=STALL_SECONDS):
                return
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the store answered {error.code}"
            if error.code < 500 and error.code not in PASSING:
                raise SendError(f"{store}: {reason}") from None
        except urllib.error.URLError as error:
            reason = str(getattr(error.reason, "strerror", None) or type(error.reason).__name__)
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "strerror", None) or type(error).__name__)
        if time.monotonic() + pause >= until:
            raise SendError(f"{store}: not sent in time: {reason}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
