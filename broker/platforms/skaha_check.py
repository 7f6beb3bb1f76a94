"""Whether a Skaha can run something, by what it said last; nothing is asked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from broker.model import Executable, ExecutableKind, Level, MountMode, Note, Request
from broker.platforms import notebook
from broker.platforms.options import check_executable
from broker.platforms.podman_cli import is_reference, qualified
from broker.platforms.podman_images import DOCKER_TRANSPORT, as_oci
from broker.platforms.skaha_launch import (
    CONTRIBUTED_PORT,
    HEADLESS,
    bound,
    is_contributed,
    scriptable,
    session_type,
    unsayable,
)
from broker.platforms.skaha_options import Options
from broker.platforms.skaha_view import View
from federation.sites import Platform, Site

# a session that Skaha started may run for two weeks, whatever we want
LONGEST_SECONDS = 14 * 86_400.0
# what is free now says nothing of later starts
SOON = timedelta(minutes=5)


def check(
    site: Site, platform: Platform, options: Options, view: View | str, executable: Executable
) -> list[Note]:
    """Why `executable` can't run there."""
    if executable.kind is ExecutableKind.NOTEBOOK:
        notes = list(_check_notebook(site, options, executable))
    else:
        notes = [*check_executable(site, platform, executable), *_check_start(site, options, executable)]
    if isinstance(view, str):
        text = "what {site} can run isn't known: {reason}"
        return [*notes, Note("service-unknown", text, {"site": site.id, "reason": view})]
    if not notes:
        found = image_of(site, options, view, executable)
        notes += [] if isinstance(found, str) else found
    return notes


def _check_notebook(site: Site, options: Options, executable: Executable) -> Sequence[Note]:
    wrong = notebook.check_notebook(site.id, executable, {"notebook_image": options.notebook_image})
    if wrong or options.staging is not None:
        return wrong
    text = (
        "{site} runs no notebooks: nothing can be brought into the storage of its containers; its operator "
    )
    text += "would set the platform's option staging"
    return [Note("no-staging", text, {"site": site.id}, path="/executable")]


def _check_start(site: Site, options: Options, executable: Executable) -> list[Note]:
    """What of its start Skaha can't be told."""
    notes, values = [], {"site": site.id}
    if executable.privileged:
        text = "{site} runs no privileged containers"
        notes.append(Note("privileged", text, values, path="/executable/privileged"))
    if session_type(executable) == HEADLESS:
        wrong = unsayable(executable)
        if wrong and options.staging is not None:
            wrong = scriptable(executable)
        for each in wrong:
            text = "Skaha at {site} {reason}"
            notes.append(Note("not-passed-on", text, {**values, "reason": each.reason}, path=each.path))
        return notes
    if not is_contributed(executable.ports):
        text = "{site} publishes one port of a container, {port} with HTTP, and only of images made for that"
        values["port"] = str(CONTRIBUTED_PORT)
        notes.append(Note("ports", text, values, path="/executable/network/ports"))
    parts = (
        ("entrypoint", executable.entrypoint is not None),
        ("command", bool(executable.command)),
        ("environment", bool(executable.environment)),
    )
    for part, given in parts:
        if given:
            text = "{site} starts containers with ports as their image says, and takes no {part}"
            values = {"site": site.id, "part": part}
            notes.append(Note("not-passed-on", text, values, path=f"/executable/{part}"))
    return notes


