"""The catalogue: one TOML file that says which sites there are and what each is called in every system.

`data/example.toml` shows every field. A bad file is an InputError of one line, with the line of the file, the
table, the key, what was expected and what was found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from federation.catalogue_file import (
    A_SITE_ID,
    FederationTable,
    HostTable,
    PlatformTable,
    SiteTable,
    model_at,
)
from federation.errors import InputError
from federation.hosts import Host, LocalHost, NamespaceHost, SshHost
from federation.sites import Credits, Energy, Federation, Place, Platform, Policy, Site, Space, Tariff
from federation.toml_lines import line_of, read_toml

Location = tuple[str, ...]
# what begins with "-" would be an option of ssh
_SSH_NAME = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9_:][\w.:%-]*", re.ASCII)


@dataclass(frozen=True)
class _Misfit:
    """Something wrong between fields that are right one by one."""

    location: Location
    words: str


def load_federation(path: Path) -> Federation:
    """The federation of the file `path`; InputError "FILE:LINE: [table] key: expected ..., got ...".

    Only the first thing that is wrong is told in full; "(and N more)" says that there are others.
    """
    text, document = read_toml(path, "the catalogue")
    return _federation(document, text, str(path))


def builtin_federation() -> Federation:
    """The simulated federation that needs no file: the lab's five sites, each with thousands of cores."""
    path = Path(__file__).with_name("data") / "simulated.toml"
    return load_federation(path)


def _federation(document: Mapping[str, Any], text: str, file: str) -> Federation:
    try:
        tables = FederationTable.model_validate(document)
    except ValidationError as error:
        findings = error.errors(include_url=False)
        location, words = _words(document, findings[0])
        raise InputError(_placed(text, file, location, words) + _and_more(len(findings))) from error
    misfits = list(_misfits(tables))
    if misfits:
        raise InputError(_placed(text, file, misfits[0].location, misfits[0].words) + _and_more(len(misfits)))
    sites = {site_id: _site(site_id, table) for site_id, table in tables.sites.items()}
    return Federation(tables.name, sites, tables.catalogues)


def _and_more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def _placed(text: str, file: str, location: Location, words: str) -> str:
    table = f"[{'.'.join(location[:-1])}] " if len(location) > 1 else ""
    return f"{file}:{line_of(text, location)}: {table}{location[-1]}: {words}"


def _words(document: Mapping[str, Any], error: Any) -> tuple[Location, str]:
    """Where in the file a finding of pydantic is, and what it means in the file's own words."""
    path: tuple[str | int, ...] = error["loc"]
    # a place within a list is told by its key: the whole list stands on about one line
    location = tuple(str(part) for part in path)
    cut = next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))
    if cut < len(path):
        location = location[:cut]
    if location[-1] == "[key]":
        return location[:-1], f"expected {A_SITE_ID} as the id of a site"
    model = model_at(location[:-1])
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) if model is not None else "none"
        return location, f"unknown key; expected one of {known}"
    field = model.model_fields.get(location[-1]) if model is not None else None
    expected = field.description if field is not None and field.description else "a table"
    if error["type"] == "missing":
        return location, f"expected {expected}, but it is missing"
    return location, f"expected {expected}, got {_shown(_value_at(document, location))}"


def _value_at(document: Any, location: Location) -> Any:
    for part in location:
        document = document[part]
    return document


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _misfits(federation: FederationTable) -> Iterator[_Misfit]:
    if not federation.sites:
        yield _Misfit(("sites",), "expected at least one site, got none")
    for name in federation.catalogues:
        yield from _named(("catalogues", name), name, "fairlead.catalogues")
    owners: dict[tuple[str, str], str] = {}
    for site_id, site in federation.sites.items():
        here = ("sites", site_id)
        own = (("rses", site.rses), ("data_hosts", site.data_hosts), ("registries", site.registries))
        for key, names in own:
            for name in names:
                owner = owners.setdefault((key, name), site_id)
                if owner != site_id:
                    words = f'expected names of this site alone, got "{name}", which {owner} has too'
                    yield _Misfit((*here, key), words)
        if site.host is not None:
            yield from _host_misfits((*here, "host"), site.host)
        if site.platform is not None:
            yield from _platform_misfits((*here, "platform"), site.platform)
        for space in site.space:
            yield from _named((*here, "space", "source"), space.source, "fairlead.capacity")
        if site.credits is not None:
            yield from _named((*here, "credits", "source"), site.credits.source, "fairlead.credits")


