"""The platforms as the contract tests run them: a `Case` a kind, and what each truly can't do."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.model import Job
from broker.platforms import Platform, SaysWhatFits
from broker.platforms.engine_conf import engine_flags
from broker.platforms.openstack_user_data import ROOT
from broker.platforms.podman_cli import usable
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from tests.cloud.booting import booting_cloud
from tests.cloud.bucket import ResultBucket
from tests.contracts.platform_support import CONTENT, make_job, make_platform
from tests.netprobe.servers import FileServer, file_server
from tests.skaha.serving import skaha, skaha_options
from tests.slurm.cluster import Cluster, running, slurm_is_impossible
from tests.slurm.platform_support import platform_options
from tests.slurm.rest import Restd, restd


class Case:
    """A kind of platform, with an image that it can run and options that make it quick."""

    def __init__(self, kind: str, image: str, root: Path, options: dict[str, Any]) -> None:
        self.kind, self.image, self.root, self.options = kind, image, root, options
        self.used: list[Job] = []

    @property
    def there(self) -> Path:
        """Below it lies all of a job, where its container runs."""
        return self.root

    @property
    def publishes(self) -> bool:
        """Whether ports of containers can be reached there at all."""
        return self.kind not in ("slurm", "skaha")

    @property
    def shows_notebooks(self) -> bool:
        return self.kind != "slurm"

    @property
    def fetches(self) -> bool:
        """Whether data is fetched when it is staged; else that is for the job's own machine."""
        return self.kind != "simulated"

    @property
    def required(self) -> dict[str, Any]:
        """The options without which there is no platform of that kind."""
        return {name: self.options[name] for name in ("url", "token_file") if name in self.options}

    def platform(self) -> Platform:
        """A new one each time, as after a restart: what is real stays, what is in memory is gone."""
        return make_platform(self.kind, self.root, self.options)

    def job(self, *command: str, **more: Any) -> Job:
        self.used.append(make_job(self.image, *command, **more))
        return self.used[-1]


class SkahaCase(Case):
    """What Skaha can run is known once it was asked; and it doesn't know the entrypoints of images."""

    def platform(self) -> Platform:
        platform = make_platform(self.kind, self.root.parent / "records", self.options)
        assert isinstance(platform, SaysWhatFits)
        platform.learn()
        return platform

    def job(self, *command: str, **more: Any) -> Job:
        entrypoint, *arguments = command or ("true",)
        return super().job(*arguments, entrypoint=entrypoint, **more)


class PassingClock:
    """Its time passes with each look at it, and a sleep is over when others had their turn: a pretended job
    ends after so many looks, however slow the machine is."""

    LOOK = timedelta(seconds=0.05)

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        self._now += self.LOOK
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class SimulatedCase(Case):
    def platform(self) -> Platform:
        return make_platform(self.kind, self.root, self.options, PassingClock())


class OpenStackCase(Case):
    """Each job has a server of its own, which nobody can reach, and which fetches what it needs itself."""

    there = ROOT
    publishes = shows_notebooks = fetches = False

    @property
    def required(self) -> dict[str, Any]:
        return {"image": self.options["image"]}


SIMULATED = {"stage_seconds": 0.05, "image_seconds": 0.01, "run_seconds": 0.3}

PODMAN = {
    "stop_seconds": 1.0,
    "ports": "publish",
    "notebook_command": ["busybox", "httpd", "-f", "-p", "{port}", "-h", "{directory}"],
    "notebook_path": "/{notebook}",
}


@pytest.fixture(scope="package")
def image() -> Iterator[str]:
    name = build_checksum_image(f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1")
    yield name
    # an image that a container still uses can't be removed
    assert remove_checksum_image(name)


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    reason = slurm_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    with running(3) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def rest(cluster: Cluster) -> Iterator[Restd]:
    with restd(cluster) as found:
        yield found


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


@contextmanager
def skaha_case(directory: Path) -> Iterator[Case]:
    """A simulated Skaha, whose containers have the staging directory under another path."""
    root = directory / "work"
    root.mkdir()
    (directory / "arc").symlink_to(root)
    with skaha(directory / "skaha") as served:
        options = skaha_options(served, directory)
        options |= {"staging": str(root), "staging_there": str(directory / "arc")}
        yield SkahaCase("skaha", "images.canfar.net/skaha/terminal:1.1.2", root, options)


@contextmanager
def openstack_case(directory: Path, image: str, bucket: ResultBucket) -> Iterator[Case]:
    """Servers that boot for real. `tests/cloud` holds the platform against a real cloud, where none boots."""
    flags = engine_flags()
    options = {
        "cloud": "member",
        "image": "tiny",
        "network": "none",
        "engine": ["podman", *flags.everywhere],
        "engine_run": list(flags.run),
        "limits": "required" if usable() is None else "none",
        "python": os.path.realpath(sys.executable),
        "local_images": [image],
        "poll_seconds": 0.0,
        "stop_seconds": 1.0,
        "storage": "keep",
        "results": bucket.options,
    }
    with booting_cloud(directory / "cloud") as cloud:
        yield OpenStackCase("openstack", image, directory / "work", options)
        assert not cloud.there()
    assert not bucket.names()


ENGINES = [pytest.param(kind, marks=pytest.mark.podman) for kind in ("podman", "slurm", "openstack")]


@pytest.fixture(params=["simulated", "skaha", *ENGINES])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with _made(request, tmp_path) as found:
        try:
            yield found
        finally:
            if found.kind in ("podman", "slurm", "openstack"):
                asyncio.run(_release_all(found))


@contextmanager
def _made(request: pytest.FixtureRequest, directory: Path) -> Iterator[Case]:
    if request.param == "skaha":
        with skaha_case(directory) as found:
            yield found
        return
    if request.param == "simulated":
        yield SimulatedCase("simulated", "registry.example.org/any/image:1", directory / "work", SIMULATED)
        return
    image = request.getfixturevalue("image")
    if request.param == "openstack":
        with openstack_case(directory, image, request.getfixturevalue("result_bucket")) as found:
            yield found
        return
    options = PODMAN | {"notebook_image": image}
    if request.param == "slurm":
        options = platform_options(request.getfixturevalue("cluster"))
    yield Case(request.param, image, directory / "work", options)


async def _release_all(case: Case) -> None:
    releases = (case.platform().release(job.id) for job in case.used)
    failed = [end for end in await asyncio.gather(*releases, return_exceptions=True) if end is not None]
    assert not failed
