"""The options of the platform slurm (catalogue, [sites.<id>.platform.options])."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.platforms import notebook, slurm_ports
from broker.platforms.options import read_options
from broker.platforms.podman_options import outside_rate
from federation.errors import InputError
from federation.hosts import SshHost
from federation.sites import Site
from reservations.sources.slurm_rest import RestOptions, rest_options

RUNTIMES = ("podman", "apptainer", "singularity", "none")
DEFAULTS: dict[str, Any] = {
    # a directory that nodes, login node and broker see under the same path; the work directory where unset
    "staging": None,
    "conf": None,  # SLURM_CONF on the site's host
    "partition": None,
    "account": None,
    "qos": None,
    "constraint": None,
    "sbatch": [],  # more options of sbatch, such as "--exclusive"
    "rest_url": None,  # slurmrestd instead of commands: https://HOST:PORT, or unix:/PATH
    "rest_user": None,  # who asks there; the broker's own account where unset
    "rest_token_file": None,  # a file with that user's token; SLURM_JWT of the environment where unset
    "rest_ca_file": None,  # who signs its certificate, where the machine doesn't know
    "rest_job": {},  # more fields of a job there, such as exclusive = "exclusive"
    "runtime": "podman",  # one of RUNTIMES
    "engine": [],  # the engine's command and its general options; the runtime's name where empty
    "engine_run": [],  # more options of its `run`
    "images": "node",  # or "shared": the nodes see the image store of the site's host
    "bare_images": [],  # with runtime "none": names of images that stand for the nodes' own software
    "network": "none",  # "host": containers share the node's network
    "ports": "refuse",  # or "publish": on the node, for whoever can reach it
    "publish_address": "0.0.0.0",  # the address of the node on which ports are published
    "node_address": "{node}",  # how clients reach a node, such as "{node}.perth.example"
    "limits": "required",  # "none": run without limits where the node has no control groups for them
    "processes": 2048,  # of one container at most
    "privileged": False,  # whether privileged containers may run
    "image_seconds": 60.0,  # P90 of bringing an image whose size isn't known
    "outside_rate": None,  # what pulls from outside the federation get, such as "200 Mbit/s"
    "pull_seconds": 900.0,  # when that is given up
    "stop_seconds": 10.0,  # from SIGTERM to SIGKILL
    "extra_seconds": 120.0,  # how much longer than its session a Slurm job may last
    "command_seconds": 20.0,  # how long one of Slurm's commands may take
    "poll_seconds": 2.0,  # between two questions to Slurm, for all sessions together
    **notebook.OPTIONS,
}
# stopping is one step of a session, and those have limits
LONGEST_STOP_SECONDS = 30.0
# a question may have to wait for the one before it, and looking at a session has a limit, too
LONGEST_COMMAND_SECONDS = 25.0


def slurm_options(site: Site) -> Mapping[str, Any]:
    """The options of `site` over DEFAULTS. Raises InputError where they can't work."""
    options = read_options(site, DEFAULTS)
    for name in ("sbatch", "engine", "engine_run", "bare_images"):
        if not all(isinstance(part, str) for part in options[name]):
            raise _wrong(site, name, "a list of texts", options[name])
    for name, words in {
        "runtime": RUNTIMES,
        "images": ("node", "shared"),
        "network": ("none", "host"),
        "limits": ("required", "none"),
    }.items():
        if options[name] not in words:
            raise _wrong(site, name, " or ".join(map(repr, words)), options[name])
    for name, least, most in (
        ("processes", 1, float("inf")),
        ("image_seconds", 0, float("inf")),
        ("pull_seconds", 1, float("inf")),
        ("stop_seconds", 0, LONGEST_STOP_SECONDS),
        ("extra_seconds", 0, float("inf")),
        ("command_seconds", 1, LONGEST_COMMAND_SECONDS),
        ("poll_seconds", 0, 60),
    ):
        if not least <= options[name] <= most:
            expected = f"{least:g} or more" if most == float("inf") else f"{least:g} to {most:g}"
            raise _wrong(site, name, expected, options[name])
    try:
        outside_rate(options)
    except InputError as problem:
        raise InputError(f"site {site.id!r}: option 'outside_rate': {problem}") from None
    _check_staging(site, options["staging"])
    rest_of(site, options)
    slurm_ports.check_options(site, options)
    notebook.check_options(site.id, options)
    if options["privileged"] and options["runtime"] != "podman":
        raise _wrong(site, "privileged", f"false with runtime {options['runtime']!r}", True)
    return options


def rest_of(site: Site, options: Mapping[str, Any]) -> RestOptions | None:
    """Where slurmrestd is, and who asks; None: it is not used. Raises InputError."""
    url = options["rest_url"]
    if url is None:
        unused = [name for name in DEFAULTS if name.startswith("rest_") and options[name] != DEFAULTS[name]]
        if unused:
            raise _wrong(site, unused[0], "'rest_url' with it", options[unused[0]])
        return None
    if options["sbatch"]:
        raise _wrong(site, "sbatch", "none with 'rest_url' (see 'rest_job')", options["sbatch"])
    files = options["rest_token_file"], options["rest_ca_file"]
    return rest_options(f"site {site.id!r}: option", url, options["rest_user"], *files)


def _check_staging(site: Site, staging: str | None) -> None:
    """Files are checked, listed and handed out here: the site's shared file system must be mounted here."""
    if staging is None:
        if isinstance(site.host, SshHost):
            expected = f"a directory that this machine, {site.host.name} and the nodes share"
            raise _wrong(site, "staging", expected, "none")
        return
    if not Path(staging).is_absolute():
        raise _wrong(site, "staging", "an absolute path", staging)
    if isinstance(site.host, SshHost) and not Path(staging).is_dir():
        expected = "a directory of the site's shared file system that is mounted here under the same path"
        raise _wrong(site, "staging", expected, staging)


def _wrong(site: Site, name: str, expected: str, got: Any) -> InputError:
    return InputError(f"site {site.id!r}: option {name!r}: expected {expected}, got {got!r}")
