"""Containers by podman, on the machine that the broker runs on; data is staged by the site's own host."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from broker.model import Connector, DataItem, Executable, Job, MountMode, Note
from broker.platforms import PlatformError, Progress, State, Status, StoredFile, results
from broker.platforms.container_log import read_log
from broker.platforms.engine_conf import engine_flags
from broker.platforms.options import architecture, check_executable, read_options
from broker.platforms.places import job_directory, plain_name, storage_path
from broker.platforms.podman_cli import (
    COMMAND_SECONDS,
    Images,
    is_local,
    is_reference,
    podman,
    podman_ok,
    qualified,
    usable,
    words,
)
from broker.platforms.staging import make_job_directory, stage_file
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from netprobe.cost import Move
from netprobe.measurement import Measurement

__all__ = ["PodmanPlatform", "usable"]

DEFAULTS = {
    "staging": None,  # directory for staged files; the work directory where unset
    "network": "none",  # as in `podman run --network`
    "limits": "required",  # "none": run without limits of cores and memory where podman can't set them
    "privileged": False,  # whether privileged containers may run
    "image_seconds": 60.0,  # P90 of pulling an image
    "pull_seconds": 900.0,  # when a pull is given up
    "stop_seconds": 10.0,  # from SIGTERM to SIGKILL
}
# starting from an image that is in place
PRESENT_SECONDS = 1.0
LABEL = "fairlead.session"
LOG_NAME = "container.log"
# the log starts anew when it is this long, so that a chatty job can't fill the disk
LOG_SIZE = "64mb"
# `podman run` says so where a container of that name exists
NAME_IN_USE = "already in use"
NEVER_RAN = {"created", "configured", "initialized"}
ENDED = {"exited", "stopped", "dead", "removing"}


class PodmanPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): the names in DEFAULTS."""

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        if site.platform is None:
            raise InputError(f"site {site.id!r} has no platform")
        options = read_options(site, DEFAULTS)
        if options["limits"] not in ("required", "none"):
            raise InputError(
                f"site {site.id!r}: option 'limits': expected 'required' or 'none', got {options['limits']!r}"
            )
        self._site, self._platform, self._clock = site, site.platform, clock
        self._root = Path(options["staging"]) if options["staging"] else work_directory
        self._options = options
        self._images = Images()
        self._pulling: dict[tuple[str, ...], asyncio.Lock] = {}

    def check(self, executable: Executable) -> Sequence[Note]:
        notes = list(check_executable(self._site, self._platform, executable))
        site = self._site.id
        at = "/executable/image/locations"
        wrong = [location for location in executable.locations if not is_reference(location)]
        if shutil.which("podman") is None:
            notes.append(
                Note("platform", "{site} has no container engine: podman is missing", {"site": site})
            )
        elif not executable.locations:
            notes.append(Note("image-location", "the image has no location", path=at))
        elif wrong:
            template = "{location} is not the name of an image: expected REGISTRY/NAMESPACE/NAME:TAG"
            notes.append(Note("image-location", template, {"location": repr(wrong[0])}, path=at))
        elif all(map(is_local, executable.locations)) and not self._images.has(executable.locations):
            values = {"site": site, "image": executable.locations[0]}
            notes.append(Note("image-absent", "{site} doesn't have the local image {image}", values, path=at))
        if executable.privileged and not self._options["privileged"]:
            template = "{site} runs no privileged containers"
            notes.append(Note("privileged", template, {"site": site}, path="/executable/privileged"))
        return notes

    def image_seconds(self, executable: Executable) -> float:
        return (
            PRESENT_SECONDS
            if self._images.has(executable.locations)
            else float(self._options["image_seconds"])
        )

    async def stage(
        self, job_id: str, item: DataItem, move: Move, progress: Progress
    ) -> tuple[Path, Measurement | None]:
        return await stage_file(self._site, self._clock, self._root, job_id, item, move, progress)

    async def make_storage(self, job_id: str, name: str) -> Path:
        path = storage_path(self._root, job_id, name)
        try:
            make_job_directory(self._root, job_id)
            path.mkdir(parents=True, exist_ok=True)
            # the container's user may be anybody; other users of this machine stop at the job's directory
            path.chmod(0o777)
        except OSError as problem:
            raise self._error(f"{path}: {problem.strerror or problem}") from problem
        return path

    async def prepare(self, job: Job) -> None:
        reason = await asyncio.to_thread(usable)
        if reason is not None and self._options["limits"] == "required":
            raise self._error(reason)
        wanted = job.executable
        async with self._pulling.setdefault(wanted.locations, asyncio.Lock()):
            image = await self._find(wanted)
            if image is None:
                image = await self._pull(wanted)
        found = architecture(image["Architecture"])
        if found not in map(architecture, self._platform.architectures):
            # podman would only warn, and the program fail
            raise self._error(f"the image {wanted.locations[0]} is for {found}, which this site can't run")

    async def start(self, job: Job) -> Sequence[Connector]:
        name = container_name(job.id)
        state = await self._inspect(name)
        if state is None:
            image = await self._find(job.executable)
            if image is None:
                raise self._error(f"the image {job.executable.locations[0]} is not in place")
            try:
                directory = make_job_directory(self._root, job.id)
            except OSError as problem:
                raise self._error(f"{problem.filename}: {problem.strerror}") from problem
            arguments = run_arguments(job, name, image["Id"], directory / LOG_NAME, self._options)
            end = await podman(*arguments, time_limit_seconds=COMMAND_SECONDS)
            if end.returncode != 0 and NAME_IN_USE not in end.stderr:
                await podman("rm", "--force", "--ignore", name)
                raise self._error(f"the container can't be started: {words(end.complaint)}")
        elif state["Status"] in NEVER_RAN:
            # we were ended between its creation and its start
            await podman_ok("start", name)
        return ()

    async def poll(self, job: Job) -> Status:
        state = await self._inspect(container_name(job.id))
        if state is None or state["Status"] in NEVER_RAN:
            return Status(State.ABSENT)
        stdout, stderr = await asyncio.to_thread(read_log, job_directory(self._root, job.id) / LOG_NAME)
        if state["Status"] in ENDED:
            return Status(State.EXITED, int(state["ExitCode"]), stdout, stderr)
        return Status(State.RUNNING, None, stdout, stderr)

    async def stop(self, job: Job) -> None:
        name = container_name(job.id)
        state = await self._inspect(name)
        if state is not None and state["Status"] not in ENDED:
            grace = float(self._options["stop_seconds"])
            limit = grace + COMMAND_SECONDS
            await podman_ok("stop", "--ignore", "--time", f"{grace:.0f}", name, time_limit_seconds=limit)

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return await asyncio.to_thread(results.list_files, self._root, job_id, name)

    async def open_file(self, job_id: str, name: str, path: str) -> Path | None:
        return await asyncio.to_thread(results.open_file, self._root, job_id, name, path)

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        name, directory = container_name(job_id), job_directory(self._root, job_id)
        if shutil.which("podman") is not None:
            await podman_ok("rm", "--force", "--ignore", "--volumes", "--time", "0", name)
        try:
            await asyncio.to_thread(results.remove_all_but, self._root, job_id, keep)
        except FileNotFoundError:
            pass
        except PermissionError:
            # without root, what a container's user wrote belongs to one of our subordinate users
            await podman_ok("unshare", "rm", "-rf", "--", str(directory))
        except OSError as problem:
            raise self._error(f"{directory} can't be removed: {problem.strerror}") from problem

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        """The container's State document; None where there is no such container."""
        end = await podman("inspect", "--type", "container", "--format", "{{json .State}}", name)
        if end.returncode != 0:
            if "no such" in end.stderr.lower():
                return None
            raise self._error(f"podman inspect: {words(end.complaint)}")
        state: dict[str, Any] = json.loads(end.stdout)
        return state

    async def _find(self, executable: Executable) -> dict[str, Any] | None:
        """The image in podman's store that is meant, as `podman image inspect` has it; or None."""
        for location in executable.locations:
            if not is_reference(location):
                raise self._error(f"{location!r} is not the name of an image")
            end = await podman("image", "inspect", "--format", "json", qualified(location))
            if end.returncode == 0:
                image: dict[str, Any] = json.loads(end.stdout)[0]
                if executable.digest is None or executable.digest in digests(image):
                    return image
        return None

    async def _pull(self, executable: Executable) -> dict[str, Any]:
        """Pull by the first location that works. Raises PlatformError with what each of them said."""
        said = []
        for location in executable.locations:
            if is_local(location):
                said.append(f"{location} is not here, and local images are never pulled")
                continue
            limit = float(self._options["pull_seconds"])
            platform = ("--os", "linux", "--arch", architecture(executable.architecture))
            try:
                await podman_ok("pull", "--quiet", *platform, qualified(location), time_limit_seconds=limit)
            except PlatformError as problem:
                said.append(f"{location}: {problem}")
                continue
            image = await self._find(executable)
            if image is not None:
                return image
            said.append(f"{location}: wrong digest: expected {executable.digest}")
        raise self._error(f"the image can't be had: {'; '.join(said) or 'it has no location'}")

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site.id}: {text}")


