"""How far each part of a session is: derived from the session's phase and what is in place at the site."""

from __future__ import annotations

from broker.model import MountMode, Phase
from broker.records import SessionRecord

# where all parts are as far as the session is
_TOGETHER = {
    Phase.INITIAL: "INITIALIZING",
    Phase.OFFERED: "INITIALIZING",
    Phase.ACCEPTED: "INITIALIZING",
    Phase.REJECTED: "CANCELLED",
    Phase.EXPIRED: "CANCELLED",
    Phase.CANCELLED: "CANCELLED",
    Phase.WAITING: "WAITING",
    Phase.AVAILABLE: "AVAILABLE",
}


def executable_phase(record: SessionRecord) -> str:
    """It is prepared last, runs, and has ended when the session begins to clean up."""
    if (together := _together(record)) is not None:
        return together
    if record.phase is Phase.FAILED:
        # what fails before data and storage are in place isn't the executable
        return "FAILED" if record.outcome is not None or _all_staged(record) else "CANCELLED"
    if record.phase is Phase.PREPARING:
        return "PREPARING" if _all_staged(record) else "WAITING"
    return "RUNNING" if record.phase is Phase.RUNNING else "COMPLETED"


def compute_phase(record: SessionRecord) -> str:
    """Cores and memory need no preparation: they are taken when the session starts."""
    if (together := _together(record)) is not None:
        return together
    if record.phase is Phase.FAILED:
        return "CANCELLED" if record.outcome is None else "COMPLETED"
    return "WAITING" if record.phase is Phase.PREPARING else record.phase.value


def data_phase(record: SessionRecord, uuid: str) -> str:
    """AVAILABLE from when it is in place until it is removed."""
    if (together := _together(record)) is not None:
        return together
    if record.phase is Phase.PREPARING:
        return "AVAILABLE" if uuid in record.staged else "PREPARING"
    if record.phase is Phase.FAILED:
        return "COMPLETED" if uuid in record.staged else "FAILED"
    return "AVAILABLE" if record.phase is Phase.RUNNING else record.phase.value


def storage_phase(record: SessionRecord, uuid: str) -> str:
    """As data; what the container wrote stays for a while when the session has ended."""
    return "AVAILABLE" if is_kept(record, uuid) else data_phase(record, uuid)


def is_kept(record: SessionRecord, uuid: str) -> bool:
    """Whether the storage outlives its session, until `record.results_until`."""
    if record.results_until is None or record.request is None:
        return False
    return any(
        mount.resource == uuid and mount.mode is MountMode.READWRITE for mount in record.request.mounts
    )


def _together(record: SessionRecord) -> str | None:
    """The phase of all parts; None where they differ. What was refused at once never began."""
    if record.phase is Phase.FAILED and record.placement is None:
        return "CANCELLED"
    return _TOGETHER.get(record.phase)


def _all_staged(record: SessionRecord) -> bool:
    if record.request is None:
        return False
    needed = {item.uuid for item in record.request.storage} | {item.uuid for item in record.request.data}
    return needed <= record.staged
