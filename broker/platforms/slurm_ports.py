"""Ports of containers in Slurm jobs: podman publishes them on the node, and the job's script says where.

Which node that is, nobody knows before the job has begun.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.model import Connector, Job
from broker.platforms import podman_ports
from broker.platforms.slurm_script import BEGUN_NAME, ENDED_NAME
from federation.errors import InputError
from federation.sites import Site

# in the job's directory: the node, and what `podman inspect` has in NetworkSettings.Ports
PORTS_NAME = "ports"
# a node's name, and what can stand around it in an address
NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
AROUND = re.compile(r"[A-Za-z0-9._:-]*", re.ASCII)
# a start waits so long for a free node, and then so long for the container there: longer is a queue
QUEUE_SECONDS = 15.0
BEGIN_SECONDS = 60.0
PAUSE_SECONDS = 0.1
# beside the container: its ports are there as soon as it runs
_TELL = """tell_ports() {{
  while kill -0 "$child" 2>/dev/null; do
    said=$({engine} inspect --type container --format '{format}' {name} 2>/dev/null)
    case $said in
      true\\ *)
        printf '%s\\n%s\\n' "$node" "${{said#true }}" > {ports}.new && mv -f {ports}.new {ports}
        return ;;
    esac
    sleep 0.2
  done
}}
tell_ports </dev/null >/dev/null 2>&1 &"""
_FORMAT = "{{.State.Running}} {{json .NetworkSettings.Ports}}"


def check_options(site: Site, options: Mapping[str, Any]) -> None:
    """Raises InputError where the options on ports can't work together."""
    where, address = f"site {site.id!r}: option", str(options["node_address"])
    if AROUND.fullmatch(address.replace("{node}", "")) is None or not address:
        expected = "expected how a node is reached, such as '{node}.perth.example'"
        raise InputError(f"{where} 'node_address': {expected}, got {address!r}")
    podman_ports.check_options(site.id, {**options, "public_address": address})
    if options["ports"] == "publish" and options["runtime"] != "podman":
        expected = "expected 'podman', for ports can't be published"
        raise InputError(f"{where} 'runtime': {expected} from {options['runtime']!r}")


def telling(engine: str, name: str) -> str:
    """What the script does beside the container called `name`; `engine` is podman's command line."""
    return _TELL.format(engine=engine, name=name, format=_FORMAT, ports=PORTS_NAME)


async def when_told(job: Job, batch: Path, options: Mapping[str, Any]) -> Sequence[Connector]:
    """How the job's ports are reached, as soon as that is known; empty where it is in a queue for now, and
    where it has ended. Raises ValueError."""
    began = time.monotonic()
    while job.executable.ports:
        found, begun, ended = await asyncio.to_thread(_look, job, batch, options)
        if found is not None:
            return found
        if ended or time.monotonic() - began > (BEGIN_SECONDS if begun else QUEUE_SECONDS):
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return ()


def _look(job: Job, batch: Path, options: Mapping[str, Any]) -> tuple[Sequence[Connector] | None, bool, bool]:
    # what ends meanwhile has told before
    ended, begun = (batch / ENDED_NAME).exists(), (batch / BEGUN_NAME).exists()
    return read_ports(job, batch, options), begun, ended


def read_ports(job: Job, batch: Path, options: Mapping[str, Any]) -> Sequence[Connector] | None:
    """How the job's ports are reached; None where it isn't known (yet). Blocks. Raises ValueError."""
    if not job.executable.ports:
        return None
    try:
        node, said = (batch / PORTS_NAME).read_text(encoding="utf-8").split("\n", 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ValueError(problem.strerror) from problem
    published = json.loads(said)
    if NODE.fullmatch(node) is None or not isinstance(published, dict):
        raise ValueError(repr(said[:80]))
    address = str(options["node_address"]).replace("{node}", node)
    try:
        return podman_ports.connectors(job.executable.ports, published, {"public_address": address})
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(repr(said[:80])) from problem
