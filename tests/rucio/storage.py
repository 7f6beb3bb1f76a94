"""A storage of the tests: it has what was put to it over HTTP, and what Rucio is told of that."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.loopback import Asked, Said, serving


def content(name: str) -> bytes:
    """A few hundred bytes to a few kB, different for each name."""
    seed = hashlib.sha256(name.encode()).digest()
    return seed * (8 + seed[0])


def registered(scope: str, name: str, content: bytes) -> dict[str, Any]:
    """The file as it is registered in Rucio."""
    return {
        "scope": scope,
        "name": name,
        "bytes": len(content),
        "adler32": f"{zlib.adler32(content):08x}",
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }


def described(scope: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """As they are registered, files with the `content` of their names."""
    return [registered(scope, name, content(name)) for name in names]


def path_of(rse: str, scope: str, name: str) -> str:
    """Where Rucio's algorithm "hash" has a file of a deterministic storage element."""
    digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
    return f"/{rse}/{scope}/{digest[:2]}/{digest[2:4]}/{name}"


@dataclass
class Storage:
    """Of all elements at once. `files` are by /RSE/SCOPE/xx/yy/NAME; where `has_all`, so is every other name,
    with its `content`."""

    has_all: bool
    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, asked: Asked) -> Said:
        if asked.method == "PUT":
            self.files[asked.path] = asked.body
            return Said(201)
        found = self.files.get(asked.path)
        if found is None and self.has_all:
            found = content(asked.path.split("/", 5)[5])
        return Said(404) if found is None else Said(200, found)


@contextmanager
def storage(has_all: bool = False) -> Iterator[Storage]:
    found = Storage(has_all)
    with serving(found.answer) as server:
        found.port = server.port
        yield found
