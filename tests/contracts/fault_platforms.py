"""The platforms as `fault_worlds` has them: what each is, and where its faults come in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import Engine

from broker.platforms import openstack_lines, openstack_servers, podman_cli
from broker.platforms.engine_conf import engine_flags
from broker.platforms.openstack_nova import SESSION, WORD
from broker.platforms.podman_run import container_name
from broker.service import Broker
from federation.clock import SystemClock
from reservations.sources.slurm_rest import TOKEN_VARIABLE
from tests.broker.other_broker import OtherBroker, other_broker
from tests.broker.podman_support import podman
from tests.cloud.stand_in import StandIn
from tests.contracts.fault_cloud import NAME as CLOUD
from tests.contracts.fault_cloud import PASSWORD, CloudServer, clouds_yaml, served
from tests.contracts.fault_worlds import World
from tests.contracts.faults import CommandFront, Fault, HttpFront, proxied
from tests.skaha.platform_support import TERMINAL
from tests.skaha.serving import Served, skaha, skaha_options
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import platform_options
from tests.slurm.rest import Restd

# what podman says where its store can't be had, and where the kernel doesn't let it
PODMAN_WORDS = {
    Fault.DOWN: ("Error: creating runtime: database is locked", 125),
    Fault.FORBIDDEN: ("Error: creating runtime: mkdir /run/libpod: permission denied", 125),
}
SLURM_COMMANDS = ("squeue", "sbatch", "scancel", "scontrol", "sinfo")
AWAY = "{name}: error: Unable to contact slurm controller (connect failure)"
MUNGE = "{name}: error: slurm_load_jobs error: Protocol authentication error"
SLURM_WORDS = {
    Fault.DOWN: (AWAY, 1),
    Fault.UNAUTHORIZED: (MUNGE, 1),
    Fault.FORBIDDEN: ("{name}: error: Access/permission denied", 1),
}
FLAVOUR = {
    "id": "small",
    "name": "small",
    "vcpus": 2,
    "ram": 4096,
    "disk": 40,
    "OS-FLV-EXT-DATA:ephemeral": 0,
    "swap": "",
    "extra_specs": {},
}


def containers_of(uuid: str) -> list[str]:
    listed = ("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={container_name(uuid)}")
    return podman(*listed).split()


def without_storage(document: dict[str, Any]) -> dict[str, Any]:
    del document["storage"], document["compute"]["volumes"]
    return document


class PodmanWorld(World):
    kind = "podman"

    def __init__(
        self, directory: Path, engine: Engine, front: CommandFront, image: str, patch: pytest.MonkeyPatch
    ) -> None:
        options = {"limits": "none", "stop_seconds": 0.0}
        super().__init__(directory, engine, front, options)
        self._image, self._patch = image, patch

    def broker(self, impatient: bool = False) -> Broker:
        self._patch.setattr(podman_cli, "COMMAND_SECONDS", 0.5 if impatient else 30.0)
        return super().broker(impatient)

    def image(self) -> str:
        return self._image

    def there(self, uuid: str) -> list[str]:
        return containers_of(uuid)


class SlurmWorld(World):
    kind = "slurm"
    impatient: ClassVar[Mapping[str, Any]] = {"command_seconds": 1.0}

    def __init__(
        self, directory: Path, engine: Engine, front: CommandFront, image: str, cluster: Cluster
    ) -> None:
        super().__init__(directory, engine, front, platform_options(cluster))
        self._image, self._cluster = image, cluster

    def image(self) -> str:
        return self._image

    def there(self, uuid: str) -> list[str]:
        squeue = ("squeue", "--noheader", "--states=pending,running", f"--name={container_name(uuid)}")
        return [*self._cluster.run(*squeue, "--format=%i").split(), *containers_of(uuid)]


class HttpWorld(World):
    front: HttpFront

    def nowhere(self, line: str) -> str:
        return line.replace(self.front.url, "URL")


class SlurmrestdWorld(SlurmWorld, HttpWorld):
    """The same cluster, asked by its slurmrestd alone."""

    kind = "slurmrestd"
    front: HttpFront

    def __init__(self, directory: Path, engine: Engine, front: HttpFront, image: str, restd: Restd) -> None:
        HttpWorld.__init__(
            self,
            directory,
            engine,
            front,
            platform_options(restd.cluster, **restd.options(rest_url=front.url)),
        )
        self._image, self._cluster = image, restd.cluster
        self._token = restd.token_file.read_text().strip().removeprefix(f"{TOKEN_VARIABLE}=")
        # what expires is known there
        front.sent.add(self._token)

    def secrets(self) -> set[str]:
        return {*super().secrets(), self._token}


class SkahaWorld(HttpWorld):
    kind = "skaha"
    impatient: ClassVar[Mapping[str, Any]] = {"request_seconds": 0.3}

    def __init__(self, directory: Path, engine: Engine, front: HttpFront, served: Served) -> None:
        staging = directory / "staging"
        staging.mkdir()
        (directory / "arc").symlink_to(staging)
        more = {"url": front.url, "staging": str(staging), "staging_there": str(directory / "arc")}
        super().__init__(directory, engine, front, {**skaha_options(served, directory), **more})
        self._simulator = served.simulator

    @property
    def root(self) -> Path:
        return self.directory / "staging"

    def image(self) -> str:
        return TERMINAL

    def turned(self, seconds: float) -> None:
        self._simulator.advance(seconds)

    def there(self, uuid: str) -> list[str]:
        found = list(self._simulator.pods.values())
        return [pod.id for pod in found if uuid in pod.name and pod.deleted is None]

    def secrets(self) -> set[str]:
        return {*super().secrets(), "tok123"}


class BrokerWorld(HttpWorld):
    kind = "execution_broker"
    impatient: ClassVar[Mapping[str, Any]] = {"request_seconds": 0.3}
    stores = False

    def __init__(self, directory: Path, engine: Engine, front: HttpFront, other: OtherBroker) -> None:
        token = directory / "token"
        token.write_text("b3arer")
        options = {"url": front.url, "token_file": str(token), "request_seconds": 60.0}
        super().__init__(directory, engine, front, options)
        self.other = other
        other.now = self.clock.now

    def clean(self) -> None:
        """It is gone with the test."""

    def image(self) -> str:
        return "example.org/checksum:1"

    def document(self) -> dict[str, Any]:
        return without_storage(super().document())

    def _session(self, uuid: str) -> dict[str, Any]:
        wanted = self.reference(uuid)
        found: dict[str, Any] = self.other.sessions[wanted]
        return found

    def there(self, uuid: str) -> list[str]:
        session = self._session(uuid)
        gone = ("OFFERED", "REJECTED", "EXPIRED", "CANCELLED", "COMPLETED", "FAILED")
        return [] if session["phase"] in gone else [session["meta"]["uuid"]]

    def made(self, uuid: str) -> int:
        """Of all sessions: an offer that was accepted besides would be another's."""
        return sum(each["phase"] != "OFFERED" for each in self.other.sessions.values())

    def begins(self, uuid: str) -> None:
        self._session(uuid)["phase"] = "RUNNING"

    def finish(self, uuid: str) -> None:
        self._session(uuid)["phase"] = "COMPLETED"

    def secrets(self) -> set[str]:
        return {*super().secrets(), "b3arer"}


