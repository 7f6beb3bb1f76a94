"""Apptainer and Singularity in a Slurm job, and a job without any container.

By Apptainer's documentation: `--compat` is what comes nearest to an OCI engine (nothing of the host mounted,
a clean environment, no evaluation of arguments), `none` is the network that users without rights may have,
and a variable APPTAINERENV_X (SINGULARITYENV_X) becomes X inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.model import Executable, Job, MountMode
from broker.platforms import PlatformError
from broker.platforms.podman_run import checked_binds
from broker.platforms.slurm_script import STDERR_NAME, Body, line

IMAGE_FILE = "image.sif"
EXPORTS_FILE = "environment.sh"
# what a shell can export
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# the engine's own failures
_JUDGE = """if [ "$code" = 255 ]; then
  reason="the container could not be started on $node: $(tail -n 1 {stderr})"
fi"""
# a process group of its own: signals reach all that it starts
_GROUP = {
    "terminate": 'kill -TERM -"$child" 2>/dev/null',
    "slay": 'kill -KILL -"$child" 2>/dev/null',
    "tidy": '[ -z "$child" ] || kill -KILL -"$child" 2>/dev/null',
}


def prefix(runtime: str) -> str:
    """What stands before the names of variables that are meant for inside."""
    return {"apptainer": "APPTAINERENV_", "singularity": "SINGULARITYENV_"}.get(runtime, "")


def apptainer_body(job: Job, batch: Path, options: Mapping[str, Any], engine: list[str]) -> Body:
    """Raises PlatformError for what can't be said on the command line."""
    options_of_run = ["--compat"]
    if options["network"] == "none":
        options_of_run += ["--net", "--network", "none"]
    for host_path, path, mode in checked_binds(job):
        options_of_run += ["--bind", f"{host_path}:{path}:{'ro' if mode is MountMode.READONLY else 'rw'}"]
    options_of_run += options["engine_run"]
    image = str(batch / IMAGE_FILE)
    if job.executable.entrypoint is None:
        # the runscript is the image's entry point, and takes the arguments in the place of its command
        what = ["run", *options_of_run, image, *job.executable.command]
    else:
        what = ["exec", *options_of_run, image, job.executable.entrypoint, *job.executable.command]
    return Body(
        prepare=f". ./{EXPORTS_FILE}",
        run=f"setsid {line(*engine, *what)}",
        judge=_JUDGE.format(stderr=STDERR_NAME),
        **_GROUP,
    )


def bare_body(job: Job) -> Body:
    """The command itself, on the node's own software. Raises PlatformError for what needs a container."""
    if job.binds:
        raise PlatformError("without a container engine nothing can be mounted at a path of its own")
    return Body(run=f"( . ./{EXPORTS_FILE}; exec setsid {line(*bare_command(job.executable))} )", **_GROUP)


def bare_command(executable: Executable) -> list[str]:
    """What is run without a container: its entry point and command; empty where there is neither."""
    entrypoint = [] if executable.entrypoint is None else [executable.entrypoint]
    return [*entrypoint, *executable.command]
