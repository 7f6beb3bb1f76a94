"""`fairlead serve`: the broker."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli._common import JsonOption, messages, number, print_json
from federation.errors import InputError


class LogLevel(StrEnum):
    """What is logged, and all that is worse."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    DEBUG = "debug"


def serve(
    catalogue: Annotated[
        Path | None,
        typer.Option(help="The sites (TOML), as `fairlead lab up` writes them.", show_default=False),
    ] = None,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="Settings (TOML).", show_default=False)
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1, or from the settings")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            **number("--port", 0, 65535),
            help="Port; 0 is any free one.",
            show_default="8080, or from the settings",
        ),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated sites in a temporary database: needs nothing else.")
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option(help="What is logged, to standard error; info has a line for every request.")
    ] = LogLevel.WARNING,
    json: JsonOption = False,
) -> None:
    """Serve the ExecutionBroker until Ctrl-C.

    Where no administrator is set (FAIRLEAD_ADMIN_USER, FAIRLEAD_ADMIN_PASSWORD), a password is made up and
    shown once. With --json one document on standard output says where it listens (and that password), once it
    does.

    \b
    Examples:
      fairlead serve --simulated
      fairlead serve --catalogue sites.toml --port 8081
    """
    from fairlead.recording import recording
    from fairlead.serving import address_of, listen, real_broker, server, simulated_broker
    from federation.settings import load_settings

    if simulated and catalogue is not None:
        raise InputError("--simulated brings its own sites: leave --catalogue out")
    settings = load_settings(settings_file, os.environ)
    if catalogue is not None:
        settings = replace(settings, catalogue=catalogue)
    say = messages()
    with ExitStack() as stack:
        listening = stack.enter_context(
            listen(host or settings.host, settings.port if port is None else port)
        )
        broker = stack.enter_context(simulated_broker(settings) if simulated else real_broker(settings))
        url = address_of(listening)
        running = server(broker, url, log_level.value)
        sites = ", ".join(broker.federation.sites)
        say.print(f"Fairlead serves {broker.federation.name!r} at {url} (sites: {sites})")
        if broker.generated_password:
            user = broker.settings.admin_user
            say.print(f"administrator: {user}, password (shown once): {broker.generated_password}")
        if json:
            print_json(
                {
                    "url": url,
                    "federation": broker.federation.name,
                    "sites": list(broker.federation.sites),
                    "admin_user": broker.settings.admin_user,
                    "generated_password": broker.generated_password,
                }
            )
        if broker.online and broker.settings.supervise:
            stack.enter_context(recording(broker.federation, broker.engine))
        say.print("Ctrl-C ends it.")
        running.run(sockets=[listening])
        if not running.started:
            raise typer.Exit(3)
    say.print("stopped")