class CloudWorld(HttpWorld):
    """Its cloud is the stand-in of Nova, whose answers have the forms of the real one's."""

    kind = "openstack"
    impatient: ClassVar[Mapping[str, Any]] = {"request_seconds": 1.0}
    stores = False

    def __init__(self, directory: Path, engine: Engine, front: HttpFront, server: CloudServer) -> None:
        image = "11111111-2222-3333-4444-555555555555"
        options = {"cloud": CLOUD, "image": image, "network": "none", "poll_seconds": 0.0}
        options["stop_seconds"] = 0.1  # the stand-in's servers never halt
        super().__init__(directory, engine, front, options)
        self._server, self._nova = server, server.stand_in
        self._nova.clock = self.clock

    def image(self) -> str:
        return "registry.example.org/sky/checksum:1"

    def document(self) -> dict[str, Any]:
        return without_storage(super().document())

    def there(self, uuid: str) -> list[str]:
        found = self._nova.servers
        return [key for key in self._nova.there() if found[key]["metadata"].get(SESSION) == uuid]

    def made(self, uuid: str) -> int:
        return sum(body["server"]["metadata"].get(SESSION) == uuid for body in self._nova.bodies)

    def finish(self, uuid: str) -> None:
        [key] = self.there(uuid)
        report = {"step": "end", "exit_code": 0, "stdout": "", "stderr": ""}
        lines = openstack_lines.written(self._nova.servers[key]["metadata"][WORD], 1, report)
        self._nova.consoles[key] = "".join(f"{line}\r\n" for line in lines)

    def secrets(self) -> set[str]:
        return {*super().secrets(), PASSWORD, *self._server.tokens}


