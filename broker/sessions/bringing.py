"""Data that its own system brings to the site's storage (`broker.catalogues.Stages`), before it is staged.

What is asked of that system is known there by the session, so that nothing need be remembered but that
something may have been asked; and that is written down before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from broker.catalogues import Brought, CatalogueError, Stages, StagingRefused
from broker.model import DataItem, Level, Note, Placement, Request, Target
from broker.platforms import PlatformError
from broker.records import SessionRecord
from broker.sessions import brought, store
from broker.sessions.limits import in_thread
from broker.sessions.progress import Bringing, Progress
from broker.sessions.row import Row, going
from broker.sessions.staging import LEAST_LIMIT, PATIENCE
from federation.units import format_seconds, format_size
from netprobe.cost import grouped, together
from netprobe.quantiles import Quantiles

log = logging.getLogger(__name__)
T = TypeVar("T")

# between two looks: the first, then each twice as long as the last, until the longest
LOOK_SECONDS = 5.0
LONGEST_LOOK_SECONDS = 60.0
# Rucio's times are whole seconds: two that are one apart may be of one moment
CLOCK_SECONDS = 1.0
# the data stays so long behind the latest end of the session
SPARE = timedelta(hours=1)


async def bring(row: Row, request: Request, placement: Placement, progress: Progress) -> None:
    """Have brought what is to be brought, and wait for it: as long as for other transfers, or until the time
    that is booked is over. What is refused is left to be downloaded, where that is allowed.

    Raises PlatformError.
    """
    left = {
        item.uuid: (item, target)
        for item in request.data
        if (target := item.target(placement.site_id)) is not None
    }
    if not left:
        return
    times = await row.change(partial(_asked, placement, list(left)))
    seen, pause, told = dict[str, Brought](), LOOK_SECONDS, False
    while True:
        trouble = None
        for uuid, (item, target) in list(left.items()):
            try:
                found = await _looked(row, item, target, times[uuid][1], uuid in seen)
            except CatalogueError as error:
                trouble = str(error)
                continue
            waited = uuid in seen
            if found is not None:
                seen[uuid] = found
            if found is None or found.done:
                del left[uuid]
            if found is not None and _was_brought(found, waited):
                await row.change(partial(_done, row, item, target, found, _forecast(placement, uuid)))
        if not left:
            progress.end_bringing()
            return
        if trouble is not None and not told:
            text, values = "{reason}; it is asked again", {"reason": trouble}
            await row.note(Note("rule", text, values, Level.WARN))
        told = trouble is not None
        progress.bringing = _so_far(placement, left, seen)
        now = row.clock.now()
        for uuid, wanted in left.items():
            if now >= _deadline(placement, times[uuid][0]):
                raise PlatformError(_too_late(*wanted, seen.get(uuid), now - times[uuid][0], trouble))
        await row.clock.sleep(pause)
        pause = min(2 * pause, LONGEST_LOOK_SECONDS)


def _was_brought(found: Brought, waited: bool) -> bool:
    """Whether it is done, and something was brought for it: either it was seen to be on its way, or (by a
    broker that was started again since) took surely longer than no time."""
    return found.done and found.seconds is not None and (waited or found.seconds > CLOCK_SECONDS)


async def _looked(row: Row, item: DataItem, target: Target, until: datetime, begun: bool) -> Brought | None:
    """How far it is, begun if need be; None where it won't be brought, and is to be downloaded.

    Raises CatalogueError where nothing could be learnt, PlatformError where it can't be had.
    """
    try:
        if not begun:
            seconds = (until - row.clock.now()).total_seconds()
            await _ask(row, item, lambda system: system.begin(item, target, row.uuid, seconds))
        return await _ask(row, item, lambda system: system.look(item, target, row.uuid))
    except StagingRefused as error:
        if not target.or_download:
            raise PlatformError(f"{item.name}: {error}") from error
        await row.note(_instead(item, str(error)))
        await _end_one(row, item, target)
        return None


async def end_bringing(row: Row, session: SessionRecord, known: store.Progress) -> str | None:
    """Tell the data's systems that the session needs nothing of them any more; again: does nothing.

    Returns why one couldn't be told, in a line: then it is to be told later. What is over by itself, and what
    a system won't be told, is left to it.
    """
    trouble, placement = None, session.placement
    for item in session.request.data if session.request is not None and placement is not None else ():
        assert placement is not None
        target, times = item.target(placement.site_id), known.bringing.get(item.uuid)
        if target is None or times is None or row.clock.now() >= datetime.fromisoformat(times[1]):
            continue
        trouble = await _end_one(row, item, target) or trouble
    return trouble


async def _end_one(row: Row, item: DataItem, target: Target) -> str | None:
    try:
        await _ask(row, item, lambda system: system.end(item, target, row.uuid))
    except StagingRefused as error:
        log.warning("session %s: %s: %s; it ends by itself", row.uuid, item.name, error)
    except CatalogueError as error:
        return f"{item.name}: {error}"
    return None


async def _ask(row: Row, item: DataItem, question: Callable[[Stages], T]) -> T:
    """What the item's system answers; it is waited for even where the session is given up."""
    catalogue = row.around.unpacker.catalogues.get(item.kind)
    if not isinstance(catalogue, Stages):
        raise StagingRefused(f"no catalogue of this broker brings {item.kind} any more")
    return await in_thread(partial(question, catalogue))


