"""The sites of a federation, and what each is called in every system around it."""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from federation.hosts import Host, LocalHost


@dataclass(frozen=True)
class Place:
    """A place on Earth: degrees north and east."""

    latitude: float
    longitude: float

    def distance_metres(self, other: Place) -> float:
        """Great-circle distance by the haversine formula on a sphere of 6,371 km."""
        lat1, lat2 = math.radians(self.latitude), math.radians(other.latitude)
        half_lat = (lat2 - lat1) / 2
        half_lon = math.radians(other.longitude - self.longitude) / 2
        h = math.sin(half_lat) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(half_lon) ** 2
        return 2 * 6_371_000.0 * math.asin(math.sqrt(h))


@dataclass(frozen=True)
class Platform:
    """The compute platform of a site: which back-end drives it, how large it is, and its own options."""

    kind: str
    cores: int
    memory_gib: int
    storage_gib: int
    architectures: tuple[str, ...] = ("amd64",)
    # cores, memory and time of one session at most; the platform's own size where unset
    max_cores: int | None = None
    max_memory_gib: int | None = None
    max_storage_gib: int | None = None
    max_duration_seconds: float = 86_400.0
    # benchmark score that the site declares for one core
    compute_performance: float = 150.0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """Where it is known what of the site is free: a capacity source, and its own options.

    `book`: how each session gets a reservation there ("virtual:instance"); None: it needs none.
    """

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    book: str | None = None


@dataclass(frozen=True)
class Credits:
    """Where it is known what its users may still spend: a source of credits, and its own options."""

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tariff:
    """What the site charges for cores, memory, moved data and storage, in the federation's own currency."""

    per_core_hour: float = 0.0
    per_gib_hour: float = 0.0
    per_gib_moved: float = 0.0
    per_gib_stored_hour: float = 0.0


@dataclass(frozen=True)
class Energy:
    """What the site's power costs the planet."""

    watts_per_core: float = 10.0
    grams_co2_per_kwh: float = 250.0


@dataclass(frozen=True)
class Policy:
    """What the site allows. Patterns are shell-style, as in `fnmatch`; what is denied is denied even where it
    is allowed, too."""

    allowed_registries: tuple[str, ...] = ("*",)
    denied_registries: tuple[str, ...] = ()
    # images without a digest are refused
    digest_required: bool = False
    # hosts, host:port and URLs of data; a URL's host and path are patterns of their own, and one without a
    # path is everything on its host
    allowed_data: tuple[str, ...] = ("*",)
    denied_data: tuple[str, ...] = ()
    # S3 and Rucio endpoints (URLs), SKAO namespaces and Rucio scopes, IVOA identifiers
    denied_endpoints: tuple[str, ...] = ()
    denied_namespaces: tuple[str, ...] = ()
    denied_ivoids: tuple[str, ...] = ()
    # URLs of notebooks
    denied_notebooks: tuple[str, ...] = ()
    # ports that a container publishes, and the paths of their access URLs
    denied_ports: tuple[int, ...] = ()
    denied_paths: tuple[str, ...] = ()
    # offers that one user may have open at this site at a time; None: any number
    max_open_offers: int | None = None
    # whether a session whose reservation the cloud refuses takes the next window of its start range
    rebook: bool = False
    # networks ("10.1.0.0/16") and host names that data may be fetched from for this site, though their
    # addresses are not public
    allowed_networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """One site, with its names in each system. `id` is stable; everything else may change."""

    id: str
    name: str
    place: Place
    rses: tuple[str, ...] = ()
    # host (or host:port) patterns of the URLs under which the site serves its storage
    data_hosts: tuple[str, ...] = ()
    # host (or host:port) patterns of the image registries that stand at the site
    registries: tuple[str, ...] = ()
    # address of the measuring host, and the port of its iperf3 server
    iperf3_address: str | None = None
    iperf3_port: int = 5201
    # names and addresses of the site's perfSONAR hosts, as meshes and archives have them
    perfsonar_hosts: tuple[str, ...] = ()
    # what its own link to the network carries, which all paths to it share; None: not known
    link_bits_per_second: float | None = None
    # where the site's own measuring and staging commands run
    host: Host = field(default_factory=LocalHost)
    platform: Platform | None = None
    # what knows when it has space; several may look at the same machines
    space: tuple[Space, ...] = ()
    credits: Credits | None = None
    tariff: Tariff = field(default_factory=Tariff)
    energy: Energy = field(default_factory=Energy)
    policy: Policy = field(default_factory=Policy)
    # whom to ask when something is wrong there: an address, a URL, words
    contact: str | None = None

    def serves(self, url: str) -> bool:
        """Whether `url` is on this site's storage."""
        parts = urlsplit(url)
        names = [parts.netloc.rpartition("@")[2], parts.hostname or ""]
        return any(
            fnmatch.fnmatchcase(name, pattern) for pattern in self.data_hosts for name in names if name
        )


@dataclass(frozen=True)
class Federation:
    """The catalogue of sites, in the order in which its file names them. `catalogues`: the options of those
    of data (Rucio and the like), by their names."""

    name: str
    sites: Mapping[str, Site]
    catalogues: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites.values())

    def __getitem__(self, site_id: str) -> Site:
        return self.sites[site_id]

    def site_of_rse(self, rse: str) -> Site | None:
        """The site that owns the Rucio storage element `rse`."""
        return next((site for site in self if rse in site.rses), None)

    def site_of_host(self, host: str) -> Site | None:
        """The site that measures as `host`: one of its perfSONAR hosts, or its iperf3 address."""
        return self._measuring_hosts.get(host.strip("[]").rstrip(".").lower())

    @functools.cached_property
    def _measuring_hosts(self) -> Mapping[str, Site]:
        """Every such name with its site; of two sites with one name the first counts."""
        found: dict[str, Site] = {}
        for site in self:
            for name in (*site.perfsonar_hosts, site.iperf3_address or ""):
                if name:
                    found.setdefault(name.lower(), site)
        return found

    def site_of_registry(self, name: str) -> Site | None:
        """The site at which the image registry `name` (HOST or HOST:PORT) stands."""
        names = (name, name.partition(":")[0])
        for site in self:
            if any(fnmatch.fnmatchcase(each, pattern) for pattern in site.registries for each in names):
                return site
        return self.site_of_url(f"https://{name}/")

    def site_of_url(self, url: str) -> Site | None:
        """The site on whose storage `url` lies."""
        return next((site for site in self if site.serves(url)), None)