@contextmanager
def made(request: pytest.FixtureRequest, kind: str, directory: Path, engine: Engine) -> Iterator[World]:
    """The world of a platform; `request` knows the fixtures `image`, `cluster` and `rest`."""
    worlds = {
        "podman": podman_world,
        "slurm": slurm_world,
        "slurmrestd": slurmrestd_world,
        "skaha": skaha_world,
        "openstack": cloud_world,
        "execution_broker": broker_world,
    }
    with worlds[kind](request, directory, engine) as world:
        yield world


@contextmanager
def podman_world(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[World]:
    image, patch = request.getfixturevalue("image"), request.getfixturevalue("monkeypatch")
    engine_flags()  # what podman needs here is found out by the real one
    front = CommandFront(directory / "front", ["podman"], PODMAN_WORDS, "*' run '*fairlead.session*")
    patch.setenv("PATH", front.path, prepend=os.pathsep)
    yield PodmanWorld(directory, engine, front, image, patch)


@contextmanager
def slurm_world(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[World]:
    image, cluster = request.getfixturevalue("image"), request.getfixturevalue("cluster")
    front = CommandFront(directory / "front", SLURM_COMMANDS, SLURM_WORDS, "'sbatch '*")
    request.getfixturevalue("monkeypatch").setenv("PATH", front.path, prepend=os.pathsep)
    yield SlurmWorld(directory, engine, front, image, cluster)


@contextmanager
def slurmrestd_world(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[World]:
    def starts(method: str, path: str, body: bytes) -> bool:
        return method == "POST" and path.endswith("/job/submit")

    image, restd = request.getfixturevalue("image"), request.getfixturevalue("rest")
    with proxied(restd.url, starts) as front:
        yield SlurmrestdWorld(directory, engine, front, image, restd)


@contextmanager
def skaha_world(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[World]:
    def starts(method: str, path: str, body: bytes) -> bool:
        return method == "POST" and path.endswith("/session")

    with skaha(directory / "skaha") as served, proxied(served.url, starts) as front:
        yield SkahaWorld(directory, engine, front, served)


@contextmanager
def broker_world(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[World]:
    def starts(method: str, path: str, body: bytes) -> bool:
        return method == "POST" and b"ACCEPTED" in body

    with other_broker(lambda: datetime.now(UTC)) as other, proxied(other.url, starts) as front:
        yield BrokerWorld(directory, engine, front, other)


@contextmanager
def cloud_world(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[World]:
    def starts(method: str, path: str, body: bytes) -> bool:
        return method == "POST" and path.endswith("/servers")

    patch = request.getfixturevalue("monkeypatch")
    # a server of the stand-in is gone when it is looked at
    patch.setattr(openstack_servers, "PAUSE_SECONDS", 0.02)
    stand_in = StandIn(SystemClock(), flavours=[FLAVOUR])
    with served(stand_in) as server, proxied(server.nova, starts) as front:
        server.nova = front.url
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds_yaml(server, directory)))
        yield CloudWorld(directory, engine, front, server)
