"""What `fairlead serve` runs: a broker made of its settings, and the HTTP server around it."""

from __future__ import annotations

import errno
import logging
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from federation.catalogue import builtin_federation, load_federation
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.errors import InputError, OutsideError
from federation.settings import Settings
from federation.sites import Federation

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI
    from sqlalchemy import Engine

_log = logging.getLogger(__name__)
STOP_SECONDS = 10.0
# longer than clients keep a connection that they don't use (httpx: 5 s): none is closed under their hands
KEEP_ALIVE_SECONDS = 20


@dataclass(frozen=True)
class Broker:
    """Everything that one broker is made of; `generated_password` where no administrator had been set."""

    settings: Settings
    federation: Federation
    engine: Engine
    online: bool
    generated_password: str | None = None


def settings_with_admin(settings: Settings) -> tuple[Settings, str | None]:
    """The settings with an administrator in them, and the password where we had to make one up."""
    if settings.admin_user and settings.admin_password:
        return settings, None
    password = settings.admin_password or secrets.token_urlsafe(12)
    made = replace(settings, admin_user=settings.admin_user or "admin", admin_password=password)
    return made, None if settings.admin_password else password


@contextmanager
def simulated_broker(settings: Settings) -> Iterator[Broker]:
    """A self-contained broker: built-in federation, recorded measurements, and a database that goes with the
    block, whatever `settings` says of these. Needs no network, no root and no container engine."""
    from netprobe.archive import Archive
    from netprobe.recorded import load_recorded

    settings, password = settings_with_admin(settings)
    federation = builtin_federation()
    with tempfile.TemporaryDirectory(prefix="fairlead-") as directory:
        url = f"sqlite:///{Path(directory) / 'fairlead.db'}"
        settings = replace(
            settings, database_url=url, work_directory=Path(directory) / "work", catalogue=None
        )
        engine = connect(url)
        try:
            upgrade(engine)
            load_recorded(Archive(engine), SystemClock().now())
            yield Broker(settings, federation, engine, online=False, generated_password=password)
        finally:
            engine.dispose()


@contextmanager
def real_broker(settings: Settings) -> Iterator[Broker]:
    """A broker on the catalogue and the database of `settings`, which must name a catalogue."""
    if settings.catalogue is None:
        raise InputError("which sites? Name a catalogue (--catalogue sites.toml), or say --simulated")
    federation = load_federation(settings.catalogue)
    settings, password = settings_with_admin(settings)
    engine = connect(settings.database_url)
    try:
        upgrade(engine)
        yield Broker(settings, federation, engine, online=True, generated_password=password)
    finally:
        engine.dispose()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises OutsideError where the port can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
        # asyncio does so for sockets of its own making; without, the second half of an answer waits 40 ms
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        # create_server says the address again
        reason = reason.partition(" (while attempting")[0]
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason += ": --port chooses another, 0 any free one"
        raise OutsideError(f"can't listen on {host} port {port}: {reason}") from error


def address_of(listening: socket.socket) -> str:
    """The URL under which a listening socket answers."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(broker: Broker, url: str, log_level: str = "warning") -> uvicorn.Server:
    """The HTTP server, not started. `url`: what the broker calls itself unless its settings say otherwise."""
    try:
        import uvicorn

        from broker.app import create_app
        from broker.http.logs import log_config
        from broker.http.patience import PatientProtocol
    except ModuleNotFoundError as error:
        raise OutsideError(f"the broker needs {error.name}: pip install 'fairlead[broker]'") from error
    settings = replace(broker.settings, public_url=broker.settings.public_url or url)
    app = create_app(settings, broker.federation, broker.engine, SystemClock(), broker.online)
    _with_pages(app, settings, broker.federation)
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        log_config=dict(log_config(log_level)),
        log_level=log_level,
        # the broker's own line for each request has no query in it
        access_log=False,
        timeout_graceful_shutdown=int(STOP_SECONDS),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config)


def _with_pages(app: FastAPI, settings: Settings, federation: Federation) -> None:
    """Add pages and metrics, where what they are drawn with is installed."""
    try:
        from reports.metrics import add_metrics
        from reports.pages.app import add_pages
    except ModuleNotFoundError as error:
        _log.info("without pages: they need %s: pip install 'fairlead[reports]'", error.name)
        return
    add_metrics(app, add_pages(app, settings, federation, SystemClock()))
