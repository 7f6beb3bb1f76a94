"""A stand-in of Nova whose servers boot: what each is handed runs for real, as `guest` does it.

For tests that need many servers, and nothing that a cloud decides.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broker.platforms.openstack_nova import SESSION
from federation.clock import SystemClock
from tests.cloud.guest import booted
from tests.cloud.stand_in import StandIn

FLAVOUR = {"id": "f", "name": "plain", "vcpus": 4, "ram": 8192, "disk": 20}


@dataclass
class BootingCloud(StandIn):
    directory: Path = Path()
    guests: dict[str, tuple[ExitStack, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def create(self, asked: Mapping[str, Any]) -> str:
        server_id = super().create(asked)
        own = self.directory / server_id
        own.mkdir(parents=True)
        guest = ExitStack()
        console, job_id = own / "console", asked["metadata"][SESSION]
        process = guest.enter_context(booted(asked["user_data"], console, job_id, own))
        self.guests[server_id] = guest, process
        return server_id

    def console(self, server_id: str) -> str:
        return (self.directory / server_id / "console").read_text(errors="replace")

    def halt(self, server_id: str) -> None:
        """As its hypervisor presses the button."""
        with contextlib.suppress(ProcessLookupError):
            self.guests[server_id][1].send_signal(signal.SIGTERM)

    def removed(self, server_id: str) -> None:
        guest = self.guests.pop(server_id, None)
        if guest is not None:
            guest[0].close()


@contextlib.contextmanager
def booting_cloud(directory: Path) -> Iterator[BootingCloud]:
    """In place of every cloud that a platform asks."""
    cloud = BootingCloud(SystemClock(), flavours=[FLAVOUR], directory=directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.platforms.openstack.Cloud", lambda *_: cloud)
        try:
            yield cloud
        finally:
            for server_id in list(cloud.guests):
                cloud.removed(server_id)
