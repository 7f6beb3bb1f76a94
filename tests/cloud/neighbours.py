"""What Nova asks Glance and Neutron for a server with no network, answered in this process.

Any image there is: a tiny raw one. There are no networks and no ports.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_TIMES = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
_FORMATS = {"disk_format": "raw", "container_format": "bare", "checksum": "0" * 32}
_SIZES = {"size": 1024, "virtual_size": None, "min_disk": 0, "min_ram": 0}
_RIGHTS: dict[str, object] = {
    "visibility": "public",
    "owner": None,
    "protected": False,
    "os_hidden": False,
    "tags": [],
}
_IMAGE = {"name": "tiny", "status": "active", **_TIMES, **_FORMATS, **_SIZES, **_RIGHTS}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.rstrip("/")
        name = path.rpartition("/")[2]
        here = f"http://{self.headers['Host']}"
        if path.startswith("/network/v2.0/"):
            self._answer(200, {name.removesuffix(".json").replace("-", "_"): []})
        elif path.startswith("/network"):
            self._versions(f"{here}/network/v2.0/", "v2.0")
        elif path.startswith("/v2/schemas/"):
            properties: dict[str, object] = {key: {} for key in ("id", *_IMAGE)}
            extra = {"additionalProperties": {"type": "string"}}
            self._answer(200, {"name": name, "properties": properties, **extra})
        elif path.startswith("/v2/images/"):
            self._answer(200, {"id": name, **_IMAGE})
        else:
            self._versions(f"{here}/v2/", "v2.9")

    def _versions(self, url: str, version: str) -> None:
        links = [{"rel": "self", "href": url}]
        self._answer(200, {"versions": [{"id": version, "status": "CURRENT", "links": links}]})

    def _answer(self, status: int, document: Mapping[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(port: int) -> ThreadingHTTPServer:
    """Serve on a port of 127.0.0.1 from a thread, until `shutdown` and `server_close` are called."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), name="neighbours", daemon=True).start()
    return server
