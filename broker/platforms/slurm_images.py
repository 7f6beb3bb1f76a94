"""Images for Slurm jobs: what a request may name, and how an image comes to where the nodes find it.

The site's host brings it: podman has it in that machine's store, and a copy in the session's directory for
nodes that haven't; Apptainer makes one file of it there.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.model import Executable, ExecutableKind, Note
from broker.platforms import PlatformError, slurm_apptainer, slurm_podman
from broker.platforms.options import architecture
from broker.platforms.podman_cli import COMMAND_SECONDS, is_reference, qualified
from broker.platforms.podman_images import DOCKER_TRANSPORT, as_oci, find_image, pull_image
from broker.platforms.slurm_apptainer import bare_command
from broker.platforms.slurm_cli import Slurm, complaint
from netprobe.tools import _process

# where Apptainer pulls from itself
TRANSPORTS = (DOCKER_TRANSPORT, "oras://", "library://")
WEB = ("http://", "https://")
TRANSPORT_LOCATION = re.compile(r"[a-z]+://[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def check_image(site_id: str, executable: Executable, options: Mapping[str, Any]) -> Sequence[Note]:
    """Why the site can't have the image of `executable`."""
    runtime, values = options["runtime"], {"site": site_id}
    singularity = executable.kind is ExecutableKind.SINGULARITY
    at = "/executable/location" if singularity else "/executable/image/locations"
    if not executable.locations:
        return [Note("image-location", "the image has no location", path=at)]
    for location in executable.locations:
        named = {**values, "location": repr(location)}
        if singularity and not location.startswith(DOCKER_TRANSPORT):
            if runtime not in ("apptainer", "singularity"):
                text = "{site} runs no SIF images, such as {location}: expected docker://REGISTRY/NAME:TAG"
                return [Note("singularity-image", text, named, path=at)]
            known = location.startswith(WEB) or (
                location.startswith(TRANSPORTS) and TRANSPORT_LOCATION.fullmatch(location)
            )
            if not known:
                expected = ", ".join((*TRANSPORTS, *WEB))
                text = f"{{location}} is no image that {{site}} can bring: expected one of {expected}"
                return [Note("singularity-image", text, named, path=at)]
        elif not is_reference(location.removeprefix(DOCKER_TRANSPORT) if singularity else location):
            text = "{location} is not the name of an image: expected REGISTRY/NAMESPACE/NAME:TAG"
            return [Note("image-location", text, named, path=at)]
    if runtime == "none":
        return _check_bare(executable, options, values, at)
    return []


def is_on_the_web(executable: Executable) -> bool:
    """Whether its image is a file that is fetched as data is, by no engine."""
    singularity = executable.kind is ExecutableKind.SINGULARITY
    return singularity and bool(executable.locations) and executable.locations[0].startswith(WEB)


def _check_bare(
    executable: Executable, options: Mapping[str, Any], values: Mapping[str, str], at: str
) -> Sequence[Note]:
    patterns = options["bare_images"]
    names = as_oci(executable).locations
    if not any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns):
        text = "{site} has no container engine, and {image} is none of the images that stand for its software"
        return [Note("image-absent", text, {**values, "image": names[0]}, path=at)]
    if not bare_command(executable):
        text = "{site} runs no containers: the command has to be given"
        return [Note("missing-value", text, values, path="/executable/command")]
    return []


class ImageBringer:
    """Has images in place, by commands on the site's host. All calls raise PlatformError."""

    def __init__(self, slurm: Slurm, engine: Sequence[str], options: Mapping[str, Any]) -> None:
        self._slurm, self._engine, self._options = slurm, engine, options

    async def podman(self, executable: Executable, architectures: Sequence[str], batch: Path) -> str:
        """The image's ID; a copy of it is in `batch` where nodes have stores of their own."""
        wanted = as_oci(executable)
        image = await find_image(wanted, self._ask)
        if image is None:
            image = await pull_image(wanted, float(self._options["pull_seconds"]), self._ask)
        found = architecture(image["Architecture"])
        if found not in map(architecture, architectures):
            # podman would only warn, and the program fail
            raise PlatformError(f"the image {wanted.locations[0]} is for {found}, which this site can't run")
        archive = batch / slurm_podman.IMAGE_FILE
        if self._options["images"] == "node" and not archive.exists():
            await self._save(image["Id"], archive)
        return str(image["Id"])

    async def _save(self, image_id: str, archive: Path) -> None:
        new = archive.with_suffix(".new")
        new.unlink(missing_ok=True)
        save = ("save", "--quiet", "--format", "oci-archive", "--output", str(new), image_id)
        end = await self._ask(*save, time_limit_seconds=float(self._options["pull_seconds"]))
        if end.returncode != 0:
            new.unlink(missing_ok=True)
            raise PlatformError(f"the image can't be copied for the nodes: {complaint(end)}")
        new.replace(archive)

    async def sif(self, executable: Executable, batch: Path) -> None:
        """Have the image as one file in `batch`, by the first of its locations that works."""
        file = batch / slurm_apptainer.IMAGE_FILE
        new = file.with_suffix(".new")
        if file.exists():
            return
        said = []
        for location in executable.locations:
            new.unlink(missing_ok=True)
            name = self._name(executable, location)
            pull = ("pull", "--arch", architecture(executable.architecture), str(new), name)
            end = await self._ask(*pull, time_limit_seconds=float(self._options["pull_seconds"]))
            if end.returncode == 0:
                new.replace(file)
                return
            said.append(f"{location}: {self._engine[0]} pull: {complaint(end)}")
        raise PlatformError(f"the image can't be had: {'; '.join(said)}")

    def _name(self, executable: Executable, location: str) -> str:
        if executable.kind is ExecutableKind.SINGULARITY:
            return location
        name = qualified(location)
        if executable.digest is not None and "@" not in name:
            # a name with a tag and a digest is none for Apptainer
            head, slash, last = name.rpartition("/")
            name = f"{head}{slash}{last.partition(':')[0]}@{executable.digest}"
        return f"{DOCKER_TRANSPORT}{name}"

    async def _ask(
        self, *arguments: str, time_limit_seconds: float = COMMAND_SECONDS, waits: bool = False
    ) -> _process.Finished:
        return await self._slurm.run(*self._engine, *arguments, time_limit_seconds=time_limit_seconds)
