"""A WebDAV server (WsgiDAV on cheroot) on loopback, which may want to see a bearer token.

Run in the environment of `environment.py`: `dav_server.py DIRECTORY [TOKEN]` prints its port, and ends with
its standard input. Each request is a line "METHOD PATH AUTHORIZATION" on standard error.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp


def main() -> None:
    directory, *tokens = sys.argv[1:]
    dav = WsgiDAVApp(
        {
            "provider_mapping": {"/": {"root": directory, "readonly": True}},
            "simple_dc": {"user_mapping": {"*": True}},
            "logging": {"enable": False},
            "verbose": 0,
            "dir_browser": {"enable": False},
        }
    )

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        shown = environ.get("HTTP_AUTHORIZATION", "-")
        sys.stderr.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {shown}\n")
        sys.stderr.flush()
        if tokens and shown != f"Bearer {tokens[0]}":
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
            return [b""]
        return dav(environ, start_response)

    server = wsgi.Server(("127.0.0.1", 0), application)
    server.prepare()
    sys.stdout.write(f"{server.bind_addr[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
