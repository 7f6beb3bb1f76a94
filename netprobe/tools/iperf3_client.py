"""What is known before a test: whether the client can run it as asked, and the password it needs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from federation.hosts import Host, LocalHost, NamespaceHost
from netprobe.tools import Endpoint, _process
from netprobe.tools.iperf3_errors import Sides
from netprobe.tools.iperf3_options import OPTIONAL, Options, optional, version_of

# where the binary looks for it
PASSWORD = "IPERF3_PASSWORD"
# more is no password
PASSWORD_BYTES = 1024


def families(sides: Sides) -> str | None:
    """Why the addresses that were given can't meet, or None. 3.12 blames the connection, with any errno."""
    asked, there = sides.asked, version_of(sides.address)
    here = None if asked.bind is None else version_of(asked.bind)
    if asked.ip_version is not None and there not in (None, asked.ip_version):
        return f"{sides.server}: {sides.address} is no IPv{asked.ip_version} address"
    if asked.ip_version is not None and here not in (None, asked.ip_version):
        return f"{sides.client}: bind: {asked.bind} is no IPv{asked.ip_version} address"
    if here is not None and there is not None and here != there:
        return f"{sides.client}: bind: {asked.bind} and {sides.address} are of different families"
    return None


async def unfit(client: Endpoint, chosen: Options, side: str, within_seconds: float) -> str | None:
    """Why iperf3 on the client's host can't run such a test, or None.

    Asked where an option is needed that not every release and build has; a program that doesn't say is left
    to fail by itself.
    """
    needed = optional(chosen)
    if not needed:
        return None
    try:
        end = await _process.run(client.host.argv(["iperf3", "--help"]), within_seconds)
    except OSError:
        return None
    known = set(re.findall(r"--[a-z0-9-]+", end.stdout + end.stderr))
    if "--client" not in known:
        return None
    for option in needed:
        if option not in known:
            return f"{side}: {OPTIONAL[option]}: iperf3 on this host doesn't know {option}"
    return None


def password(host: Host, chosen: Options) -> dict[str, str]:
    """The environment that hands the password to iperf3 on `host`; empty where none is needed.

    Raises ValueError where there is none, OSError where the file can't be read. Neither shows the password.
    """
    if chosen.username is None:
        return {}
    if not isinstance(host, LocalHost | NamespaceHost):
        raise ValueError("a password can only be handed to iperf3 on this machine")
    if chosen.password_variable is not None:
        found = os.environ.get(chosen.password_variable, "")
        where = f"the environment variable {chosen.password_variable}"
    else:
        path = Path(chosen.password_file or "")
        with path.open("rb") as file:
            found = file.read(PASSWORD_BYTES).decode(errors="replace").rstrip("\r\n")
        where = str(path)
    if not found or "\0" in found:
        raise ValueError(f"no password in {where}")
    return {PASSWORD: found}
