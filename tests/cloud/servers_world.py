"""Servers of sessions at a stand-in of Nova's API, with a clock that a test turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from broker.platforms import openstack_lines
from broker.platforms.openstack_nova import SESSION, Nova
from broker.platforms.openstack_nova import WORD as OWN
from broker.platforms.openstack_options import DEFAULTS
from broker.platforms.openstack_records import Records
from broker.platforms.openstack_servers import Servers
from broker.platforms.podman_run import container_name
from federation.clock import ManualClock
from reservations.openstack.connection import Cloud
from tests.cloud.stand_in import StandIn

JOB = "6f1c7a52-0000-4000-8000-000000000001"
WORD = "ab12"


@dataclass
class World:
    """A cloud and a work directory; `servers()` is a broker's after a restart."""

    directory: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime(2026, 12, 1, tzinfo=UTC)))
    options: dict[str, Any] = field(default_factory=lambda: {**DEFAULTS, "poll_seconds": 0.0})

    def __post_init__(self) -> None:
        self.cloud = StandIn(self.clock)

    def servers(self) -> Servers:
        nova = Nova("here", cast(Cloud, self.cloud))
        return Servers("here", nova, self.records(), self.clock, self.options, self.clock.advance)

    def records(self) -> Records:
        return Records("here", self.directory)

    def start(self, servers: Servers | None = None) -> None:
        (servers or self.servers()).start(JOB, WORD, body)

    def started(self) -> tuple[Servers, str]:
        servers = self.servers()
        self.start(servers)
        [server_id] = self.cloud.there()
        return servers, server_id

    def say(self, server_id: str, number: int, **report: Any) -> None:
        lines = openstack_lines.written(WORD, number, report)
        before = self.cloud.consoles.get(server_id, "")
        self.cloud.consoles[server_id] = before + "".join(f"{line}\r\n" for line in lines)


def body(word: str) -> dict[str, Any]:
    return {"server": {"name": container_name(JOB), "metadata": {SESSION: JOB, OWN: word}}}
