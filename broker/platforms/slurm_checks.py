"""Why a site that runs containers as Slurm jobs can't run an executable, whatever its image."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broker.model import Executable, Note
from broker.platforms import notebook
from broker.platforms.podman_ports import check_ports
from broker.platforms.slurm_apptainer import VARIABLE
from broker.platforms.slurm_images import is_on_the_web
from federation.hosts import LocalHost, NamespaceHost
from federation.sites import Site


def check_container(site_id: str, executable: Executable, options: Mapping[str, Any]) -> Iterator[Note]:
    values = {"site": site_id}
    yield from check_ports(site_id, executable.ports, options)
    if executable.privileged and not options["privileged"]:
        yield Note(
            "privileged", "{site} runs no privileged containers", values, path="/executable/privileged"
        )
    if options["runtime"] != "podman":
        for name in executable.environment:
            if VARIABLE.fullmatch(name) is None:
                text = (
                    "{site} can't set an environment variable called {name}: expected letters, digits and _"
                )
                named = {**values, "name": repr(name)}
                yield Note("invalid-value", text, named, path="/executable/environment")


def check_programs(
    site: Site, executable: Executable, options: Mapping[str, Any], engine: Sequence[str]
) -> Iterator[Note]:
    """What the site's host lacks for a session. Only of this machine that is known without asking anybody."""
    if not isinstance(site.host, LocalHost | NamespaceHost):
        return
    needed = ["sbatch", "squeue"] if options["rest_url"] is None else []
    # the host's engine brings the image, for all nodes
    if options["runtime"] != "none" and not (options["runtime"] != "podman" and is_on_the_web(executable)):
        needed.append(engine[0])
    for program in needed:
        if shutil.which(program) is None:
            text = "{site} can't run containers: its host has no command {command}"
            yield Note("platform", text, {"site": site.id, "command": program})


def check_notebook(site_id: str, executable: Executable, options: Mapping[str, Any]) -> Sequence[Note]:
    """Why the site can't run this notebook; whether it has the image is another question."""
    if options["ports"] != "publish":
        text = "{site} runs no notebooks: its operator would set the platform's option ports to 'publish'"
        return [Note("notebook-image", text, {"site": site_id}, path="/executable")]
    return notebook.check_notebook(site_id, executable, options)
