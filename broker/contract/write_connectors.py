"""The connectors of a session: how its ports, its logs and what it has written are reached."""

from __future__ import annotations

from typing import Literal

from broker.contract import kinds
from broker.contract.session import Connector
from broker.contract.write_messages import View
from broker.model import MountMode, Phase
from broker.records import SessionRecord

Status = Literal["PREPARING", "AVAILABLE", "FINISHED"]
# before them there is nothing to reach, and never will be
_NEVER_ACCEPTED = (Phase.INITIAL, Phase.OFFERED, Phase.REJECTED, Phase.EXPIRED)
_OVER = (Phase.RELEASING, Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)


def connectors(record: SessionRecord, seen: View) -> list[Connector]:
    """For those who see all of an accepted session; strangers see none."""
    if not seen.full or record.request is None or record.phase in _NEVER_ACCEPTED:
        return []
    return [*_ports(record), *_links(record, seen.base)]


def _ports(record: SessionRecord) -> list[Connector]:
    assert record.request is not None
    known = [(each.protocol, each.location) for each in record.connectors if each.access]
    waiting = [(port.protocol, None) for port in record.request.executable.ports if port.access]
    if record.phase in _OVER:
        status: Status = "FINISHED"
    else:
        status = "AVAILABLE" if record.phase is Phase.RUNNING and record.connectors else "PREPARING"
    return [
        Connector(kind=kinds.PORT_CONNECTOR, status=status, protocol=protocol, location=location)
        for protocol, location in (known if record.connectors else waiting)
    ]


def _links(record: SessionRecord, base: str) -> list[Connector]:
    """This service's own pages about the session."""
    assert record.request is not None
    protocol = base.partition(":")[0].upper()
    url = f"{base}/sessions/{record.uuid}"
    found = [
        Connector(kind=kinds.LOGS_CONNECTOR, status=_logs(record), protocol=protocol, location=f"{url}/logs")
    ]
    storages = {item.uuid for item in record.request.storage}
    if any(
        mount.resource in storages and mount.mode is MountMode.READWRITE for mount in record.request.mounts
    ):
        found.append(
            Connector(
                kind=kinds.STORAGE_CONNECTOR,
                status=_storage(record),
                protocol=protocol,
                location=f"{url}/storage",
            )
        )
    return found


def _logs(record: SessionRecord) -> Status:
    """Logs stay as long as the session does; one that never ran has none."""
    if record.outcome is not None:
        return "AVAILABLE"
    return "FINISHED" if record.phase in _OVER else "PREPARING"


def _storage(record: SessionRecord) -> Status:
    if record.phase in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED):
        return "AVAILABLE" if record.results_until is not None else "FINISHED"
    return "AVAILABLE" if record.phase in (Phase.RUNNING, Phase.RELEASING) else "PREPARING"
