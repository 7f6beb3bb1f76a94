"""Mirrors, plain HTTP and blocked registries, by containers-registries.conf(5), as podman reads it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.images.references import Reference, parse
from federation.errors import InputError

SYSTEM_FILE = Path("/etc/containers/registries.conf")
EXPECTED = "expected [[registry]] tables as in containers-registries.conf(5)"


@dataclass(frozen=True)
class Source:
    """Where a repository may be asked for. `insecure`: HTTPS without a known certificate, or HTTP, will do.
    `digests` and `tags`: what is asked of it."""

    location: str
    insecure: bool = False
    digests: bool = True
    tags: bool = True


@dataclass(frozen=True)
class Registry:
    """One [[registry]] table: whatever begins with `prefix` is at the mirrors, and then at `source`."""

    prefix: str
    source: Source
    mirrors: tuple[Source, ...] = ()
    blocked: bool = False


@dataclass(frozen=True)
class Registries:
    """The tables of all files; `file` is one that podman is to be given, None where it finds them itself."""

    tables: tuple[Registry, ...] = ()
    file: Path | None = None

    def find(self, reference: Reference) -> Registry | None:
        """The table that is meant: the one with the longest prefix."""
        found = [each for each in self.tables if _starts(each.prefix, reference)]
        return max(found, key=lambda each: len(each.prefix), default=None)

    def places(self, reference: Reference) -> Sequence[tuple[Reference, bool]]:
        """Where to ask for the image, in order, and whether it may be insecure there."""
        table = self.find(reference)
        if table is None:
            return [(reference, False)]
        wanted = [each for each in table.mirrors if (each.digests if reference.digest else each.tags)]
        return [
            (_moved(reference, table.prefix, each.location), each.insecure)
            for each in (*wanted, table.source)
        ]

    def hosts(self) -> Iterator[str]:
        """The hosts that the files name: their operator has chosen them."""
        for table in self.tables:
            for source in (*table.mirrors, table.source):
                host = source.location.partition("/")[0]
                if host and not host.startswith("*"):
                    yield host


def _starts(prefix: str, reference: Reference) -> bool:
    if prefix.startswith("*."):
        # a pattern of hosts
        return reference.registry.partition(":")[0].endswith(prefix[1:])
    return reference.name == prefix or reference.name.startswith(f"{prefix}/")


def _moved(reference: Reference, prefix: str, location: str) -> Reference:
    if prefix.startswith("*.") or not location:
        return reference
    name = location + reference.name.removeprefix(prefix)
    tail = (f":{reference.tag}" if reference.tag else "") + (
        f"@{reference.digest}" if reference.digest else ""
    )
    return parse(name + tail)


def read_registries(file: Path | None) -> Registries:
    """The tables of `file`, or where it is None of this user's or this machine's own files, if there are any.

    Raises InputError "FILE: ..." where one can't be read.
    """
    if file is not None:
        return Registries(tuple(_read(file)), file)
    home = os.environ.get("HOME")
    own = Path(home, ".config/containers/registries.conf") if home else None
    first = own if own is not None and own.exists() else SYSTEM_FILE
    found: dict[str, Registry] = {}
    for each in (first, *sorted(Path(f"{first}.d").glob("*.conf"))):
        if each.exists():
            found |= {table.prefix: table for table in _read(each)}
    return Registries(tuple(found.values()))


def _read(file: Path) -> Iterator[Registry]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise InputError(f"{file}: {EXPECTED}, but it can't be read: {problem.strerror}") from None
    except ValueError as problem:
        raise InputError(f"{file}: {EXPECTED}: {problem}") from None
    tables = document.get("registry", [])
    if not isinstance(tables, list):
        raise InputError(f"{file}: {EXPECTED}, got {tables!r}")
    for table in tables:
        yield _registry(file, table)


def _registry(file: Path, table: Any) -> Registry:
    if not isinstance(table, Mapping):
        raise InputError(f"{file}: {EXPECTED}, got {table!r}")
    location, prefix = table.get("location", ""), table.get("prefix", "") or table.get("location", "")
    mirrors = table.get("mirror", [])
    if not isinstance(prefix, str) or not prefix or not isinstance(mirrors, list):
        raise InputError(f"{file}: {EXPECTED}: each has a prefix or a location, and lists its mirrors")
    digests_only = table.get("mirror-by-digest-only") is True
    return Registry(
        prefix,
        _source(file, {**table, "location": location}),
        tuple(_source(file, each, digests_only) for each in mirrors),
        table.get("blocked") is True,
    )


def _source(file: Path, table: Any, digests_only: bool = False) -> Source:
    location = table.get("location") if isinstance(table, Mapping) else None
    if not isinstance(location, str):
        raise InputError(f"{file}: {EXPECTED}: a location is a host, with a path perhaps")
    pulls = table.get("pull-from-mirror", "all")
    return Source(
        location,
        table.get("insecure") is True,
        digests=pulls != "tag-only",
        tags=pulls != "digest-only" and not digests_only,
    )
