"""A real Rucio server on loopback, with SQLite, and its administrator, who fills it over REST."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from tests.ports import free_port
from tests.rucio.environment import programs

START_SECONDS = 120.0
USER, PASSWORD = "ddmlab", "rucio-pass-5150"
# what the server takes in one go on SQLite
ROWS = 250
READ_AND_WRITE = {"read": 1, "write": 1, "delete": 1}

_CONFIGURATION = """
[common]
logdir = {directory}/log
loglevel = WARNING
mailtemplatedir = {directory}/etc/mail_templates
[database]
default = sqlite:///{directory}/rucio.db
[cache]
url = 127.0.0.1:1
[bootstrap]
userpass_identity = {user}
userpass_pwd = {password}
userpass_email = nobody@example.org
[policy]
permission = generic
schema = generic
lfn2pfn_algorithm_default = hash
support = nobody@example.org
support_rucio = https://example.org/
[alembic]
cfg = {directory}/etc/alembic.ini
"""
_MIGRATIONS = """
[alembic]
script_location = rucio.db.sqla:migrate_repo
sqlalchemy.url = sqlite:///{directory}/rucio.db
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(levelname)s %(message)s
"""
_BUILD = "from rucio.db.sqla.util import *; build_database(); create_base_vo(); create_root_account()"


@dataclass(frozen=True)
class Rucio:
    """A running server. `options`: what [catalogues.rucio] says of it."""

    url: str
    directory: Path

    @property
    def options(self) -> dict[str, Any]:
        file = self.directory / "password"
        return {
            "url": self.url,
            "account": "root",
            "auth": "userpass",
            "username": USER,
            "password_file": str(file),
        }

    def admin(self) -> Admin:
        return Admin(self.url)


class Admin:
    """The administrator."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)
        who = {"X-Rucio-Account": "root", "X-Rucio-Username": USER, "X-Rucio-Password": PASSWORD}
        answer = self._http.get("/auth/userpass", headers=who)
        answer.raise_for_status()
        self._http.headers["X-Rucio-Auth-Token"] = answer.headers["X-Rucio-Auth-Token"]

    def ask(self, method: str, path: str, document: Any = None) -> httpx.Response:
        answer = self._http.request(method, path, json=document)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer

    def scope(self, scope: str) -> None:
        self.ask("POST", f"/accounts/root/scopes/{scope}")

    def rse(
        self,
        rse: str,
        port: int,
        *,
        scheme: str = "http",
        tape: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """A storage element whose files 127.0.0.1 serves at `port`, below its name."""
        about = {"deterministic": True, "rse_type": "TAPE" if tape else "DISK"}
        self.ask("POST", f"/rses/{rse}", about)
        domains = {
            "lan": READ_AND_WRITE,
            "wan": {**READ_AND_WRITE, "third_party_copy_read": 1, "third_party_copy_write": 1},
        }
        protocol = {
            "hostname": "127.0.0.1",
            "port": port,
            "prefix": f"/{rse}/",
            "impl": "rucio.rse.protocols.webdav.Default",
            "domains": domains,
            "extended_attributes": None,
        }
        self.ask("POST", f"/rses/{rse}/protocols/{scheme}", {"scheme": scheme, **protocol})
        for key, value in (attributes or {}).items():
            self.ask("POST", f"/rses/{rse}/attr/{key}", {"value": value})

    def readable(self, rse: str, readable: bool) -> None:
        self.ask("PUT", f"/rses/{rse}", {"availability_read": readable})

    def writable(self, rse: str, writable: bool) -> None:
        self.ask("PUT", f"/rses/{rse}", {"availability_write": writable})

    def distance(self, source: str, destination: str) -> None:
        self.ask("POST", f"/rses/{source}/distances/{destination}", {"distance": 1})

    def quota(self, account: str, rse: str, size_bytes: int) -> None:
        self.ask("POST", f"/accountlimits/local/{account}/{rse}", {"bytes": size_bytes})

    def account(self, name: str, password: str) -> None:
        """One that may do what everybody may."""
        self.ask("POST", f"/accounts/{name}", {"type": "SERVICE", "email": "nobody@example.org"})
        who = {"X-Rucio-Username": name, "X-Rucio-Password": password, "X-Rucio-Email": "nobody@example.org"}
        answer = self._http.put(f"/identities/{name}/userpass", headers=who)
        assert answer.is_success, answer.text

    def rules(self, scope: str, name: str) -> list[dict[str, Any]]:
        """All that there are for it, whoever made them."""
        answer = self.ask("GET", f"/rules/?{urlencode({'scope': scope, 'name': name})}")
        return [json.loads(line) for line in answer.text.splitlines() if line]

    def replicas(self, rse: str, files: Sequence[Mapping[str, Any]]) -> None:
        for first in range(0, len(files), ROWS):
            self.ask("POST", "/replicas", {"rse": rse, "files": files[first : first + ROWS]})

    def lost(self, rse: str, scope: str, name: str) -> None:
        """Declare a copy as bad."""
        bad = {"dids": [{"scope": scope, "name": name}], "rse": rse, "reason": "lost"}
        self.ask("POST", "/replicas/bad/dids", bad)

    def collection(self, kind: str, scope: str, name: str, members: Sequence[str]) -> None:
        """A dataset of files or a container, of members in the same scope."""
        self.ask("POST", f"/dids/{scope}/{quote(name)}", {"type": kind})
        for first in range(0, len(members), ROWS):
            dids = [{"scope": scope, "name": each} for each in members[first : first + ROWS]]
            self.ask("POST", f"/dids/{scope}/{quote(name)}/dids", {"dids": dids})

    def close(self) -> None:
        self._http.close()


@contextmanager
def rucio(directory: Path) -> Iterator[Rucio]:
    """A server with an empty catalogue, in `directory`."""
    bin_ = programs()
    for name in ("etc/mail_templates", "log"):
        (directory / name).mkdir(parents=True)
    places = {"directory": directory, "user": USER, "password": PASSWORD}
    (directory / "etc" / "rucio.cfg").write_text(_CONFIGURATION.format(**places))
    (directory / "etc" / "alembic.ini").write_text(_MIGRATIONS.format(**places))
    (directory / "password").write_text(f"{PASSWORD}\n")
    environment = {**os.environ, "RUCIO_HOME": str(directory)}
    built = subprocess.run([bin_ / "python", "-c", _BUILD], env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-800:]
    port = free_port()
    log = directory / "log" / "gunicorn.log"
    with log.open("w") as file:
        # ended with us, however we end
        server = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig=TERM",
                bin_ / "gunicorn",
                f"--bind=127.0.0.1:{port}",
                "--workers=1",
                "--threads=8",
                # longer than any client keeps a connection: none is closed just when it is used again
                "--keep-alive=75",
                f"--control-socket={directory}/control",
                "rucio.web.rest.flaskapi.v1.main:application",
            ],
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        _until_up(server, port, log)
        yield Rucio(f"http://127.0.0.1:{port}", directory)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _until_up(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/ping", trust_env=False, timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            alive = server.poll() is None and time.monotonic() < deadline
            assert alive, f"Rucio doesn't start: {log.read_text()[-800:]}"
            time.sleep(0.05)
