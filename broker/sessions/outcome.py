"""What came of a session's container: kept while it runs, and told when it has ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from broker.model import Level, MountMode, Note, Outcome, Placement, Request
from broker.platforms import State, Status
from broker.sessions.store import Progress

# what is kept of each stream, whatever a platform hands out
OUTPUT_BYTES = 64 * 1024


def begin_of(placement: Placement, progress: Progress) -> datetime | None:
    """When the session was begun, as far as is known; None: not yet."""
    if progress.begun is not None:
        return datetime.fromisoformat(progress.begun)
    return None if progress.end is None else datetime.fromisoformat(progress.end) - placement.duration


def seen(started: datetime, status: Status, now: datetime) -> Outcome:
    """What is known of a run. It is taken to end when it is seen to have ended."""
    over = status.state is not State.RUNNING
    return Outcome(
        started=started,
        ended=now if over else None,
        exit_code=status.exit_code if over else None,
        stdout=_tail(status.stdout),
        stderr=_tail(status.stderr),
    )


def end_notes(status: Status, over_time: bool) -> list[Note]:
    """How a container ended, in words."""
    level = Level.INFO if status.exit_code == 0 and not over_time else Level.ERROR
    notes = []
    if over_time:
        text = "The offered time was over, and the container was stopped"
        notes.append(Note("time-limit", text, {}, Level.ERROR))
    # without an exit code nobody knows that it ran at all: its server may never have come
    if status.problem is not None:
        ended = (
            "The container was stopped"
            if status.exit_code is not None
            else "No end of the container was seen"
        )
        notes.append(Note("resource-limit", f"{ended}: {{reason}}", {"reason": status.problem}, Level.ERROR))
    if status.exit_code is None:
        notes.append(Note("exit-code", "No exit code of the container is known", {"code": "unknown"}, level))
    else:
        text = "The container ended with exit code {code}"
        notes.append(Note("exit-code", text, {"code": str(status.exit_code)}, level))
    return notes


def written_storages(request: Request | None) -> dict[str, int]:
    """The storages that the container could write to, with their GiB."""
    if request is None:
        return {}
    written = {mount.resource for mount in request.mounts if mount.mode is MountMode.READWRITE}
    return {item.uuid: item.size_gib.minimum for item in request.storage if item.uuid in written}


def kept_note(until: datetime, wanted: timedelta, ended: datetime) -> Note:
    values = {"until": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    text = "What it wrote into its storage can be fetched until {until}"
    if until < ended + wanted:
        text += "; then somebody else has booked the room"
    return Note("results", text, values, Level.INFO)


def _tail(text: str) -> str:
    data = text.encode(errors="replace")
    return text if len(data) <= OUTPUT_BYTES else data[-OUTPUT_BYTES:].decode(errors="ignore")
