"""Stand-ins on loopback: a perfSONAR 5 archive and a pScheduler node with recorded documents.

The archive speaks as much of OpenSearch as a reader may: `_search` with range, exists, sort, search_after
and size. Both lie on demand.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# status and body of a lie, or a name that the handler knows
Lie = tuple[int, bytes] | str
MISSING = 9223372036854775807


class MeshServer(http.server.ThreadingHTTPServer):
    """`lies` are told in turn, one a request (None: the truth), then `forever`."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.documents: list[Any] = []
        self.tasks: list[tuple[Any, list[Any]]] = []
        self.lies: list[Lie | None] = []
        self.forever: Lie | None = None
        self.credentials: str | None = None
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

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


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MeshServer

    def log_message(self, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(lambda: self.server.search(query) if self.path.endswith("/_search") else None)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        self._answer(lambda: self.server.node(parts.path, query))

    def _answer(self, truth: Any) -> None:
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
        document = truth()
        text = json.dumps(document).encode()
        if lie == "half":
            self._send(200, text, cut=len(text) // 2)
        elif lie == "half-json":
            self._send(200, text[: len(text) // 2])
        elif document is None:
            self._send(404, b"Resource not found.")
        else:
            self._send(200, text)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[:cut])


@contextlib.contextmanager
def mesh_server(tls: ssl.SSLContext | None = None) -> Iterator[MeshServer]:
    server = MeshServer(tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
