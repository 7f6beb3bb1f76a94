"""A session that a site's own broker runs: accepted there, followed to its end, given up there.

Its phases, messages, connectors and output are that broker's; so are its failures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection

from broker.model import Outcome, Phase, Placement
from broker.phases import Actor
from broker.platforms import OffersItself, Platform, PlatformError, SeenThere, Unreachable
from broker.records import SessionRecord, TimedNote
from broker.sessions import store
from broker.sessions.limits import patiently, within
from broker.sessions.row import Row, going

log = logging.getLogger(__name__)
T = TypeVar("T")

ASK_LIMIT = 60.0
# between two looks
LOOK_SECONDS = 2.0
# how much later than promised a session may end there
GRACE = timedelta(minutes=10)
_ORDER = (Phase.ACCEPTED, Phase.WAITING, Phase.PREPARING, Phase.AVAILABLE, Phase.RUNNING, Phase.RELEASING)
# what brokers say that never tell of RUNNING, or of RELEASING
_LAST = {Phase.COMPLETED: Phase.RELEASING}


async def follow(row: Row, platform: Platform, session: SessionRecord, placement: Placement) -> None:
    """Until it has ended there: phase RELEASING where it went well; else PlatformError says what happened."""
    there, reference = _broker(platform, placement), placement.reference
    assert reference is not None
    site = placement.site_id
    if session.phase in (Phase.ACCEPTED, Phase.WAITING):
        await _patiently(row, lambda: there.accept(reference))
    until = placement.start + placement.start_within + placement.duration + GRACE
    while True:
        seen = await _patiently(row, lambda: there.look(reference))
        await _show(row, site, seen)
        if seen.phase is Phase.COMPLETED:
            return
        if seen.phase in (Phase.FAILED, Phase.CANCELLED, Phase.REJECTED, Phase.EXPIRED):
            # why is among the notes of that broker, which are not for everybody
            raise PlatformError(f"{site}: at its broker the session is {seen.phase}")
        if row.clock.now() > until:
            raise PlatformError(f"{site}: its broker did not end the session in time")
        await row.clock.sleep(LOOK_SECONDS)


async def give_up(row: Row, platform: Platform, placement: Placement) -> None:
    """See to it that nothing of it goes on there. Raises PlatformError: then it is to be tried again."""
    there, reference = _broker(platform, placement), placement.reference
    assert reference is not None
    try:
        await within(row.clock, ASK_LIMIT, "giving it up", there.give_up(reference))
    except Unreachable:
        raise
    except PlatformError as error:
        # that broker has decided: it isn't known there, or can't be cancelled any more
        log.info("session %s at %s: %s", row.uuid, placement.site_id, error)


def _broker(platform: Platform, placement: Placement) -> OffersItself:
    if not isinstance(platform, OffersItself):
        raise PlatformError(f"{placement.site_id} has no broker of its own any more")
    return platform


async def _patiently(row: Row, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer, asked for again while that broker can't be reached."""
    what = f"session {row.uuid}: asking its broker"
    return await patiently(row.clock, ASK_LIMIT, what, ask, Unreachable)


async def _show(row: Row, site: str, seen: SeenThere) -> None:
    """Catch up with what is going on there. Raises NotAllowed where our session was cancelled meanwhile."""

    def show(connection: Connection, session: SessionRecord, now: datetime) -> None:
        going(session)
        for phase in _steps(session.phase, _LAST.get(seen.phase, seen.phase)):
            store.change_phase(connection, session, phase, Actor.BROKER, now)
            session = replace(session, phase=phase)
        told = {timed.note.text for timed in session.notes}
        offered = {note.text for note in session.placement.notes} if session.placement else set()
        notes = [
            replace(note, template="{site}: " + note.template, values={"site": site, **note.values})
            for note in seen.notes
            if note.text not in offered
        ]
        # that broker tells us as the owner: what it says is for ours
        new = [TimedNote(now, note, private=True) for note in notes if note.text not in told]
        if new:
            store.add_notes(connection, session, new, now)
        if seen.connectors and seen.connectors != session.connectors:
            store.write_connectors(connection, row.uuid, seen.connectors)
        outcome = _outcome(session, seen, now)
        if outcome is not None and outcome != session.outcome:
            store.write_outcome(connection, row.uuid, outcome)

    await row.change(show)


def _outcome(session: SessionRecord, seen: SeenThere, now: datetime) -> Outcome | None:
    """What that broker tells of the container's run; else when we saw it run, and end."""
    if seen.outcome is not None or seen.phase not in (Phase.RUNNING, Phase.RELEASING, Phase.COMPLETED):
        return seen.outcome
    known = session.outcome or Outcome(now)
    return known if seen.phase is Phase.RUNNING or known.ended else replace(known, ended=now)


def _steps(here: Phase, there: Phase) -> list[Phase]:
    """The phases from `here` to `there`, without the former; none where that one isn't ahead."""
    if here not in _ORDER or there not in _ORDER:
        return []
    way = _ORDER[_ORDER.index(here) + 1 : _ORDER.index(there) + 1]
    return [phase for phase in way if phase is not Phase.WAITING or there is Phase.WAITING]
