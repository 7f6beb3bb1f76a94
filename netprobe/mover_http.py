"""The mover's side of HTTP: GET and HEAD over connections that are used again, redirects followed with care,
ranges, and faults in words.

Standard library only, and no proxy is ever used: what is measured must be the path between the two sites.
Every address is checked before the first byte goes to it, that of each redirect too (see `addresses`). A
bearer token goes to the server that it is for, and to no other that this one redirects to. None is in any
message, nor what a URL may carry as one, its query.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from netprobe.addresses import Allowed, ForbiddenError, Target, UnknownHostError, targets
from netprobe.mover_s3 import stated_checksum

REDIRECTS = 5
CONNECT_SECONDS = 10.0
# what of a redirect's own page is read so that its connection can be used again
PAGE_BYTES = 65536
# an exabyte is 10**18: what is more is no size
_SIZE = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class MoverError(Exception):
    """It can't be done; one line that says what failed and where."""


class RefusedError(MoverError):
    """Nothing was sent. `reason` is "forbidden", an address that is not allowed, or "unknown-host"."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


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
        self.response = response
        self.connect_seconds = connect_seconds
        self.first_byte_seconds = first_byte_seconds
        # http.client lets go of the socket where the server will close it: ask before the answer is read
        self.local_address, self.remote_address = addresses
        length = _SIZE.fullmatch(response.getheader("Content-Length") or "")
        self.offset, self.size_bytes = 0, int(length[0]) if length else None
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
        # (algorithm, hexadecimal) of the whole file, where the store says one
        self.stated = stated_checksum(response.headers) if response.status == 200 else None

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` as far as there is something; 0 at the end. Raises BrokenError."""
        try:
            return self.response.readinto(buffer)
        except TimeoutError as problem:
            raise BrokenError("the server stopped sending") from problem
        except (OSError, http.client.HTTPException) as problem:
            raise BrokenError(f"the connection broke: {_reason(problem)}") from problem


class Connections:
    """Open connections, one a server, that the next file uses again: it then needs no round trip to connect,
    and doesn't start slowly. For one thread. `allowed` None: to any address. `bearers` are tokens by the
    server that each is for, as "https://HOST:PORT".
    """

    def __init__(self, allowed: Allowed | None, bearers: Mapping[str, str] | None = None) -> None:
        self._allowed = allowed
        self._bearers = {_parts(server)[0]: token for server, token in (bearers or {}).items()}
        self._idle: dict[tuple[str, str, int], _Connection] = {}

    def take(self, url: str) -> tuple[_Connection, str]:
        """A connection for `url`, warm or yet to be made, and what to ask it for. Its address was checked."""
        server, path = _parts(url)
        return self._idle.pop(server, None) or _connection(url, server, self._allowed), path

    def credentials(self, connection: _Connection) -> dict[str, str]:
        """The headers that say who we are to that server; empty where it is to be told nothing."""
        token = self._bearers.get(connection.server)
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def keep(self, connection: _Connection) -> None:
        self._idle[connection.server] = connection

    def close(self) -> None:
        for connection in self._idle.values():
            connection.close()
        self._idle.clear()

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


@contextlib.contextmanager
def opened(
    url: str,
    offset: int,
    validator: str | None,
    stall_seconds: float,
    connections: Connections,
    s3: bool = False,
) -> Iterator[Resource]:
    """GET `url` from `offset` on; a server that can't do that, or has another file by now, begins at 0.

    `s3`: a store that is asked for the object's checksum as well. Raises MoverError where the server refuses,
    RefusedError where the address is not allowed, BrokenError where it can't be reached.
    """
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    # a signature covers every header of that kind: one more would break it
    if s3 and "x-amz-signature=" not in url.lower():
        headers["x-amz-checksum-mode"] = "ENABLED"
    with answer("GET", url, headers, stall_seconds, connections) as resource:
        if resource.offset not in (0, offset):
            raise MoverError(
                f"{shown(url)}: asked for bytes from {offset}, the server sent from {resource.offset}"
            )
        yield resource


def head(
    url: str, stall_seconds: float, allowed: Allowed | None, bearers: Mapping[str, str] | None = None
) -> Head:
    """What the server says of `url`; asks for the first byte where it doesn't know HEAD or tells no size.

    `allowed` None: any address. Raises MoverError.
    """
    with Connections(allowed, bearers) as connections:
        try:
            try:
                found = _head("HEAD", url, {}, stall_seconds, connections)
                if found.size_bytes is not None:
                    return found
            except MoverError as problem:
                if not isinstance(problem, _StatusError) or problem.status not in (400, 403, 405, 501):
                    raise
            return _head("GET", url, {"Range": "bytes=0-0"}, stall_seconds, connections)
        except BrokenError as problem:
            raise MoverError(f"{shown(url)}: {problem}") from problem


def _head(
    method: str, url: str, headers: dict[str, str], stall_seconds: float, connections: Connections
) -> Head:
    with answer(method, url, headers, stall_seconds, connections) as resource:
        response = resource.response
        ranges = response.status == 206 or (response.getheader("Accept-Ranges") or "").lower() == "bytes"
        return Head(
            shown(url),
            resource.size_bytes,
            ranges,
            response.getheader("ETag"),
            response.getheader("Last-Modified"),
        )


class _StatusError(MoverError):
    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def _is_content(status: int) -> bool:
    return status in (200, 206)


