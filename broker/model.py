"""The broker's own plain data: what is asked, where it could run, what is offered.

Nothing here knows HTTP or SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from netprobe.cost import Staging
from reservations.leases import Lease


class Level(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Note:
    """A message for the client: a template with `{name}` places, and what goes into them.

    `kind` is a short stable slug ("resource-limit"); the wire makes a URI of it. `path` says which part of
    the request is meant ("/compute/cores/min").
    """

    kind: str
    template: str
    values: Mapping[str, str] = field(default_factory=dict)
    level: Level = Level.ERROR
    path: str | None = None

    @property
    def text(self) -> str:
        return self.template.format_map(dict(self.values))


@dataclass(frozen=True)
class MinMax:
    """A range of whole numbers; `maximum` None means that the client named none."""

    minimum: int
    maximum: int | None = None


class ExecutableKind(StrEnum):
    """What an executable is, by the last part of its kind's URI."""

    DOCKER = "docker-container"
    SINGULARITY = "singularity-container"
    NOTEBOOK = "jupyter-notebook"


@dataclass(frozen=True)
class Port:
    """A port that the container publishes. `protocol` is UDP, TCP, HTTP or HTTPS; `access`: listed among the
    session's connectors, with `path` at the end of its URL."""

    internal: int
    protocol: str = "TCP"
    path: str | None = None
    access: bool = False


@dataclass(frozen=True)
class Executable:
    """A container image and how to start it; of a notebook, `locations` is where the notebook is.

    A Singularity image and a notebook have one location, a URL, and nothing that says how to start them.
    """

    name: str | None
    locations: tuple[str, ...]
    digest: str | None = None
    architecture: str = "amd64"
    os: str = "linux"
    privileged: bool = False
    entrypoint: str | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: ExecutableKind = ExecutableKind.DOCKER
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class Connector:
    """How a published port is reached from outside: `location` is a URL, `addresses` the host's."""

    internal_port: int
    protocol: str
    location: str
    addresses: tuple[str, ...]
    port: int
    # whether it is listed among the session's connectors
    access: bool


@dataclass(frozen=True)
class Outcome:
    """A container's run, so far or in the end. `stdout` and `stderr` are the last 64 KiB of each."""

    started: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class Replica:
    """One copy of a data item. `site_id` is None where no site of the federation is known to hold it.

    `bearer` is the token that its server wants to see; only what is being moved has one. Only that has
    `mounted`, too: the path of the copy where its storage is mounted at the site that it is moved to.
    """

    url: str
    site_id: str | None
    rse: str | None = None
    bearer: str | None = field(default=None, repr=False)
    mounted: str | None = None


@dataclass(frozen=True)
class Part:
    """Files of a data item that lie together: `files` of together `size_bytes`, all at each replica."""

    size_bytes: int
    files: int
    replicas: tuple[Replica, ...]


@dataclass(frozen=True)
class Target:
    """Storage of a site to which the data's own system brings an item: `rse` is what it is called there.
    `files` of together `size_bytes` are not there yet."""

    site_id: str
    rse: str
    files: int
    size_bytes: int
    # what that system takes besides moving, as its operator says
    delay_seconds: float
    # whether the item may be downloaded where it can't be brought
    or_download: bool = False


@dataclass(frozen=True)
class DataItem:
    """A resolved piece of data. `checksum` is (algorithm, hexadecimal value), e.g. ("sha256", "ab...").

    With `unpacked` its catalogue is asked again just before it is moved, for the files that it is made of
    (`Unpacks.files`): a folder of `files` files, or a URL that is signed for a short time. Until then its
    replicas say where it is, as the catalogue chooses to write it.
    """

    uuid: str
    name: str
    size_bytes: int | None
    replicas: tuple[Replica, ...]
    checksum: tuple[str, str] | None = None
    files: int = 1
    unpacked: bool = False
    # where not every replica has all of it: what lies where, which `replicas` have together
    parts: tuple[Part, ...] = ()
    # of a file in a folder: the folder's uuid and name; its own name is its path in there
    folder: tuple[str, str] | None = None
    storage: str | None = None  # uuid of the storage it goes to
    kind: str = "simple-data-resource"  # the last part of its kind's URI
    # what sites have policies about, where the resource names it: the URL of its S3 or Rucio service, its
    # SKAO namespace or Rucio scope, its IVOA identifier
    endpoint: str | None = None
    namespace: str | None = None
    ivoid: str | None = None
    # where its own system brings it, of the sites that lack some of it; one a site
    targets: tuple[Target, ...] = ()

    def target(self, site_id: str) -> Target | None:
        """Where its own system brings it at that site; None where it is downloaded."""
        return next((each for each in self.targets if each.site_id == site_id), None)


@dataclass(frozen=True)
class StorageItem:
    uuid: str
    name: str
    size_gib: MinMax


class MountMode(StrEnum):
    READONLY = "READONLY"
    READWRITE = "READWRITE"


@dataclass(frozen=True)
class Mount:
    """A data item or storage (by uuid) at a path in the container."""

    path: str
    mode: MountMode
    resource: str


@dataclass(frozen=True)
class Limit:
    """A cost or metric constraint: `type` is the item's URI, `path` its place in the request."""

    type: str
    minimum: float | None = None
    maximum: float | None = None
    path: str | None = None


@dataclass(frozen=True)
class Request:
    """A checked request. Durations and instants are exact; start range in UTC."""

    executable: Executable
    cores: MinMax
    memory_gib: MinMax
    storage: tuple[StorageItem, ...]
    data: tuple[DataItem, ...]
    mounts: tuple[Mount, ...]
    duration: timedelta
    earliest_start: datetime
    latest_start: datetime
    cost_limits: tuple[Limit, ...] = ()
    metric_limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A cost or metric on an offer: min and max are the 10 % and 90 % quantiles where it is a forecast."""

    type: str
    minimum: float
    maximum: float
    description: str


@dataclass(frozen=True)
class Placement:
    """A request at one site in one window, priced: what becomes an offer."""

    site_id: str
    cores: int
    memory_gib: int
    storage_gib: int
    prepare_start: datetime
    prepare_seconds: float  # P90: preparation is done before `start`
    start: datetime
    duration: timedelta
    staging: Staging
    costs: tuple[Figure, ...]
    metrics: tuple[Figure, ...]
    notes: tuple[Note, ...]  # INFO: why it ranks where it does, with figures
    # the session starts in [start, start + start_within], as preparation allows
    start_within: timedelta = timedelta(0)
    # by the component's key (`SessionRecord.component_uuid`); `costs` and `metrics` are those of the whole
    component_costs: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    component_metrics: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    # an offer of the site's own broker: what that broker knows it by, and until when it is held there
    reference: str | None = None
    expires: datetime | None = None
    # P90: of `duration`, what is gone before the container runs, where data and image come in that time
    inside_seconds: float = 0.0


class Phase(StrEnum):
    """Phases of a session, as the contract names them."""

    INITIAL = "INITIAL"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    WAITING = "WAITING"
    PREPARING = "PREPARING"
    AVAILABLE = "AVAILABLE"
    RUNNING = "RUNNING"
    RELEASING = "RELEASING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Job:
    """What a platform is handed: everything to run one session at one site. `id` is the session's uuid."""

    id: str
    site_id: str
    executable: Executable
    cores: int
    memory_gib: int
    duration: timedelta
    # host directories or files to mount: (host path, container path, mode)
    binds: tuple[tuple[str, str, MountMode], ...] = ()
    # what its storages may hold, all together; None: nobody said
    storage_gib: int | None = None
    # what is reserved for it at the site's cloud; None: nothing
    lease: Lease | None = None