def image_of(site: Site, options: Options, view: View, executable: Executable) -> str | list[Note]:
    """The image that Skaha is to be asked for; or why it would have none of those that would do."""
    kind, digest = session_type(executable), executable.digest
    locations: tuple[str, ...]
    if executable.kind is ExecutableKind.NOTEBOOK:
        locations, digest, path = (options.notebook_image or "",), None, "/executable"
    else:
        singular = executable.kind is ExecutableKind.SINGULARITY
        path = "/executable/location" if singular else "/executable/image/locations"
        for location in executable.locations if singular else ():
            if not location.startswith(DOCKER_TRANSPORT):
                text = "{site} runs no SIF images, such as {location}: expected docker://REGISTRY/NAME:TAG"
                values = {"site": site.id, "location": repr(location)}
                return [Note("singularity-image", text, values, path=path)]
        locations = as_oci(executable).locations
    if not locations:
        return [Note("image-location", "the image has no location", path=path)]
    notes = []
    for location in locations:
        found = _listed(options, view, location, kind, digest)
        if isinstance(found, str):
            return found
        kind_of_note, text, values = found
        values = {"site": site.id, "image": location, **values}
        notes.append(Note(kind_of_note, text, values, path=path))
    return notes


def _listed(
    options: Options, view: View, location: str, kind: str, digest: str | None
) -> str | tuple[str, str, dict[str, str]]:
    """The name by which Skaha has the image; or a note's kind, template and values."""
    if not is_reference(location):
        return "image-location", "{image} is not the name of an image: expected REGISTRY/PROJECT/NAME:TAG", {}
    name, _, pinned = qualified(location).partition("@")
    host = name.partition("/")[0]
    if host.lower() not in view.hosts:
        text = "{site} runs images of {hosts} alone, and {image} is of {host}"
        return "image-registry", text, {"hosts": " and ".join(view.hosts) or "no registry", "host": host}
    digest = digest or pinned or None
    if ":" not in name.rpartition("/")[2]:
        same = [each for each in view.images.values() if each.id.rpartition(":")[0] == name]
        tagged = [each.id for each in same if pinned and each.digest == pinned]
        name = tagged[0] if tagged else f"{name}:latest"
    image = view.images.get(name)
    if image is None:
        if options.registry_auth_file is None:
            text = "{site} doesn't list {image}: it is not there, not public, or has no label that says what "
            return "image-absent", text + "kind of session it is for", {}
        if digest is not None:
            text = "{site} doesn't list {image}, so that its digest can't be compared with {digest}"
            return "image-digest", text, {"digest": digest}
        return name
    if kind not in image.types:
        text = "{site} has {image} for {types} sessions, not for {kind} ones"
        return "image-type", text, {"types": " and ".join(sorted(image.types)), "kind": kind}
    if digest is not None and image.digest != digest:
        text = "{site} has {image} with the digest {found}, not {digest}"
        return "image-digest", text, {"found": image.digest or "unknown", "digest": digest}
    return name


def check_request(
    site: Site, options: Options, view: View | str, request: Request, now: datetime
) -> list[Note]:
    """See `SaysWhatFits.check_request`."""
    notes = _check_mounts(site, options, request)
    if isinstance(view, str):
        return notes  # `check` says it already
    cores = option_for(request.cores.minimum, view.context.cores)
    memory = option_for(request.memory_gib.minimum, view.context.memory_gib)
    if cores is None or memory is None:
        return notes  # more than `bounded` allows
    notes += _rounded(site, request, cores, memory)
    most = view.context.interactive
    if session_type(request.executable) != HEADLESS and most is not None and view.interactive >= most:
        text = "{site} has {count} interactive sessions of ours already, and allows {limit}"
        values = {"site": site.id, "count": str(view.interactive), "limit": str(most)}
        notes.append(Note("resource-limit", text, values, path="/executable"))
    notes += _check_free(site, view, request, cores, memory, now)
    return notes


def _rounded(site: Site, request: Request, cores: int, memory: int) -> list[Note]:
    """What of the size is more than was asked for, because Skaha has no such size."""
    if (cores, memory) == (request.cores.minimum, request.memory_gib.minimum):
        return []
    text = "{site} has sizes of its own: the least that is enough is {cores} cores and {memory} GiB"
    values = {"site": site.id, "cores": str(cores), "memory": str(memory)}
    return [Note("size-rounded", text, values, Level.INFO, "/compute")]


