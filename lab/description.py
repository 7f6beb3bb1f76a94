"""What the lab is made of: its sites, the paths between them, and the files on their storage.

Read from TOML; `data/default.toml` is the lab that is used where none is named, and explains each field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from federation.errors import InputError
from federation.hosts import NamespaceHost
from federation.units import parse_bits_per_second, parse_seconds, parse_size_bytes

DEFAULT = FilePath(__file__).with_name("data") / "default.toml"

# What a site hands on, unread, to the catalogue.
CATALOGUE_TABLES = ("platform", "tariff", "energy", "policy")
# FITS is written in blocks of this many bytes.
SMALLEST_FILE_BYTES = 2 * 2880


@dataclass(frozen=True)
class Site:
    """One site of the lab: `number` (1 to 250) gives its network 10.77.<number>.0/24."""

    id: str
    number: int
    name: str
    latitude: float
    longitude: float
    rses: tuple[str, ...]
    tables: Mapping[str, Mapping[str, Any]]

    @property
    def address(self) -> str:
        """The site's own address."""
        return f"10.77.{self.number}.2"

    @property
    def gateway(self) -> str:
        """The router's address on the site's network."""
        return f"10.77.{self.number}.1"

    def host(self, lab_name: str) -> NamespaceHost:
        """Where the site's commands run, in the lab called `lab_name`."""
        return NamespaceHost(f"{lab_name}-{self.id}")


@dataclass(frozen=True)
class Path:
    """What happens to packets from one site to another. `loss` is a fraction; the rate counts IP packets."""

    source: str
    destination: str
    delay_seconds: float
    jitter_seconds: float
    loss: float
    bits_per_second: float
    queue_seconds: float


@dataclass(frozen=True)
class File:
    """One file, and the ids of the sites that serve it."""

    name: str
    size_bytes: int
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Lab:
    """The whole lab. `paths` has every ordered pair of sites once."""

    name: str
    mtu: int
    sites: Mapping[str, Site]
    paths: tuple[Path, ...]
    files: tuple[File, ...]

    def path(self, source: str, destination: str) -> Path:
        """The directed path between two sites; KeyError where there is none."""
        for path in self.paths:
            if (path.source, path.destination) == (source, destination):
                return path
        raise KeyError((source, destination))

    def round_trip_seconds(self, source: str, destination: str) -> float:
        """What ping should see on an empty network."""
        return self.path(source, destination).delay_seconds + self.path(destination, source).delay_seconds