@contextlib.contextmanager
def answer(
    method: str,
    url: str,
    headers: Mapping[str, str],
    stall_seconds: float,
    connections: Connections,
    body: bytes | None = None,
    taken: Callable[[int], bool] = _is_content,
) -> Iterator[Resource]:
    """The answer whose status is `taken`, after redirects; raises as `opened` does for all others."""
    connect_seconds = first_byte_seconds = 0.0
    target = url
    # the bytes on the wire must be the bytes of the file
    headers = {"Accept-Encoding": "identity", "User-Agent": "fairlead-mover", **headers}
    for _ in range(REDIRECTS + 1):
        connection, response, connected, answered = _asked(
            method, target, headers, stall_seconds, connections, body
        )
        connect_seconds += connected
        first_byte_seconds += answered
        try:
            if taken(response.status):
                yield Resource(response, connection.addresses, connect_seconds, first_byte_seconds)
                return
            if response.status not in (301, 302, 303, 307, 308):
                _refuse(target, response)
            target = _redirected(target, response)
            if (response.length or 0) <= PAGE_BYTES:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    response.read(PAGE_BYTES)
        finally:
            # read to its end, and the server doesn't close it: fit for the next
            if response.isclosed() and connection.sock is not None:
                connections.keep(connection)
            else:
                connection.close()
    raise MoverError(f"{shown(url)}: redirected more than {REDIRECTS} times")


def _asked(
    method: str,
    url: str,
    headers: Mapping[str, str],
    stall_seconds: float,
    connections: Connections,
    body: bytes | None,
) -> tuple[_Connection, http.client.HTTPResponse, float, float]:
    """The answer, the connection that it comes over, and the seconds until connected and until answered."""
    while True:
        connection, path = connections.take(url)
        warm = connection.sock is not None
        begun = time.monotonic()
        try:
            if not warm:
                connection.connect()
            connected = time.monotonic()
            connection.sock.settimeout(stall_seconds)
            all_headers = {**headers, **connections.credentials(connection)}
            connection.request(method, path, body, all_headers)
            response = connection.getresponse()
            return connection, response, connected - begun, time.monotonic() - connected
        except (OSError, ValueError, http.client.HTTPException) as problem:
            connection.close()
            # the server may have closed it since: that says nothing of the file
            if warm and isinstance(problem, ConnectionError):
                continue
            raise _broken(problem, url) from problem


class _Connection(http.client.HTTPConnection):
    """Goes to the first of `addresses` that answers: those that were checked, whatever the name says now."""

    def __init__(self, host: str, port: int, addresses: list[Target], context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self.server = "https" if context else "http", host, port
        # (ours, the server's), once connected
        self.addresses: tuple[str | None, str | None] = (None, None)
        # http.client leaves the port out of the Host header where it is this one
        self.default_port = 443 if context else 80
        self._targets, self._tls = addresses, context

    def connect(self) -> None:
        for index, (family, address) in enumerate(self._targets):
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.settimeout(CONNECT_SECONDS)
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # the certificate must be that of the name
                self.sock = self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain
                self.addresses = self.sock.getsockname()[0], self.sock.getpeername()[0]
                return
            except OSError:
                plain.close()
                if index == len(self._targets) - 1:
                    raise


def _parts(url: str) -> tuple[tuple[str, str, int], str]:
    """((scheme, host, port), path and query) of a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as problem:
        raise MoverError(f"{shown(url)}: not a URL: {problem}") from problem
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MoverError(f"{shown(url)}: expected a http:// or https:// URL")
    if parts.username is not None:
        # it would show in the list of processes, and in every error
        raise MoverError(f"{parts.scheme}://...@{parts.hostname}: a URL with a user name is not taken")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return (parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)), path


def _connection(url: str, server: tuple[str, str, int], allowed: Allowed | None) -> _Connection:
    scheme, host, port = server
    try:
        addresses = targets(host, port, allowed)
    except ForbiddenError as problem:
        raise RefusedError(f"{shown(url)}: {problem}", "forbidden") from problem
    except UnknownHostError as problem:
        raise RefusedError(f"{shown(url)}: {problem}", "unknown-host") from problem
    return _Connection(host, port, addresses, ssl.create_default_context() if scheme == "https" else None)


def shown(url: str) -> str:
    """`url` for messages: without what may be secret in it, which are user, password, query and fragment."""
    scheme, separator, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _redirected(url: str, response: http.client.HTTPResponse) -> str:
    try:
        target = urljoin(url, response.getheader("Location") or "")
        old, new = urlsplit(url), urlsplit(target)
    except ValueError as problem:
        raise MoverError(f"{shown(url)}: redirected to what is no URL: {problem}") from problem
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise MoverError(f"{shown(url)}: redirected to {shown(target)}, which is not followed")
    if target == url:
        raise MoverError(f"{shown(url)}: redirected to itself")
    return target


def _refuse(url: str, response: http.client.HTTPResponse) -> None:
    text = f"{shown(url)}: the server answered {response.status} {response.reason}".rstrip()
    if response.status in (429, 500, 502, 503, 504):
        raise BrokenError(text.partition(": ")[2])
    raise _StatusError(text, response.status)


def _broken(problem: Exception, url: str) -> BrokenError | MoverError:
    if isinstance(problem, ssl.SSLError):
        return MoverError(f"{shown(url)}: TLS: {_reason(problem)}")
    if isinstance(problem, http.client.InvalidURL | ValueError):
        return MoverError(f"{shown(url)}: not a URL: {problem}")
    if isinstance(problem, ConnectionRefusedError):
        return BrokenError("connection refused", hopeless=True)
    if isinstance(problem, TimeoutError):
        return BrokenError("no answer from the server", hopeless=True)
    return BrokenError(f"the connection broke: {_reason(problem)}")


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem) or type(problem).__name__
