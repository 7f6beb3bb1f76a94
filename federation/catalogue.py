"""The catalogue: one TOML file that says which sites there are and what each is called in every system.

`data/example.toml` shows every field. A bad file is an InputError of one line, with the line of the file, the
table, the key, what was expected and what was found.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from federation.catalogue_file import A_SITE_ID, FederationTable, HostTable, PlatformTable, SiteTable, model_at
from federation.errors import InputError
from federation.hosts import Host, LocalHost, NamespaceHost
from federation.sites import Energy, Federation, Place, Platform, Policy, Site, Tariff
from federation.toml_lines import line_of

Location = tuple[str, ...]
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END = re.compile(r" \(at end of document\)$")


class _Problem(Exception):
    """Something wrong at a place in the file that the models alone can't see."""

    def __init__(self, location: Location, text: str) -> None:
        super().__init__(text)
        self.location = location


def load_federation(path: Path) -> Federation:
    """The federation of the catalogue file `path`; InputError "FILE:LINE: [table] key: expected ..., got ..."."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: the catalogue can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got other bytes at offset {error.start}") from error
    return _read(text, str(path))


def builtin_federation() -> Federation:
    """The simulated federation that needs no file: the five sites of the lab, each with thousands of cores."""
    path = Path(__file__).with_name("data") / "simulated.toml"
    return load_federation(path)


def _read(text: str, file: str) -> Federation:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(_syntax_error(text, file, str(error))) from error
    try:
        tables = FederationTable.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)
        location, words = _words(document, problems[0])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(_placed(text, file, location, words) + more) from error
    problem_list = list(_problems(tables))
    if problem_list:
        first = problem_list[0]
        more = f" (and {len(problem_list) - 1} more)" if len(problem_list) > 1 else ""
        raise InputError(_placed(text, file, first.location, str(first)) + more)
    return Federation(tables.name, {site_id: _site(site_id, table) for site_id, table in tables.sites.items()})


def _syntax_error(text: str, file: str, message: str) -> str:
    at_line = _AT_LINE.search(message)
    if at_line is not None:
        return f"{file}:{at_line.group(1)}: expected TOML: {message[: at_line.start()]}"
    last = max(1, len(text.splitlines()))
    return f"{file}:{last}: expected TOML: {_AT_END.sub('', message)} at the end of the file"


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


def _problems(federation: FederationTable) -> Iterator[_Problem]:
    """What is wrong between fields that are right one by one."""
    if not federation.sites:
        yield _Problem(("sites",), "expected at least one site, got none")
    kinds = {entry.name for entry in entry_points(group="fairlead.platforms")}
    owners: dict[tuple[str, str], str] = {}
    for site_id, site in federation.sites.items():
        here = ("sites", site_id)
        for key, names in (("rses", site.rses), ("data_hosts", site.data_hosts)):
            for name in names:
                owner = owners.setdefault((key, name), site_id)
                if owner != site_id:
                    yield _Problem((*here, key), f'expected names of this site alone, got "{name}" of {owner}')
        if site.host is not None:
            yield from _host_problems((*here, "host"), site.host)
        if site.platform is not None:
            yield from _platform_problems((*here, "platform"), site.platform, kinds)


def _host_problems(here: Location, host: HostTable) -> Iterator[_Problem]:
    if host.kind == "namespace" and host.name is None:
        yield _Problem((*here, "name"), "expected the name of a network namespace, but it is missing")
    if host.kind == "local" and host.name is not None:
        yield _Problem((*here, "name"), f'expected no name for this machine itself, got "{host.name}"')


def _platform_problems(here: Location, platform: PlatformTable, kinds: set[str]) -> Iterator[_Problem]:
    if platform.kind not in kinds:
        known = ", ".join(sorted(kinds)) or "none that is installed"
        yield _Problem((*here, "kind"), f'expected one of {known}, got "{platform.kind}"')
    if platform.max_cores is not None and platform.max_cores > platform.cores:
        yield _Problem(
            (*here, "max_cores"), f"expected at most the platform's {platform.cores}, got {platform.max_cores}"
        )
    if platform.max_memory is not None and platform.max_memory > platform.memory:
        yield _Problem(
            (*here, "max_memory"),
            f"expected at most the platform's {platform.memory} GiB, got {platform.max_memory} GiB",
        )


def _host(table: HostTable | None) -> Host:
    return NamespaceHost(table.name) if table is not None and table.name is not None else LocalHost()


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
        iperf3_address=table.iperf3_address,
        iperf3_port=table.iperf3_port,
        host=_host(table.host),
        platform=_platform(table.platform),
        tariff=Tariff(**_values(table.tariff)),
        energy=Energy(**_values(table.energy)),
        policy=Policy(**_values(table.policy)),
    )
