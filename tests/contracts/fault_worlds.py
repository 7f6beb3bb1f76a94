"""A broker with one site, whose platform is driven through a front that can fail: one class a platform.

What is there of a session is counted in the real thing: podman, Slurm, Skaha, the cloud, the other broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Engine, select

from broker.model import Phase
from broker.platforms import SaysWhatFits, load_platform
from broker.records import Owner, SessionRecord
from broker.service import Broker
from broker.sessions import store
from broker.tables import sessions
from federation.clock import ManualClock, SystemClock
from federation.database import connect
from federation.settings import Settings, load_settings
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from tests.broker.conftest import KINDS
from tests.contracts.fault_table import WAYS
from tests.contracts.faults import Front
from tests.waiting import ThreadsAtWork

ANN = Owner("ann-uuid", "ann")
ENDED = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
# in each session's environment
SECRET = "s3cretw0rd"
STORAGE = "results"
# says each time that it runs, and ends when it may
SCRIPT = "echo run >> /out/runs; while ! [ -e /out/go ]; do sleep 0.05; done"
PATIENCE_SECONDS = 120.0
CALLS = ("stage", "make_storage", "prepare", "start", "poll", "stop", "release", "accept", "look", "give_up")
# run in a process of its own, which is killed
DRIVES = """
import sys
from tests.contracts.fault_worlds import drive
drive(sys.stdin.read())
"""


class World:
    """Also: what differs between platforms. `broker()` is one after a restart."""

    # its row in the table
    kind = ""
    # the options by which it waits no longer than a moment for an answer
    impatient: ClassVar[Mapping[str, Any]] = {}
    # whether sessions have a storage, in which they say what they do
    stores = True

    def __init__(self, directory: Path, engine: Engine, front: Front, options: Mapping[str, Any]) -> None:
        self.directory, self.engine, self.front, self.options = directory, engine, front, options
        self.clock = ManualClock(datetime.now(UTC))
        self.calls, self.busy = 0, 0

    # what differs

    def there(self, uuid: str) -> list[str]:
        """What there is of a session in the real thing."""
        raise NotImplementedError

    def made(self, uuid: str) -> int:
        """How often something was begun for it there, as far as is known."""
        return len(self.written(uuid).splitlines())

    def document(self) -> dict[str, Any]:
        mount = {"kind": f"{KINDS}volume/simple-volume-mount.yaml", "path": "/out", "mode": "READWRITE"}
        storage = {"kind": f"{KINDS}storage/simple-storage-resource.yaml", "meta": {"name": STORAGE}}
        return {
            "executable": {
                "kind": f"{KINDS}executable/docker-container.yaml",
                "image": {"locations": [self.image()]},
                "entrypoint": "sh",
                "command": ["-c", SCRIPT],
                "environment": {"PASSWORD": SECRET},
            },
            "storage": [{**storage, "size": {"min": 1}}],
            "compute": {
                "kind": f"{KINDS}compute/simple-compute-resource.yaml",
                "cores": {"min": 1},
                "memory": {"min": 1},
                "volumes": [{**mount, "resource": STORAGE}],
            },
            "schedule": {"requested": {"duration": "PT2H"}},
        }

    def image(self) -> str:
        raise NotImplementedError

    def begins(self, uuid: str) -> None:
        """Have it begin there, where it doesn't by itself."""

    def finish(self, uuid: str) -> None:
        """Have it end well."""
        [storage] = self.root.glob(f"{uuid}/storage/*")
        (storage / "go").touch()

    def turned(self, seconds: float) -> None:
        """The clock was turned."""

    def secrets(self) -> set[str]:
        return {SECRET}

    # what doesn't

    @property
    def root(self) -> Path:
        """Where the platform keeps what is of its jobs."""
        return self.directory / "work" / "here"

    def written(self, uuid: str) -> str:
        """What a session has said in its storage."""
        return "".join(path.read_text() for path in self.root.glob(f"{uuid}/storage/*/runs"))

    def kept(self, uuid: str) -> set[str]:
        """What is kept here of a session."""
        return {path.name for path in self.root.glob(f"{uuid}/*")}

    def federation(self, **options: Any) -> Federation:
        given = {**self.options, **options}
        kind = WAYS.get(self.kind, self.kind)
        size = SitePlatform(kind, cores=4, memory_gib=8, storage_gib=10, options=given)
        return Federation("test", {"here": Site("here", "Here", Place(0, 0), platform=size)})

    def settings(self) -> Settings:
        return load_settings(
            None, {"HOME": str(self.directory), "FAIRLEAD_WORK_DIRECTORY": str(self.directory / "work")}
        )

    def broker(self, impatient: bool = False) -> Broker:
        federation = self.federation(**(self.impatient if impatient else {}))
        platform = load_platform(federation["here"], federation, self.clock, self.directory / "work" / "here")
        if isinstance(platform, SaysWhatFits) and not impatient:
            platform.learn()
        for name in CALLS:
            if hasattr(platform, name):
                setattr(platform, name, self._watched(getattr(platform, name)))
        return Broker(
            self.settings(), federation, self.engine, self.clock, False, platforms={"here": platform}
        )

    def _watched(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """While it goes on the clock stands: what is real takes its own time."""

        @functools.wraps(call)
        async def watched(*arguments: Any, **more: Any) -> Any:
            self.busy += 1
            try:
                return await call(*arguments, **more)
            finally:
                self.busy -= 1
                self.calls += 1

        return watched

    def offer(self, broker: Broker) -> str:
        answer = broker.request(self.document(), ANN)
        assert answer.yes, [note.text for note in answer.notes]
        return answer.sessions[0].uuid

    def accept(self, broker: Broker, offered: str) -> str:
        return broker.update_phase(offered, Phase.ACCEPTED, ANN).uuid

    async def turn(self, until: Callable[[], bool], step: float = 0.5) -> None:
        """Turn the clock until it is so, each time when nobody acts any more."""
        threads = ThreadsAtWork.of(asyncio.get_running_loop())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(until):
            assert time.monotonic() < deadline, self.told()
            await threads.all_done()
            if self.busy:
                await asyncio.sleep(0.004)
            else:
                self.clock.advance(step)
                self.turned(step)

    async def until_quiet(self) -> None:
        """Until nobody acts any more: all wait for the clock."""
        threads = ThreadsAtWork.of(asyncio.get_running_loop())
        await threads.all_done()
        while self.busy:
            await asyncio.sleep(0.004)
            await threads.all_done()

    async def until_running(self, broker: Broker, uuid: str) -> None:
        await self.turn(lambda: session_of(broker, uuid).phase in (Phase.ACCEPTED, Phase.PREPARING, *AFTER))
        await self.turn(lambda: bool(self.there(uuid)))
        self.begins(uuid)
        await self.turn(lambda: session_of(broker, uuid).phase is Phase.RUNNING)
        if self.stores:
            await self.turn(lambda: bool(self.written(uuid)))

    async def asked(self, times: int) -> None:
        """Until the platform was asked so many times more, and has answered."""
        wanted = self.calls + self.busy + times
        await self.turn(lambda: self.calls >= wanted)

    async def until_free(self, uuid: str) -> None:
        """Until the session has nothing there, and the broker says so."""
        await self.turn(lambda: not self.occupies(uuid), 2.0)
        assert self.there(uuid) == []

    def reference(self, uuid: str) -> str:
        """What another broker knows the session by."""
        with self.engine.connect() as connection:
            session = store.read_session(connection, uuid)
        assert session is not None
        placement = session.placement
        assert placement is not None
        assert placement.reference is not None
        return placement.reference

    def occupies(self, uuid: str) -> bool:
        """Whether the session has, or may have, something at its platform, other than results."""
        wanted = select(sessions.c.occupies_platform, sessions.c.results_until).where(sessions.c.uuid == uuid)
        with self.engine.connect() as connection:
            occupies, kept = connection.execute(wanted).one()
        return bool(occupies) and kept is None

    def nowhere(self, line: str) -> str:
        """A line without what is another each time: where the service is."""
        return line

    def told(self) -> str:
        """All that clients are told of all sessions."""
        with self.engine.connect() as connection:
            found = [store.read_session(connection, uuid) for uuid in self._sessions()]
        return "\n".join(f"{each.phase}: {timed.note.text}" for each in found if each for timed in each.notes)

    def clean(self) -> None:
        """Remove what a test that failed has left there."""
        left = [uuid for uuid in self._sessions() if self.there(uuid)]
        federation = self.federation()

        async def release() -> None:
            platform = load_platform(
                federation["here"], federation, self.clock, self.directory / "work" / "here"
            )
            for uuid in left:
                await platform.release(uuid)

        if left:
            asyncio.run(release())

    def _sessions(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(sessions.c.uuid)).scalars())

    def killed(self) -> int:
        """Drive all sessions by a process that is killed when a start was done; how it ended."""
        given = pickle.dumps((self.federation(), str(self.engine.url), self.directory))
        process = subprocess.Popen([sys.executable, "-c", DRIVES], stdin=subprocess.PIPE, text=True)
        try:
            # from now on: it begins with what it gets
            self.front.kill(process.pid)
            process.communicate(given.hex(), timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
        return process.returncode


AFTER = (Phase.AVAILABLE, Phase.RUNNING, Phase.RELEASING, *ENDED)
KILLED = -signal.SIGKILL


def drive(given: str) -> None:
    federation, database, directory = pickle.loads(bytes.fromhex(given))
    work = directory / "work"
    settings = load_settings(None, {"HOME": str(directory), "FAIRLEAD_WORK_DIRECTORY": str(work)})
    asyncio.run(Broker(settings, federation, connect(database), SystemClock(), online=False).run())


def session_of(broker: Broker, uuid: str) -> SessionRecord:
    found = broker.session(uuid)
    assert found is not None
    return found


def why(broker: Broker, uuid: str) -> str:
    """The one line that says why a session FAILED."""
    session = session_of(broker, uuid)
    found = [timed.note.text for timed in session.notes if timed.note.kind == "failed"]
    assert session.phase is Phase.FAILED, (session.phase, [timed.note.text for timed in session.notes])
    [line] = found
    assert "\n" not in line
    return line


@contextlib.asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[None]:
    task = asyncio.create_task(broker.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
