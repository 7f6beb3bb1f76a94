"""Read the headers of a FITS file over HTTP, at the site that stores it: `python -m broker.inspect.far`.

Runs as a child process, as `netprobe.mover` does and by its rules (addresses, redirects, tokens), with the
standard library alone. Standard input is one JSON object: `url`, and `bearers` as `mover_http.Connections`
has them: on a command line everybody could read what is signed in a URL. Standard output is one JSON object:
{"hdus": [{"offset", "header", "data_bytes"}], "faults", "whole", "size_bytes", "requests", "bytes"}, or
{"event": "error", "error", "status", "reason"}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from broker.inspect.cards import BLOCK_BYTES
from broker.inspect.walk import NotFitsError, SourceError, walk
from netprobe.addresses import Allowed, allowed_from
from netprobe.mover_http import BrokenError, Connections, MoverError, Resource, answer, shown

# of one file: as many HDUs as most have, and long headers
MOST_REQUESTS = 200
MOST_BYTES = 4 * 1024 * 1024
# what is read of a server that gives no ranges, before the rest is left
WITHOUT_RANGES_BYTES = 256 * 1024
# what is read to the end of an answer rather than that the connection is closed
SHORT_REST_BYTES = 64 * 1024
STALL_SECONDS = 8.0
ATTEMPTS = 2
# the reason of an error, beside those of the mover: what is there can be had, and is of no use
NOT_FITS = "not-fits"


class HttpSource:
    """Ranges of one file (RFC 9110, section 14), over one connection. It must stay the same file."""

    def __init__(self, url: str, connections: Connections, stall_seconds: float = STALL_SECONDS) -> None:
        self._url, self._connections, self._stall_seconds = url, connections, stall_seconds
        self.size_bytes: int | None = None
        self.requests, self.bytes = 0, 0
        # whether something has come, and what tells another file of the same name
        self._known = False
        self._validator: str | None = None
        # what a server that gives no ranges has sent, from the beginning
        self._beginning: bytes | None = None

    def read(self, offset: int, length: int, last: Callable[[bytes], bool] | None = None) -> bytes:
        if self._beginning is not None:
            return self._of_beginning(offset, length, last)
        if last is not None:
            # what it may have to be, and hardly ever is
            length = min(length, max(MOST_BYTES - self.bytes, 1))
        for left in reversed(range(ATTEMPTS)):
            if self.requests >= MOST_REQUESTS or self.bytes + length > MOST_BYTES:
                raise SourceError(f"stopped after {self.requests} requests and {self.bytes} bytes")
            try:
                return self._ask(offset, length, last)
            except BrokenError as problem:
                if problem.hopeless or not left:
                    raise SourceError(str(problem)) from problem
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, offset: int, length: int, last: Callable[[bytes], bool] | None) -> bytes:
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        if self._validator is not None:
            headers["If-Range"] = self._validator
        self.requests += 1
        try:
            with answer("GET", self._url, headers, self._stall_seconds, self._connections) as resource:
                return self._taken(resource, offset, length, last)
        except MoverError as problem:
            # behind the end of a file whose size nobody said
            if getattr(problem, "status", None) == 416 and self.size_bytes is None:
                return b""
            if not self._known:
                raise
            # what was read before is worth telling
            raise SourceError(str(problem).removeprefix(f"{shown(self._url)}: ")) from problem

    def _taken(
        self, resource: Resource, offset: int, length: int, last: Callable[[bytes], bool] | None
    ) -> bytes:
        coding = resource.response.getheader("Content-Encoding", "identity")
        if coding.lower() != "identity":
            raise SourceError(f"the server sends it packed (Content-Encoding: {coding[:20]}), unasked")
        size = resource.size_bytes
        if resource.response.status == 200:
            if offset or self._known:
                raise SourceError("the file changed while it was read")
            self._known, self.size_bytes = True, size
            self._beginning = self._received(resource, max(length, WITHOUT_RANGES_BYTES))
            return self._beginning[:length]
        if resource.offset != offset:
            raise SourceError(f"asked for bytes from {offset}, the server sent from {resource.offset}")
        if self._known and size != self.size_bytes:
            raise SourceError("the file changed while it was read")
        self._known, self.size_bytes, self._validator = True, size, resource.validator
        wanted = max(length if size is None else min(length, size - offset), 0)
        found = self._received(resource, wanted) if last is None else self._until(resource, wanted, last)
        if size is not None and len(found) < wanted and not (last and _holds(last, found)):
            raise BrokenError(f"the answer ended early: {len(found)} of {wanted} bytes came")
        return found

    def _until(self, resource: Resource, most: int, last: Callable[[bytes], bool]) -> bytes:
        """The answer up to the `last` block: the rest is left in the connection, which is then closed, unless
        it is so short that connecting again would take longer."""
        found = bytearray()
        while len(found) < most:
            block = self._received(resource, min(BLOCK_BYTES, most - len(found)))
            found += block
            if len(block) < BLOCK_BYTES:
                break
            if last(block):
                if most - len(found) <= SHORT_REST_BYTES:
                    found += self._received(resource, most - len(found))
                break
        return bytes(found)

    def _received(self, resource: Resource, most: int) -> bytes:
        buffer = memoryview(bytearray(most))
        at = 0
        while at < most:
            got = resource.read_into(buffer[at:])
            if got == 0:
                break
            at += got
            self.bytes += got
        return bytes(buffer[:at])

    def _of_beginning(self, offset: int, length: int, last: Callable[[bytes], bool] | None) -> bytes:
        assert self._beginning is not None
        end = len(self._beginning)
        if self.size_bytes == end or offset + length <= end:
            return self._beginning[offset : offset + length]
        if self.size_bytes is None and end < WITHOUT_RANGES_BYTES:
            # it ended before that was reached
            return self._beginning[offset : offset + length]
        if last and _holds(last, self._beginning[offset:]):
            return self._beginning[offset:]
        raise SourceError(f"the server gives no ranges: only the first {end} bytes were looked at")


def _holds(last: Callable[[bytes], bool], found: bytes) -> bool:
    """Whether a whole block of `found` is the last one."""
    return any(
        last(found[at : at + BLOCK_BYTES]) for at in range(0, len(found) - BLOCK_BYTES + 1, BLOCK_BYTES)
    )


def read_headers(url: str, allowed: Allowed | None, bearers: Mapping[str, str] | None) -> dict[str, Any]:
    """What standard output says."""
    with Connections(allowed, bearers) as connections:
        source = HttpSource(url, connections)
        try:
            found = walk(source)
        except NotFitsError as problem:
            return _error(f"{shown(url)}: {problem}", reason=NOT_FITS)
        except (SourceError, BrokenError) as problem:
            return _error(f"{shown(url)}: {problem}")
        except MoverError as problem:
            return _error(str(problem), getattr(problem, "status", None), getattr(problem, "reason", None))
    hdus = [
        {"offset": hdu.offset, "header": hdu.header.decode("latin-1"), "data_bytes": hdu.data_bytes}
        for hdu in found.hdus
    ]
    return {
        "hdus": hdus,
        "faults": found.faults,
        "whole": found.whole,
        "size_bytes": source.size_bytes,
        "requests": source.requests,
        "bytes": source.bytes,
    }


def _error(text: str, status: int | None = None, reason: str | None = None) -> dict[str, Any]:
    return {"event": "error", "error": text, "status": status, "reason": reason}


def _allowed(text: str) -> Allowed:
    return allowed_from(json.loads(text))


def main() -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m broker.inspect.far", description="Read FITS headers.")
    parser.add_argument("--allow", type=_allowed, help="addresses besides public ones, as JSON (any)")
    chosen = parser.parse_args()
    told = json.load(sys.stdin)
    said = read_headers(told["url"], chosen.allow, told.get("bearers"))
    json.dump(said, sys.stdout)
    return 3 if "event" in said else 0


if __name__ == "__main__":
    raise SystemExit(main())
