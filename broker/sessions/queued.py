"""A container that was started and waits in its platform's queue: what its session says of that."""

from __future__ import annotations

from datetime import datetime, timedelta

from broker.model import Level, Note, Placement
from broker.platforms import Waiting
from federation.units import format_seconds

# a queue that takes no longer is none
PATIENCE = timedelta(seconds=5)
# plans move by seconds all the time
NEWS = timedelta(minutes=1)


class Queue:
    """Says what is new of the queue, as it is seen again and again."""

    def __init__(self, placement: Placement | None, now: datetime) -> None:
        self._placement, self._since = placement, now
        self._told: Waiting | None = None

    def note(self, waiting: Waiting | None, now: datetime) -> Note | None:
        """What is to be told now; it takes the place of what was told before. None: nothing new."""
        if self._placement is None or (waiting is None and self._told is None):
            return None
        if waiting is None:
            self._told = None
            values = {"site": self._placement.site_id, "until": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
            return Note("queued", "It waited at {site} until {until}", values, Level.INFO)
        if now - self._since < PATIENCE or not self._is_news(waiting):
            return None
        self._told = waiting
        return queued_note(self._placement, waiting)

    def _is_news(self, waiting: Waiting) -> bool:
        told = self._told
        if told is None or told.reason != waiting.reason:
            return True
        if told.begins is None or waiting.begins is None:
            return told.begins != waiting.begins
        return abs(waiting.begins - told.begins) >= NEWS


def queued_note(placement: Placement, waiting: Waiting) -> Note:
    """Why the container hasn't begun; and how much later than promised it will, as far as that is known."""
    values = {"site": placement.site_id, "reason": waiting.reason}
    text = "It waits at {site}: {reason}"
    if waiting.begins is None:
        return Note("queued", text, values, Level.WARN)
    values["begins"] = f"{waiting.begins:%Y-%m-%dT%H:%M:%SZ}"
    text += "; it is planned to begin at {begins}"
    late = waiting.begins - (placement.start + placement.start_within)
    if late < NEWS:
        return Note("queued", text, values, Level.INFO)
    values["late"] = format_seconds(late.total_seconds())
    return Note("queued", text + ", {late} later than was promised", values, Level.WARN)
