"""Stand-ins on loopback: a perfSONAR 5 archive and a pScheduler node with recorded documents.

The archive speaks as much of OpenSearch as a reader may: `_search` with range, exists, sort, search_after
and size. Both lie on demand.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.loopback import Asked, Handler, Said, Server, running

# status and body of a lie, or a name that the handler knows
Lie = tuple[int, bytes] | str
MISSING = 9223372036854775807


class MeshServer(Server):
    """`lies` are told in turn, one a request (None: the truth), then `forever`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(_Handler, tls)
        self.documents: list[Any] = []
        self.tasks: list[tuple[Any, list[Any]]] = []
        self.lies: list[Lie | None] = []
        self.forever: Lie | None = None
        self.credentials: str | None = None
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return self.origin

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up is no news."""

    def search(self, query: dict[str, Any]) -> dict[str, Any]:
        """Of all documents those that a query of ours matches, in its order, after its `search_after`."""
        begun, timeless = query["query"]["bool"]["should"]
        since = _millis(begun["range"]["pscheduler.start_time"]["gte"])
        assert timeless["bool"]["must_not"] == [{"exists": {"field": "pscheduler.start_time"}}]
        fields = [next(iter(part)) for part in query["sort"]]
        hits = []
        for number, document in enumerate(self.documents):
            values = [_sort_value(document, field) for field in fields]
            if values[0] >= since:
                hits.append({"_id": str(number), "_source": document, "sort": values})
        hits.sort(key=lambda hit: [_key(value) for value in hit["sort"]])
        total = len(hits)
        if "search_after" in query:
            after = [_key(value) for value in query["search_after"]]
            hits = [hit for hit in hits if [_key(value) for value in hit["sort"]] > after]
        return {
            "took": 1,
            "timed_out": False,
            "_shards": {"total": 1, "successful": 1, "failed": 0},
            "hits": {"total": {"value": total, "relation": "eq"}, "hits": hits[: query["size"]]},
        }

    def node(self, path: str, query: dict[str, list[str]]) -> Any:
        """What a node answers at `path`; None where there is nothing."""
        parts = path.strip("/").split("/")[1:]
        known = {task["href"].rpartition("/")[2]: (task, runs) for task, runs in self.tasks}
        if parts == ["tasks"]:
            assert {"expanded", "detail"} <= set(query)
            return [task for task, _ in self.tasks]
        if len(parts) < 3 or parts[0] != "tasks" or parts[1] not in known:
            return None
        runs = known[parts[1]][1]
        if len(parts) == 3:
            first, last = _millis(query["start"][0]), _millis(query["end"][0])
            return [run["href"] for run in runs if first <= _millis(run["start-time"]) <= last]
        return next((run for run in runs if run["href"].endswith(parts[3]) and "state" in run), None)


class _Handler(Handler):
    server: MeshServer

    def _truth(self, asked: Asked) -> Any:
        if asked.method == "POST":
            return self.server.search(asked.json()) if asked.target.endswith("/_search") else None
        parts = urlsplit(asked.target)
        return self.server.node(parts.path, parse_qs(parts.query, keep_blank_values=True))

    def respond(self, asked: Asked) -> None:
        self.server.requests.append(self.path)
        if self.server.credentials is not None:
            wanted = "Basic " + base64.b64encode(self.server.credentials.encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self._send(401, b"Unauthorized")
                return
        lie = self.server.lies.pop(0) if self.server.lies else self.server.forever
        if isinstance(lie, tuple):
            self._send(*lie)
            return
        if lie == "redirect":
            self._send(302, b"", {"Location": self.path})
            return
        if lie is not None and lie.startswith("busy"):
            self._send(503, b"Service Unavailable", {"Retry-After": lie.removeprefix("busy ")})
            return
        document = self._truth(asked)
        text = json.dumps(document).encode()
        if lie == "half":
            self._send(200, text[: len(text) // 2], {"Content-Length": str(len(text))})
        elif lie == "half-json":
            self._send(200, text[: len(text) // 2])
        elif document is None:
            self._send(404, b"Resource not found.")
        else:
            self._send(200, text)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.say(Said(status, body, {"Connection": "close", **(headers or {})}))


@contextlib.contextmanager
def mesh_server(tls: ssl.SSLContext | None = None) -> Iterator[MeshServer]:
    with running(MeshServer(tls)) as server:
        yield server


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _millis(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _sort_value(document: Any, field: str) -> Any:
    """As OpenSearch gives it: milliseconds for times, the largest number or null where there is nothing."""
    here = document
    for part in field.removesuffix(".keyword").split("."):
        here = here.get(part) if isinstance(here, dict) else None
    if field.endswith(".keyword"):
        return here if isinstance(here, str) else None
    try:
        return _millis(here)
    except (TypeError, ValueError):
        return MISSING


def _key(value: Any) -> tuple[bool, Any]:
    """Missing words come last."""
    return (value is None, value if value is not None else "")
