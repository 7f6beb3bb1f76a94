"""A server of JSON on loopback, for what is read from a mesh's own servers."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.loopback import Asked, Said, said_json, serving


@contextlib.contextmanager
def answering(
    document: Callable[[str, dict[str, str]], Any],
    credentials: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """The address of a server that answers with `document(path, query)`, with 404 where that is None.
    The path is as it was sent.

    Bytes are sent as they are. Who doesn't give the `credentials` ("user:password") gets 401.
    """
    wanted = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()

    def answer(asked: Asked) -> Said:
        if wanted is not None and asked.headers.get("Authorization") != wanted:
            return Said(401)
        query = {name: values[-1] for name, values in asked.query.items()}
        found = document(urlsplit(asked.target).path, query)
        if isinstance(found, bytes):
            return Said(200, found)
        return said_json(found, 404 if found is None else 200)

    with serving(answer, tls) as server:
        yield server.origin
