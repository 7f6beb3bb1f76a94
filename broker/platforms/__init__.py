"""Compute platforms: one file a platform, all behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import entry_points
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from broker.images import Access, Image, Wanted
from broker.images.pulls import Pulled
from broker.model import Connector, DataItem, Executable, Figure, Job, Note, Outcome, Phase, Request
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from federation.sites import Platform as SitePlatform
from netprobe.cost import Move
from netprobe.measurement import Measurement

GROUP = "fairlead.platforms"


class State(StrEnum):
    """What a platform knows of a job."""

    ABSENT = "ABSENT"  # never started, or removed
    RUNNING = "RUNNING"
    EXITED = "EXITED"


@dataclass(frozen=True)
class Waiting:
    """Why a container that was started has not begun yet, in a few words for the client, and when it is
    planned to; None: nobody knows."""

    reason: str
    begins: datetime | None = None


@dataclass(frozen=True)
class Status:
    state: State
    exit_code: int | None = None
    # the last 64 KiB of each
    stdout: str = ""
    stderr: str = ""
    # why the platform itself ended the job before its time, in one line for the client
    problem: str | None = None
    # of one that is RUNNING: it is in a queue, and nothing of it runs yet
    waiting: Waiting | None = None
    # how its published ports are reached, where `start` could not say yet; empty: nothing new
    connectors: tuple[Connector, ...] = ()
    # of its data, where that came after the start and is there now; the same, and of the same ids, each time
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class StoredFile:
    """A regular file in a storage; `path` is relative to it, with "/" between its parts."""

    path: str
    size_bytes: int
    modified: datetime


class PlatformError(Exception):
    """The platform could not do it. The text is one line for the client: what failed, and where."""


class Unreachable(PlatformError):  # noqa: N818 - says what is known: nothing
    """The platform did not answer: that says nothing of what it was asked about. Asking again may help."""


@dataclass(frozen=True)
class ReadyOffer:
    """An offer that a site's own broker has made, and holds until `expires`.

    The session starts in [start, start + start_within] and may last `duration`. `costs` and `metrics` are
    that broker's figures, without the data that is moved there. `reference` is what that broker knows the
    offer by: it is kept with the placement and handed back unread.
    """

    reference: str
    start: datetime
    start_within: timedelta
    duration: timedelta
    cores: int
    memory_gib: int
    expires: datetime
    costs: tuple[Figure, ...] = ()
    metrics: tuple[Figure, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class SeenThere:
    """A session at a site's own broker, as that broker tells of it. `outcome` None: it doesn't say."""

    phase: Phase
    notes: tuple[Note, ...] = ()
    connectors: tuple[Connector, ...] = ()
    outcome: Outcome | None = None


@runtime_checkable
class OffersItself(Protocol):
    """What a platform has besides when it is a broker itself: what is free is for it to say, not for us.

    It prepares, runs and ends its sessions itself, so that nothing of `Platform` but `check` and
    `image_seconds` is asked for them. A `reference` is a ReadyOffer's. The async calls raise PlatformError.
    """

    def offers(
        self, request: Request, document: Any, earliest: datetime, latest: datetime
    ) -> Sequence[ReadyOffer | Note]:
        """Offers for `request` that start in [earliest, latest], and why there are none.

        `document` is the client's own request, as it came; by `earliest` the data can be there (90 %). Called
        from a worker thread, before anything is locked; may block for 10 s at most. Raises PlatformError
        where that broker can't be asked. It is not called twice for one request; offers that aren't chosen
        are left to expire.
        """
        ...

    async def accept(self, reference: str) -> None:
        """Accept the offer; accepted before: does nothing. PlatformError where it can't be had any more."""
        ...

    async def look(self, reference: str) -> SeenThere:
        """The session as it is now. Raises Unreachable where the broker can't be asked just now."""
        ...

    async def give_up(self, reference: str) -> None:
        """Cancel the session, or reject the offer; ended before, or not known there: does nothing."""
        ...


@runtime_checkable
class SaysWhatFits(Protocol):
    """What a platform has besides when its service says what may run there: images, sizes, what is free.

    What it said last is kept; `check` and all but `learn` answer by that, and don't use the network.
    """

    def learn(self) -> None:
        """Ask the service now. Blocks for a minute at most; raises PlatformError where it can't be asked."""
        ...

    def bounded(self, platform: SitePlatform) -> SitePlatform:
        """The site's platform, with the limits of the service where those are narrower."""
        ...

    def check_request(self, request: Request) -> Sequence[Note]:
        """Why `request` can't run there although its executable could (ERROR), and what its client should
        know of it (INFO, WARN)."""
        ...


