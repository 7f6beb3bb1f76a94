"""The stand-in of Nova (`tests.cloud.stand_in`) over HTTP, with as much of Keystone as its clients need: each
sign-in gets a token of its own, and the catalogue says where Nova is."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cloud.stand_in import StandIn

PASSWORD = "sw0rdfish"
NAME = "faulty"
NOVA = "/v2.1"


class CloudServer(http.server.ThreadingHTTPServer):
    """`nova`: the address that the catalogue gives; `tokens` that were given."""

    daemon_threads = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in, self.nova, self.tokens = stand_in, self.url + NOVA, list[str]()
        self.lock, self.numbers = threading.Lock(), itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sign_in(self) -> tuple[str, Mapping[str, Any]]:
        with self.lock:
            self.tokens.append(f"t0ken-{next(self.numbers)}")
        place = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": self.nova}
        domain = {"id": "default", "name": "Default"}
        token = {
            "methods": ["password"],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2100-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "ann", "domain": domain},
            "project": {"id": "p", "name": "sky", "domain": domain},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": [{"type": "compute", "id": "c", "name": "nova", "endpoints": [{"id": "e", **place}]}],
        }
        return self.tokens[-1], {"token": token}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: CloudServer

    def log_message(self, *arguments: object) -> None:
        pass

    def _handle(self) -> None:
        server = self.server
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.rstrip("/")
        if path == "/v3/auth/tokens":
            token, document = server.sign_in()
            return self._answer(201, document, {"X-Subject-Token": token})
        if path in ("/v3", NOVA):
            links = [{"rel": "self", "href": f"http://{self.headers['Host']}{path}"}]
            versions = {"version": "2.96", "min_version": "2.1"} if path == NOVA else {}
            version = {"id": path.strip("/"), "status": "CURRENT", "links": links, **versions}
            return self._answer(200, {"version": version})
        with server.lock:
            body = json.loads(text) if text else None
            found = server.stand_in.ask("compute", self.command, path.removeprefix(NOVA), body)
        return self._answer(found.status, found.body)

    def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the names that http.server looks for


@contextlib.contextmanager
def served(stand_in: StandIn) -> Iterator[CloudServer]:
    with CloudServer(stand_in) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def clouds_yaml(server: CloudServer, directory: Path) -> Path:
    """Write the file by which the SDK finds it, as the cloud NAME."""
    names = {"username": "ann", "project_name": "sky", "password": PASSWORD}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    auth = {"auth_url": f"{server.url}/v3", **names, **domains}
    path = directory / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": {NAME: {"auth": auth, "region_name": "RegionOne"}}}))
    return path
