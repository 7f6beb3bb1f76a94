"""The stand-in of Nova (`tests.cloud.stand_in`) over HTTP, with as much of Keystone as its clients need: each
sign-in gets a token of its own, and the catalogue says where Nova is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.cloud.stand_in import StandIn
from tests.loopback import Asked, Said, said_json, serving

PASSWORD = "sw0rdfish"
NAME = "faulty"
NOVA = "/v2.1"


@dataclass
class CloudServer:
    """`nova`: the address that the catalogue gives; `tokens` that were given."""

    stand_in: StandIn
    url: str = ""
    nova: str = ""
    tokens: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Said:
        path = asked.path.rstrip("/")
        if path == "/v3/auth/tokens":
            return self._sign_in()
        if path in ("/v3", NOVA):
            links = [{"rel": "self", "href": f"http://{asked.headers['Host']}{path}"}]
            versions = {"version": "2.96", "min_version": "2.1"} if path == NOVA else {}
            version = {"id": path.strip("/"), "status": "CURRENT", "links": links, **versions}
            return said_json({"version": version})
        with self.lock:
            target = asked.target.rstrip("/").removeprefix(NOVA)
            found = self.stand_in.ask("compute", asked.method, target, asked.json())
        return Said(found.status) if found.body is None else said_json(found.body, found.status)

    def _sign_in(self) -> Said:
        with self.lock:
            self.tokens.append(f"t0ken-{len(self.tokens) + 1}")
            given = self.tokens[-1]
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
        return said_json({"token": token}, 201, {"X-Subject-Token": given})


@contextlib.contextmanager
def served(stand_in: StandIn) -> Iterator[CloudServer]:
    found = CloudServer(stand_in)
    with serving(found.answer) as server:
        found.url = server.origin
        found.nova = server.origin + NOVA
        yield found


def clouds_yaml(server: CloudServer, directory: Path) -> Path:
    """Write the file by which the SDK finds it, as the cloud NAME."""
    names = {"username": "ann", "project_name": "sky", "password": PASSWORD}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    auth = {"auth_url": f"{server.url}/v3", **names, **domains}
    path = directory / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": {NAME: {"auth": auth, "region_name": "RegionOne"}}}))
    return path