@runtime_checkable
class PullsImages(Protocol):
    """What a platform has besides when it pulls OCI images, so that their registries can be asked beforehand.

    No call uses the network; the engine on this machine may be asked.
    """

    def wanted_image(self, executable: Executable) -> tuple[Wanted, Access] | None:
        """What registries are to be asked for, and how; None where nothing has to be pulled, or can be."""
        ...

    def image_layers(self) -> Collection[str]:
        """The layers that are in place already, by the digests of what they unpack to."""
        ...

    def outside_bits_per_second(self) -> float | None:
        """What pulls from outside the federation get there, as its operator says; None: nobody knows."""
        ...

    def check_image(self, image: Image) -> Sequence[Note]:
        """What speaks against `image` there (ERROR), and what its client should know (INFO, WARN)."""
        ...


@runtime_checkable
class PreparesInside(Protocol):
    """What a platform has besides when data and image come in a session's own time, for what they come to is
    made with it. Offers then begin without them, and are longer by what they and `boot_seconds` take."""

    def image_seconds(self, executable: Executable) -> float: ...

    def boot_seconds(self) -> float:
        """From a session's start until its data begins to come (P90). Doesn't use the network."""
        ...


@runtime_checkable
class TellsPulls(Protocol):
    """What a platform has besides when it sees how long pulls take: the next forecasts learn of it."""

    def pulled(self) -> Sequence[Pulled]:
        """The pulls that ended well since this was asked last; each is told once. For any thread."""
        ...


# called with the bytes moved so far
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Staged:
    """Where each item lies at the site, by uuid, and a measurement for each path that some came over."""

    paths: Mapping[str, Path]
    measurements: tuple[Measurement, ...] = ()


class Platform(Protocol):
    """Runs containers at one site. Made once per site.

    Every call is idempotent by the job's id: the supervisor repeats a call that it isn't sure of. The async
    calls don't block the loop; they raise PlatformError and nothing else. A cancelled call leaves nothing
    running that `release` would not remove. Its class has an `ABOUT`: see `federation.about`.
    """

    def check(self, executable: Executable) -> Sequence[Note]:
        """Why this platform can't run `executable`; empty where it can. Doesn't use the network."""
        ...

    def image_seconds(self, executable: Executable) -> float:
        """How long (P90) until the image is in place, where its size isn't known (see `PullsImages`).
        Doesn't use the network."""
        ...

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        """Bring these items to this site, each by its move, those of different sources beside each other.

        Every file is complete and its checksum right, or PlatformError is raised: then files that were done
        may stay, and of others nothing is left. What is there already and right is not moved again.
        """
        ...

    async def make_storage(self, job_id: str, name: str) -> Path:
        """An empty directory for the session's storage `name`; there already: the same path."""
        ...

    async def prepare(self, job: Job) -> None:
        """Have the image in place."""
        ...

    async def start(self, job: Job) -> Sequence[Connector]:
        """Start the container, and say how its published ports are reached; nothing of them where it has to
        wait for its turn first: then its status says it later.

        Started already: starts nothing, and says the same.
        """
        ...

    async def poll(self, job: Job) -> Status: ...

    async def stop(self, job: Job) -> None:
        """End the container if it runs. Its status stays readable until `release`."""
        ...

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        """Remove the container and all that was staged for the job. Nothing there: does nothing.

        `keep`: names of storages (`make_storage`) that stay, with what the job wrote into them, until a
        release without them.
        """
        ...

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        """The regular files in a storage of the job, by path; empty where there is no such storage any more.

        Links are neither told nor followed. At most 10,000 files; names that are no UTF-8 are left out.
        """
        ...

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        """A file of a storage, open for reading at its start; None where there is none.

        `path` comes from a client, and what it names was written by a container: nothing but a regular file
        inside the storage is ever opened, also while the container runs and changes things. Size and time
        are those of `os.fstat(file.fileno())`. The caller closes it.
        """
        ...


class PlatformFactory(Protocol):
    """`work_directory` is where the site keeps what it stages, unless its own options say otherwise."""

    def __call__(
        self, site: Site, federation: Federation, clock: Clock, work_directory: Path
    ) -> Platform: ...


def load_platform(site: Site, federation: Federation, clock: Clock, work_directory: Path) -> Platform:
    """The platform that `site` names. Raises InputError where no back-end has that name."""
    if site.platform is None:
        raise InputError(f"site {site.id!r} has no platform")
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if site.platform.kind not in found:
        expected = ", ".join(sorted(found))
        raise InputError(
            f"site {site.id!r}: no platform is called {site.platform.kind!r}: expected {expected}"
        )
    factory: PlatformFactory = found[site.platform.kind].load()
    return factory(site, federation, clock, work_directory)
