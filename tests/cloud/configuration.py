"""Where everything of a cloud listens, and its configuration files, from the templates in `etc/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

TEMPLATES = Path(__file__).with_name("etc")
# of every account; nothing listens but on loopback
PASSWORD = "secret"

Options = Mapping[str, Mapping[str, object]]
"""Section -> option -> value, as oslo.config has them."""


@dataclass(frozen=True)
class Configuration:
    """Configuration of a cloud whose state is in `directory / "state"`, with ports from `first_port` on."""

    directory: Path
    environment: Path
    first_port: int

    @property
    def database_port(self) -> int:
        return self.first_port

    @property
    def queue_port(self) -> int:
        return self.first_port + 1

    @property
    def erlang_port(self) -> int:
        return self.first_port + 2

    @property
    def epmd_port(self) -> int:
        return self.first_port + 3

    @property
    def neighbours_port(self) -> int:
        return self.first_port + 4

    def port(self, service: str) -> int:
        """Where one of the HTTP services listens."""
        return self.first_port + 5 + ("keystone", "placement", "nova-api", "blazar-api").index(service)

    def url(self, service: str) -> str:
        """The endpoint of one of the HTTP services, as it is in the catalogue."""
        paths = {"keystone": "/v3", "nova-api": "/v2.1", "blazar-api": "/v1"}
        return f"http://127.0.0.1:{self.port(service)}{paths.get(service, '')}"

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def policy(self) -> Path:
        """Blazar's policy; it reads it again when it has changed."""
        return self.etc / "policy.yaml"

    def program(self, name: str) -> Path:
        return self.environment / "bin" / name

    def database_url(self, name: str) -> str:
        return f"mysql+pymysql://cloud:{PASSWORD}@127.0.0.1:{self.database_port}/{name}?charset=utf8"

    def write(self, name: str, options: Options | None = None) -> Path:
        """Write a configuration file, with options that go before those of its template."""
        login = {
            "auth_url": self.url("keystone"),
            "auth_type": "password",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "project_name": "service",
            "password": PASSWORD,
        }
        values = {
            "database": self.database_url("").partition("/?")[0],
            "queue": f"rabbit://cloud:{PASSWORD}@127.0.0.1:{self.queue_port}/",
            "queue_port": str(self.queue_port),
            "keystone_port": str(self.port("keystone")),
            "neighbours": f"http://127.0.0.1:{self.neighbours_port}",
            "state": str(self.state),
            "policy": str(self.policy),
            "password": PASSWORD,
            "login": "\n".join(f"{option} = {value}" for option, value in login.items()),
        }
        text = Template((TEMPLATES / name).read_text()).substitute(values)
        # oslo.config takes the last of several values, and a section may come twice
        for section, settings in (options or {}).items():
            text += f"[{section}]\n" + "".join(f"{option} = {value}\n" for option, value in settings.items())
        self.etc.mkdir(parents=True, exist_ok=True)
        # a reader never sees half a file
        path = self.etc / name
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        return path