def container_name(job_id: str) -> str:
    return f"fairlead-{plain_name(job_id)}"


def digests(image: dict[str, Any]) -> set[str]:
    """Digests under which an image is known: of its manifest, its lists and its configuration."""
    listed = {name.rpartition("@")[2] for name in image.get("RepoDigests") or ()}
    return listed | {image.get("Digest") or "", f"sha256:{image['Id']}"}


def run_arguments(job: Job, name: str, image_id: str, log: Path, options: dict[str, Any]) -> list[str]:
    """Everything after `podman`. Raises PlatformError for what can't be said on its command line."""
    arguments = ["run", "--detach", "--pull", "never", "--name", name, "--label", f"{LABEL}={job.id}"]
    arguments += ["--network", str(options["network"]), *engine_flags().run]
    # SELinux, where there is one, would keep the container from what was staged for it
    arguments += ["--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
    arguments += ["--log-driver", "k8s-file", "--log-opt", f"path={log}", "--log-opt", f"max-size={LOG_SIZE}"]
    if options["limits"] == "required":
        memory = f"{job.memory_gib}g"
        # as much swap as memory is podman's default: it would double what was offered
        arguments += ["--cpus", str(job.cores), "--memory", memory, "--memory-swap", memory]
    if job.executable.privileged:
        arguments += ["--privileged"]
    for host_path, path, mode in job.binds:
        if not path.startswith("/") or any(letter in path + host_path for letter in ":,\n\0"):
            raise PlatformError(f"{path!r} can't be a mount path: expected /... without colons and commas")
        arguments += ["--volume", f"{host_path}:{path}:{'ro' if mode is MountMode.READONLY else 'rw'}"]
    for key, value in job.executable.environment.items():
        if not key or "=" in key:
            raise PlatformError(f"{key!r} can't be the name of an environment variable")
        arguments += ["--env", f"{key}={value}"]
    if job.executable.entrypoint is not None:
        arguments += [f"--entrypoint={job.executable.entrypoint}"]
    return [*arguments, image_id, *job.executable.command]
