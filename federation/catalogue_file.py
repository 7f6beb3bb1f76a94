"""The shape of the catalogue file, table by table.

Each field's description is what an error says was expected.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from federation.errors import InputError
from federation.units import A_DURATION, A_SIZE, parse_bits_per_second, parse_duration, parse_size_bytes

_GIB = 1 << 30


def _by(parse: Callable[[str], float]) -> BeforeValidator:
    """A validator from one of the ground floor's parsers: pydantic collects ValueErrors, not ours."""

    def check(value: Any) -> float:
        try:
            return parse(value)
        except InputError as error:
            raise PydanticCustomError("unit", "{reason}", {"reason": str(error)}) from error

    return BeforeValidator(check)


def _whole_gib(text: str) -> int:
    """Rounded down: a site never promises more than it has."""
    return parse_size_bytes(text) // _GIB


def _whole_seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


def _network_or_host(text: str) -> str:
    """What has a slash must be a network: taken for the name of a host it would allow nothing, silently."""
    if "/" in text:
        ipaddress.ip_network(text, strict=False)
    return text


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Network = Annotated[Text, AfterValidator(_network_or_host)]
SiteId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
Gib = Annotated[int, _by(_whole_gib), Field(ge=1)]
Seconds = Annotated[float, _by(_whole_seconds), Field(gt=0)]
Rate = Annotated[float, _by(parse_bits_per_second), Field(gt=0)]
Price = Annotated[float, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65_535)]
# which directory a relative one would begin at, nobody could tell
HomePath = Annotated[Text, StringConstraints(pattern=r'^(~/|/)[^"\\]*$')]
A_HOME_PATH = 'a path that begins with "/" or "~/"'
A_SITE_ID = 'lower-case letters, digits, "-" and "_"'
A_PRICE = "a number of at least 0"
A_PATTERN_LIST = 'a list of patterns such as ["docker.io"]'
A_CAPACITY = f"{A_SIZE}, of at least 1 GiB"


