"""Whether a server of a cloud can run something; nothing is asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from broker.images.references import is_local, is_reference
from broker.model import Executable, ExecutableKind, Level, Note, Request, StorageItem
from broker.platforms import PlatformError
from broker.platforms.openstack_sizes import smallest
from broker.platforms.openstack_store import STORAGE_LIMIT_GIB
from broker.platforms.options import check_executable
from broker.platforms.podman_images import DOCKER_TRANSPORT, as_oci
from broker.platforms.podman_run import split_environment
from federation.sites import Platform, Site
from federation.units import format_seconds
from reservations.openstack.flavours import Flavour

# a signature is good for a week, and booting and sending take their time
LONGEST_KEPT = timedelta(days=6)


def check(site: Site, platform: Platform, options: Mapping[str, Any], executable: Executable) -> list[Note]:
    """Why `executable` can't run there."""
    values = {"site": site.id}
    if executable.kind is ExecutableKind.NOTEBOOK:
        text = "{site} shows no notebooks: nobody can reach its servers"
        return [Note("notebook-image", text, values, path="/executable")]
    notes = list(check_executable(site, platform, executable))
    if executable.ports:
        text = "{site} publishes no ports: nobody can reach its servers"
        notes.append(Note("ports", text, values, path="/executable/network/ports"))
    if executable.privileged:
        # it would reach the server's own devices and its metadata service
        text = "{site} runs no privileged containers"
        notes.append(Note("privileged", text, values, path="/executable/privileged"))
    try:
        _, long = split_environment(executable.environment)
    except PlatformError as error:
        notes.append(Note("environment", "{reason}", {"reason": str(error)}, path="/executable/environment"))
        long = {}
    for name in long:
        text = "{site} takes environment variables of one line alone, and {name} has more"
        notes.append(
            Note("environment", text, {**values, "name": name}, path=f"/executable/environment/{name}")
        )
    return notes + _check_image(site, options, executable)


def _check_image(site: Site, options: Mapping[str, Any], executable: Executable) -> list[Note]:
    singularity = executable.kind is ExecutableKind.SINGULARITY
    path = "/executable/location" if singularity else "/executable/image/locations"
    if not executable.locations:
        return [Note("image-location", "the image has no location", path=path)]
    for location in executable.locations if singularity else ():
        if not location.startswith(DOCKER_TRANSPORT):
            text = "{site} runs no SIF images, such as {location}: expected docker://REGISTRY/NAME:TAG"
            values = {"site": site.id, "location": repr(location)}
            return [Note("singularity-image", text, values, path=path)]
    locations = as_oci(executable).locations
    for location in locations:
        if not is_reference(location):
            text = "{location} is not the name of an image: expected REGISTRY/NAMESPACE/NAME:TAG"
            return [Note("image-location", text, {"location": repr(location)}, path=path)]
    if all(is_local(each) and each not in options["local_images"] for each in locations):
        values = {"site": site.id, "image": locations[0]}
        return [Note("image-absent", "{site} doesn't have the local image {image}", values, path=path)]
    return []


def check_request(
    site: Site, options: Mapping[str, Any], sizes: tuple[Flavour, ...] | str | None, request: Request
) -> list[Note]:
    """Why `request` can't run there, and what its client should know. `sizes` None: servers get a flavour
    that is reserved for them."""
    notes = _check_storage(site, options, request)
    storage = sum(each.size_gib.minimum for each in request.storage)
    disk = flavour_disk_gib(options, storage)
    if sizes is None:
        if storage < options["server_disk_gib"] and not options["boot_volume"]:
            # Blazar makes a flavour with as much disk as storage was asked for
            text = "{site} reserves disks for storage alone, and its servers take {disk} GiB themselves: "
            text += "expected that much storage, or the platform's option boot_volume"
            values = {"site": site.id, "disk": str(options["server_disk_gib"])}
            notes.append(Note("server-disk", text, values, path="/storage"))
        return notes
    if isinstance(sizes, str):
        text = "what {site} can run isn't known: {reason}"
        return [*notes, Note("service-unknown", text, {"site": site.id, "reason": sizes})]
    cores, memory = request.cores.minimum, request.memory_gib.minimum
    if smallest(sizes, cores, memory, disk) is None:
        text = "{site} has no flavour with {cores} cores, {memory} GiB of memory and {disk} GiB of disk"
        values = {"site": site.id, "cores": str(cores), "memory": str(memory), "disk": str(disk)}
        notes.append(Note("flavour", text, values, path="/compute"))
    return notes


def disk_gib(options: Mapping[str, Any], storage_gib: int) -> int:
    """How large a server's disk has to be."""
    return int(options["server_disk_gib"]) + storage_gib


def flavour_disk_gib(options: Mapping[str, Any], storage_gib: int) -> int:
    """How much of that its flavour has to have."""
    return 0 if options["boot_volume"] else disk_gib(options, storage_gib)


def _check_storage(site: Site, options: Mapping[str, Any], request: Request) -> list[Note]:
    storage = request.storage
    if not storage:
        return []
    if options["storage"] == "keep":
        return _check_kept(site, storage, request.duration)
    if options["storage"] == "refuse":
        text = "{site} can't give back what a container writes: its servers are gone with their disks"
        return [Note("storage-lost", text, {"site": site.id}, path="/storage")]
    text = "what is written into storage at {site} is gone when the session ends"
    return [Note("storage-lost", text, {"site": site.id}, Level.WARN, "/storage")]


def _check_kept(site: Site, storage: Sequence[StorageItem], duration: timedelta) -> list[Note]:
    size = sum(each.size_gib.minimum for each in storage)
    if size > STORAGE_LIMIT_GIB:
        text = "{site} can give back {most} GiB of storage at most"
        return [
            Note("storage-lost", text, {"site": site.id, "most": str(STORAGE_LIMIT_GIB)}, path="/storage")
        ]
    if duration > LONGEST_KEPT:
        text = "{site} can give back what a container writes for sessions of {most} at most"
        values = {"site": site.id, "most": format_seconds(LONGEST_KEPT.total_seconds())}
        return [Note("storage-lost", text, values, path="/schedule/requested/duration")]
    text = (
        "what is written into storage at {site} is sent to be kept when the container ends, in the session's"
    )
    return [Note("results", f"{text} time", {"site": site.id}, Level.INFO, "/storage")]
