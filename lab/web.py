"""A site's storage over HTTP: GET and HEAD of the files in one directory, whole or a range of bytes.

Run as `python -m lab.web ADDRESS PORT DIRECTORY` in the site's namespace. SIGTERM ends it. (Debian's
`busybox httpd` answers HEAD with the whole file, which would fill the emulated paths.)
"""

from __future__ import annotations

import os
import re
import sys
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from urllib.parse import unquote, urlsplit

# How long a client may say nothing, or take nothing, before its connection is closed.
PATIENCE_SECONDS = 60


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes that a Range header asks for (RFC 9110, section 14.1.2).

    The whole file where the header asks for something this server doesn't do, which the RFC allows; None
    where the file has no such bytes.
    """
    matched = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if matched is None or matched.group(0) == "bytes=-":
        return 0, size
    first, last = matched.groups()
    if not first:
        count = min(int(last), size)
        return (size - count, count) if count else None
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return 0, size
    return (start, end - start + 1) if start < size else None


class Handler(BaseHTTPRequestHandler):
    """One connection, which may carry several requests."""

    protocol_version = "HTTP/1.1"
    server_version = "FairleadLab"
    timeout = PATIENCE_SECONDS
    # as storage servers do: else the end of each file waits until what is before it is acknowledged
    disable_nagle_algorithm = True
    directory = Path()

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        # the log is for what goes wrong
        pass

    def _answer(self, with_body: bool) -> None:
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        try:
            if not name or "/" in name or "\0" in name or name.startswith("."):
                raise FileNotFoundError(name)
            file = (self.directory / name).open("rb")
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            found = os.fstat(file.fileno())
            tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
            asked = self.headers.get("Range")
            if self.headers.get("If-Range") not in (None, tag):
                asked = None
            part = byte_range(asked, found.st_size)
            if part is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{found.st_size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start, count = part
            partial = count != found.st_size
            self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{start + count - 1}/{found.st_size}")
            fits = name.endswith(".fits")
            self.send_header("Content-Type", "application/fits" if fits else "application/octet-stream")
            self.send_header("Content-Length", str(count))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", formatdate(found.st_mtime, usegmt=True))
            self.send_header("ETag", tag)
            self.end_headers()
            if with_body and count:
                self.connection.sendfile(file, start, count)


class Server(ThreadingHTTPServer):
    """A thread for each connection; a client that goes away is nobody's concern."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # the inherited one looks the address up in the DNS, which a site doesn't have, and waits for it
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(address: str, port: int, directory: Path) -> Server:
    """A server that listens; `serve_forever` makes it answer. Raises OSError when it can't listen."""
    return Server((address, port), type("SiteHandler", (Handler,), {"directory": directory}))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).serve_forever()
