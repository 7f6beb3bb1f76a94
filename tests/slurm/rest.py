"""A real slurmrestd beside a cluster of the tests: on loopback and on a socket, for whoever has a token."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reservations.sources.slurm_rest import RestOptions, SlurmRest
from tests.ports import free_port
from tests.slurm.cluster import START_SECONDS, Cluster, rest_is_impossible

# 22.05 runs without accounting when it is told not to load what asks it
OPENAPI = "openapi/v0.0.36,openapi/v0.0.37,openapi/v0.0.38"
# it refuses to run as root
AS_NOBODY = ["setpriv", "--pdeathsig", "TERM", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@dataclass(frozen=True)
class Restd:
    cluster: Cluster
    port: int
    socket: Path
    token_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def options(self, **more: Any) -> dict[str, Any]:
        """What a catalogue says to use it."""
        return {"rest_url": self.url, "rest_token_file": str(self.token_file), "rest_user": "root", **more}

    def client(self, seconds: float = 60.0, url: str | None = None) -> SlurmRest:
        return SlurmRest("here", RestOptions(url or self.url, "root", self.token_file), seconds)


def token(cluster: Cluster) -> str:
    """As Slurm's own command prints it; for longer than all tests may take."""
    return cluster.run("scontrol", "token", "lifespan=86400")


@contextlib.contextmanager
def restd(cluster: Cluster) -> Iterator[Restd]:
    """Skips the test where there is none."""
    reason = rest_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    directory = cluster.directory / "rest"
    directory.mkdir()
    directory.chmod(0o777)
    port = free_port()
    made = Restd(cluster, port, directory / "socket", cluster.directory / "token")
    made.token_file.write_text(token(cluster))
    line = ["env", "SLURM_JWT=daemon", "slurmrestd", "-a", "rest_auth/jwt", "-s", OPENAPI]
    cluster.begin("slurmrestd", [*AS_NOBODY, *line, f"127.0.0.1:{port}", f"unix:{made.socket}"])
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            assert time.monotonic() < deadline, (cluster.directory / "daemons.log").read_text()
            time.sleep(0.02)
        yield made
    finally:
        daemon = cluster.daemons.pop("slurmrestd")
        daemon.kill()
        daemon.wait()
