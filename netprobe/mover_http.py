"""The mover's side of HTTP: one GET or HEAD, redirects followed with care, ranges, and faults in words.

Standard library only, and no proxy is ever used: what is measured must be the path between the two sites.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

REDIRECTS = 5
CONNECT_SECONDS = 10.0
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class MoverError(Exception):
    """It can't be done; one line that says what failed and where."""


class BrokenError(Exception):
    """The connection failed: worth another try, unless `hopeless` before anything had come."""

    def __init__(self, text: str, hopeless: bool = False) -> None:
        super().__init__(text)
        self.hopeless = hopeless


@dataclass(frozen=True)
class Head:
    """What the server says of a file. `size_bytes` is None where it doesn't say."""

    url: str
    size_bytes: int | None
    accept_ranges: bool
    etag: str | None
    last_modified: str | None


class Resource:
    """A body that is being read. It begins at byte `offset` of a file of `size_bytes` (None: not said)."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        addresses: tuple[str | None, str | None],
        connect_seconds: float,
        first_byte_seconds: float,
    ) -> None:
        self._response = response
        self.connect_seconds = connect_seconds
        self.first_byte_seconds = first_byte_seconds
        # http.client lets go of the socket where the server will close it: ask before the answer is read
        self.local_address, self.remote_address = addresses
        length = response.getheader("Content-Length")
        self.offset, self.size_bytes = 0, int(length) if length and length.isdigit() else None
        if response.status == 206:
            part = _RANGE.fullmatch(response.getheader("Content-Range") or "")
            if part is None:
                raise MoverError("the server's Content-Range can't be read")
            self.offset = int(part[1])
            self.size_bytes = None if part[3] == "*" else int(part[3])
        etag = response.getheader("ETag")
        # only a strong tag promises the same bytes
        strong = etag if etag and not etag.startswith("W/") else None
        self.validator = strong or response.getheader("Last-Modified")

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` as far as there is something; 0 at the end. Raises BrokenError."""
        try:
            return self._response.readinto(buffer)
        except TimeoutError as problem:
            raise BrokenError("the server stopped sending") from problem
        except (OSError, http.client.HTTPException) as problem:
            raise BrokenError(f"the connection broke: {_reason(problem)}") from problem


@contextlib.contextmanager
def opened(url: str, offset: int, validator: str | None, stall_seconds: float) -> Iterator[Resource]:
    """GET `url` from `offset` on; a server that can't do that, or has another file by now, begins at 0.

    Raises MoverError where the server refuses, BrokenError where it can't be reached.
    """
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    with _answer("GET", url, headers, stall_seconds) as resource:
        if resource.offset not in (0, offset):
            raise MoverError(f"{url}: asked for bytes from {offset}, the server sent from {resource.offset}")
        yield resource


def head(url: str, stall_seconds: float) -> Head:
    """What the server says of `url`; asks for the first byte where it doesn't know HEAD or tells no size.

    Raises MoverError.
    """
    try:
        try:
            found = _head("HEAD", url, {}, stall_seconds)
            if found.size_bytes is not None:
                return found
        except MoverError as problem:
            if not isinstance(problem, _StatusError) or problem.status not in (400, 403, 405, 501):
                raise
        return _head("GET", url, {"Range": "bytes=0-0"}, stall_seconds)
    except BrokenError as problem:
        raise MoverError(f"{url}: {problem}") from problem


def _head(method: str, url: str, headers: dict[str, str], stall_seconds: float) -> Head:
    with _answer(method, url, headers, stall_seconds) as resource:
        response = resource._response
        ranges = response.status == 206 or (response.getheader("Accept-Ranges") or "").lower() == "bytes"
        return Head(
            url, resource.size_bytes, ranges, response.getheader("ETag"), response.getheader("Last-Modified")
        )


class _StatusError(MoverError):
    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@contextlib.contextmanager
def _answer(method: str, url: str, headers: dict[str, str], stall_seconds: float) -> Iterator[Resource]:
    connect_seconds = first_byte_seconds = 0.0
    target = url
    for _ in range(REDIRECTS + 1):
        begun = time.monotonic()
        connection, path = _connection(target)
        with contextlib.closing(connection):
            try:
                connection.connect()
                connected = time.monotonic()
                connect_seconds += connected - begun
                connection.sock.settimeout(stall_seconds)
                addresses = connection.sock.getsockname()[0], connection.sock.getpeername()[0]
                # the bytes on the wire must be the bytes of the file
                own = {"Accept-Encoding": "identity", "User-Agent": "fairlead-mover"}
                connection.request(method, path, headers={**own, **headers})
                response = connection.getresponse()
                first_byte_seconds += time.monotonic() - connected
            except (OSError, http.client.HTTPException) as problem:
                raise _broken(problem, target) from problem
            if response.status in (200, 206):
                yield Resource(response, addresses, connect_seconds, first_byte_seconds)
                return
            if response.status not in (301, 302, 303, 307, 308):
                _refuse(target, response)
            target = _redirected(target, response)
    raise MoverError(f"{url}: redirected more than {REDIRECTS} times")


def _connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as problem:
        raise MoverError(f"{url}: not a URL: {problem}") from problem
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MoverError(f"{url}: expected a http:// or https:// URL")
    if parts.username is not None:
        # it would show in the list of processes, and in every error
        raise MoverError(f"{parts.scheme}://...@{parts.hostname}: a URL with a user name is not taken")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, port, timeout=CONNECT_SECONDS), path
    context = ssl.create_default_context()
    secure = http.client.HTTPSConnection(parts.hostname, port, timeout=CONNECT_SECONDS, context=context)
    return secure, path


def _redirected(url: str, response: http.client.HTTPResponse) -> str:
    target = urljoin(url, response.getheader("Location") or "")
    old, new = urlsplit(url), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise MoverError(f"{url}: redirected to {target}, which is not followed")
    if target == url:
        raise MoverError(f"{url}: redirected to itself")
    return target


def _refuse(url: str, response: http.client.HTTPResponse) -> None:
    text = f"{url}: the server answered {response.status} {response.reason}".rstrip()
    if response.status in (429, 500, 502, 503, 504):
        raise BrokenError(text.partition(": ")[2])
    raise _StatusError(text, response.status)


def _broken(problem: Exception, url: str) -> BrokenError | MoverError:
    if isinstance(problem, ssl.SSLError):
        return MoverError(f"{url}: TLS: {_reason(problem)}")
    if isinstance(problem, socket.gaierror):
        return MoverError(f"{url}: the name of the host can't be resolved")
    if isinstance(problem, http.client.InvalidURL):
        return MoverError(f"{url}: not a URL: {problem}")
    if isinstance(problem, ConnectionRefusedError):
        return BrokenError("connection refused", hopeless=True)
    if isinstance(problem, TimeoutError):
        return BrokenError("no answer from the server", hopeless=True)
    return BrokenError(f"the connection broke: {_reason(problem)}")


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem) or type(problem).__name__
