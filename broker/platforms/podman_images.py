"""Images for podman: what a request may name, what is in the store, and what is pulled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from broker.model import Executable, ExecutableKind, Note
from broker.platforms import PlatformError
from broker.platforms.options import architecture
from broker.platforms.podman_cli import (
    COMMAND_SECONDS,
    Images,
    is_local,
    is_reference,
    podman,
    qualified,
    words,
)
from netprobe.tools import _process

# how Singularity names an image that any OCI engine can run
DOCKER_TRANSPORT = "docker://"


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


async def find_image(executable: Executable, ask: Ask = podman) -> dict[str, Any] | None:
    """The image in podman's store that is meant, as `podman image inspect` has it; or None."""
    for location in executable.locations:
        if not is_reference(location):
            raise PlatformError(f"{location!r} is not the name of an image")
        end = await ask("image", "inspect", "--format", "json", qualified(location))
        if end.returncode == 0:
            image: dict[str, Any] = json.loads(end.stdout)[0]
            if executable.digest is None or executable.digest in digests(image):
                return image
    return None


async def pull_image(executable: Executable, limit_seconds: float, ask: Ask = podman) -> dict[str, Any]:
    """Pull by the first location that works. Raises PlatformError with what each of them said."""
    said = []
    for location in executable.locations:
        if is_local(location):
            said.append(f"{location} is not here, and local images are never pulled")
            continue
        platform = ("--os", "linux", "--arch", architecture(executable.architecture))
        pull = ("pull", "--quiet", *platform, qualified(location))
        try:
            end = await ask(*pull, time_limit_seconds=limit_seconds, waits=True)
        except PlatformError as problem:
            said.append(f"{location}: {problem}")
            continue
        if end.returncode != 0:
            said.append(f"{location}: podman pull: {words(end.complaint)}")
            continue
        image = await find_image(executable, ask)
        if image is not None:
            return image
        said.append(f"{location}: wrong digest: expected {executable.digest}")
    raise PlatformError(f"the image can't be had: {'; '.join(said) or 'it has no location'}")


def digests(image: dict[str, Any]) -> set[str]:
    """Digests under which an image is known: of its manifest, its lists and its configuration."""
    listed = {name.rpartition("@")[2] for name in image.get("RepoDigests") or ()}
    return listed | {image.get("Digest") or "", f"sha256:{image['Id']}"}
