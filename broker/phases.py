"""Which phase may follow which, and who may bring it about: one table."""

from __future__ import annotations

from enum import Enum, auto

from broker.model import Phase
from broker.records import NotAllowed


class Actor(Enum):
    """Who changes a phase."""

    CLIENT = auto()
    BROKER = auto()


_C, _B = Actor.CLIENT, Actor.BROKER

TRANSITIONS: dict[Phase, dict[Phase, Actor]] = {
    Phase.INITIAL: {Phase.OFFERED: _B, Phase.ACCEPTED: _B, Phase.FAILED: _B},
    Phase.OFFERED: {Phase.ACCEPTED: _C, Phase.REJECTED: _C, Phase.EXPIRED: _B},
    Phase.ACCEPTED: {Phase.WAITING: _B, Phase.PREPARING: _B, Phase.CANCELLED: _C, Phase.FAILED: _B},
    Phase.WAITING: {Phase.PREPARING: _B, Phase.CANCELLED: _C, Phase.FAILED: _B},
    Phase.PREPARING: {Phase.AVAILABLE: _B, Phase.CANCELLED: _C, Phase.FAILED: _B},
    Phase.AVAILABLE: {Phase.RUNNING: _B, Phase.CANCELLED: _C, Phase.FAILED: _B},
    Phase.RUNNING: {Phase.RELEASING: _B, Phase.CANCELLED: _C, Phase.FAILED: _B},
    Phase.RELEASING: {Phase.COMPLETED: _B, Phase.FAILED: _B},
    Phase.REJECTED: {},
    Phase.EXPIRED: {},
    Phase.COMPLETED: {},
    Phase.FAILED: {},
    Phase.CANCELLED: {},
}

# The phases in which the supervisor has something to do for a session.
DRIVEN = (
    Phase.ACCEPTED,
    Phase.WAITING,
    Phase.PREPARING,
    Phase.AVAILABLE,
    Phase.RUNNING,
    Phase.RELEASING,
)

ENDED = tuple(phase for phase, following in TRANSITIONS.items() if not following)


def allowed(phase: Phase, actor: Actor) -> list[Phase]:
    """What `actor` may change a session in `phase` to."""
    return [following for following, who in TRANSITIONS[phase].items() if who is actor]


def check(phase: Phase, wanted: Phase, actor: Actor) -> bool:
    """Whether there is anything to change; raises NotAllowed where the change may not be.

    Repeating an update is harmless: the phase itself asks for nothing, and neither does accepting a session
    that was accepted before and has gone on since.
    """
    if wanted in allowed(phase, actor):
        return True
    gone_on = wanted is Phase.ACCEPTED and phase in (*DRIVEN, Phase.COMPLETED)
    if wanted is phase or gone_on:
        return False
    raise NotAllowed(phase, wanted, allowed(phase, actor))