class _Table:
    """A TOML table whose fields are taken one by one, so that whatever is left over was misspelt."""

    def __init__(self, file: FilePath, where: str, value: object) -> None:
        self.file, self.where = file, where
        if not isinstance(value, dict):
            raise self.error("a table", value)
        self._left: dict[str, Any] = dict(value)

    def error(self, expected: str, got: object, field: str = "") -> InputError:
        place = ".".join(part for part in (self.where, field) if part) or "top level"
        return InputError(f"{self.file}: [{place}]: expected {expected}, got {got!r}")

    def take(self, field: str, kind: type | tuple[type, ...], expected: str, default: Any = None) -> Any:
        value = self._left.pop(field, default)
        if value is None or not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(expected, value, field)
        return value

    def strings(self, field: str) -> tuple[str, ...]:
        values = self.take(field, list, "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self.error("a list of strings", values, field)
        return tuple(values)

    def quantity(self, field: str, parse: Any, expected: str, default: str | None = None) -> Any:
        text = self.take(field, str, expected, default)
        try:
            return parse(text)
        except InputError as error:
            raise InputError(f"{self.file}: [{self.where}.{field}]: {error}") from None

    def tables(self, field: str) -> dict[str, _Table]:
        where = f"{self.where}.{field}" if self.where else field
        inner = _Table(self.file, where, self._left.pop(field, None))
        return {key: _Table(self.file, f"{where}.{key}", value) for key, value in inner._left.items()}

    def rest(self, fields: tuple[str, ...]) -> dict[str, Any]:
        return {field: self._left.pop(field) for field in fields if field in self._left}

    def finish(self) -> None:
        for field, value in self._left.items():
            raise self.error("no such field", value, field)


def parse_loss(text: str) -> float:
    """`"0.01 %"` as a fraction from 0 to 1. Raises InputError."""
    try:
        if text.strip().endswith("%"):
            loss = float(text.strip().removesuffix("%")) / 100
            if 0 <= loss <= 1:
                return loss
    except ValueError:
        pass
    raise InputError(f'expected a loss from "0 %" to "100 %", got {text!r}')


def load(path: FilePath | None = None) -> Lab:
    """The lab that the TOML file `path` describes (the default lab: None). Raises InputError."""
    file = DEFAULT if path is None else path
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not TOML: {error}") from None
    top = _Table(file, "", document)
    name = top.take("name", str, "a name")
    mtu = top.take("mtu", int, "the largest packet in bytes, 1280 to 9000")
    if not 1280 <= mtu <= 9000:
        raise top.error("the largest packet in bytes, 1280 to 9000", mtu, "mtu")
    sites = _sites(top)
    paths = _paths(top, sites)
    files = _files(top, sites)
    top.finish()
    return Lab(name=name, mtu=mtu, sites=sites, paths=paths, files=files)


def _sites(top: _Table) -> dict[str, Site]:
    sites: dict[str, Site] = {}
    numbers: dict[int, str] = {}
    for site_id, table in top.tables("sites").items():
        number = table.take("number", int, "a number from 1 to 250")
        if not 1 <= number <= 250 or number in numbers:
            raise table.error("a number from 1 to 250 that no other site has", number, "number")
        # a namespace's name is a file name, and part of a command line
        if not site_id.isascii() or not site_id.isalnum() or site_id == "router":
            raise InputError(f"{top.file}: [sites.{site_id}]: expected letters and digits, not 'router'")
        numbers[number] = site_id
        sites[site_id] = Site(
            id=site_id,
            number=number,
            name=table.take("name", str, "a name"),
            latitude=float(table.take("latitude", (int, float), "degrees north")),
            longitude=float(table.take("longitude", (int, float), "degrees east")),
            rses=table.strings("rses"),
            tables=table.rest(CATALOGUE_TABLES),
        )
        table.finish()
    if len(sites) < 2:
        raise InputError(f"{top.file}: [sites]: expected two sites or more, got {len(sites)}")
    return sites


def _paths(top: _Table, sites: Mapping[str, Site]) -> tuple[Path, ...]:
    paths: dict[tuple[str, str], Path] = {}
    for source, table in top.tables("paths").items():
        for destination in list(table._left):
            if source not in sites or destination not in sites or source == destination:
                raise InputError(
                    f"{top.file}: [paths.{source}.{destination}]: expected two sites of this lab"
                )
        for destination in list(table._left):
            fields = _Table(top.file, f"paths.{source}.{destination}", table._left.pop(destination))
            paths[source, destination] = _path(source, destination, fields)
    for source in sites:
        for destination in sites:
            if source != destination and (source, destination) not in paths:
                raise InputError(f"{top.file}: [paths.{source}.{destination}] is missing")
    return tuple(paths.values())


def _path(source: str, destination: str, fields: _Table) -> Path:
    rate = fields.quantity("rate", parse_bits_per_second, 'a rate such as "100 Mbit/s"')
    if rate <= 0:
        raise fields.error("more than nothing", rate, "rate")
    delay = fields.quantity("delay", parse_seconds, 'a time such as "75 ms"')
    jitter = fields.quantity("jitter", parse_seconds, 'a time such as "1 ms"', "0 ms")
    if not 0 <= jitter <= delay:
        raise fields.error("at most the delay", f"{jitter} s", "jitter")

    def queue_seconds(text: str) -> float:
        try:
            return parse_seconds(text)
        except InputError:
            return parse_size_bytes(text) * 8 / float(rate)

    path = Path(
        source=source,
        destination=destination,
        delay_seconds=delay,
        jitter_seconds=jitter,
        loss=fields.quantity("loss", parse_loss, 'a loss such as "0.01 %"', "0 %"),
        bits_per_second=rate,
        queue_seconds=fields.quantity("queue", queue_seconds, 'a time or a size such as "80 ms", "1 MB"'),
    )
    fields.finish()
    return path


def _files(top: _Table, sites: Mapping[str, Site]) -> tuple[File, ...]:
    files: dict[str, File] = {}
    for index, value in enumerate(top.take("files", list, "a list of tables", [])):
        table = _Table(top.file, f"files.{index}", value)
        name = table.take("name", str, "a file name")
        if name in files or "/" in name or name.startswith(".") or not name.isprintable() or " " in name:
            raise table.error("a plain file name that no other file has", name, "name")
        size = table.quantity("size", parse_size_bytes, 'a size such as "20 MB"')
        if size < SMALLEST_FILE_BYTES:
            raise table.error(f"at least {SMALLEST_FILE_BYTES} bytes", size, "size")
        holders = table.strings("sites")
        if not holders or not set(holders) <= set(sites):
            raise table.error("sites of this lab", list(holders), "sites")
        files[name] = File(name=name, size_bytes=size, sites=holders)
        table.finish()
    return tuple(files.values())