def _host_misfits(here: Location, host: HostTable) -> Iterator[_Misfit]:
    if host.kind == "namespace" and host.name is None:
        yield _Misfit((*here, "name"), "expected the name of a network namespace, but it is missing")
    if host.kind == "local" and host.name is not None:
        yield _Misfit((*here, "name"), f'expected no name for this machine itself, got "{host.name}"')
    if host.kind == "ssh":
        if host.name is None:
            yield _Misfit((*here, "name"), 'expected "host" or "user@host", but it is missing')
        elif not _SSH_NAME.fullmatch(host.name):
            yield _Misfit((*here, "name"), f'expected "host" or "user@host", got "{host.name}"')
        return
    for key in ("port", "known_hosts", "identity", "python"):
        if getattr(host, key) is not None:
            yield _Misfit((*here, key), f'expected this at a host of kind "ssh" only, got "{host.kind}"')


def _named(where: Location, name: str, group: str) -> Iterator[_Misfit]:
    """A back-end that is not installed."""
    kinds = {entry.name for entry in entry_points(group=group)}
    if name not in kinds:
        known = ", ".join(sorted(kinds)) or "none that is installed"
        yield _Misfit(where, f'expected one of {known}, got "{name}"')


def _platform_misfits(here: Location, platform: PlatformTable) -> Iterator[_Misfit]:
    yield from _named((*here, "kind"), platform.kind, "fairlead.platforms")
    if platform.max_cores is not None and platform.max_cores > platform.cores:
        yield _Misfit(
            (*here, "max_cores"),
            f"expected at most the platform's {platform.cores} cores, got {platform.max_cores}",
        )
    if platform.max_memory is not None and platform.max_memory > platform.memory:
        yield _Misfit(
            (*here, "max_memory"),
            f"expected at most the platform's {platform.memory} GiB, got {platform.max_memory} GiB",
        )
    if platform.max_storage is not None and platform.max_storage > platform.storage:
        yield _Misfit(
            (*here, "max_storage"),
            f"expected at most the platform's {platform.storage} GiB, got {platform.max_storage} GiB",
        )


def _host(table: HostTable | None) -> Host:
    if table is None or table.name is None:
        return LocalHost()
    if table.kind == "ssh":
        python = table.python or SshHost.python
        return SshHost(table.name, table.port or 22, table.known_hosts, table.identity, python)
    return NamespaceHost(table.name)


def _platform(table: PlatformTable | None) -> Platform | None:
    if table is None:
        return None
    return Platform(
        kind=table.kind,
        cores=table.cores,
        memory_gib=table.memory,
        storage_gib=table.storage,
        architectures=tuple(table.architectures),
        max_cores=table.max_cores,
        max_memory_gib=table.max_memory,
        max_storage_gib=table.max_storage,
        max_duration_seconds=table.max_duration,
        compute_performance=table.compute_performance,
        options=table.options,
    )


def _values(table: BaseModel) -> dict[str, Any]:
    """The fields of a table that has the names of its dataclass; lists become tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in table.model_dump().items()
    }


def _site(site_id: str, table: SiteTable) -> Site:
    return Site(
        id=site_id,
        name=table.name,
        place=Place(table.latitude, table.longitude),
        rses=tuple(table.rses),
        data_hosts=tuple(table.data_hosts),
        registries=tuple(table.registries),
        iperf3_address=table.iperf3_address,
        iperf3_port=table.iperf3_port,
        perfsonar_hosts=tuple(table.perfsonar_hosts),
        link_bits_per_second=table.link,
        host=_host(table.host),
        platform=_platform(table.platform),
        space=tuple(Space(each.source, each.options, each.book) for each in table.space),
        credits=Credits(table.credits.source, table.credits.options) if table.credits else None,
        tariff=Tariff(**_values(table.tariff)),
        energy=Energy(**_values(table.energy)),
        policy=Policy(**_values(table.policy)),
        contact=table.contact,
    )
