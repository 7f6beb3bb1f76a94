"""A server on loopback that sends what bytes a test says, however wrong they are."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# an honest answer at last
LATE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
# until then whoever waits for less has gone, however busy the machine is
DROPS, DROP_SECONDS = 1200, 0.05
Play = Callable[[socket.socket], None]


@contextmanager
def raw_server(play: Play) -> Iterator[str]:
    """Plays to each who comes and asks something; HOST:PORT. Ends with the block."""
    open_now: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                open_now.append(connection)
                threading.Thread(target=answer_to, args=(connection,), daemon=True).start()

    def answer_to(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            play(connection)

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for each in (listening, *open_now):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join()


def answer(body: bytes, *headers: str, length: int | None = None) -> Play:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}", *headers]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def dripping(begin: bytes, drop: bytes, end: bytes) -> Play:
    """Each drop soon enough for a limit between two bytes; an honest end for who waits for too long."""

    def play(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(DROPS):
            connection.sendall(drop)
            time.sleep(DROP_SECONDS)
        connection.sendall(end)

    return play