def _check_free(
    site: Site, view: View, request: Request, cores: int, memory: int, now: datetime
) -> list[Note]:
    values, when = {"site": site.id}, f"{view.seen:%Y-%m-%dT%H:%M:%SZ}"
    if request.earliest_start > now + SOON:
        text = "{site} takes no reservations: what is free there at that time isn't known"
        return [Note("space-unknown", text, values, Level.WARN, "/schedule")]
    if view.free is None:
        text = "{site}: it isn't known what is free there: {reason}"
        return [Note("space-unknown", text, {**values, "reason": view.free_problem}, Level.WARN)]
    memory_free = view.free.memory_gib
    values |= {"cores": f"{view.free.cores:g}", "when": when}
    values["memory"] = "an unknown number of" if memory_free is None else f"{memory_free:.0f}"
    text = "{site} had {cores} cores and {memory} GiB free at {when}, all its machines together"
    if cores > view.free.cores or (memory_free is not None and memory > memory_free):
        text += ", and takes no reservations: ask again later"
        return [Note("no-room", text, values, path="/compute")]
    most, most_memory = request.cores.maximum or 0, request.memory_gib.maximum or 0
    if most > view.free.cores or (memory_free is not None and most_memory > memory_free):
        text += ": a session with more would have to wait there"
        return [Note("space-free", text, values, Level.WARN, "/compute")]
    return [Note("space-free", text, values, Level.INFO)]


def _check_mounts(site: Site, options: Options, request: Request) -> list[Note]:
    values = {"site": site.id}
    if options.staging is None:
        text = (
            "{site} has containers that see no other storage than its own, and nothing can be brought there: "
        )
        text += "its operator would set the platform's option staging"
        parts = (("/data", request.data), ("/storage", request.storage))
        return [Note("no-staging", text, values, path=path) for path, items in parts if items]
    if not request.mounts:
        return []
    if session_type(request.executable) != HEADLESS:
        text = "{site} can't tell an interactive session where its data lies"
        return [Note("mount", text, values, path="/compute/volumes")]
    notes = []
    paths = [mount.path for mount in request.mounts]
    tops = top_paths(paths)
    executable = as_oci(request.executable)
    script = not scriptable(executable)
    found = bound(executable, dict.fromkeys(tops, ""), options.links_below, script)
    deep = [path for path in paths if path not in tops and str(PurePosixPath(path).parent) not in tops]
    for path in (*found.lost, *deep):
        text = (
            "{site} mounts nothing at {path}: name that path in the command or the environment, where it is "
        )
        text += "replaced by the real place, or mount below {below} and name an entrypoint"
        below = " or ".join(map(str, options.links_below)) or "no directory"
        notes.append(Note("mount", text, {**values, "path": path, "below": below}, path="/compute/volumes"))
    if any(mount.mode is MountMode.READONLY for mount in request.mounts):
        text = "{site} can't keep a container from changing what is mounted read-only"
        notes.append(Note("mount", text, values, Level.INFO, "/compute/volumes"))
    return notes


def top_paths(paths: Sequence[str]) -> list[str]:
    """Those that aren't below another."""
    return [path for path in paths if not any(path.startswith(f"{other.rstrip('/')}/") for other in paths)]


def option_for(wanted: int, options: Sequence[int]) -> int | None:
    """The smallest size that is enough; None: there is none. `options` are in order."""
    return next((size for size in options if size >= wanted), None)


def bounded(platform: Platform, view: View | str) -> Platform:
    """See `SaysWhatFits.bounded`."""
    seconds = min(platform.max_duration_seconds, LONGEST_SECONDS)
    if isinstance(view, str):
        return replace(platform, max_duration_seconds=seconds)
    return replace(
        platform,
        max_duration_seconds=seconds,
        max_cores=min(platform.max_cores or platform.cores, view.context.cores[-1]),
        max_memory_gib=min(platform.max_memory_gib or platform.memory_gib, view.context.memory_gib[-1]),
    )
