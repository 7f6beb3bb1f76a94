"""A platform at a simulated Skaha, whose clock is the simulator's, and jobs for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from broker.model import Job
from broker.platforms import State, Status
from broker.platforms.skaha import VIEW_NAME, SkahaPlatform
from tests.contracts.platform_support import make_job, make_platform, until_exited
from tests.skaha.pods import Pod
from tests.skaha.serving import Served, skaha_options
from tests.skaha.simulator import Simulator

TERMINAL = "images.canfar.net/skaha/terminal:1.1.2"
NOTEBOOK = "images.canfar.net/skaha/astroml:26.11"
CONTRIBUTED = "images.canfar.net/skaha/vscode:1.0"


@dataclass(frozen=True)
class SimulatorClock:
    """Turned by `Simulator.advance`; nobody sleeps by it."""

    simulator: Simulator

    def now(self) -> datetime:
        return self.simulator.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Site:
    """A site at `served`; `platform()` is one after a restart of the broker, `directory` what outlives it."""

    served: Served
    directory: Path
    options: dict[str, Any] = field(default_factory=dict)

    def platform(self, learn: bool = True, **options: Any) -> SkahaPlatform:
        given = skaha_options(self.served, self.directory) | self.options | options
        clock = SimulatorClock(self.simulator)
        platform = make_platform("skaha", self.directory / "work", given, clock)
        assert isinstance(platform, SkahaPlatform)
        if learn:
            platform.learn()
        return platform

    def hasty(self, **options: Any) -> SkahaPlatform:
        """One that soon waits no longer, and has what `platform` has learnt."""
        return self.platform(learn=False, request_seconds=1.5, **options)

    @property
    def simulator(self) -> Simulator:
        return self.served.simulator

    def with_staging(self) -> Site:
        """The same, with a directory that containers have under another path."""
        staging = self.directory / "staging"
        staging.mkdir(exist_ok=True)
        if not (self.directory / "arc").exists():
            (self.directory / "arc").symlink_to(staging)
        more = {"staging": str(staging), "staging_there": str(self.directory / "arc")}
        return Site(self.served, self.directory, self.options | more)

    def pod_of(self, job: Job) -> Pod:
        [pod] = [each for each in self.simulator.pods.values() if job.id in each.name]
        return pod

    def left(self) -> list[Path]:
        """What is kept of jobs."""
        kept = (self.directory / "work").rglob("*")
        return [path for path in kept if path.is_file() and path.name != VIEW_NAME]

    def posts(self) -> list[bytes]:
        return [body for method, path, _, body in self.served.app.requests if (method, path[-8:]) == POST]


POST = ("POST", "/session")


def job_of(*command: str, image: str = TERMINAL, **more: Any) -> Job:
    """A job whose entrypoint is the first word."""
    entrypoint, *arguments = command or ("true",)
    return make_job(image, *arguments, **{"entrypoint": entrypoint, **more})


async def begun(platform: SkahaPlatform, job: Job) -> Job:
    await platform.prepare(job)
    await platform.start(job)
    return job


async def ended(platform: SkahaPlatform, job: Job) -> Status:
    await begun(platform, job)
    return await until_exited(platform, job)


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def state(platform: SkahaPlatform, job: Job) -> State:
    return (await platform.poll(job)).state
