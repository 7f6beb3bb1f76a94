"""Images for podman: what a request may name, what is in the store, and what is pulled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from broker.images import Wanted
from broker.images.references import is_local, is_reference, parse, pinned, qualified
from broker.model import Executable, ExecutableKind, Note
from broker.platforms import PlatformError
from broker.platforms.options import architecture
from broker.platforms.podman_cli import (
    COMMAND_SECONDS,
    podman,
    words,
)
from broker.platforms.podman_store import Images
from netprobe.tools import _process

# how Singularity names an image that any OCI engine can run
DOCKER_TRANSPORT = "docker://"
# how `podman image exists` says that one isn't there
ABSENT = 1
# how podman begins to say that an image it doesn't need went while it looked at all of them
ANOTHER_WENT = "locating image with ID"
INSPECTIONS = 5


class Ask(Protocol):
    """Runs podman with these arguments, on whichever machine, as `podman_cli.podman` does on this one."""

    async def __call__(
        self, *arguments: str, time_limit_seconds: float = COMMAND_SECONDS, waits: bool = False
    ) -> _process.Finished: ...


def as_oci(executable: Executable) -> Executable:
    """A Singularity container whose location is `docker://IMAGE` as the OCI image that it is."""
    if executable.kind is not ExecutableKind.SINGULARITY:
        return executable
    locations = tuple(location.removeprefix(DOCKER_TRANSPORT) for location in executable.locations)
    return replace(executable, locations=locations)


def check_image(site_id: str, executable: Executable, images: Images) -> Sequence[Note]:
    """Why podman can't have the image of `executable`."""
    singularity = executable.kind is ExecutableKind.SINGULARITY
    at = "/executable/location" if singularity else "/executable/image/locations"
    if shutil.which("podman") is None:
        text = "{site} has no container engine: podman is missing"
        return [Note("platform", text, {"site": site_id})]
    if not executable.locations:
        return [Note("image-location", "the image has no location", path=at)]
    for location in executable.locations:
        if singularity and not location.startswith(DOCKER_TRANSPORT):
            text = "{site} runs no SIF images, such as {location}: expected docker://REGISTRY/NAME:TAG"
            return [Note("singularity-image", text, {"site": site_id, "location": repr(location)}, path=at)]
    locations = as_oci(executable).locations
    for location in locations:
        if not is_reference(location):
            text = "{location} is not the name of an image: expected REGISTRY/NAMESPACE/NAME:TAG"
            return [Note("image-location", text, {"location": repr(location)}, path=at)]
    if all(map(is_local, locations)) and not images.has(locations):
        values = {"site": site_id, "image": locations[0]}
        return [Note("image-absent", "{site} doesn't have the local image {image}", values, path=at)]
    return []


def as_wanted(executable: Executable) -> Wanted | None:
    """What registries can be asked for; None where the image is none that is pulled."""
    oci = as_oci(executable)
    if not all(map(is_reference, oci.locations)):
        return None
    remote = tuple(qualified(location) for location in oci.locations if not is_local(location))
    return Wanted(remote, oci.digest, oci.architecture, oci.os) if remote else None


def names_of(location: str, digest: str | None) -> Sequence[str]:
    """What podman may be asked for, in order: by the digest, where there is one, for a tag may mean another
    image by now; and by the tag, for the digest may be of a configuration, by which no registry finds it."""
    reference = parse(location)
    if reference.digest is not None:
        return [pinned(location, reference.digest)]
    return [qualified(location)] if digest is None else [pinned(location, digest), qualified(location)]


async def find_image(executable: Executable, ask: Ask = podman) -> dict[str, Any] | None:
    """The image in podman's store that is meant, as `podman image inspect` has it; or None."""
    for location in executable.locations:
        if not is_reference(location):
            raise PlatformError(f"{location!r} is not the name of an image")
        for name in names_of(location, executable.digest):
            end = await _inspected(name, ask)
            if end.returncode == 0:
                image = _read_image(end.stdout)
                if executable.digest is None or executable.digest in digests(image):
                    return image
            elif (await ask("image", "exists", name)).returncode != ABSENT:
                # an engine that fails says nothing of its images
                raise PlatformError(f"podman image inspect: {words(end.complaint)}")
    return None


async def _inspected(name: str, ask: Ask) -> _process.Finished:
    """podman looks at all images for that, and fails where another goes meanwhile: then it is asked again."""
    for _ in range(INSPECTIONS - 1):
        end = await ask("image", "inspect", "--format", "json", name)
        if ANOTHER_WENT not in end.complaint:
            return end
    return await ask("image", "inspect", "--format", "json", name)


def _read_image(said: str) -> dict[str, Any]:
    """What `podman image inspect` says of an image; all that is used of it is there."""
    try:
        image: dict[str, Any] = json.loads(said)[0]
        if not isinstance(image["Architecture"], str) or not isinstance(image["Id"], str):
            raise TypeError("no texts")
    except (ValueError, LookupError, TypeError) as problem:
        raise PlatformError(f"podman image inspect said something unexpected: {problem!r}") from problem
    return image


async def pull_image(
    executable: Executable, limit_seconds: float, ask: Ask = podman, flags: Sequence[str] = ()
) -> dict[str, Any]:
    """Pull by the first location that works, with `flags`. Raises PlatformError with what each said."""
    said = []
    platform = ("--os", "linux", "--arch", architecture(executable.architecture))
    for location in executable.locations:
        if is_local(location):
            said.append(f"{location} is not here, and local images are never pulled")
            continue
        for name in names_of(location, executable.digest):
            try:
                pull = ("pull", "--quiet", *platform, *flags, name)
                end = await ask(*pull, time_limit_seconds=limit_seconds, waits=True)
            except PlatformError as problem:
                said.append(f"{name}: {problem}")
                continue
            if end.returncode != 0:
                said.append(f"{name}: podman pull: {words(end.complaint)}")
                continue
            image = await find_image(executable, ask)
            if image is not None:
                return image
            said.append(f"{name}: wrong digest: expected {executable.digest}")
    raise PlatformError(f"the image can't be had: {'; '.join(said) or 'it has no location'}")


def digests(image: dict[str, Any]) -> set[str]:
    """Digests under which an image is known: of its manifest, its lists and its configuration."""
    listed = {name.rpartition("@")[2] for name in image.get("RepoDigests") or ()}
    return listed | {image.get("Digest") or "", f"sha256:{image['Id']}"}
