"""The `podman run` of a job. Nothing secret is on its command line, which every user can read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.file_names import plain_name
from broker.model import Executable, Job, MountMode
from broker.platforms import PlatformError
from broker.platforms.engine_conf import engine_flags
from broker.platforms.places import write_private
from broker.platforms.podman_cli import podman, words
from broker.platforms.podman_containers import LABEL
from broker.platforms.podman_ports import publish_arguments

LOG_NAME = "container.log"
# the log starts anew when it is this long, so that a chatty job can't fill the disk
LOG_SIZE = "64mb"
ENVIRONMENT_NAME = "environment"
SECRETS_NAME = "secrets"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
# podman reads its environment files line by line, no line longer than this (Go's bufio.Scanner)
LINE_BYTES = 60_000
# podman's secrets are this long at most
SECRET_BYTES = 512_000
# a start that was cut short has made it already, with the same value
SECRET_IN_USE = "in use"
# what was about to start it when it was ended may still hold its mounts: podman is asked again after these
IS_BUSY = "device or resource busy"
BUSY_PAUSES_SECONDS = (0.1, 0.3, 1.0, 3.0)


def container_name(job_id: str) -> str:
    return f"fairlead-{plain_name(job_id)}"


def run_arguments(job: Job, image_id: str, directory: Path, options: Mapping[str, Any]) -> list[str]:
    """Everything after `podman`. Raises PlatformError for what can't be said on its command line.

    `directory` is the job's; the environment is read from there (see `write_environment`).
    """
    name = container_name(job.id)
    arguments = ["run", "--detach", "--pull", "never", "--name", name, "--label", f"{LABEL}={job.id}"]
    arguments += [*publish_arguments(job.executable.ports, options), *engine_flags().run]
    arguments += log_arguments(directory)
    if options["limits"] == "required":
        arguments += limit_arguments(job, options)
    arguments += [*content_arguments(job, directory), *options["engine_run"]]
    return [*arguments, image_id, *job.executable.command]


def log_arguments(directory: Path) -> list[str]:
    log = ["--log-driver", "k8s-file", "--log-opt", f"path={directory / LOG_NAME}"]
    return [*log, "--log-opt", f"max-size={LOG_SIZE}"]


def limit_arguments(job: Job, options: Mapping[str, Any]) -> list[str]:
    memory = f"{job.memory_gib}g"
    # as much swap as memory is podman's default: it would double what was offered
    limits = ["--cpus", str(job.cores), "--memory", memory, "--memory-swap", memory]
    return [*limits, "--pids-limit", str(options["processes"])]


def content_arguments(job: Job, directory: Path) -> list[str]:
    """What the container gets and may do, wherever podman runs it. Raises PlatformError as above."""
    # SELinux, where there is one, would keep the container from what was staged for it
    arguments = ["--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
    # the broker's own proxies may hold passwords
    arguments += ["--http-proxy=false"]
    if job.executable.privileged:
        arguments += ["--privileged"]
    for host_path, path, mode in checked_binds(job):
        arguments += ["--volume", f"{host_path}:{path}:{'ro' if mode is MountMode.READONLY else 'rw'}"]
    lines, secrets = split_environment(job.executable.environment)
    if lines:
        arguments += ["--env-file", str(directory / ENVIRONMENT_NAME)]
    for number, variable in enumerate(secrets):
        arguments += ["--secret", f"{container_name(job.id)}-{number},type=env,target={variable}"]
    if job.executable.entrypoint is not None:
        arguments += [f"--entrypoint={job.executable.entrypoint}"]
    return arguments


def checked_binds(job: Job) -> Sequence[tuple[str, str, MountMode]]:
    """The job's binds. Raises PlatformError for paths that no engine's command line can say."""
    for host_path, path, _ in job.binds:
        if not path.startswith("/") or any(letter in path + host_path for letter in ":,\n\0"):
            raise PlatformError(f"{path!r} can't be a mount path: expected /... without colons and commas")
    return job.binds


def split_environment(environment: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The variables that a file of lines can carry, and those that can't: their values go in as secrets.

    Never through podman's own environment: a client's LD_PRELOAD or CONTAINERS_CONF would steer podman.
    """
    lines: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for name, value in environment.items():
        if not VARIABLE.fullmatch(name):
            raise PlatformError(f"{name!r} can't be the name of an environment variable")
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            size = SECRET_BYTES + 1
        if "\0" in value or size > SECRET_BYTES:
            expected = f"expected {SECRET_BYTES} bytes of UTF-8 at most, and none of them zero"
            raise PlatformError(f"the value of the environment variable {name} can't be had: {expected}")
        one_line = "\n" not in value and not value.endswith("\r") and size <= LINE_BYTES
        (lines if one_line else secrets)[name] = value
    return lines, secrets


async def write_environment(job_id: str, executable: Executable, directory: Path) -> None:
    """Have the environment where `run_arguments` says that it is. Raises OSError and PlatformError."""
    for name in write_environment_files(job_id, executable, directory):
        # podman reads it again for a start after the machine's restart: it stays until release
        end = await podman("secret", "create", name, str(directory / SECRETS_NAME / name))
        if end.returncode != 0 and SECRET_IN_USE not in end.stderr:
            raise PlatformError(f"podman secret create: {words(end.complaint)}")


def write_environment_files(job_id: str, executable: Executable, directory: Path) -> Sequence[str]:
    """The environment in files for us alone to read; the names of those that are to become secrets. Raises
    OSError and PlatformError."""
    lines, secrets = split_environment(executable.environment)
    if lines:
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        write_private(directory / ENVIRONMENT_NAME, text)
    names = [f"{container_name(job_id)}-{number}" for number in range(len(secrets))]
    if names:
        (directory / SECRETS_NAME).mkdir(mode=0o700, exist_ok=True)
    for name, value in zip(names, secrets.values(), strict=True):
        write_private(directory / SECRETS_NAME / name, value)
    return names


async def remove_container(name: str) -> None:
    """Kill and remove it, with its volumes; one that isn't there is no error. Raises PlatformError."""
    pauses = iter(BUSY_PAUSES_SECONDS)
    while True:
        end = await podman("rm", "--force", "--ignore", "--volumes", "--time", "0", name)
        if end.returncode == 0:
            return
        pause = next(pauses, None) if IS_BUSY in end.stderr else None
        if pause is None:
            raise PlatformError(f"podman rm: {words(end.complaint)}")
        await asyncio.sleep(pause)


async def remove_secrets(directory: Path) -> None:
    """Remove what podman keeps of the environment; the job's directory is removed with the job."""
    for name in secret_names(directory):
        # absent: we were ended before podman had it, or between this and the removal of the directory
        await podman("secret", "rm", name)


def secret_names(directory: Path) -> Sequence[str]:
    try:
        return sorted(path.name for path in (directory / SECRETS_NAME).iterdir())
    except OSError:
        return ()
