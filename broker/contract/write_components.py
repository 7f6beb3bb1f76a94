"""The parts of a session on the wire: what the client asked for, with what the broker decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from broker.contract import kinds
from broker.contract.data import Data
from broker.contract.executable import DockerNetwork
from broker.contract.times import format_duration, format_instant
from broker.contract.wire import to_wire
from broker.model import MinMax, Phase
from broker.records import SessionRecord

# a part of a session lives as the session does; an offer's parts have not begun to
_PHASES = {
    Phase.INITIAL: "INITIALIZING",
    Phase.OFFERED: "INITIALIZING",
    Phase.ACCEPTED: "INITIALIZING",
    Phase.REJECTED: "CANCELLED",
    Phase.EXPIRED: "CANCELLED",
}
# what the broker says of a part, whatever the client did
_OURS = ("phase", "schedule", "costs", "metrics")
_DATA: TypeAdapter[Data] = TypeAdapter(Data)


def executable_document(record: SessionRecord, url: str, full: bool) -> dict[str, Any]:
    """`full`: with command, entrypoint and environment."""
    assert record.request is not None
    executable = record.request.executable
    asked = _mapping(record.document.get("executable"))
    image = {
        "locations": list(executable.locations),
        "digest": executable.digest,
        "platform": {"architecture": executable.architecture, "os": executable.os},
    }
    secrets = {
        "command": list(executable.command),
        "entrypoint": executable.entrypoint,
        "environment": dict(executable.environment),
    }
    return {
        "kind": kinds.DOCKER_CONTAINER,
        "meta": _meta(record, "executable", executable.name, asked, url),
        "phase": _phase(record.phase),
        "image": image,
        "privileged": executable.privileged,
        **(secrets if full else {}),
        "network": to_wire(DockerNetwork.model_validate(asked["network"])) if asked.get("network") else None,
    }


def compute_document(record: SessionRecord, url: str) -> dict[str, Any]:
    """What is offered (or, where nothing is, what was asked), and the volumes."""
    assert record.request is not None
    request, placement = record.request, record.placement
    asked = _mapping(record.document.get("compute"))
    cores = MinMax(placement.cores, placement.cores) if placement else request.cores
    memory = MinMax(placement.memory_gib, placement.memory_gib) if placement else request.memory_gib
    document: dict[str, Any] = {
        "kind": kinds.SIMPLE_COMPUTE,
        "meta": _meta(record, "compute", _name(asked), asked, url),
        "phase": _phase(record.phase),
        "cores": _range(cores),
        "memory": _range(memory),
        "volumes": _volumes(record, asked, url),
    }
    if placement:
        document["schedule"] = {
            "available": {
                "start": f"{format_instant(placement.start)}/{format_duration(placement.start_within)}",
                "duration": format_duration(placement.duration),
            }
        }
    return document


def storage_documents(record: SessionRecord, url: str) -> list[dict[str, Any]]:
    assert record.request is not None
    asked = _list(record.document.get("storage"))
    documents = []
    for index, item in enumerate(record.request.storage):
        resource = _mapping(asked[index]) if index < len(asked) else {}
        data = [record.component_uuid(each.uuid) for each in record.request.data if each.storage == item.uuid]
        documents.append(
            {
                "kind": kinds.SIMPLE_STORAGE,
                "meta": _meta(record, item.uuid, item.name, resource, url),
                "phase": _phase(record.phase),
                "size": _range(item.size_gib),
                "data": data,
            }
        )
    return documents


def data_documents(record: SessionRecord, url: str) -> list[dict[str, Any]]:
    """The data as the client described it, with the storage that it goes to."""
    assert record.request is not None
    asked = _list(record.document.get("data"))
    documents = []
    for index, item in enumerate(record.request.data):
        resource = _mapping(asked[index]) if index < len(asked) else {}
        kept = to_wire(_DATA.validate_python(resource)) if resource else {}
        documents.append(
            {
                **{name: value for name, value in kept.items() if name not in _OURS},
                "meta": _meta(record, item.uuid, item.name, resource, url),
                "phase": _phase(record.phase),
                "storage": record.component_uuid(item.storage) if item.storage else None,
            }
        )
    return documents


def _volumes(record: SessionRecord, compute: Mapping[str, Any], url: str) -> list[dict[str, Any]]:
    assert record.request is not None
    asked = _list(compute.get("volumes"))
    documents = []
    for index, mount in enumerate(record.request.mounts):
        resource = _mapping(asked[index]) if index < len(asked) else {}
        documents.append(
            {
                "kind": kinds.SIMPLE_VOLUME,
                "meta": _meta(record, f"volume:{mount.path}", _name(resource), resource, url),
                "path": mount.path,
                "mode": mount.mode.value,
                "resource": record.component_uuid(mount.resource),
            }
        )
    return documents


def _meta(
    record: SessionRecord, key: str, name: str | None, asked: Mapping[str, Any], url: str
) -> dict[str, Any]:
    """Metadata of a part. It has no address of its own: its URL is a place in the session's document."""
    own = record.component_uuid(key)
    return {
        "uuid": own,
        "name": name,
        "url": f"{url}#{own}",
        "description": _mapping(asked.get("meta")).get("description"),
        "created": format_instant(record.created),
        "modified": format_instant(record.modified),
    }


def _name(asked: Mapping[str, Any]) -> str | None:
    name = _mapping(asked.get("meta")).get("name")
    return name if isinstance(name, str) else None


def _phase(phase: Phase) -> str:
    return _PHASES.get(phase, phase.value)


def _range(value: MinMax) -> dict[str, int | None]:
    return {"min": value.minimum, "max": value.maximum}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []
