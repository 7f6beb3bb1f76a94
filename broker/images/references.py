"""Names of images: [host[:port]/]path[:tag][@digest]."""

from __future__ import annotations

import re
from dataclasses import dataclass

# nothing that could be taken for an option or for another transport
REFERENCE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
DOCKER = "docker.io"
# the host that speaks the registry's protocol for docker.io
_HOSTS = {DOCKER: "registry-1.docker.io"}


@dataclass(frozen=True)
class Reference:
    """A complete name, taken apart: `registry` is HOST or HOST:PORT; of tag and digest there may be both."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def host(self) -> str:
        """Whom to ask."""
        return _HOSTS.get(self.registry, self.registry)

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.registry}/{self.repository}"


def is_reference(location: str) -> bool:
    return REFERENCE.fullmatch(location) is not None


def is_local(location: str) -> bool:
    """Whether the image can only have been made on this machine: such a one is never pulled."""
    return location.startswith("localhost/")


def qualified(location: str) -> str:
    """`location` with its registry, as Docker completes it: podman would ask a person where to look."""
    first, slash, _ = location.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return location
    return f"{DOCKER}/{location}" if slash else f"{DOCKER}/library/{location}"


def parse(location: str) -> Reference:
    """Raises ValueError where it is no name of an image."""
    if not is_reference(location):
        raise ValueError(f"{location!r} is not the name of an image")
    name, _, digest = qualified(location).partition("@")
    registry, _, path = name.partition("/")
    repository, _, tag = path.partition(":")
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER
    if not tag and not digest:
        tag = "latest"
    return Reference(registry, repository, tag or None, digest or None)


def pinned(location: str, digest: str) -> str:
    """The complete name of the image of that digest, without a tag, which podman takes with a digest only
    where both are of one image."""
    reference = parse(location)
    return f"{reference.name}@{digest}"