def _asked(
    placement: Placement, uuids: list[str], connection: Connection, session: SessionRecord, now: datetime
) -> Mapping[str, tuple[datetime, datetime]]:
    """Write down that these are about to be asked for, where that isn't known. Since when, and until when."""
    going(session)
    progress = store.read_progress(connection, session.uuid)
    until = _deadline(placement, now) + placement.duration + SPARE
    new = {uuid: (now.isoformat(), until.isoformat()) for uuid in uuids if uuid not in progress.bringing}
    if new:
        progress = replace(progress, bringing={**progress.bringing, **new})
        store.write_progress(connection, session.uuid, progress)
    return {
        uuid: (datetime.fromisoformat(since), datetime.fromisoformat(until))
        for uuid, (since, until) in progress.bringing.items()
    }


def _deadline(placement: Placement, begun: datetime) -> datetime:
    limit = timedelta(seconds=max(PATIENCE * placement.staging.seconds.p90, LEAST_LIMIT))
    return max(begun + limit, placement.start + placement.start_within + placement.duration)


def _forecast(placement: Placement, uuid: str) -> Quantiles:
    """What moving the item was forecast to take."""
    return together(grouped(move for move in placement.staging.moves if move.key == uuid))


def _done(
    row: Row,
    item: DataItem,
    target: Target,
    seen: Brought,
    forecast: Quantiles,
    connection: Connection,
    session: SessionRecord,
    now: datetime,
) -> None:
    """Say that it is there, once, and keep what it took."""
    seconds = seen.seconds or 0.0
    where = target.site_id, target.rse
    rule = brought.Brought(row.uuid, item.uuid, *where, target.size_bytes, seconds, forecast.p50)
    if brought.record(connection, rule, now):
        text = "{name} ({size} of it) was brought to {rse} at {site} by a rule in {actual}; "
        text += "moving alone was forecast to take {p50} ({p10} to {p90}, 10 to 90 %)"
        values = {"name": item.name, "size": format_size(target.size_bytes), "rse": target.rse}
        values |= {"site": target.site_id, "actual": format_seconds(seconds)}
        values |= {"seconds": f"{seconds:.0f}", "p10": format_seconds(forecast.p10)}
        values |= {"p50": format_seconds(forecast.p50), "p90": format_seconds(forecast.p90)}
        store.add_notes(connection, session, store.timed([Note("rule", text, values, Level.INFO)], now), now)


def _so_far(
    placement: Placement, left: Mapping[str, tuple[DataItem, Target]], seen: Mapping[str, Brought]
) -> Bringing:
    found = [seen[uuid] for uuid in left if uuid in seen]
    wanted = sum(item.size_bytes or 0 for item, _ in left.values())
    there = sum(each.size_bytes for each in found)
    files, of = sum(each.files for each in found), sum(each.of for each in found)
    storages = ", ".join(dict.fromkeys(target.rse for _, target in left.values()))
    return Bringing(storages, placement.site_id, files, of, min(there, wanted), wanted)


def _instead(item: DataItem, reason: str) -> Note:
    text = "{name}: {reason}; it is downloaded instead"
    return Note("rule", text, {"name": item.name, "reason": reason}, Level.WARN)


def _too_late(
    item: DataItem, target: Target, seen: Brought | None, waited: timedelta, trouble: str | None
) -> str:
    files = "nobody knows how much of it" if seen is None else f"{seen.files} of {seen.of} files"
    why = f": {trouble}" if trouble else ""
    span = format_seconds(waited.total_seconds())
    return f"{item.name}: {files} came to {target.rse} in {span}, and there is no more time{why}"
