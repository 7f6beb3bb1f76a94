"""A server of JSON on loopback, for what is read from a mesh's own servers."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@contextlib.contextmanager
def answering(
    document: Callable[[str, dict[str, str]], Any],
    credentials: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """The address of a server that answers with `document(path, query)`, with 404 where that is None.

    Bytes are sent as they are. Who doesn't give the `credentials` ("user:password") gets 401.
    """
    wanted = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if wanted is not None and self.headers.get("Authorization") != wanted:
                self.send_error(401)
                return
            parts = urlsplit(self.path)
            found = document(parts.path, dict(parse_qsl(parts.query)))
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
