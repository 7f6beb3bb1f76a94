"""Meshes that others measure: archives and measuring nodes, read page by page, one file a kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from federation.errors import InputError
from federation.sites import Federation
from netprobe.measurement import Measurement

GROUP = "fairlead.meshes"


@dataclass(frozen=True)
class Refusal:
    """A document that can't become a measurement.

    `reason` is one of few fixed phrases ("no time", "test type not known"), so that refusals can be counted;
    `detail` is one line about this document.
    """

    reason: str
    detail: str = ""


Found = Measurement | Refusal


@dataclass(frozen=True)
class Access:
    """How a mesh is reached: its address without credentials, and what its server wants to know of us."""

    url: str
    # None: the system's authorities; a file of authorities to trust instead
    ca_file: Path | None = None
    # False: the server's certificate isn't looked at
    verify: bool = True
    # Basic authentication, both or none
    user: str | None = None
    password: str | None = None

    @property
    def archive(self) -> str:
        """What `Measurement.archive` says of rows from here: host and path, lower case, 255 characters."""
        parts = urlsplit(self.url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}".lower()[:255]


@dataclass(frozen=True)
class Page:
    """Some of what a mesh has: measurements and refusals, in the order in which it gave them."""

    found: tuple[Found, ...]
    # Whatever started before this has been given, by this page or an earlier one of the same reading; None
    # where that can't be said yet. The next pull begins here, less an overlap.
    through: datetime | None = None
    # How much of the whole has been read, 0 to 1; None where that isn't known
    share: float | None = None


class Mesh(Protocol):
    """One kind of archive or node. Reading blocks (seconds a page): it is for threads and commands.

    Its class has an `ABOUT`: see `federation.about`.
    """

    kind: str

    def pages(self, access: Access, since: datetime, federation: Federation | None) -> Iterator[Page]:
        """Everything that started at or after `since`, page by page.

        A document of any shape becomes a Measurement (ends named by the sites of `federation` where it knows
        them) or a Refusal. A page that can't be had after a few tries raises OutsideError with the outcome
        by name: unreachable, busy, half a page, not JSON, not of this kind. Nothing waits longer than
        `netprobe.meshes.fetching` allows. Raises InputError where the address or the access is of no use.
        """
        ...


def kinds() -> list[str]:
    """The kinds that can be pulled."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def load_mesh(kind: str) -> Mesh:
    """The mesh registered under `kind`. Raises InputError with the known kinds."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        raise InputError(f"no mesh is of the kind {kind!r}: expected one of {', '.join(sorted(found))}")
    mesh: Mesh = found[kind].load()()
    return mesh
