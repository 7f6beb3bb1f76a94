"""The servers that the catalogues are held against, each a process that ends with the block."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from broker.catalogues import Resolved, Unpacks, load_catalogues
from broker.catalogues.http_tokens import Tokens
from broker.model import DataItem, Level, Note
from broker.platforms import Platform
from broker.platforms.slurm import SlurmPlatform
from broker.sessions.staging import stage
from broker.sessions.unpacking import Unpacker
from federation.clock import SystemClock
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from netprobe.cost import Item, plan_staging
from netprobe.forecast import from_outside
from netprobe.measurement import Measurement
from tests.catalogues.environment import python
from tests.contracts.platform_support import make_platform
from tests.federation.sshd import Server as SshServer

HERE = Path(__file__).parent


@contextmanager
def served(script: str, log: Path, *arguments: str) -> Iterator[str]:
    """What the script of that name prints first, while it runs; what it complains goes to `log`."""
    command = [str(python()), str(HERE / script), *arguments]
    with (
        log.open("w") as complaints,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline().strip()
            assert line, log.read_text()
            yield line
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def federation(options: dict[str, Any] | None = None) -> Federation:
    """One site, whose storage are this machine's own servers."""
    north = Site("north", "North", Place(50, 0), data_hosts=("127.0.0.1:*",))
    return Federation("test", {"north": north}, options or {})


def resolve(federation: Federation, kind: str, resource: dict[str, Any]) -> Resolved:
    return load_catalogues(federation, True)[kind].resolve("u-1", "cube", resource, "/data/0")


def files(federation: Federation, kind: str, resolved: Resolved) -> Any:
    """What would be moved, as one asks after a restart."""
    catalogue = load_catalogues(federation, True)[kind]
    assert isinstance(catalogue, Unpacks)
    assert resolved.item is not None
    return catalogue.files(resolved.item, federation["north"], 1000.0)


def staged(
    federation: Federation, root: Path, item: DataItem, platform: Platform | None = None
) -> tuple[Path, Sequence[tuple[Measurement, Note]]]:
    """Where the item lies once it was brought to the site by the mover, and what was measured. `platform` is
    the site's, None: podman's."""
    unpacker = Unpacker(
        load_catalogues(federation, True),
        lambda source, destination: from_outside(destination),
        Tokens(federation).bearers,
    )
    replicas = [(one.url, one.site_id) for one in item.replicas]
    planned = plan_staging(
        [Item(item.uuid, item.size_bytes or 0, replicas, item.files)], "north", unpacker.forecast
    )
    where, moved = asyncio.run(
        stage(
            SystemClock(),
            platform or make_platform("podman", root),
            "job",
            [item],
            planned,
            lambda one, move: unpacker.files(one, move, federation["north"]),
            lambda size: None,
        )
    )
    return where[item.uuid], moved


def over_ssh(server: SshServer, root: Path, options: dict[str, Any]) -> Federation:
    """The site is a cluster whose login node is another machine; files lie in `root`. Its servers are on its
    loopback, which is no address that this broker goes to by itself."""
    root.mkdir()
    around = federation(options)
    slurm = SitePlatform("slurm", cores=1, memory_gib=1, storage_gib=1, options={"staging": str(root)})
    return replace(around, sites={"north": replace(around["north"], host=server.host, platform=slurm)})


def brought(around: Federation, root: Path, item: DataItem) -> tuple[Mapping[str, bytes], str]:
    """The files that lie at that site in the end, by name, and what is kept of how they came."""
    platform = SlurmPlatform(around["north"], around, SystemClock(), root)
    where, moved = staged(around, root, item, platform)
    found = [where] if where.is_file() else [each for each in where.rglob("*") if each.is_file()]
    return {each.name: each.read_bytes() for each in found}, repr(moved)


def error(resolved: Resolved) -> tuple[str, str]:
    """The kind and the text of the one note that says why there is no item."""
    assert resolved.item is None
    [note] = [each for each in resolved.notes if each.level is Level.ERROR]
    assert "\n" not in note.text
    return note.kind, note.text
