"""A server before the store of results: it passes on what it is asked, or fails as a test wants it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.loopback import Asked, Said, serving


@dataclass
class Front:
    """Before `store`. `before` may answer in its place: with a status and a body. `asked` are the method and
    the last part of the path."""

    store: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    before: Callable[[str, str], tuple[int, bytes] | None] = lambda method, path: None

    def answer(self, asked: Asked) -> Said:
        self.asked.append(f"{asked.method} {asked.path.rpartition('/')[2]}")
        answer = self.before(asked.method, asked.path)
        if answer is not None:
            return Said(*answer)
        # what is signed is signed for this address
        names = ("Host", "Content-Type")
        headers = {name: asked.headers[name] for name in names if name in asked.headers}
        url = f"{self.store}{asked.target}"
        said = httpx.request(
            asked.method, url, content=asked.body, headers=headers, trust_env=False, timeout=60
        )
        return Said(said.status_code, said.content)


@contextmanager
def front(store: str) -> Iterator[Front]:
    found = Front(store)
    with serving(found.answer) as server:
        found.url = server.origin
        yield found
