"""A server on loopback that answers as it is told, whatever the method."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from tests.loopback import Asked, Handler, Said, Server, running

Answer = tuple[int, dict[str, str], bytes]


class Answering(Server):
    """`answers` are (status, headers, body) by path with its query, or by path alone; `otherwise` makes those
    of other paths, which are 404. `statuses` of a method go before. `silent`: nothing is answered until the
    end. `asked` are (method, path, headers).
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answers: dict[str, Answer] = {}
        self.otherwise: Callable[[str], Answer] = lambda path: (404, {}, b"")
        self.statuses: dict[str, int] = {}
        self.silent = False
        self.ended = threading.Event()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.on_request: Callable[[], None] = lambda: None

    def url(self, path: str) -> str:
        return f"{self.origin}{path}"

    def seen(self, header: str) -> list[str | None]:
        return [headers.get(header) for _, _, headers in self.asked]


class _Handler(Handler):
    server: Answering

    def respond(self, asked: Asked) -> None:
        server = self.server
        server.asked.append((self.command, self.path, dict(self.headers)))
        server.on_request()
        if server.silent:
            server.ended.wait(60)
            self.close_connection = True
            return
        plain = self.path.partition("?")[0]
        found = server.answers.get(self.path) or server.answers.get(plain) or server.otherwise(plain)
        status, headers, body = found
        if self.command in server.statuses:
            status, body = server.statuses[self.command], b""
        # said beforehand: whoever asks again takes another one, however late this is done
        self.say(Said(status, body, {**headers, "Connection": "close"}))


@contextlib.contextmanager
def answering() -> Iterator[Answering]:
    server = Answering()
    with running(server, server.ended.set):
        yield server