class Table(BaseModel):
    """A table of the file: no key that isn't known, no value of another type, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class HostTable(Table):
    kind: Literal["local", "namespace", "ssh"] = Field(description='"local", "namespace" or "ssh"')
    name: Text | None = Field(default=None, description='the name of a network namespace, or "user@host"')
    port: Port | None = Field(default=None, description="a port between 1 and 65535")
    known_hosts: HomePath | None = Field(default=None, description=A_HOME_PATH)
    identity: HomePath | None = Field(default=None, description=A_HOME_PATH)
    python: Text | None = Field(default=None, description='a Python, such as "/usr/bin/python3.11"')


class PlatformTable(Table):
    kind: Text = Field(description='the name of a platform, such as "simulated" or "podman"')
    cores: int = Field(ge=1, description="a whole number of cores, at least 1")
    memory: Gib = Field(description=A_CAPACITY)
    storage: Gib = Field(description=A_CAPACITY)
    architectures: list[Text] = Field(
        default=["amd64"], min_length=1, description='a list of architectures such as ["amd64", "arm64"]'
    )
    max_cores: int | None = Field(default=None, ge=1, description="a whole number of cores, at least 1")
    max_memory: Gib | None = Field(default=None, description=A_CAPACITY)
    max_storage: Gib | None = Field(default=None, description=A_CAPACITY)
    max_duration: Seconds = Field(default=86_400.0, description=A_DURATION)
    compute_performance: float = Field(default=150.0, gt=0, description="a benchmark score greater than 0")
    options: dict[str, Any] = Field(default_factory=dict, description="a table of the platform's own options")


class SpaceTable(Table):
    source: Text = Field(description='the name of a capacity source, such as "blazar" or "static"')
    options: dict[str, Any] = Field(default_factory=dict, description="a table of the source's own options")
    book: Text | None = Field(
        default=None, description='how sessions are booked there, such as "virtual:instance"'
    )


class CreditsTable(Table):
    source: Text = Field(description='the name of a source of credits, such as "coral" or "static"')
    options: dict[str, Any] = Field(default_factory=dict, description="a table of the source's own options")


class TariffTable(Table):
    per_core_hour: Price = Field(default=0.0, description=A_PRICE)
    per_gib_hour: Price = Field(default=0.0, description=A_PRICE)
    per_gib_moved: Price = Field(default=0.0, description=A_PRICE)
    per_gib_stored_hour: Price = Field(default=0.0, description=A_PRICE)


class EnergyTable(Table):
    watts_per_core: Price = Field(default=10.0, description=A_PRICE)
    grams_co2_per_kwh: Price = Field(default=250.0, description=A_PRICE)


class PolicyTable(Table):
    allowed_registries: list[Text] = Field(default=["*"], description=A_PATTERN_LIST)
    denied_registries: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    digest_required: bool = Field(default=False, description="true or false")
    allowed_data: list[Text] = Field(default=["*"], description=A_PATTERN_LIST)
    denied_data: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    denied_endpoints: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    denied_namespaces: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    denied_ivoids: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    denied_notebooks: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    denied_ports: list[Port] = Field(default=[], description="a list of ports between 1 and 65535")
    denied_paths: list[Text] = Field(default=[], description=A_PATTERN_LIST)
    max_open_offers: int | None = Field(default=None, ge=1, description="a whole number, at least 1")
    rebook: bool = Field(default=False, description="true or false")
    allowed_networks: list[Network] = Field(
        default=[], description='a list of networks or host names such as ["10.1.0.0/16"]'
    )


class SiteTable(Table):
    name: Text = Field(description="a name for people, not empty")
    latitude: float = Field(ge=-90, le=90, description="degrees north between -90 and 90")
    longitude: float = Field(ge=-180, le=180, description="degrees east between -180 and 180")
    contact: Text | None = Field(
        default=None, description='a mail address, a URL or words such as "noc@example.org"'
    )
    rses: list[Text] = Field(default=[], description="a list of strings")
    data_hosts: list[Text] = Field(default=[], description="a list of strings")
    registries: list[Text] = Field(default=[], description="a list of strings")
    iperf3_address: Text | None = Field(default=None, description="a host name or an address")
    iperf3_port: int = Field(default=5201, ge=1, le=65_535, description="a port between 1 and 65535")
    perfsonar_hosts: list[Text] = Field(default=[], description="a list of host names or addresses")
    link: Rate | None = Field(default=None, description='a rate such as "10 Gbit/s"')
    host: HostTable | None = Field(default=None, description='a table such as { kind = "local" }')
    platform: PlatformTable | None = Field(default=None, description="a table")
    space: list[SpaceTable] = Field(default=[], description="tables [[sites.ID.space]]")
    credits: CreditsTable | None = Field(default=None, description="a table")
    tariff: TariffTable = Field(default=TariffTable(), description="a table")
    energy: EnergyTable = Field(default=EnergyTable(), description="a table")
    policy: PolicyTable = Field(default=PolicyTable(), description="a table")


class FederationTable(Table):
    name: Text = Field(description="a name for people, not empty")
    sites: dict[SiteId, SiteTable] = Field(description="a table of sites, [sites.ID]")
    catalogues: dict[Text, dict[str, Any]] = Field(
        default={}, description="tables of the data catalogues' own options, [catalogues.NAME]"
    )


_OF_SITE: dict[str, type[Table]] = {
    "host": HostTable,
    "platform": PlatformTable,
    "space": SpaceTable,
    "credits": CreditsTable,
    "tariff": TariffTable,
    "energy": EnergyTable,
    "policy": PolicyTable,
}


def model_at(table: tuple[str, ...]) -> type[Table] | None:
    """The model of the table at `table`, as in ("sites", "perth", "platform"); None where there is none."""
    match table:
        case ():
            return FederationTable
        case ("sites", _):
            return SiteTable
        case ("sites", _, name):
            return _OF_SITE.get(name)
    return None
