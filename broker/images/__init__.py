"""Images in registries: what is known of one without pulling it, and why it can't be had."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from broker.images.registries import Registries
from netprobe.addresses import Allowed

# the names that other systems have for the architectures that images name in Go's way
ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "arm64v8": "arm64"}


@dataclass(frozen=True)
class Access:
    """How one site gets at registries: mirrors and plain HTTP (`registries`), logins (`auth_file`, as in
    containers-auth.json(5), or `secret_file`, whose one login is for all that is asked for; None: none), and
    what may be asked besides public addresses."""

    registries: Registries = field(default_factory=Registries)
    auth_file: Path | None = None
    allowed: Allowed = field(default_factory=Allowed)
    secret_file: Path | None = None


@dataclass(frozen=True)
class Wanted:
    """An image as a request names it: the first of `locations` (complete references) that works.

    `digest` may be that of an index, a manifest or a configuration, as engines show all three.
    """

    locations: tuple[str, ...]
    digest: str | None = None
    architecture: str = "amd64"
    os: str = "linux"


@dataclass(frozen=True)
class Layer:
    """`size_bytes` as it crosses the network; `diff_id` is the digest of its content, unpacked, by which an
    engine knows it (None: not said)."""

    digest: str
    size_bytes: int
    diff_id: str | None = None


@dataclass(frozen=True)
class Image:
    """An image for one platform. `registry` is the host (or host:port) that answered, a mirror perhaps;
    `digests` are those under which it may be named: of its manifest, its index and its configuration.

    Of the environment only the names: values may be secret.
    """

    location: str
    registry: str
    digest: str
    digests: frozenset[str]
    architecture: str
    os: str
    layers: tuple[Layer, ...]
    config_bytes: int = 0
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What a machine downloads that has none of it."""
        return self.config_bytes + sum(layer.size_bytes for layer in self.distinct_layers)

    @property
    def distinct_layers(self) -> tuple[Layer, ...]:
        """A layer that comes twice is moved once."""
        return tuple({layer.digest: layer for layer in self.layers}.values())

    def missing(self, there: Collection[str]) -> tuple[Layer, ...]:
        """The layers that are moved to where those `there` are in place, by what they unpack to."""
        return tuple(each for each in self.distinct_layers if each.diff_id not in there)

    @property
    def is_root(self) -> bool:
        """Whether its program runs as root unless its platform says otherwise."""
        return self.user.partition(":")[0] in ("", "0", "root")


class Trouble(StrEnum):
    """Why an image can't be had. All but UNKNOWN would be said again by another try."""

    GONE = "gone"
    PRIVATE = "private"
    DIGEST = "digest"
    PLATFORM = "platform"
    TYPE = "type"
    ADDRESS = "address"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class ImageError(Exception):
    """One line: what failed, and where. `remedy`: what the client could change, to follow a colon."""

    def __init__(self, trouble: Trouble, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.trouble, self.remedy = trouble, remedy


@dataclass(frozen=True)
class Looked:
    """What became of each location, in order, up to the first that works: `image`, or None.

    `troubles` is by location.
    """

    image: Image | None
    troubles: Mapping[str, ImageError] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Whether no location has it, for sure."""
        known = all(each.trouble is not Trouble.UNKNOWN for each in self.troubles.values())
        return self.image is None and known


def architecture(name: str) -> str:
    """As images have it: `amd64` for `x86_64`."""
    return ALIASES.get(name.lower(), name.lower())
