"""One question to a server that may be hostile: over by a given time, and bounded in what it takes.

httpx has a limit for each read alone, so that a server that sends its headers byte by byte holds a thread
for days; and it unpacks whatever comes, where 64 KiB may be gigabytes. Here the connection itself knows until
when it may be waited for, and what is packed is unpacked a piece at a time.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import httpcore
import httpx

from federation.http_words import in_words

LONGEST_WORDS = 200
# connections at a time, and of those the ones that are kept, for so many seconds: less than servers keep them
# (Apache and uvicorn: 5 s), for one that is closed just when something is asked gives no answer
CONNECTIONS, KEPT, KEPT_SECONDS = 100, 20, 4.0
PIECE_BYTES = 64 * 1024
# what may be asked again where the other side has closed all the same
HARMLESS = ("GET", "HEAD")
_GZIP = 16 + zlib.MAX_WBITS
_UNTIL: ContextVar[float] = ContextVar("until", default=float("inf"))


class UnansweredError(Exception):
    """There is no whole answer: a few words that say why, to follow "it can't be asked: "."""


class UnreadableError(Exception):
    """The answer is none that we read: a few words, to follow "it answers with "."""


class TooMuchError(UnreadableError):
    """There is more of it than we read."""


@dataclass(frozen=True)
class Answer:
    """What came, whatever its status; unpacked."""

    status: int
    headers: httpx.Headers
    body: bytes


def client(
    tls: ssl.SSLContext | bool,
    headers: Mapping[str, str] | None = None,
    *,
    socket: str | None = None,
    kept: int = KEPT,
) -> httpx.Client:
    """A client for `ask`, and for requests within `over_by`. `tls` True: as everybody's; False: without
    checks, for plain HTTP. `socket`: the path of one of this machine, instead of where addresses say. `kept`:
    how many connections are kept; 0 where one that the other side has just closed must not take an order.

    It takes no proxy from the environment and follows no redirect: what we send goes to one server alone.
    """
    return httpx.Client(
        transport=_Transport(tls, socket, kept),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "gzip", **(headers or {})},
    )


def ask(
    http: httpx.Client,
    method: str,
    url: str,
    *,
    until: float,
    most_bytes: int,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    connect_seconds: float = float("inf"),
    last_bytes: int | None = None,
) -> Answer:
    """The answer, over by `until` (time.monotonic), of `most_bytes` at most when it is unpacked; with
    `last_bytes` it may be longer, and its end alone is kept. Raises UnansweredError and UnreadableError."""
    left = until - time.monotonic()
    if left <= 0:
        raise UnansweredError("no answer in time")
    timeout = httpx.Timeout(left, connect=min(left, connect_seconds))
    try:
        with (
            over_by(until),
            http.stream(method, url, headers=headers, content=body, timeout=timeout) as response,
        ):
            found = whole(response, until, most_bytes, last_bytes)
            return Answer(response.status_code, response.headers, found)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise UnansweredError(in_words(error)[:LONGEST_WORDS]) from None


def whole(response: httpx.Response, until: float, most_bytes: int, last_bytes: int | None = None) -> bytes:
    """All of a stream, unpacked, with the bounds of `ask`. Raises as that does, TooMuchError for more than
    `most_bytes`, and what httpx raises."""
    found = bytearray()
    unpacking = _Unpacking(response)
    for piece in chain.from_iterable(map(unpacking.pieces, response.iter_raw())):
        found += piece
        if last_bytes is not None and len(found) > 2 * last_bytes:
            del found[:-last_bytes]
        if len(found) > most_bytes:
            raise TooMuchError("more than we read")
        if time.monotonic() > until:
            raise UnansweredError("its answer takes too long")
    unpacking.end()
    return bytes(found if last_bytes is None else found[-last_bytes:])


async def whole_async(response: httpx.Response, most_bytes: int) -> bytes:
    """As `whole`, of a stream of an httpx.AsyncClient that asks for gzip alone. How long it may take is up
    to its caller, by asyncio.timeout."""
    found, unpacking = bytearray(), _Unpacking(response)
    async for packed in response.aiter_raw():
        for piece in unpacking.pieces(packed):
            found += piece
            if len(found) > most_bytes:
                raise TooMuchError("more than we read")
    unpacking.end()
    return bytes(found)


@contextmanager
def over_by(until: float) -> Iterator[None]:
    """Within, no request of `client` waits for longer than `until` (time.monotonic), however slowly its
    answer, or the answer's headers, come: it raises httpx.TimeoutException."""
    before = _UNTIL.set(until)
    try:
        yield
    finally:
        _UNTIL.reset(before)


class _Unpacking:
    """What an answer holds, in pieces of PIECE_BYTES at most where it is packed. Raises UnreadableError."""

    def __init__(self, response: httpx.Response) -> None:
        coding = response.headers.get("Content-Encoding", "").strip()
        if coding.lower() not in ("", "identity", "gzip", "x-gzip"):
            raise UnreadableError(f"what is packed as wasn't asked for ({coding[:20]!r})")
        self._unpack = zlib.decompressobj(_GZIP) if coding.lower() in ("gzip", "x-gzip") else None
        self._something = False

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        if self._unpack is None:
            yield packed
            return
        self._something |= bool(packed)
        try:
            while packed and not self._unpack.eof:
                yield self._unpack.decompress(packed, PIECE_BYTES)
                packed = self._unpack.unconsumed_tail
        except zlib.error:
            raise UnreadableError("what is no gzip, though it says so") from None

    def end(self) -> None:
        """No more comes."""
        if self._unpack is not None and self._something and not self._unpack.eof:
            raise UnreadableError("what breaks off")


class _Transport(httpx.HTTPTransport):
    """httpx's own, but for its connections."""

    def __init__(self, tls: ssl.SSLContext | bool, socket: str | None, kept: int) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=tls, trust_env=False),
            max_connections=CONNECTIONS,
            max_keepalive_connections=kept,
            keepalive_expiry=KEPT_SECONDS,
            uds=socket,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """A kept connection that gives no answer was closed meanwhile: what is harmless is asked again (RFC
        9112, section 9.3.1), until a new connection is needed."""
        while True:
            connects: list[str] = []
            request.extensions["trace"] = partial(_note_connect, connects)
            try:
                return super().handle_request(request)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if connects or request.method not in HARMLESS:
                    raise


def _note_connect(connects: list[str], event: str, _: Mapping[str, Any]) -> None:
    if event.startswith("connection.connect_"):
        connects.append(event)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_unix_socket(path, left, socket_options))


class _Stream(httpcore.NetworkStream):
    """A connection, each of whose waits ends with the request that it is for."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    """What may be waited, of `timeout` and of the time until the request is over."""
    left = _UNTIL.get() - time.monotonic()
    if left <= 0:
        raise late("")
    if left == float("inf"):
        return timeout
    return left if timeout is None else min(timeout, left)
