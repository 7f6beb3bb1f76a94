"""The simulated Skaha on a loopback port, in a thread of its own, with TLS where a test wants it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from tests.skaha.simulator import Simulator
from tests.skaha.simulator_app import BASE, App


@dataclass(frozen=True)
class Served:
    url: str
    app: App

    @property
    def simulator(self) -> Simulator:
        return self.app.simulator


@dataclass(frozen=True)
class Tls:
    """The server's certificate with its key, and who signs the certificates that its clients must show."""

    certificate: Path
    clients_ca: Path


@contextmanager
def skaha(directory: Path, tls: Tls | None = None) -> Iterator[Served]:
    """A running Skaha. What it still runs at the end is ended."""
    directory.mkdir(parents=True, exist_ok=True)
    app = App(Simulator(directory), certificate=tls is not None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # asyncio does so for sockets that it makes; without, each answer waits 40 ms for its second half
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            app, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        if tls is not None:
            config.ssl_certfile, config.ssl_ca_certs = tls.certificate, str(tls.clients_ca)
            config.ssl_cert_reqs = ssl.CERT_REQUIRED
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the simulated Skaha ended at once"
                time.sleep(0.005)
            scheme = "http" if tls is None else "https"
            yield Served(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}{BASE}", app)
        finally:
            server.should_exit = True
            thread.join(60)
            app.simulator.close()


def skaha_options(served: Served, directory: Path, token: str = "tok123") -> dict[str, Any]:
    """Options of a platform at this Skaha that ask it each time, with its token in `directory`."""
    file = directory / "token"
    file.write_text(f"{token}\n")
    return {
        "url": served.url,
        "token_file": str(file),
        "notebook_image": "images.canfar.net/skaha/astroml:26.11",
        "registries_file": str(registries_at(directory)),
        "poll_seconds": 0.0,
        "log_seconds": 0.0,
    }


def registries_at(directory: Path, host: str = "127.0.0.1:9") -> Path:
    """A registries.conf by which the simulator's registry is at `host`, by HTTP; nobody is at port 9."""
    text = f'[[registry]]\nprefix = "images.canfar.net"\nlocation = "{host}"\ninsecure = true\n'
    file = directory / f"registries-{host.partition(':')[2]}.conf"
    file.write_text(text)
    return file
