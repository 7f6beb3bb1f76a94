"""A broker whose sessions a test drives by turning the clock, and platforms that it can look into."""

import asyncio
import contextlib
from dataclasses import replace

from sqlalchemy import select

from broker.model import Phase
from broker.platforms import PlatformError
from broker.platforms.simulated import SimulatedPlatform
from broker.records import Owner
from broker.service import Broker
from broker.tables import holds
from netprobe.cost import grouped
from netprobe.measurement import Kind, Measurement, Origin
from tests.broker.conftest import NOW, make_document
from tests.waiting import ThreadsAtWork

ANN = Owner("ann-uuid", "ann")
ENDED = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
DATA = ("http://data.penticton.example/a.fits", "http://data.perth.example/b.fits")


class Recording(SimulatedPlatform):
    """The simulated platform, which also writes down what it is asked, and fails where a test wants it."""

    def __init__(self, site, federation, clock, work_directory):
        super().__init__(site, federation, clock, work_directory)
        self.defective = set()
        self.site, self.calls, self.failing, self.hanging, self.kept = site, [], {}, set(), {}

    async def _do(self, name):
        self.calls.append(name)
        if name in self.defective:
            raise NameError(name)
        if name in self.failing:
            raise PlatformError(self.failing[name])
        if name in self.hanging:
            await asyncio.Event().wait()

    async def stage(self, job_id, wanted, progress):
        await self._do("stage")
        new = [move for item, move in wanted if item.uuid not in self.calls]
        staged = await super().stage(job_id, wanted, progress)
        self.calls += [move.key for move in new]
        moved = grouped([move for move in new if move.source != move.destination])
        return replace(
            staged,
            measurements=tuple(
                Measurement(
                    Kind.TRANSFER,
                    group.source,
                    self.site.id,
                    NOW,
                    2.0,
                    "simulated",
                    Origin.STAGING,
                    {"seconds": 2.0, "size_bytes": float(group.size_bytes), "files": float(group.files)},
                )
                for group in moved
            ),
        )

    async def prepare(self, job):
        await self._do("prepare")
        await super().prepare(job)

    async def start(self, job):
        await self._do("start")
        if job.id not in self._runs:
            self.calls.append("really started")
        return await super().start(job)

    async def poll(self, job):
        await self._do("poll")
        return await super().poll(job)

    async def stop(self, job):
        await self._do("stop")
        await super().stop(job)

    async def release(self, job_id, keep=()):
        await self._do("release")
        self.kept[job_id] = set(keep)
        await super().release(job_id, keep)


def broker_maker(settings, federation, engine, clock, tmp_path):
    """A function that makes a broker; `options` are those of the simulated platforms."""

    def make(platforms=None, kind=Recording, engine=engine, settings=settings, sources=None, **options):
        sites = {
            site.id: replace(site, platform=replace(site.platform, options=options)) for site in federation
        }
        changed = replace(federation, sites=sites)
        made = platforms or {site.id: kind(site, changed, clock, tmp_path / site.id) for site in changed}
        broker = Broker(settings, changed, engine, clock, online=False, platforms=made, sources=sources)
        broker.platforms, broker.supervisor = made, broker._supervisor
        return broker

    return make


@contextlib.asynccontextmanager
async def running(broker):
    ThreadsAtWork.of(asyncio.get_running_loop())
    task = asyncio.create_task(broker.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def turn(clock, until, step=0.5, turns=600):
    """Turn the clock until it is so; everybody acts between two turns, however busy the machine is."""
    threads = ThreadsAtWork.of(asyncio.get_running_loop())
    for _ in range(turns):
        await threads.all_done()
        if await asyncio.to_thread(until):
            return
        clock.advance(step)
    raise AssertionError(f"it never came to be, in {turns} turns of {step} s, until {clock.now()}")


async def turned(clock, turns, step=0.5):
    """Turn the clock so many times; everybody acts behind each turn."""
    threads = ThreadsAtWork.of(asyncio.get_running_loop())
    for _ in range(turns):
        clock.advance(step)
        await threads.all_done()


def is_in(broker, uuid, *phases):
    return lambda: broker.session(uuid).phase in phases


def accept(broker, document=None, position=0, site=None):
    """Ask, and accept the offer at `position`, or the first at `site`."""
    offers = broker.request(document or make_document(), ANN).sessions
    if site is not None:
        offers = [session for session in offers if session.placement.site_id == site]
    return broker.update_phase(offers[position].uuid, Phase.ACCEPTED, ANN).uuid


def notes(broker, uuid, kind):
    return [timed for timed in broker.session(uuid).notes if timed.note.kind == kind]


def held(engine):
    with engine.connect() as connection:
        return set(connection.execute(select(holds.c.session)).scalars())
