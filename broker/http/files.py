"""A file that a job wrote, as an answer: whatever it is, a browser only saves it.

A container that still runs may change it under our hands: never more of it is sent than was announced.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from broker.http.media import Refused

PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


def file_response(request: Request, file: BinaryIO, name: str) -> Response:
    """`file` whole, or the one range of bytes that is asked for (RFC 9110, section 14). It is closed.

    Several ranges, and ranges that can't be understood, get the whole file. Raises Refused (416) for a range
    behind the end.
    """
    known = os.fstat(file.fileno())
    tag = hashlib.sha256(f"{known.st_ino} {known.st_mtime_ns} {known.st_size}".encode()).hexdigest()[:32]
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "ETag": f'"{tag}"',
        "Vary": "Authorization",
        "X-Content-Type-Options": "nosniff",
    }
    start, end, status = 0, known.st_size, 200
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        try:
            part = _part(asked, known.st_size)
        except Refused:
            file.close()
            raise
        if part is not None:
            (start, end), status = part, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{known.st_size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers, media_type="application/octet-stream")
    return StreamingResponse(_pieces(file, start, end), status, headers, "application/octet-stream")


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The one range in `asked`, end excluded; None where it is of no use. Raises Refused (416)."""
    found = _RANGE.fullmatch(asked.strip().replace(" ", ""))
    if found is None or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if first == "":
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), size if last == "" else min(int(last) + 1, size)
        if last != "" and int(last) < start:
            return None
    if start >= end:
        raise Refused(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, end


async def _pieces(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    with file:
        while start < end:
            piece = await run_in_threadpool(os.pread, file.fileno(), min(PIECE, end - start), start)
            if not piece:
                return  # it became shorter meanwhile: the server ends the connection, so that this shows
            start += len(piece)
            yield piece
