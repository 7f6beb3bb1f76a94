"""What a session hands to its platform, and what it says of how the container ended."""

from __future__ import annotations

from pathlib import Path

from broker.model import Job, Level, Note, Placement, Request
from broker.platforms import Status
from broker.sessions.store import Progress


def make_job(uuid: str, request: Request, placement: Placement, progress: Progress) -> Job:
    """What the platform starts. Data that goes to a mounted storage appears as a file below its mount."""
    binds = []
    for mount in request.mounts:
        if mount.resource in progress.paths:
            binds.append((progress.paths[mount.resource], mount.path, mount.mode))
        for item in request.data:
            if item.storage == mount.resource and item.uuid in progress.paths:
                path = Path(progress.paths[item.uuid])
                binds.append((str(path), f"{mount.path.rstrip('/')}/{path.name}", mount.mode))
    return Job(
        id=uuid,
        site_id=placement.site_id,
        executable=request.executable,
        cores=placement.cores,
        memory_gib=placement.memory_gib,
        duration=request.duration,
        binds=tuple(binds),
    )


def outcome(status: Status, over_time: bool) -> list[tuple[Note, bool]]:
    """Notes on how a container ended, and whether each is private: its output is."""
    code = "unknown" if status.exit_code is None else str(status.exit_code)
    level = Level.INFO if status.exit_code == 0 and not over_time else Level.ERROR
    notes = []
    if over_time:
        text = "The offered time was over, and the container was stopped"
        notes.append((Note("time-limit", text, {}, Level.ERROR), False))
    notes.append(
        (Note("exit-code", "The container ended with exit code {code}", {"code": code}, level), False)
    )
    for name, output in (("stdout", status.stdout), ("stderr", status.stderr)):
        if output:
            notes.append((Note(f"output-{name}", "{text}", {"text": output}, Level.INFO), True))
    return notes
