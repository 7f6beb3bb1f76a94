"""Executables: what runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from broker.contract import kinds
from broker.contract.common import LifecycleComponent, UnknownComponent
from broker.contract.wire import UNKNOWN, Int32, Wire, by_kind


class DockerPlatform(Wire):
    architecture: str | None = None
    os: str | None = None


class DockerImage(Wire):
    locations: list[str] | None = None
    digest: str | None = None
    platform: DockerPlatform | None = None


class DockerInternalPort(Wire):
    port: Int32 | None = None


class DockerExternalPort(Wire):
    port: Int32 | None = None
    addresses: list[str] | None = None


class DockerPort(Wire):
    access: bool | None = None
    internal: DockerInternalPort | None = None
    external: DockerExternalPort | None = None
    protocol: str | None = None
    path: str | None = None


class DockerNetwork(Wire):
    ports: list[DockerPort] | None = None


class DockerContainer(LifecycleComponent):
    image: DockerImage | None = None
    privileged: bool | None = None
    command: list[str] | None = None
    entrypoint: str | None = None
    environment: dict[str, str] | None = None
    network: DockerNetwork | None = None


class SingularityContainer(LifecycleComponent):
    location: str | None = None  # of the image


class JupyterNotebook(LifecycleComponent):
    location: str | None = None


Executable = Annotated[
    Annotated[DockerContainer, Tag("kind:docker-container")]
    | Annotated[SingularityContainer, Tag("kind:singularity-container")]
    | Annotated[JupyterNotebook, Tag("kind:jupyter-notebook")]
    | Annotated[UnknownComponent, Tag(UNKNOWN)],
    by_kind(
        {
            kinds.DOCKER_CONTAINER: "kind:docker-container",
            kinds.SINGULARITY_CONTAINER: "kind:singularity-container",
            kinds.JUPYTER_NOTEBOOK: "kind:jupyter-notebook",
        }
    ),
]
