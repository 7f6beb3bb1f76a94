"""Why a site that runs containers as Slurm jobs can't run an executable, whatever its image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker.model import Executable, ExecutableKind, Note
from broker.platforms.slurm_apptainer import VARIABLE


def check_container(site_id: str, executable: Executable, options: Mapping[str, Any]) -> Iterator[Note]:
    values = {"site": site_id}
    if executable.kind is ExecutableKind.NOTEBOOK:
        text = "{site} runs no notebooks: its Slurm jobs publish no ports"
        yield Note("notebook-image", text, values, path="/executable")
    elif executable.ports:
        text = "{site} publishes no ports: which node a Slurm job runs on is known only when it has begun"
        yield Note("ports", text, values, path="/executable/network/ports")
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
